"""Steering a session from another process of the same user, over a private socket beside its registry entry.

One line of JSON goes in, one comes back, and the connection ends: ``{"do": "interrupt"}`` and
``{"result": null}``, or ``{"error": {"kind": ..., "message": ..., "remedy": ...}}``.
"""

from .client import SessionClient
from .endpoint import Steered
from .presence import Presence

__all__ = ["Presence", "SessionClient", "Steered"]

"""Makes harmless what a container shows, before it reaches the page of a notebook.

JupyterLab shows outputs in its own page, with the rights of the user: a script in one could start a
kernel on the host. So nothing that a container sends is passed on unread.
"""

from __future__ import annotations

from .messages import Filter, Message
from .outputs import harmless_outputs

__all__ = ["Filter", "Message", "harmless_outputs"]

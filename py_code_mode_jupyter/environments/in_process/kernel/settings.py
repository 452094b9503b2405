"""What a kernel is told when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Settings of one kernel.

    Attributes
    ----------
    folder
        Working directory to start in.
    namespaces
        Objects that code finds under these names.
    startup_timeout
        Seconds that a start may take.
    abandon_after
        Seconds after an interrupt without effect until the thread is abandoned.
    session_name
        Name of the notebook, for ``__session__``; empty: unknown.
    """

    folder: str
    namespaces: Mapping[str, Any] = field(default_factory=dict)
    startup_timeout: float = 10.0
    abandon_after: float = 10.0
    session_name: str = ""

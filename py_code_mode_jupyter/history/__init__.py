"""Recorded runs told again: as a notebook, as a replay, and why what they show may differ then."""

from __future__ import annotations

from .isolation import ORDER, is_less_isolated
from .nondeterminism import Reader, nondeterminism
from .notebook import export_notebook, notebook_text
from .replay import (
    Replayed,
    ReplayReport,
    executor_like,
    lost_runs,
    replay,
    require_ended,
    require_repeatable,
)

__all__ = [
    "ORDER",
    "Reader",
    "ReplayReport",
    "Replayed",
    "executor_like",
    "export_notebook",
    "is_less_isolated",
    "lost_runs",
    "nondeterminism",
    "notebook_text",
    "replay",
    "require_ended",
    "require_repeatable",
]

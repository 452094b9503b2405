"""How runs that the ledger recorded are listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .artifacts import MOMENT
from .table import Table
from .text import format_time

if TYPE_CHECKING:
    from ..storage.runs import RunRecord

_HEADINGS = ("id", "started", "session", "executor", "status", "time", "code")
_NUMBERS = ("id", "time")


def run_table(runs: Sequence[RunRecord], *, more: int = 0) -> Table:
    """Return runs as a table in the order they come, each with the first line of its code."""
    rows = tuple(
        (
            str(run.id),
            f"{run.started.astimezone():{MOMENT}}",
            run.session,
            run.executor,
            run.status,
            format_time(run.execution_time),
            _first_line(run.code),
        )
        for run in runs
    )
    return Table(headings=_HEADINGS, rows=rows, numbers=_NUMBERS, empty="There is no run.", more=more)


def _first_line(code: str) -> str:
    lines = [line for line in code.splitlines() if line.strip()]
    first = lines[0].strip() if lines else ""
    return f"{first} …" if len(lines) > 1 else first

"""How runs that the ledger recorded are listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, final

from .artifacts import MOMENT
from .table import Table, fields_table
from .text import format_time, lines_of

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


@final
@dataclass(frozen=True, slots=True)
class RunDetail:
    """One recorded run, with its code and what it showed as text.

    Attributes
    ----------
    run
        The record.
    """

    run: RunRecord

    def __str__(self) -> str:
        return "\n\n".join([str(self._about), *(f"{title}:\n{text}" for title, text in self._texts)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = (f"<p>{escape(title)}</p><pre>{escape(text)}</pre>" for title, text in self._texts)
        return f"{self._about._repr_html_()}{''.join(parts)}"

    @property
    def _about(self) -> Table:
        run = self.run
        fields = (
            ("session", run.session),
            ("executor", run.executor),
            ("status", run.status),
            ("started", f"{run.started.astimezone():{MOMENT}}"),
            ("time", format_time(run.execution_time)),
            ("packages", ", ".join(run.deps)),
            ("variables handed in", ", ".join(run.variables)),
            ("earlier variables", "" if run.state_preserved else "lost"),
            ("output not kept", f"{run.truncated:,} bytes" if run.truncated else ""),
            *((f"limit: {name}", str(value)) for name, value in run.limits.items() if value),
        )
        return fields_table(fields, caption=f"Run {run.id}")

    @property
    def _texts(self) -> Iterator[tuple[str, str]]:
        for title in ("code", "stdout", "stderr", "value", "error"):
            if text := getattr(self.run, title):
                yield title, lines_of(text).rstrip()

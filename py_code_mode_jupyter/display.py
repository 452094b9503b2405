"""How sessions are shown, in a notebook as HTML and elsewhere as text."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from .results import ExecutionResult

_HEADINGS = ("", "name", "executor", "state", "runs", "memory", "uptime")
_NUMBERS = ("runs", "memory", "uptime")
_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def format_bytes(size: float) -> str:
    """Return a size in bytes with three digits or so: ``"1.5 GiB"``, ``"212 MiB"``."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 10 * unit else f"{size / unit:.0f} {name}"
    return f"{size:.0f} B"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: ``"9 s"``, ``"3 min 5 s"``, ``"2 h 10 min"``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRow:
    """One session as a table shows it.

    Attributes
    ----------
    name, executor, state
        Words to show; the name is the user's.
    runs
        How many runs it has seen.
    memory, memory_limit
        Bytes in use, None if unknown, and bytes it may use, None without a limit.
    uptime
        Seconds since it started.
    is_current
        Whether it is the one meant when none is named.
    """

    name: str
    executor: str
    state: str
    runs: int = 0
    memory: int | None = None
    memory_limit: int | None = None
    uptime: float = 0.0
    is_current: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts of the row."""
        mark = "*" if self.is_current else ""
        runs, uptime = str(self.runs), format_duration(self.uptime)
        return (mark, self.name, self.executor, self.state, runs, self._memory, uptime)

    @property
    def _memory(self) -> str:
        if self.memory is None:
            return "?"
        used = format_bytes(self.memory)
        if self.memory_limit is not None:
            used = f"{used} / {format_bytes(self.memory_limit)}"
        # In-process there is one figure for host and session together.
        return f"{used} (this process)" if self.executor == "in-process" else used


@final
@dataclass(frozen=True, slots=True)
class SessionTable:
    """The sessions of a notebook; displays itself as a table.

    Attributes
    ----------
    rows
        The sessions, the oldest first.
    """

    rows: tuple[SessionRow, ...]

    def __str__(self) -> str:
        if not self.rows:
            return "No session is running."
        lines = [_HEADINGS, *(row.cells for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(_aligned(line, widths) for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.rows:
            return "<p>No session is running.</p>"
        head = "".join(_html_cell("th", name, name) for name in _HEADINGS)
        body = "".join(f"<tr>{_html_row(row)}</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = (
        cell.rjust(width) if heading in _NUMBERS else cell.ljust(width)
        for cell, width, heading in zip(cells, widths, _HEADINGS, strict=True)
    )
    return "  ".join(padded).rstrip()


def _html_row(row: SessionRow) -> str:
    return "".join(_html_cell("td", cell, name) for cell, name in zip(row.cells, _HEADINGS, strict=True))


def _html_cell(tag: str, text: str, heading: str) -> str:
    # Alignment only: colours are the theme's.
    side = "right" if heading in _NUMBERS else "left"
    return f'<{tag} style="text-align: {side}">{escape(text)}</{tag}>'


def show_ending(result: ExecutionResult, session: str) -> None:
    """Say on stderr what the outputs of a run, shown already, do not say by themselves.

    Parameters
    ----------
    result
        How the run ended.
    session
        The session's name.
    """
    if result.truncated:
        print(result.truncation_note, file=sys.stderr)
    if result.is_ok and not result.state_preserved:
        note = f"Session {session!r} had to start afresh before this run: its earlier variables are gone."
        print(note, file=sys.stderr)

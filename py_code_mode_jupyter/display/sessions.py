"""How sessions, and the ends of their runs, are shown."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from .table import Table, fields_table
from .text import format_bytes, format_duration, format_time, one_line

if TYPE_CHECKING:
    from ..results import ExecutionResult

_HEADINGS = ("", "name", "executor", "state", "runs", "memory", "uptime")
_NUMBERS = ("runs", "memory", "uptime")
_EMPTY = "No session is running."
_SHOWN_ALREADY = frozenset({"name", "executor", "state", "runs", "memory", "memory_limit", "uptime", "cpu"})


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
        memory = format_memory(self.memory, self.memory_limit, self.executor)
        return (
            mark,
            self.name,
            self.executor,
            self.state,
            str(self.runs),
            memory,
            format_duration(self.uptime),
        )


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
        return str(self._table)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._table._repr_html_()

    @property
    def _table(self) -> Table:
        rows = tuple(row.cells for row in self.rows)
        return Table(headings=_HEADINGS, rows=rows, numbers=_NUMBERS, empty=_EMPTY)


def format_memory(memory: int | None, limit: int | None, executor: str) -> str:
    """Return memory in use beside its limit, such as ``"212 MiB / 512 MiB"``; ``"?"`` if unknown."""
    if memory is None:
        return "?"
    used = format_bytes(memory)
    if limit is not None:
        used = f"{used} / {format_bytes(limit)}"
    # In-process there is one figure for host and session together.
    return f"{used} (this process)" if executor == "in-process" else used


def status_table(
    stats: Mapping[str, Any], configured: Mapping[str, Any], last: ExecutionResult | None
) -> Table:
    """Return everything about one session: what it uses, how its last run ended, what was configured."""
    executor = str(stats["executor"])
    fields = [
        ("executor", executor),
        ("state", str(stats["state"])),
        ("runs", str(stats.get("runs", 0))),
        ("memory", format_memory(stats.get("memory"), stats.get("memory_limit"), executor)),
        ("CPU time", f"{stats['cpu']:.1f} s" if stats.get("cpu") is not None else ""),
        ("uptime", format_duration(stats.get("uptime", 0.0))),
        ("last run", f"{last.status}, {format_time(last.execution_time)}" if last is not None else "none"),
    ]
    fields += [(name, str(value)) for name, value in stats.items() if name not in _SHOWN_ALREADY and value]
    fields += [(f"configured: {name}", _setting(value)) for name, value in configured.items()]
    return fields_table(fields, caption=f"Session {stats['name']}")


def _setting(value: object) -> str:
    if value is None or value == () or value is False:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


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
        what = "had to start afresh before this run: its earlier variables are gone."
        print(f"Session {one_line(session)!r} {what}", file=sys.stderr)

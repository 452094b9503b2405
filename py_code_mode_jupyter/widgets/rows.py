"""What the panel says of each session: measured on the sessions' loop, written as a table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from ..display import format_duration, format_memory, one_line
from ..errors import CodeModeError
from ..execution.protocol import Capability
from . import markup
from .results import status_words

if TYPE_CHECKING:
    from ..results import ExecutionResult
    from ..session import Session

_PATIENCE = 2.0
"""Seconds that a session may take to say what it uses."""
_HEADINGS = ("session", "place", "state", "memory", "CPU", "runs", "uptime", "last run")
_NUMBERS = tuple(name in ("CPU", "runs", "uptime") for name in _HEADINGS)
_ISOLATION = {
    Capability.PROCESS_ISOLATION: "process of its own",
    Capability.WRITE_CONFINEMENT: "writes confined to its folders",
    Capability.CONTAINER_ISOLATION: "container",
    Capability.NETWORK_ISOLATION: "no network",
    Capability.MEMORY_LIMIT: "memory limited",
    Capability.DEPS_LOCK_ENFORCED: "packages locked",
}
EMPTY = "No session is running. Start one: run a cell with %%pcm run -e venv, or %pcm start NAME -e venv."


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One session at one moment.

    Attributes
    ----------
    name, executor, state
        Words; the name is the user's.
    memory, memory_limit
        Bytes in use and allowed; None if unknown or without a limit.
    cpu
        Share of one processor since the last look; None before the second.
    runs, uptime
        How many runs it has seen, and seconds since it started.
    last
        The result of its last run.
    isolation
        What holds for it, in words.
    """

    name: str
    executor: str
    state: str
    memory: int | None = None
    memory_limit: int | None = None
    cpu: float | None = None
    runs: int = 0
    uptime: float = 0.0
    last: ExecutionResult | None = None
    isolation: tuple[str, ...] = ()

    @property
    def is_busy(self) -> bool:
        """Whether code runs in it."""
        return self.state == "busy"


@final
class Meter:
    """Measures sessions; it remembers what they had used, for how much that is in a second."""

    def __init__(self) -> None:
        self._used: dict[int, tuple[float, float]] = {}

    async def rows(self, sessions: Mapping[str, Session]) -> tuple[Row, ...]:
        """Return a row for each session, by the name that is shown."""
        found = await asyncio.gather(*(self._row(name, one) for name, one in sessions.items()))
        here = {id(session) for session in sessions.values()}
        self._used = {key: used for key, used in self._used.items() if key in here}
        return tuple(found)

    async def _row(self, name: str, session: Session) -> Row:
        try:
            async with asyncio.timeout(_PATIENCE):
                stats = await session.stats()
        except (CodeModeError, TimeoutError):
            return unmeasured(name, session)
        return Row(
            name=name,
            executor=session.executor.name,
            state=one_line(stats.get("state", "?"), 20),
            memory=stats.get("memory"),
            memory_limit=stats.get("memory_limit"),
            cpu=self._share(id(session), stats.get("cpu")),
            runs=stats.get("runs", 0),
            uptime=stats.get("uptime", 0.0),
            last=session.last_result,
            isolation=_isolation(session),
        )

    def _share(self, key: int, cpu: Any) -> float | None:
        if not isinstance(cpu, int | float):
            return None
        now = time.monotonic()
        before = self._used.get(key)
        self._used[key] = (now, cpu)
        if before is None or now <= before[0]:
            return None
        return max(0.0, (cpu - before[1]) / (now - before[0]))


def unmeasured(name: str, session: Session) -> Row:
    """Return what is known of a session that does not say what it uses."""
    return Row(name=name, executor=session.executor.name, state="not running", last=session.last_result)


def _isolation(session: Session) -> tuple[str, ...]:
    held = session.supported_capabilities()
    return tuple(words for capability, words in _ISOLATION.items() if capability in held)


def named(sessions: Any) -> dict[str, Session]:
    """Return sessions by their names; those of the same name are numbered."""
    found: dict[str, Session] = {}
    for session in sessions:
        name, number = one_line(session.name, 64), 1
        while name in found:
            number += 1
            name = f"{one_line(session.name, 60)} ({number})"
        found[name] = session
    return found


def session_table(rows: tuple[Row, ...], chosen: str | None) -> str:
    """Return the sessions as HTML."""
    if not rows:
        return markup.note(EMPTY)
    cells = [markup.row(_cells(one), is_current=one.name == chosen) for one in rows]
    return markup.table("Sessions", _HEADINGS, cells, numbers=_NUMBERS)


def _cells(row: Row) -> list[str]:
    share = row.memory / row.memory_limit if row.memory is not None and row.memory_limit else None
    kind = {"busy": "busy", "idle": "idle"}.get(row.state, "bad")
    last_kind, last = status_words(row.last) if row.last is not None else ("", "none yet")
    return [
        markup.cell(row.name),
        markup.cell(row.executor),
        markup.cell(row.state, before=markup.dot(kind)),
        markup.cell(format_memory(row.memory, row.memory_limit, row.executor), below=markup.meter(share)),
        markup.cell("" if row.cpu is None else f"{100 * row.cpu:.0f} %", is_number=True),
        markup.cell(row.runs, is_number=True),
        markup.cell(_since(row.uptime), is_number=True),
        markup.cell(last, before=markup.dot(last_kind)),
    ]


def _since(seconds: float) -> str:
    # In minutes: what changes every second would be sent to the page every second.
    return format_duration(seconds // 60 * 60).removesuffix(" 0 s") if seconds >= 60 else "< 1 min"

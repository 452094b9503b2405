"""Notices that a storage has changed, whoever changed it: this server, a kernel, an agent or a person.

It looks at times of modification, and at the newest numbers of the run ledger; nothing is read that has
not changed.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, final

from ...errors import CodeModeError
from ...storage import FileStorage
from .. import metrics, telemetry

if TYPE_CHECKING:
    from jupyter_events import EventLogger

    from ...storage.runs import RunRecord
    from .broadcast import Broadcast
    from .sessions import Sessions

_WATCHED = {
    # Whoever saves or deletes writes to .incoming first.
    ("storage", "artifacts"): ("artifacts", ".incoming"),
    ("storage", "workflows"): ("workflows",),
    ("sessions", None): ("sessions",),
    ("runs", None): ("runs.sqlite", "runs.sqlite-wal"),
}
_PAGE = 200
Stamp = tuple[tuple[int, int], ...]


def stamp(base: Path, names: tuple[str, ...]) -> Stamp:
    """Return what changes when one of these files or folders does."""
    found = []
    for name in names:
        with contextlib.suppress(OSError):
            about = (base / name).stat()
            found.append((about.st_mtime_ns, about.st_size))
    return tuple(found)


@final
class StorageChanges:
    """What was last seen of a storage. `look` blocks and is called by one thread at a time."""

    def __init__(self, logger: EventLogger, broadcast: Broadcast, sessions: Sessions) -> None:
        self._logger = logger
        self._broadcast = broadcast
        self._sessions = sessions
        self._seen: dict[tuple[str, str | None], Stamp] = {}
        self._changed: list[tuple[str, str | None]] = []
        self._ended: list[RunRecord] = []
        self._last_run: int | None = None
        self._open_runs: set[int] = set()

    def look(self, base: Path) -> None:
        """Look at what has changed since the last time."""
        for what, names in _WATCHED.items():
            now = stamp(base, names)
            before = self._seen.get(what)
            self._seen[what] = now
            if what[0] == "runs" and (before != now):
                self._look_at_runs(base)
            if before is not None and before != now:
                self._changed.append(what)

    def _look_at_runs(self, base: Path) -> None:
        """Note which runs have ended; those from before the server's start are no news."""
        if not (base / "runs.sqlite").exists():
            self._last_run = self._last_run or 0
            return
        try:
            ledger = FileStorage(base).runs
            newest = ledger.list(limit=_PAGE)
            if self._last_run is not None:
                fresh = [record for record in newest if record.id > self._last_run]
                awaited = [ledger.get(number) for number in sorted(self._open_runs)]
                self._note(fresh + awaited)
        except CodeModeError:
            return  # a damaged ledger is told to whoever asks for it
        self._last_run = max((record.id for record in newest), default=self._last_run or 0)

    def _note(self, records: list[RunRecord]) -> None:
        runs = {record.id: record for record in records if record.kind == "run"}
        self._open_runs = {number for number, record in runs.items() if record.status == "running"}
        self._ended += [record for number, record in sorted(runs.items()) if number not in self._open_runs]

    def tell(self) -> None:
        """Tell what `look` has found; called on the event loop."""
        changed, self._changed = self._changed, []
        ended, self._ended = self._ended, []
        if any(topic in ("sessions", "runs") for topic, _ in changed):
            self._sessions.forget()  # whoever asks because of this news is not to be told the old
        for topic, id in changed:
            self._broadcast.tell(topic, "changed", id)
        for record in ended:
            metrics.count_run(record.executor, record.status, record.execution_time)
            telemetry.emit(
                self._logger,
                telemetry.RUN,
                run_id=record.id,
                session=record.session,
                executor=record.executor,
                status=record.status,
                seconds=record.execution_time,
            )

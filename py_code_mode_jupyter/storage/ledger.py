"""The run ledger: what ran, where, under which limits, and how it ended.

It is kept in ``runs.sqlite`` beside the artifacts, which other tools can read and many processes write. A
session records its runs through a `Recorder`; everything here reads, and what it reads is data that
executed code wrote: nothing of it is ever evaluated.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias, final

from ..errors import ConfigurationError, RunNotFoundError
from ..owner import is_orphan
from . import database
from .recording import Incarnation, Recorder
from .runs import REPLAY, RESET, RUN, RunRecord, SessionSummary
from .writer import Entry, Writer

MOST_LISTED = 1000
"""Records that one listing returns at most."""
_LISTED = (RUN, RESET)
_TIDY_AFTER = 256
_ENDED = "The process that ran it has ended."
_COLUMNS = """
    runs.id, name AS session, session_id, executor, limits, runs.deps, kind, number, code, code_is_whole,
    variables, given, runs.started, execution_time, value, error, stdout, stderr, truncated,
    state_preserved, replay_of,
    CASE WHEN status = 'running' AND is_orphan(owner) THEN 'died' ELSE status END AS status_now
"""
_FROM = "FROM runs JOIN sessions ON sessions.id = session_id"
_OLDEST_KEPT = """
    SELECT max(id) FROM (SELECT id, sum(size) OVER (ORDER BY id DESC) AS bytes,
                                row_number() OVER (ORDER BY id DESC) AS place FROM runs)
    WHERE bytes > ? OR place > ?
"""
_Records: TypeAlias = list[RunRecord]  # inside the class, `list` is its method


@final
class RunLedger:
    """The runs of every session over one storage folder. Safe to use from several threads and processes.

    Parameters
    ----------
    base_path
        The storage folder.
    keep_runs, keep_bytes
        How many runs are kept, and how many bytes they may take together; the oldest go first.
    """

    def __init__(self, base_path: Path, *, keep_runs: int = 10_000, keep_bytes: int = 256 * 2**20) -> None:
        for name, value in (("keep_runs", keep_runs), ("keep_bytes", keep_bytes)):
            if type(value) is not int or value < 1:
                raise ConfigurationError(name, value, "not a count above zero.")
        self._base = base_path
        self._keep = (keep_bytes, keep_runs)
        self._written, self._bytes = 0, 0  # since it was tidied
        self._writer = Writer(base_path, self._tidy)

    @property
    def path(self) -> Path:
        """The file, which is there once something ran."""
        return self._base / database.FILE

    # Writing

    def recorder(
        self,
        *,
        session: str,
        session_id: str,
        executor: str,
        limits: Mapping[str, Any],
        deps: Callable[[], Sequence[str]] = tuple,
        secrets: Iterable[str] = (),
    ) -> Recorder:
        """Return what records the runs of one incarnation of a session, until it is closed.

        Parameters
        ----------
        session, session_id, executor
            The session's name, the incarnation's unique id, and where it runs.
        limits
            The configuration in force, without secrets.
        deps
            Returns the packages in force; it is called in another thread.
        secrets
            Texts that must not be kept, even where executed code shows them.
        """
        incarnation = Incarnation(
            session=session,
            session_id=session_id,
            executor=executor,
            limits=limits,
            deps=deps,
            secrets=secrets,
        )
        return Recorder(self._writer, incarnation)

    def flush(self) -> None:
        """Wait until what this process has recorded is written, or cannot be."""
        self._writer.flush()

    def delete(self, *, session: str | None = None) -> int:
        """Forget all runs, or those of the sessions of this name, and return how many they were."""
        self.flush()
        if not self.path.exists():
            return 0
        connection = database.open_for_writing(self._base)
        with database.errors(self.path):
            try:
                with database.transaction(connection):
                    wanted = (
                        ""
                        if session is None
                        else "AND session_id IN (SELECT id FROM sessions WHERE name = ?)"
                    )
                    deleted = connection.execute(
                        f"DELETE FROM runs WHERE status != 'running' {wanted}",  # noqa: S608 - a constant
                        () if session is None else (session,),
                    ).rowcount
                    _forget_sessions(connection)
                connection.execute("PRAGMA incremental_vacuum").fetchall()
                return int(deleted)
            finally:
                connection.close()

    def _tidy(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        """Delete the oldest records beyond what is kept; not at every writing, for it reads all sizes."""
        self._written += len(entries)
        self._bytes += sum(entry.size for entry in entries)
        if self._written < min(_TIDY_AFTER, self._keep[1]) and self._bytes < self._keep[0] // 8:
            return
        self._written = self._bytes = 0
        [oldest] = connection.execute(_OLDEST_KEPT, self._keep).fetchone()
        if oldest is not None:
            connection.execute("DELETE FROM runs WHERE id <= ?", (oldest,))
            _forget_sessions(connection)
            connection.execute("PRAGMA incremental_vacuum(1000)").fetchall()

    # Reading

    def list(
        self,
        *,
        session: str | None = None,
        search: str = "",
        status: str | None = None,
        limit: int = 100,
        before: int | None = None,
        with_outputs: bool = False,
    ) -> _Records:
        """Return runs and fresh starts, the newest first.

        Parameters
        ----------
        session
            Only those of sessions of this name.
        search
            Only those whose code, value, error or session holds this text, in whatever case.
        status
            Only those of this status.
        limit
            How many at most, up to `MOST_LISTED`.
        before
            Only those with a smaller id: to turn the page.
        with_outputs
            Whether ``outputs`` are read, too, which can be a MiB each.

        Raises
        ------
        LedgerFormatError
            The file is damaged, another program's or a newer version's.
        StorageUnavailableError
            It cannot be read.
        """
        if type(limit) is not int or not 1 <= limit <= MOST_LISTED:
            raise ConfigurationError("limit", limit, f"not a count from 1 to {MOST_LISTED:,}.")
        where: dict[str, Any] = {f"kind IN {_LISTED}": ()}
        if session is not None:
            where["name = ?"] = (session,)
        if before is not None:
            where["runs.id < ?"] = (before,)
        if status is not None:
            where["status_now = ?"] = (status,)
        if search:
            parts = ("code", "value", "coalesce(error, '')", "name")
            where[" OR ".join(f"instr(lower({part}), ?) > 0" for part in parts)] = (search.lower(),) * 4
        return self._select(where, f"ORDER BY runs.id DESC LIMIT {limit}", with_outputs=with_outputs)

    def get(self, id: int) -> RunRecord:
        """Return one record with its outputs.

        Raises
        ------
        RunNotFoundError
            There is none of this number, or no longer.
        """
        found = self._select({"runs.id = ?": (id,)}) if type(id) is int and abs(id) < 2**63 else []
        if not found:
            raise RunNotFoundError(id if type(id) is int else str(id))
        return found[0]

    def sessions(self) -> Sequence[SessionSummary]:
        """Return the names of sessions that have run something, the latest first."""
        query = f"""
            SELECT name, session_id, executor, count(*) AS runs, min(runs.started) AS first,
                   max(runs.started) AS last
            {_FROM} WHERE kind = '{RUN}' GROUP BY session_id ORDER BY max(runs.id) DESC
        """
        self.flush()
        with database.opened_for_reading(self._base) as connection:
            rows = [] if connection is None else connection.execute(query).fetchall()
        by_name: dict[str, _Rows] = {}
        for row in rows:
            by_name.setdefault(row["name"], []).append(row)
        return [_summary(rows) for rows in by_name.values()]

    def of_session(
        self,
        name: str,
        *,
        session_id: str | None = None,
        excluding: str | None = None,
        since_reset: bool = True,
    ) -> _Records:
        """Return what one incarnation of a session did, the oldest first: what a replay needs.

        Parameters
        ----------
        name
            The session's name.
        session_id
            The incarnation; None: the latest that ran something and is not half a replay itself.
        excluding
            An incarnation that is not meant, such as the one that is to be rebuilt.
        since_reset
            Only what came after its last fresh start.

        Raises
        ------
        RunNotFoundError
            No session of this name, or no such incarnation, has run anything that is kept.
        """
        if session_id is None:
            session_id = self._latest(name, excluding)
        found = self._select({"name = ?": (name,), "session_id = ?": (session_id,)}, "ORDER BY runs.id")
        if not found:
            raise RunNotFoundError(name)
        if since_reset:
            starts = [index for index, record in enumerate(found) if record.reset]
            found = found[starts[-1] + 1 :] if starts else found
        return found

    def _latest(self, name: str, excluding: str | None) -> str:
        query = f"""
            SELECT session_id,
                   max(CASE WHEN kind = '{REPLAY}' AND status != 'ok' THEN runs.id ELSE 0 END) AS torn,
                   max(CASE WHEN kind = '{REPLAY}' THEN runs.id ELSE 0 END) AS replayed
            {_FROM} WHERE name = ? AND session_id != ?
            GROUP BY session_id HAVING sum(kind != '{RESET}') > 0 AND (torn = 0 OR torn < replayed)
            ORDER BY max(runs.id) DESC LIMIT 1
        """
        self.flush()
        with database.opened_for_reading(self._base) as connection:
            row = (
                None if connection is None else connection.execute(query, (name, excluding or "")).fetchone()
            )
        if row is None:
            raise RunNotFoundError(name)
        return str(row["session_id"])

    def _select(
        self, where: Mapping[str, Collection[Any]], order: str = "", *, with_outputs: bool = True
    ) -> _Records:
        columns = _COLUMNS + (", outputs" if with_outputs else ", '[]' AS outputs")
        conditions = " AND ".join(f"({condition})" for condition in where)
        query = f"SELECT {columns} {_FROM} WHERE {conditions} {order}"
        parameters = [value for values in where.values() for value in values]
        self.flush()
        with database.opened_for_reading(self._base) as connection:
            if connection is None:
                return []
            connection.create_function("is_orphan", 1, functools.lru_cache(is_orphan))
            return [_record(row) for row in connection.execute(query, parameters)]


_Rows: TypeAlias = list[sqlite3.Row]


def _forget_sessions(connection: sqlite3.Connection) -> None:
    """Delete what is known of sessions that have no record left, unless they are of this moment."""
    connection.execute("DELETE FROM sessions WHERE id NOT IN (SELECT session_id FROM runs)")


def _record(row: sqlite3.Row) -> RunRecord:
    found = dict(row)
    status = found.pop("status_now")
    if status == "died" and found["error"] is None and found["execution_time"] is None:
        found["error"] = _ENDED
    found["state_preserved"] = bool(found["state_preserved"])
    found["code_is_whole"] = bool(found["code_is_whole"])
    found["started"] = _moment(found["started"])
    for name, kind in (
        ("limits", dict),
        ("given", dict),
        ("deps", list),
        ("variables", list),
        ("outputs", list),
    ):
        value = _json(found[name])
        found[name] = value if isinstance(value, kind) else kind()
    for name in ("deps", "variables", "outputs"):
        found[name] = tuple(found[name])
    return RunRecord(status=status, **found)


def _json(text: str) -> Any:
    """Return JSON as it was kept; a cell that somebody has changed by hand counts as empty."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _summary(rows: _Rows) -> SessionSummary:
    return SessionSummary(
        name=rows[0]["name"],
        executor=rows[0]["executor"],
        ids=tuple(row["session_id"] for row in rows),
        runs=sum(row["runs"] for row in rows),
        first=_moment(min(row["first"] for row in rows)),
        last=_moment(max(row["last"] for row in rows)),
    )

"""The sessions of one notebook: found by name, made on first use, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ..display import SessionRow, SessionTable
from ..errors import CodeModeError, ConfigurationError
from .configuring import make_executor, settings_of
from .names import EXECUTORS, did_you_mean

if TYPE_CHECKING:
    from ..history import ReplayReport
    from ..session import Session
    from ..storage import FileStorage, RunRecord, Storage

_NAME_LENGTH = 64


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which session a cell means.

    Attributes
    ----------
    name, executor
        The session's name, and what runs its code.
    is_new
        Whether there is no such session yet.
    is_guess
        Whether nobody said which executor a new session of this name is to have.
    """

    name: str
    executor: str
    is_new: bool
    is_guess: bool = False


@final
class NotebookSessions:
    """Every session that one shell has made. Its coroutines run on one loop.

    A session's executor and settings are remembered when it stops: its name never comes to mean a less
    isolated place by itself.

    Parameters
    ----------
    defaults
        Returns the settings of an executor's new sessions that are not told otherwise; None: there are
        none.

    Attributes
    ----------
    current
        The name that ``%pcm use`` has given; empty: none.
    """

    def __init__(self, defaults: Callable[[str], Mapping[str, Any]] | None = None) -> None:
        self.current = ""
        self._defaults = defaults or (lambda _: {})
        self._sessions: dict[str, Session] = {}
        self._executors: dict[str, str] = {}
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._storages: dict[Path, FileStorage] = {}
        self._opening = threading.Lock()
        self._making = asyncio.Lock()
        self._closed = False

    @property
    def names(self) -> list[str]:
        """Names of the running sessions, the oldest first."""
        return [*self._sessions]

    @property
    def known(self) -> list[str]:
        """Names that mean a session, running or not."""
        return [*dict.fromkeys((*self._sessions, *self._executors, *EXECUTORS))]

    def storage_in(self, folder: Path) -> FileStorage:
        """Return the storage in `folder`, one for all: what one session records, the others read at once.

        Raises
        ------
        StorageUnavailableError
            The folder cannot be used.
        """
        from ..storage import FileStorage

        with self._opening:
            if folder not in self._storages:
                self._storages[folder] = FileStorage(folder)
            return self._storages[folder]

    def all(self) -> list[Session]:
        """Return the running sessions, the oldest first."""
        return [*self._sessions.values()]

    def choose(self, name: str | None, executor: str | None, default: str) -> Choice:
        """Return the session that ``-s NAME -e EXECUTOR`` means, either of them left out or not.

        Parameters
        ----------
        name, executor
            What the user wrote; None: nothing.
        default
            The executor of the session that is meant when nothing is written.

        Raises
        ------
        ConfigurationError
            The name cannot be used, or does not go with the executor.
        """
        if name is None:
            name = executor or self.current or default
        is_new = name not in self._sessions
        known = name if name in EXECUTORS else self._executors.get(name)
        if known is None:
            self._check_new(_usable(name), executor)
            return Choice(name=name, executor=executor or default, is_new=True, is_guess=executor is None)
        if executor not in (None, known):
            if name in EXECUTORS or not is_new:
                raise _conflict(name, known, is_new)
            known = executor
        return Choice(name=name, executor=known, is_new=is_new)

    def _check_new(self, name: str, executor: str | None) -> None:
        if executor is None and difflib.get_close_matches(name, self._executors, n=1):
            hint = did_you_mean(name, self._executors, "")
            to_make = f"To make a new one, say where it runs: -e {' or -e '.join(EXECUTORS)}."
            raise ConfigurationError("session", name, "no such session.", remedy=f"{hint} {to_make}")

    async def obtain(self, choice: Choice, storage: Path) -> Session:
        """Return the session, made over the storage in the folder `storage` if it does not run yet."""
        async with self._making:
            session = self._sessions.get(choice.name)
            if session is None:
                session = await self._make(choice, storage)
            return session

    async def start(
        self, choice: Choice, storage: Path, settings: Mapping[str, Any], *, sync: bool = False
    ) -> Session:
        """Make a session with these settings over the storage in the folder `storage`.

        Raises
        ------
        ConfigurationError
            It runs already, or a setting cannot be used.
        ExecutorStartError
            It could not be made.
        """
        async with self._making:
            if choice.name in self._sessions:
                remedy = f"`%pcm stop {choice.name}` first, or choose another name."
                raise ConfigurationError("session", choice.name, "runs already.", remedy=remedy)
            return await self._make(choice, storage, settings, sync=sync)

    async def _make(
        self,
        choice: Choice,
        storage: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        sync: bool = False,
    ) -> Session:
        from ..session import Session

        if settings is None:
            settings = self._settings.get(choice.name, {})
        executor = make_executor(choice.executor, {**self._defaults(choice.executor), **settings})
        opened = await asyncio.to_thread(self.storage_in, storage)
        session = Session(opened, executor, name=choice.name, sync_deps_on_start=sync)
        await session.start()
        if self._closed:
            await session.close()
            raise ConfigurationError("session", choice.name, "the notebook's sessions have been closed.")
        self._sessions[choice.name] = session
        self._executors[choice.name] = choice.executor
        self._settings[choice.name] = settings
        return session

    def running(self, name: str) -> Session:
        """Return the running session of this name.

        Raises
        ------
        ConfigurationError
            No running session has the name.
        """
        if name not in self._sessions:
            running = ", ".join(self._sessions) or "none"
            hint = did_you_mean(name, self._sessions, f"Running: {running}.")
            raise ConfigurationError("session", name, "no such session is running.", remedy=hint)
        return self._sessions[name]

    async def each(self, names: Iterable[str], do: Callable[[Session], Awaitable[object]]) -> list[Session]:
        """Do the same with the sessions of these names, at once, and return them.

        Raises
        ------
        ConfigurationError
            No running session has one of the names; then nothing is done.
        """
        wanted = [self.running(name) for name in names]
        await asyncio.gather(*map(do, wanted))
        return wanted

    async def stop(self, session: Session) -> None:
        """Close a session; its name stays known."""
        if self.current == session.name:
            self.current = ""
        await self._close(session)

    async def restart(self, session: Session) -> None:
        """Give a session a fresh place. If that fails, the session has ended.

        Raises
        ------
        ExecutorStartError
            The new place could not be made.
        """
        try:
            await session.restart()
        except BaseException:
            self._sessions.pop(session.name, None)
            raise

    async def resume(
        self, name: str, storage: Storage, records: Sequence[RunRecord], executor: str | None
    ) -> ReplayReport:
        """Give a session again what recorded runs had made, by running them again.

        Parameters
        ----------
        name
            The session's name. One that runs here is begun afresh, another is made.
        storage
            Where a new one keeps things.
        records
            The runs, the oldest first. Whoever has to agree to them has agreed.
        executor
            Where a new one runs; None: where the runs come from, under the same limits.

        Raises
        ------
        ReplayError
            The session runs in another process, or its place cannot be made again.
        """
        from ..history import executor_like, replay, require_ended
        from ..session import Session

        async with self._making:
            session = self._sessions.get(name)
            if session is not None:
                await session.reset()
                return await replay(session, records, consent=True)
            await asyncio.to_thread(require_ended, storage.sessions, records[0])
            made = (
                make_executor(executor, self._defaults(executor)) if executor else executor_like(records[0])
            )
            session = Session(storage, made, name=name)
            async with _started(session):
                report = await replay(session, records, consent=True)
            self._sessions[name] = session
            self._executors[name] = session.executor.name
            self._settings[name] = settings_of(session.executor)
            return report

    async def _close(self, session: Session) -> None:
        try:
            await session.close()
        finally:
            self._sessions.pop(session.name, None)

    async def close(self) -> None:
        """Close every session; one that is being made closes itself."""
        self._closed = True
        await asyncio.gather(*map(self._close, self.all()), return_exceptions=True)

    async def table(self, current: str) -> SessionTable:
        """Return what each session is doing and uses; `current` is marked."""
        stats = await asyncio.gather(*map(_stats, self._sessions.values()))
        return SessionTable(tuple(_row(each, current) for each in stats))


@contextlib.asynccontextmanager
async def _started(session: Session) -> AsyncIterator[None]:
    """Start a session; it stays, unless what follows fails."""
    await session.start()
    try:
        yield
    except BaseException:
        await session.close()
        raise


def _usable(name: str) -> str:
    if not name.strip() or len(name) > _NAME_LENGTH or not name.isprintable() or name.startswith("-"):
        remedy = f"Give 1 to {_NAME_LENGTH} printable characters that do not begin with '-'."
        raise ConfigurationError("session", name, "cannot be a session's name.", remedy=remedy)
    return name


def _conflict(name: str, known: str, is_new: bool) -> ConfigurationError:
    if is_new or name in EXECUTORS:
        problem, remedy = f"this name is kept for {known}.", "Choose another name, or leave -s or -e out."
    else:
        problem = f"this session runs in {known}."
        remedy = f"Leave -e out, choose another name, or `%pcm stop {name}` first."
    return ConfigurationError("session", name, problem, remedy=remedy)


async def _stats(session: Session) -> dict[str, Any]:
    about = {"name": session.name, "executor": session.executor.name, "state": "closed"}
    try:
        return {**about, **await session.stats()}
    except CodeModeError:  # it ended while we asked
        return about


def _row(stats: Mapping[str, Any], current: str) -> SessionRow:
    return SessionRow(
        name=stats["name"],
        executor=stats["executor"],
        state=stats["state"],
        runs=stats.get("runs", 0),
        memory=stats.get("memory"),
        memory_limit=stats.get("memory_limit"),
        uptime=stats.get("uptime", 0.0),
        is_current=stats["name"] == current,
    )

"""A session: one executor, one storage, one conversation with executed code."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .errors import ConfigurationError, DependencyInstallError, ExecutorStateError
from .journal import Journal
from .results import ExecutionResult, Output
from .session_storage import StorageAccess
from .storage.kept import plain

if TYPE_CHECKING:
    from .execution.protocol import Executor
    from .history import ReplayReport
    from .storage import RunRecord, Storage

_numbers = itertools.count(1)


class Session(StorageAccess):
    """Runs code in one place and keeps its results in one storage.

    The same code works with any executor. Use it as ``async with Session(storage) as session``;
    leaving it removes everything that the executor made.

    Parameters
    ----------
    storage
        Where artifacts and the list of dependencies are kept.
    executor
        Where code runs; None: in this process.
    name
        A name to show; None: ``session-1`` and so on.
    sync_deps_on_start
        Install every package that the storage records before the first run; one that cannot be
        installed fails the start.

    Attributes
    ----------
    last_result
        The `ExecutionResult` of the latest run, None before the first.
    journal
        Records its runs in the storage's ledger, and lets other processes find it.
    replayed
        What `resume` ran again; None for a session that began with nothing.
    """

    def __init__(
        self,
        storage: Storage,
        executor: Executor | None = None,
        *,
        name: str | None = None,
        sync_deps_on_start: bool = False,
    ) -> None:
        if not hasattr(storage, "artifacts") or not hasattr(storage, "deps"):
            raise ConfigurationError(
                "storage",
                storage,
                "not a storage.",
                remedy="Give e.g. FileStorage(base_path=Path('./data')).",
            )
        if executor is not None and (isinstance(executor, type) or not hasattr(executor, "stream")):
            raise ConfigurationError(
                "executor",
                executor,
                "not an executor.",
                remedy="Give e.g. SubprocessExecutor(SubprocessConfig()).",
            )
        if name is not None and not isinstance(name, str):
            raise ConfigurationError("name", name, "not text.", remedy='Give e.g. "analysis".')
        self.storage = storage
        self.executor = executor if executor is not None else _in_process()
        self.name = name if name is not None else f"session-{next(_numbers)}"
        self.last_result: ExecutionResult | None = None
        self.replayed: ReplayReport | None = None
        self.journal = Journal(storage, self.name)
        self._sync = sync_deps_on_start
        self._closings = 0  # how often it was closed: perhaps while it started
        self._probed: dict[str, Any] | None = None

    @classmethod
    def from_base(cls, base: Path | str, **config: Any) -> Session:
        """Return a session in this process over a `FileStorage` in the folder `base`."""
        return cls.inprocess(base, **config)

    @classmethod
    def inprocess(cls, base: Path | str, **config: Any) -> Session:
        """Return a session in this process; `config` are fields of `InProcessConfig`."""
        from .config import InProcessConfig

        return cls(_storage(base), _in_process(InProcessConfig(**config)))

    @classmethod
    def subprocess(cls, base: Path | str, **config: Any) -> Session:
        """Return a session in a fresh venv; `config` are fields of `SubprocessConfig`."""
        from .config import SubprocessConfig
        from .execution.subprocess import SubprocessExecutor

        return cls(_storage(base), SubprocessExecutor(SubprocessConfig(**config)))

    @classmethod
    def container(cls, base: Path | str, **config: Any) -> Session:
        """Return a session in a container; `config` are fields of `ContainerConfig`, the token among them."""
        from .config import ContainerConfig
        from .execution.container import ContainerExecutor

        return cls(_storage(base), ContainerExecutor(ContainerConfig(**config)))

    # Lifecycle

    @property
    def id(self) -> str:
        """Which incarnation of the name this is: 32 hexadecimal digits, new with every start."""
        return self.journal.id

    async def start(self) -> None:
        """Make the executor's place ready.

        Raises
        ------
        ExecutorStartError
            It could not be made; nothing half-made is left.
        ExecutorStateError
            It runs already, perhaps for another session.
        DependencyInstallError
            A configured or recorded package could not be installed.
        """
        closings = self._closings
        await self.executor.start(self.storage)
        try:
            if self._sync:
                await self._sync_recorded()
            if closings != self._closings:
                raise ExecutorStateError("The session was closed while it started.", remedy="Start it again.")
            self.journal.begin(self, self.executor)
        except BaseException:
            await self.close()
            raise

    async def _sync_recorded(self) -> None:
        failed = ", ".join((await self.executor.sync_deps()).failed)
        if failed:
            raise DependencyInstallError(
                failed,
                f"Recorded packages could not be installed: {failed}.",
                remedy="The log says why. Correct the storage's list, or start without sync_deps_on_start.",
            )

    async def close(self) -> None:
        """End the executor's place and remove every trace. Calling it again does nothing."""
        self._closings += 1
        await self.journal.end(self.executor.close)

    @classmethod
    async def resume(
        cls, storage: Storage, name: str, *, executor: Executor | None = None, consent: bool = False
    ) -> Self:
        """Return a running session that has again what the last one of this name had: its runs, run again.

        What was run again, and why it may differ from before, is in ``replayed``.

        Parameters
        ----------
        executor
            Where it runs; None: where it ran, under the same limits. Secrets are not recorded: a container
            gets a new token, and variables of ``env`` that were given a value are not set.
        consent
            Whether code from a more isolated place may run here.

        Raises
        ------
        RunNotFoundError
            The ledger holds no run of such a session.
        ReplayConsentError
            `executor` is less isolated than where the runs come from.
        ReplayError
            The session still runs, or its executor cannot be made from what is recorded.
        """
        from .history import executor_like, replay, require_ended

        records = await asyncio.to_thread(storage.runs.of_session, name)
        await asyncio.to_thread(require_ended, storage.sessions, records[0])
        session = cls(storage, executor or executor_like(records[0]), name=name)
        await session.start()
        try:
            session.replayed = await replay(session, records, consent=consent)
        except BaseException:
            await session.close()
            raise
        return session

    async def __aenter__(self) -> Self:
        if not self.journal.is_open:  # `resume` has started it
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Running

    async def run(
        self,
        code: str,
        *,
        timeout: float | None = None,
        variables: Mapping[str, Any] | None = None,
        heading: str = "",
    ) -> ExecutionResult:
        """Run `code` and return how it ended.

        Parameters
        ----------
        code
            Python as in a notebook cell: top-level ``await`` and magics work.
        timeout
            Seconds it may take; None: the configuration's; ``math.inf``: no limit.
        variables
            Variables to set before it runs: in-process the very objects, elsewhere copies of plain
            data, arrays and tables.
        heading
            Lines that stand above the code where its author sees it. They do nothing, are not recorded, and
            count in the line numbers of tracebacks.

        Raises
        ------
        ConfigurationError
            An argument cannot be used.
        NotPlainError
            A variable cannot cross to an isolated place.
        ExecutorStateError
            The session is not running.
        ExecutorStartError
            A place that had died could not be made anew.
        """
        with self.journal.recorded(code, variables) as finish:
            result = await self.executor.run(code, timeout=timeout, variables=variables, heading=heading)
            finish(result)
        self.last_result = result
        return result

    async def rerun(self, record: RunRecord) -> ExecutionResult:
        """Run again what a record holds, with the variables it was handed; the ledger notes of what.

        Raises
        ------
        ReplayError
            The record is no run, or does not hold all of its code or variables.
        """
        from .history import require_repeatable

        require_repeatable(record)
        with self.journal.recorded(record.code, record.given, replay_of=record.id) as finish:
            result = await self.executor.run(record.code, variables=record.given)
            finish(result)
        self.last_result = result
        return result

    async def replay(self, *, consent: bool = False, install: bool = True) -> ReplayReport:
        """Run again what this session has lost.

        If its place died since the last fresh start, that is what it has run since then itself, for which
        it is reset first; else what the incarnation before it had run. Parameters and the report are those
        of `history.replay`.

        Raises
        ------
        RunNotFoundError
            The ledger holds nothing that it could have lost.
        ReplayConsentError
            The runs come from a more isolated place, and `consent` was not given.
        """
        from .history import lost_runs, replay

        records = await asyncio.to_thread(lost_runs, self.storage.runs, self.name, self.id)
        own = records[0].session_id == self.id
        return await replay(self, records, consent=consent, install=install, reset=own)

    async def stream(
        self,
        code: str,
        *,
        timeout: float | None = None,
        variables: Mapping[str, Any] | None = None,
        heading: str = "",
    ) -> AsyncGenerator[Output, None]:
        """Run `code` and yield each output as it appears; `last_result` holds the result afterwards.

        Parameters are those of `run`. Closing the iterator before its end stops the code, and
        `last_result` stays as it was.
        """
        stream = self.executor.stream(code, timeout=timeout, variables=variables, heading=heading)
        with self.journal.recorded(code, variables) as finish:
            async with contextlib.aclosing(stream) as items:
                async for item in items:
                    if isinstance(item, ExecutionResult):
                        self.last_result = item
                        finish(item)
                    else:
                        yield item

    async def interrupt(self) -> None:
        """Stop the current run as a `KeyboardInterrupt` would; nothing happens if none is running."""
        await self.executor.interrupt()

    async def reset(self) -> None:
        """Forget all variables and stop what the code left running; storage and packages stay."""
        await self.executor.reset()
        self.journal.mark_fresh("reset")

    async def restart(self) -> None:
        """Give the session a fresh place, a new process or container; a run under way ends as ``died``.

        Packages are those of the start, and what the storage was told to record since.

        Raises
        ------
        ExecutorStateError
            The session is not running.
        ExecutorStartError, DependencyInstallError
            The place could not be made anew; the session is closed.
        """
        await self.executor.stats()  # raises where it does not run
        try:
            await self.executor.close()
            await self.executor.start(self.storage)
            self.journal.mark_fresh("restart")
            if self._sync or self.journal.has_new_deps():
                await self._sync_recorded()
        except BaseException:
            await self.close()
            raise

    # What holds, and what it uses

    def supports(self, capability: str) -> bool:
        """Whether `capability` holds for this session, as configured, on this machine."""
        return self.executor.supports(capability)

    def supported_capabilities(self) -> frozenset[str]:
        """Return every capability that holds."""
        return self.executor.supported_capabilities()

    async def stats(self) -> dict[str, Any]:
        """Return memory (bytes), CPU time (s), uptime (s), runs, state and process id."""
        return {"name": self.name, **await self.executor.stats()}

    async def probe(self) -> dict[str, Any]:
        """Return which isolation was measured, beside what was configured."""
        self._probed = await self.executor.probe()
        return self._probed

    async def describe(self) -> dict[str, Any]:
        """Return what the session is, does and uses, as JSON values; it never fails for being closed."""
        try:
            stats = await self.stats()
        except ExecutorStateError:
            stats = {"state": "restarting" if self.journal.is_open else "closed"}
        about = {
            "executor": self.executor.name,
            "memory_limit": getattr(self.executor.config, "memory_limit", None),
            "probe": self._probed,
        }
        return dict(plain({**self.journal.about(), **about, **stats}))

    # Values and files

    async def put(self, name: str, value: Any) -> None:
        """Set the variable `name`: in-process to the very object, elsewhere to a copy.

        Raises
        ------
        NotPlainError
            An isolated place takes plain data, arrays and tables only.
        """
        await self.executor.put(name, value)
        self.journal.mark_put(name, value)

    async def get(self, name: str) -> Any:
        """Return the variable `name`: in-process the very object, elsewhere a copy.

        Raises
        ------
        TransferError
            There is no such variable, or it is not plain data, an array or a table.
        """
        return await self.executor.get(name)

    async def upload(self, path: Path | str, to: str) -> None:
        """Copy the host's file `path` to the relative path `to` in the session's working folder.

        Raises
        ------
        TransferError
            It could not be read or written, or `to` leads out of the folder.
        """
        await self.executor.upload(path, to)

    async def download(self, path: str, to: Path | str) -> None:
        """Copy the file at the relative path `path` of the session's working folder to the host's path `to`.

        Raises
        ------
        TransferError
            It could not be read or written, or `path` leads out of the folder.
        """
        await self.executor.download(path, to)

    def __repr__(self) -> str:
        return f"<Session {self.name!r}, {self.executor.name}>"


def _in_process(config: Any = None) -> Executor:
    from .execution.in_process import InProcessExecutor

    return InProcessExecutor(config)


def _storage(base: Path | str) -> Storage:
    from .storage import FileStorage

    return FileStorage(base_path=Path(base))

"""What all executors share: lifecycle, one run at a time, the ladder of a timeout, the result.

A subclass says only which `Runner` it uses and what that can do.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..config import seconds, variable_name
from ..errors import ConfigurationError, ExecutorStateError, TransferError
from ..results import (
    DepsChange,
    ExceptionInfo,
    ExecutionResult,
    Output,
    RunEnding,
    RunRequest,
    RunStatus,
    strip_ansi,
)
from .collector import OutputCollector, Tap
from .protocol import Capability
from .transfer import copy_in, copy_out

if TYPE_CHECKING:
    from ..environments.deps import Deps
    from ..storage import Storage
    from .runner import Runner

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_EVERYWHERE = frozenset(
    {
        Capability.TIMEOUT,
        Capability.INTERRUPT,
        Capability.RESET,
        Capability.STREAM,
        Capability.RICH_OUTPUT,
    }
)


class BaseExecutor(abc.ABC):
    """An `Executor` over one `Runner`; see `execution.protocol.Executor` for each method."""

    name: ClassVar[str]
    config: Any
    _state_between_places = "dead"

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._current: asyncio.Future[RunEnding] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._state_lost = False
        self._started_at = 0.0
        self._runs = 0
        self._deps: Deps | None = None
        self._host_cwd = Path()

    @abc.abstractmethod
    def _make_runner(self, storage: Storage | None, deps: Deps) -> Runner:
        """Return the place, not started yet."""

    @abc.abstractmethod
    def _make_deps(self, storage: Storage | None) -> Deps:
        """Return the installer of packages for the place."""

    @abc.abstractmethod
    def _own_capabilities(self) -> frozenset[Capability]:
        """Return what this executor can do beside what every one can."""

    @property
    def default_timeout(self) -> float:
        """Seconds that a run may take by default."""
        return float(self.config.default_timeout)

    # Lifecycle

    async def start(self, storage: Storage | None = None) -> None:
        """Make the place ready. Raises `ExecutorStateError` if another session uses it."""
        if self._runner is not None:
            raise ExecutorStateError(
                "This executor is already running.", remedy="Give each session an executor of its own."
            )
        self._loop, self._lock = asyncio.get_running_loop(), asyncio.Lock()
        # The host may go elsewhere later; the code stays where it is.
        self._host_cwd = Path.cwd()
        self._deps = self._make_deps(storage)
        self._runner = self._make_runner(storage, self._deps)
        self._starting = asyncio.ensure_future(self._make_ready(self._runner, self._deps))
        try:
            await self._starting
        except asyncio.CancelledError:
            if self._starting is None:
                raise ExecutorStateError(
                    "The executor was closed while it started.", remedy="Start it again."
                ) from None
            raise
        finally:
            self._starting = None

    async def _make_ready(self, runner: Runner, deps: Deps) -> None:
        try:
            await runner.start()
            if self.config.deps:
                await self._off_loop(deps.install, self.config.deps)
        except BaseException:
            self._runner = None
            await _to_the_end(runner.close())
            raise
        self._started_at = time.monotonic()
        self._runs, self._state_lost = 0, False

    async def close(self) -> None:
        """End everything; a run that is under way ends as ``died``."""
        runner, self._runner = self._runner, None
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()  # it removes what it has made, unless it is just done
            await asyncio.wait((starting,))
            if starting.cancelled() or starting.exception() is not None:
                return
        if runner is not None:
            await _to_the_end(runner.close())

    def _place(self) -> Runner:
        if self._runner is None or self._starting is not None:
            raise ExecutorStateError(
                "The executor is not running.",
                remedy="Use it through `async with Session(...)`, or start it.",
            )
        if asyncio.get_running_loop() is not self._loop:
            raise ExecutorStateError(
                "The executor was started on another event loop, to which its connections belong.",
                remedy="Start, use and close a session within one asyncio.run().",
            )
        return self._runner

    async def _off_loop(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do blocking `work` in a thread, and wait for its end even if the caller gives up."""
        return await _to_the_end(asyncio.to_thread(work, *arguments))

    # Running

    async def run(
        self,
        code: str,
        *,
        timeout: float | None = None,
        variables: Mapping[str, Any] | None = None,
        heading: str = "",
    ) -> ExecutionResult:
        """Run `code` and return how it ended."""
        return await self._run(_request(code, variables, heading), self._limit(timeout), None)

    async def stream(
        self,
        code: str,
        *,
        timeout: float | None = None,
        variables: Mapping[str, Any] | None = None,
        heading: str = "",
    ) -> AsyncGenerator[Output | ExecutionResult, None]:
        """Run `code`, yielding outputs as they appear and the result last."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Output | None] = asyncio.Queue()

        def tap(output: Output) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, output)

        running = asyncio.ensure_future(
            self._run(_request(code, variables, heading), self._limit(timeout), tap)
        )
        running.add_done_callback(lambda _: loop.call_soon(queue.put_nowait, None))
        try:
            while (output := await queue.get()) is not None:
                yield output
            yield await running
        finally:
            running.cancel()
            await asyncio.wait((running,))
            with contextlib.suppress(asyncio.CancelledError):
                running.exception()  # it was raised above, or the caller has left

    async def interrupt(self) -> None:
        """Stop the current run as a `KeyboardInterrupt` would."""
        if self._current is not None and not self._current.done():
            await self._place().interrupt()

    async def reset(self) -> None:
        """Forget all variables and stop what the code left running."""
        async with self._lock:
            await self._place().reset()
            self._state_lost = False

    def _limit(self, timeout: float | None) -> float:
        return self.default_timeout if timeout is None else seconds("timeout", timeout)

    async def _run(self, request: RunRequest, limit: float, tap: Tap | None) -> ExecutionResult:
        self._place()  # before the lock, which belongs to the same loop
        async with self._lock:
            runner = self._place()
            await self._revive(runner)
            collector = OutputCollector(self.config.max_output, tap)
            started = time.perf_counter()
            self._current = runner.begin(request, collector)
            self._runs += request.store_history
            try:
                ending, stopped = await self._until_end(runner, self._current, limit)
            finally:
                self._current = None
                if (settling := self._settling()) is not None:
                    await _to_the_end(settling)
            took = time.perf_counter() - started
            if stopped is not None:
                ending = _timed_out(ending, stopped or self._interrupted, limit)
            elif ending.status is RunStatus.DIED:
                ending = _died(ending)
            lost = ending.status is RunStatus.DIED or bool(stopped)
            return _result(ending, collector, took, self._is_preserved(request, lost))

    def _settling(self) -> Coroutine[Any, Any, None] | None:
        """Return what has to be done between this run and the next, if anything."""
        return None

    async def _revive(self, runner: Runner) -> None:
        if not runner.alive:
            self._state_lost = True
            await runner.revive()

    async def _until_end(
        self, runner: Runner, run: asyncio.Future[RunEnding], limit: float
    ) -> tuple[RunEnding, str | None]:
        """Wait for the run, and climb the ladder where it takes too long or the caller gave up."""
        try:
            await asyncio.wait((run,), timeout=None if limit == math.inf else limit)
        except asyncio.CancelledError:
            await _to_the_end(self._stop(runner, run))
            raise
        if run.done():
            return run.result(), None
        stopped = await _to_the_end(self._stop(runner, run))
        return run.result(), stopped

    async def _stop(self, runner: Runner, run: asyncio.Future[RunEnding]) -> str:
        """Interrupt, wait the grace, end by force. Returns what it took, empty for an interrupt."""
        await runner.interrupt()
        await asyncio.wait((run,), timeout=self.config.interrupt_grace)
        if run.done():
            return ""
        sentence = await runner.replace()
        _log.warning("%s executor: %s", self.name, sentence)
        await run
        return sentence

    @property
    def _interrupted(self) -> str:
        """Say how a run ended that took too long and stopped when it was interrupted."""
        return "The code was interrupted; the session's variables are kept."

    def _is_preserved(self, request: RunRequest, lost_now: bool) -> bool:
        """Say a loss twice: by the run that saw it, and by the next of the user's, which starts afresh."""
        lost = self._state_lost or lost_now
        self._state_lost = lost_now if request.store_history else lost
        return not lost

    # Values and files

    async def put(self, name: str, value: Any) -> None:
        """Set the variable `name`."""
        variables = {variable_name("name", name): value}
        request = RunRequest(code="", variables=variables, store_history=False)
        result = await self._run(request, self.default_timeout, None)
        if not result.is_ok:
            raise TransferError(f"The variable {name!r} could not be set: {result.error}")

    async def get(self, name: str) -> Any:
        """Return the variable `name`."""
        request = RunRequest(code=variable_name("name", name), store_history=False)
        result = await self._run(request, self.default_timeout, None)
        if result.exception is not None and result.exception.name == "NameError":
            raise TransferError(
                f"The session has no variable {name!r}.", remedy="Run the code that sets it first."
            )
        if not result.is_ok:
            raise TransferError(f"The variable {name!r} could not be read: {result.error}")
        if result.value_is_repr:
            raise TransferError(
                f"The variable {name!r} is not plain data, an array or a table: {result.value[:80]}",
                remedy="Convert it in the session first, or save it as an artifact.",
            )
        return result.value

    async def upload(self, path: Path | str, to: str) -> None:
        """Copy a host's file to `to` in the session's working folder."""
        await self._off_loop(copy_in, Path(path), self._working_dir(), to)

    async def download(self, path: str, to: Path | str) -> None:
        """Copy a file of the session's working folder to the host's path `to`."""
        await self._off_loop(copy_out, self._working_dir(), path, Path(to))

    def _working_dir(self) -> Path:
        self._place()
        return self._host_cwd

    # Dependencies

    def _installer(self) -> Deps:
        self._place()
        if self._deps is None:  # pragma: no cover - set before the runner is
            raise ExecutorStateError("The executor is not running.")
        return self._deps

    async def add_dep(self, spec: str) -> DepsChange:
        """Install a package for the session and record it."""
        return await self._off_loop(self._installer().add, spec)

    async def remove_dep(self, spec: str) -> DepsChange:
        """Uninstall a package and forget it."""
        return await self._off_loop(self._installer().remove, spec)

    async def sync_deps(self) -> DepsChange:
        """Install every package that the storage records."""
        return await self._off_loop(self._installer().sync_recorded)

    # What a monitor asks

    def supports(self, capability: str) -> bool:
        """Whether `capability` holds here."""
        return capability in self.supported_capabilities()

    def supported_capabilities(self) -> frozenset[str]:
        """Every capability that holds, as configured, on this machine."""
        deps = {Capability.RUNTIME_DEPS} if self.config.allow_runtime_deps else set()
        return frozenset(_EVERYWHERE | self._own_capabilities() | deps)

    async def stats(self) -> dict[str, Any]:
        """Return what the place uses, and how many runs it has seen."""
        runner = self._place()
        busy = self._current is not None and not self._current.done()
        state = "busy" if busy else "idle" if runner.alive else self._state_between_places
        general = {"executor": self.name, "state": state, "runs": self._runs}
        return {**general, "uptime": time.monotonic() - self._started_at, **await runner.stats()}

    async def probe(self) -> dict[str, Any]:
        """Return ``configured`` (the fields) and ``measured`` (what holds)."""
        return {"configured": self.config.public(), "measured": dict(await self._place().probe())}


def checked(config: _T | None, kind: type[_T]) -> _T:
    """Return the configuration, the default one for None.

    Raises
    ------
    ConfigurationError
        It is another executor's: its limits would be ignored in silence.
    """
    if config is None:
        return kind()
    if not isinstance(config, kind):
        raise ConfigurationError(
            "config", config, f"not a {kind.__name__}.", remedy=f"Give a {kind.__name__}(...)."
        )
    return config


def _request(code: str, variables: Mapping[str, Any] | None, heading: str) -> RunRequest:
    if not isinstance(code, str):
        raise ConfigurationError("code", code, "not text.", remedy="Give Python source as a str.")
    if not isinstance(variables, Mapping | None):
        raise ConfigurationError(
            "variables", variables, "not a mapping.", remedy='Give names and values, e.g. {"x": 1}.'
        )
    names = {variable_name("variables", name): value for name, value in (variables or {}).items()}
    return RunRequest(code=_under(heading, code), variables=names)


def _under(heading: str, code: str) -> str:
    """Put a heading's lines above code as comments, so that line numbers are those that its author sees."""
    body = code.lstrip()
    if not heading or body.startswith("%%"):  # a cell magic has to come first
        return code
    indent = code[: len(code) - len(body)].rpartition("\n")[2]
    return "".join(f"{indent}# {line}\n" for line in heading.splitlines()) + code


async def _to_the_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Await `work` even if the caller is cancelled meanwhile; then pass the cancellation on."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return task.result()


def _timed_out(ending: RunEnding, how: str, limit: float) -> RunEnding:
    """Turn the ending of a run that the ladder stopped into a timeout; `how` says what it took."""
    message = f"The run took longer than {limit:g} s. {how}"
    traceback = ending.exception.traceback if ending.exception else ""
    frames = ending.exception.frames if ending.exception else ()
    text = f"{traceback}\nTimeoutError: {message}".lstrip()
    exception = ExceptionInfo(name="TimeoutError", message=message, frames=frames, traceback=text)
    return RunEnding(status=RunStatus.TIMEOUT, exception=exception, execution_count=ending.execution_count)


def _died(ending: RunEnding) -> RunEnding:
    message = f"{ending.reason} The session's variables are lost; the next run starts afresh."
    exception = ExceptionInfo(name="Died", message=message, traceback=message)
    return RunEnding(status=RunStatus.DIED, exception=exception, execution_count=ending.execution_count)


def _error_text(exception: ExceptionInfo | None) -> str | None:
    if exception is None:
        return None
    return strip_ansi(exception.traceback) or f"{exception.name}: {exception.message}"


def _result(
    ending: RunEnding, collector: OutputCollector, took: float, is_preserved: bool
) -> ExecutionResult:
    outputs = collector.outputs()
    return ExecutionResult(
        status=ending.status,
        value=ending.value,
        value_is_repr=ending.value_is_repr,
        stdout="".join(o.text for o in outputs if o.name == "stdout" and o.type == "stream"),
        stderr="".join(o.text for o in outputs if o.name == "stderr" and o.type == "stream"),
        error=_error_text(ending.exception),
        exception=ending.exception,
        outputs=outputs,
        state_preserved=is_preserved,
        execution_time=took,
        execution_count=ending.execution_count,
        truncated=collector.dropped,
    )

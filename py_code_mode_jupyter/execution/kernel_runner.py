"""Runs code in a kernel over the Jupyter protocol: the `Runner` of isolated places.

The kernel is one of ours (`sandbox.kernel`): it says on the private channel when its sockets are
bound, so nothing here polls, and it puts the run's value into the buffers of the reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from jupyter_client.session import Session as WireSession

from ..codec import Buffer, encode
from ..errors import ExecutorStartError, NotPlainError, TransferError
from ..results import OutputSink, RunEnding, RunRequest, RunStatus
from ..sandbox.wire import IOPUB, SHELL
from .kernel_client import KernelClient, SocketClient
from .messages import ending_of, output_of

if TYPE_CHECKING:
    import concurrent.futures

_MAX_VARIABLES = 500 * 2**20
_AT_ONCE = 2**20
"""Bytes of a value that are decoded on the event loop; larger ones would hold it up."""
_IDLE_GRACE = 5.0
"""Seconds that the idle status may trail the reply."""


class KernelEnvironment(Protocol):
    """A place that keeps one kernel of ours."""

    @property
    def died(self) -> concurrent.futures.Future[str]:
        """Resolves with a sentence when the current kernel has ended."""

    async def start(self) -> None:
        """Make the place and launch a kernel that accepts connections."""

    async def relaunch(self) -> None:
        """Launch another kernel in the same place after the last one has ended."""

    async def interrupt(self) -> None:
        """Send the kernel an interrupt."""

    async def kill(self) -> None:
        """End the kernel and everything it started."""

    async def close(self) -> None:
        """End everything and remove every trace."""

    async def stats(self) -> Mapping[str, Any]:
        """Return what the kernel uses."""

    async def probe(self) -> Mapping[str, Any]:
        """Return what isolation was measured."""


class _Run:
    """The run under way: done when reply and idle status have both arrived, in whatever order."""

    def __init__(self, msg_id: str, sink: OutputSink, future: asyncio.Future[RunEnding]) -> None:
        self.msg_id = msg_id
        self.sink = sink
        self.future = future
        self.ending: RunEnding | None = None
        self.idle = False
        self.started = False
        self.interrupted = False
        self.strike: asyncio.Future[None] | None = None
        self.decoding: asyncio.Future[RunEnding] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def replied(self, ending: RunEnding) -> None:
        self.ending = ending
        if not self.idle:
            # An idle status that never comes must not hold the run for ever.
            self.timer = self.future.get_loop().call_later(_IDLE_GRACE, self.finish, ending)
        self.finish_if_complete()

    def finish_if_complete(self) -> None:
        if self.ending is not None and self.idle:
            self.finish(self.ending)

    def finish(self, ending: RunEnding) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.strike is not None and not self.strike.done():
            # An interrupt on its way would strike the next run, if that could begin now.
            self.strike.add_done_callback(lambda _: self._resolve(ending))
        else:
            self._resolve(ending)

    def _resolve(self, ending: RunEnding) -> None:
        if not self.future.done():
            self.future.set_result(ending)


class KernelRunner:
    """`Runner` over a `KernelEnvironment`.

    Parameters
    ----------
    environment
        Where the kernel lives.
    startup_timeout
        Seconds until a kernel has to have answered.
    make_client
        Returns a way to the environment's kernel.
    """

    def __init__(
        self,
        environment: KernelEnvironment,
        *,
        startup_timeout: float,
        make_client: Callable[[Any], KernelClient] = SocketClient,
    ) -> None:
        self._environment = environment
        self._startup_timeout = startup_timeout
        self._make_client = make_client
        self._client: KernelClient | None = None
        self._wire = WireSession()  # numbers the requests; whoever sends them signs them
        self._run: _Run | None = None
        self._welcome: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def alive(self) -> bool:
        """Whether a kernel is connected and has not ended."""
        return self._client is not None and not self._environment.died.done()

    # Lifecycle

    async def start(self) -> None:
        """Make the place and connect to its kernel."""
        await self._environment.start()
        await self._connect()

    async def revive(self) -> None:
        """Launch another kernel after the last one ended."""
        self._disconnect()
        await self._environment.relaunch()
        await self._connect()

    async def reset(self) -> None:
        """Replace the kernel by a fresh one; installed packages stay."""
        await self._environment.kill()
        await self.revive()

    async def replace(self) -> str:
        """Kill the kernel and all it started."""
        await self._environment.kill()
        self._end_run("The process was killed because it did not stop when interrupted.")
        return (
            "It did not stop when interrupted, so its process was killed; the session's variables are lost."
        )

    async def close(self) -> None:
        """End the kernel and remove its place."""
        self._closed = True
        self._end_run("The session was closed during the run.")
        self._disconnect()
        await self._environment.close()

    async def interrupt(self) -> None:
        """Interrupt the run; if the kernel has not begun it yet, as soon as it does."""
        run = self._run
        if run is None or run.future.done():
            return
        run.interrupted = True
        if run.started:
            await asyncio.shield(self._strike(run))

    def _on_started(self, run: _Run) -> None:
        run.started = True
        if run.interrupted:
            self._strike(run)

    def _strike(self, run: _Run) -> asyncio.Future[None]:
        """Interrupt the run, unless an interrupt is on its way already."""
        if run.strike is None or run.strike.done():
            run.strike = asyncio.ensure_future(self._environment.interrupt())
        return run.strike

    async def stats(self) -> Mapping[str, Any]:
        """Return what the kernel uses."""
        return await self._environment.stats()

    async def probe(self) -> Mapping[str, Any]:
        """Return what was measured before user code ran."""
        return await self._environment.probe()

    # Connection

    async def _connect(self) -> None:
        self._welcome = asyncio.get_running_loop().create_future()
        self._client = self._make_client(self._environment)
        self._client.open(self._take)
        self._watch_death(self._environment.died)
        try:
            await asyncio.wait_for(self._welcome, self._startup_timeout)
        except TimeoutError:
            self._disconnect()
            raise ExecutorStartError(
                f"The kernel did not answer within {self._startup_timeout:g} s.",
                remedy="Raise startup_timeout, or look at the machine's load.",
            ) from None

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _watch_death(self, died: concurrent.futures.Future[str]) -> None:
        loop = asyncio.get_running_loop()

        def on_death(future: concurrent.futures.Future[str]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._on_death, died, future.result())

        died.add_done_callback(on_death)

    def _on_death(self, died: concurrent.futures.Future[str], reason: str) -> None:
        if died is not self._environment.died or self._closed:
            return
        if self._welcome is not None and not self._welcome.done():
            self._welcome.set_exception(ExecutorStartError(f"The kernel ended while it started. {reason}"))
        # What it had shown before is still on its way through the socket.
        if self._client is not None:
            self._client.catch_up()
        asyncio.get_running_loop().call_soon(self._end_run, reason)

    def _end_run(self, reason: str) -> None:
        if self._run is not None:
            self._run.finish(RunEnding(status=RunStatus.DIED, reason=reason))

    # Messages

    def begin(self, request: RunRequest, sink: OutputSink) -> asyncio.Future[RunEnding]:
        """Send an ``execute_request``; see `Runner.begin`."""
        assert self._client is not None
        buffers = _encoded(request.variables)
        message = self._wire.msg("execute_request", _request_content(request))
        message["metadata"] = {"pcm": {"value": True, "variables": bool(buffers)}}
        run = _Run(message["header"]["msg_id"], sink, asyncio.get_running_loop().create_future())
        self._run = run
        if self._environment.died.done():
            self._end_run(self._environment.died.result())
            return run.future
        self._client.send(message, [memoryview(buffer) for buffer in buffers])
        return run.future

    def _take(
        self, channel: str, msg_type: str, parent_id: str, content: dict[str, Any], buffers: Sequence[Any]
    ) -> None:
        if msg_type == "iopub_welcome" and self._welcome is not None and not self._welcome.done():
            self._welcome.set_result(None)
        run = self._run
        if run is None or run.future.done() or parent_id != run.msg_id:
            return
        if channel == IOPUB:
            self._show(run, msg_type, content)
        elif channel == SHELL and msg_type == "execute_reply":
            self._reply(run, content, buffers)

    def _reply(self, run: _Run, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        if run.ending is not None or run.decoding is not None:
            return
        if sum(map(len, buffers)) <= _AT_ONCE:
            run.replied(ending_of(content, buffers))
            return
        run.decoding = asyncio.ensure_future(asyncio.to_thread(ending_of, content, buffers))
        run.decoding.add_done_callback(lambda done: run.replied(done.result()))

    def _show(self, run: _Run, msg_type: str, content: dict[str, Any]) -> None:
        if msg_type == "stream":
            name = "stderr" if content.get("name") == "stderr" else "stdout"
            run.sink.write(name, str(content.get("text", "")))
        elif msg_type == "execute_input":
            self._on_started(run)
        elif msg_type == "status" and content.get("execution_state") == "idle":
            run.idle = True
            run.finish_if_complete()
        elif (output := output_of(msg_type, content)) is not None:
            run.sink.show(output)


def _encoded(variables: Mapping[str, Any]) -> list[Buffer]:
    if not variables:
        return []
    try:
        buffers = encode(dict(variables))
        size = sum(memoryview(buffer).nbytes for buffer in buffers)
        if size > _MAX_VARIABLES:
            raise TransferError(
                f"The variables take {size / 2**20:,.0f} MiB; {_MAX_VARIABLES // 2**20} MiB may cross.",
                remedy="Give them in several runs, upload a file, or save an artifact.",
            )
        return buffers
    except NotPlainError:
        for name, value in variables.items():
            _require_plain(name, value)
        raise


def _require_plain(name: str, value: object) -> None:
    try:
        encode(value)
    except NotPlainError as error:
        raise NotPlainError(f"The variable {name!r} cannot be set. {error.message}") from error


def _request_content(request: RunRequest) -> dict[str, Any]:
    return {
        "code": request.code,
        "silent": False,
        "store_history": request.store_history,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": False,
    }

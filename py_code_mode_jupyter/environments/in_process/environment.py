"""The place in the host's own process: one worker thread, one namespace, one run at a time."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import math
import os
import threading
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

from ...errors import ExecutorStartError, ExecutorStateError
from ...results import OutputSink, RunEnding, RunRequest, RunStatus
from . import routing
from .ownership import Channel, Owner
from .worker import Run, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...config import InProcessConfig

_log = logging.getLogger(__name__)
_numbers = itertools.count(1)
_DELIVERY = 0.01  # seconds that text may wait for more before it is delivered
_END = 0.5  # seconds that a thread has to end in when it was told to
_ATTEMPTS = 10
_TAIL = 0.05  # seconds between a thread's last word and its end
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@final
class InProcessEnvironment:
    """Runs code with IPython in a thread of this process.

    There is no isolation: ``os._exit``, a crash in C code or running out of memory end the host,
    and `sys.modules`, ``os.environ`` and file descriptors are shared. Text that child processes or
    C code write to descriptors 1 and 2 directly goes to the host's, save for ``!cmd``.

    Parameters
    ----------
    config
        Its ``startup_timeout`` and ``interrupt_grace`` are used here.
    namespaces
        Objects that the code finds under these names, also after `replace` and `reset`.
    """

    def __init__(self, config: InProcessConfig, *, namespaces: Mapping[str, Any] = _NOTHING) -> None:
        self._config = config
        self._namespaces = dict(namespaces)
        self._worker: Worker | None = None
        self._abandoned: list[threading.Thread] = []
        self._closing = False
        self._folder = ""
        self._routed = False
        self._used_before = 0.0

    async def start(self) -> None:
        """Make the place ready; on failure or cancellation nothing is left behind.

        Raises
        ------
        ExecutorStartError
            The thread could not be made ready within ``startup_timeout``.
        """
        if self._worker is not None:
            return
        self._folder = str(Path.cwd())
        routing.acquire()
        self._routed = True
        try:
            self._worker = await self._launch()
        except BaseException:
            self._unroute()
            raise

    def begin(self, request: RunRequest, sink: OutputSink) -> asyncio.Future[RunEnding]:
        """Begin a run; the future, of the calling loop, resolves when it has ended.

        Raises
        ------
        ExecutorStateError
            Not started, closed, or another run is under way.
        """
        worker = self._ready_worker()
        if worker.run is not None:
            raise ExecutorStateError("A run is under way.", remedy="Await it, or interrupt it.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[RunEnding] = loop.create_future()
        # The worker's context must not come along: the host's callbacks would belong to the run.
        context = contextvars.copy_context()

        def resolve(ending: RunEnding) -> None:
            with suppress(RuntimeError):  # the caller's loop has been closed
                loop.call_soon_threadsafe(_resolve, future, ending, context=context)

        def deliver_soon() -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.call_later, _DELIVERY, channel.flush, context=context)

        channel = Channel(worker.owner, sink, deliver_soon)
        worker.submit(Run(request, channel, resolve))
        return future

    @property
    def alive(self) -> bool:
        """Whether a run can begin: always, between `start` and `close`."""
        return self._worker is not None

    async def revive(self) -> None:
        """Do nothing: `replace` leaves a place that is ready."""

    async def interrupt(self) -> None:
        """Raise a `KeyboardInterrupt` in the current run; returns without waiting for it."""
        if self._worker is not None:
            self._worker.interrupt()

    async def replace(self) -> str:
        """End a run that will not stop, and be ready with fresh variables.

        Its thread is ended by force where Python runs in it. A thread inside a C call cannot be
        ended: it is abandoned, ends as soon as that call returns, and is counted in `stats`.
        """
        return await self._renew("the run")

    async def reset(self) -> None:
        """Be as freshly started: no variables, child processes, tasks or threads of the code."""
        await self._renew("reset")

    async def close(self) -> None:
        """End everything and put back whatever was replaced in this process. Safe to call twice."""
        if self._closing:
            return
        self._closing = True
        worker, self._worker = self._worker, None
        try:
            if worker is not None:
                await self._retire(worker, "The environment was closed.")
        finally:
            self._closing = False
            self._unroute()

    async def stats(self) -> Mapping[str, Any]:
        """Return the host's memory (bytes), the workers' CPU time (s), pid and threads."""
        import psutil

        worker = self._worker
        clock = worker.clock if worker is not None else None
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        return {
            "memory": psutil.Process().memory_info().rss,
            "cpu": self._used_before + (clock.seconds() if clock is not None else 0.0),
            "pid": os.getpid(),
            "threads": threading.active_count(),
            "abandoned_threads": len(self._abandoned),
        }

    async def probe(self) -> Mapping[str, Any]:
        """Return what isolation holds: none, except for a working directory of its own on Linux."""
        worker = self._worker
        return {
            "process_isolation": False,
            "container_isolation": False,
            "network_isolation": False,
            "write_confinement": False,
            "memory_limit": False,
            "crash_recovery": False,
            "private_working_directory": worker is not None and worker.own_folder,
            "pid": os.getpid(),
        }

    def _ready_worker(self) -> Worker:
        if self._worker is None:
            raise ExecutorStateError("Not started, or closed.", remedy="Call start() first.")
        return self._worker

    def _unroute(self) -> None:
        if self._routed:
            self._routed = False
            routing.release()

    async def _launch(self) -> Worker:
        owner = Owner(f"pcm_session_{next(_numbers)}")
        worker = Worker(owner, self._namespaces, self._folder)
        ready, wake = _event()
        worker.launch(wake)
        try:
            # Not wait_for(): in Python 3.11 it swallows a cancellation that comes with the result.
            async with asyncio.timeout(_finite(self._config.startup_timeout)):
                await ready
        except BaseException as error:
            worker.stop(force=True)
            if isinstance(error, TimeoutError):
                raise ExecutorStartError(
                    f"The worker thread was not ready within {self._config.startup_timeout} s.",
                    remedy="Raise startup_timeout.",
                ) from error
            raise
        if worker.failure is not None:
            raise ExecutorStartError("The shell could not be made.") from worker.failure
        return worker

    async def _renew(self, what: str) -> str:
        worker = self._ready_worker()
        self._worker = None
        try:
            said = await self._retire(worker, "")
        finally:
            self._worker = await self._launch()
        return said

    async def _retire(self, worker: Worker, reason: str) -> str:
        """End a worker, or abandon it; its run, if any, ends as died."""
        run = worker.run
        where = worker.whereabouts() if run is not None else ""
        if run is not None:
            run.channel.drop()
        said = "The thread was left to end by itself; variables are fresh."
        try:
            gone, wake = _event()
            worker.when_gone(wake)
            for _ in range(_ATTEMPTS):
                # Code that swallows what ends it, in just the wrong place, is told again.
                worker.stop(force=run is not None)
                if (await asyncio.wait([gone], timeout=_END / _ATTEMPTS))[0]:
                    break
            if worker.thread.is_alive():
                worker.stop(force=True)
            said = self._account(worker, where)
        finally:
            if run is not None:
                run.finish(RunEnding(status=RunStatus.DIED, reason=f"{reason} {said}".strip()))
        return said

    def _account(self, worker: Worker, where: str) -> str:
        """Note what a worker has used and left behind, and say so."""
        thread = worker.thread
        thread.join(_TAIL)
        if worker.clock is not None:
            self._used_before += worker.clock.seconds()
        left = [thread] if thread.is_alive() else worker.left
        if not left:
            ended = f"The thread {thread.name!r} was ended; v" if where else "V"
            return f"{ended}ariables are fresh."
        self._abandoned += left
        names = ", ".join(repr(one.name) for one in left)
        place = f" {where or worker.whereabouts()}" if thread.is_alive() else ""
        said = (
            f"The thread {names} could not be ended{place}: it was abandoned, its output is dropped,"
            " and it ends as soon as the call it is in returns; variables are fresh."
        )
        _log.warning("%s", said)
        return said


def _finite(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds


def _resolve(future: asyncio.Future[RunEnding], ending: RunEnding) -> None:
    if not future.done():
        future.set_result(ending)


def _event() -> tuple[asyncio.Future[None], Callable[[], None]]:
    """Return a future of this loop and a function that resolves it from any thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    context = contextvars.copy_context()

    def done() -> None:
        if not future.done():
            future.set_result(None)

    def from_any_thread() -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(done, context=context)

    return future, from_any_thread

"""The place in the host's own process: one worker thread, one namespace, one run at a time."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import math
import os
import threading
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

from ...errors import ExecutorStateError
from . import routing
from .crew import Crew
from .ownership import Channel, Owner
from .runs import CellRun
from .worker import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...config import InProcessConfig
    from ...results import OutputSink, RunEnding, RunRequest
    from .interrupts import Gate
    from .shell import Shell

_numbers = itertools.count(1)
_DELIVERY = 0.01  # seconds that text may wait for more before it is delivered
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
        self._closing = False
        self._folder = ""
        self._routed = False
        self._crew = Crew()

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
        worker.submit(CellRun(request, channel, resolve))
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
                await self._crew.retire(worker, "The environment was closed.")
        finally:
            self._closing = False
            self._unroute()

    async def stats(self) -> Mapping[str, Any]:
        """Return the host's memory (bytes), the workers' CPU time (s), pid and threads."""
        import psutil

        worker = self._worker
        clock = worker.clock if worker is not None else None
        return {
            "memory": psutil.Process().memory_info().rss,
            "cpu": self._crew.used + (clock.seconds() if clock is not None else 0.0),
            "pid": os.getpid(),
            "threads": threading.active_count(),
            "abandoned_threads": self._crew.living,
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
        worker = Worker(owner, self._make_shell, self._folder)
        await self._crew.launch(worker, _finite(self._config.startup_timeout))
        return worker

    def _make_shell(self, owner: Owner, gate: Gate) -> Shell:
        from .shell import Shell

        return Shell(owner, gate, self._namespaces)

    async def _renew(self, what: str) -> str:
        worker = self._ready_worker()
        self._worker = None
        try:
            said = await self._crew.retire(worker, "")
        finally:
            self._worker = await self._launch()
        return said


def _finite(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds


def _resolve(future: asyncio.Future[RunEnding], ending: RunEnding) -> None:
    if not future.done():
        future.set_result(ending)

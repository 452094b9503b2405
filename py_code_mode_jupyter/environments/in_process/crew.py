"""The threads of one place: starting them, ending them, and knowing which had to be abandoned."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, final

from ...errors import ExecutorStartError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from .worker import Worker

_log = logging.getLogger(__name__)
_END = 0.5  # seconds that a thread has to end in when it was told to
_ATTEMPTS = 10
_TAIL = 0.05  # seconds between a thread's last word and its end
_GLANCE = 0.0005


@final
class Crew:
    """Starts the workers of one place and ends them.

    Attributes
    ----------
    abandoned
        Threads that could not be ended; see `living`.
    used
        CPU seconds of the workers that have ended.
    """

    def __init__(self) -> None:
        self.abandoned: list[threading.Thread] = []
        self.used = 0.0

    @property
    def living(self) -> int:
        """How many abandoned threads have not ended by themselves yet."""
        self.abandoned = [thread for thread in self.abandoned if thread.is_alive()]
        return len(self.abandoned)

    async def launch(self, worker: Worker, timeout: float | None) -> None:
        """Start a worker and wait until it can take requests.

        Raises
        ------
        ExecutorStartError
            It could not be made ready, or not within `timeout` seconds.
        """
        ready, wake = event()
        try:
            worker.launch(wake)
            # Not wait_for(): in Python 3.11 it swallows a cancellation that comes with the result.
            async with asyncio.timeout(timeout):
                await ready
        except BaseException as error:
            worker.stop(force=True)
            if isinstance(error, TimeoutError):
                raise ExecutorStartError(
                    f"The worker thread was not ready within {timeout} s.",
                    remedy="Raise startup_timeout.",
                ) from error
            raise
        if worker.failure is not None:
            raise ExecutorStartError("The shell could not be made.") from worker.failure

    async def retire(self, worker: Worker, reason: str) -> str:
        """End a worker, or abandon it; its run, if any, dies. Return what became of the thread."""
        run = worker.run
        where = worker.whereabouts() if run is not None else ""
        if run is not None:
            run.channel.drop()
        said = "The thread was left to end by itself; variables are fresh."
        try:
            gone, wake = event()
            worker.when_gone(wake)
            for _ in range(_ATTEMPTS):
                # Code that swallows what ends it, in just the wrong place, is told again.
                worker.stop(force=run is not None)
                if (await asyncio.wait([gone], timeout=_END / _ATTEMPTS))[0]:
                    break
            if worker.thread.is_alive():
                worker.stop(force=True)
            said = await self._account(worker, where)
        finally:
            if run is not None:
                run.die(f"{reason} {said}".strip())
        return said

    async def _account(self, worker: Worker, where: str) -> str:
        """Note what a worker has used and left behind, and say so."""
        thread = worker.thread
        await _join(thread)
        if worker.clock is not None:
            self.used += worker.clock.seconds()
        left = [thread] if thread.is_alive() else worker.left
        if not left:
            ended = f"The thread {thread.name!r} was ended; v" if where else "V"
            return f"{ended}ariables are fresh."
        self.abandoned += left
        names = ", ".join(repr(one.name) for one in left)
        place = f" {where or worker.whereabouts()}" if thread.is_alive() else ""
        said = (
            f"The thread {names} could not be ended{place}: it was abandoned, its output is dropped,"
            " and it ends as soon as the call it is in returns; variables are fresh."
        )
        _log.warning("%s", said)
        return said


async def _join(thread: threading.Thread) -> None:
    deadline = time.monotonic() + _TAIL
    while thread.is_alive() and time.monotonic() < deadline:  # noqa: ASYNC110 - a thread sets nothing when it ends
        await asyncio.sleep(_GLANCE)


def event() -> tuple[asyncio.Future[None], Callable[[], None]]:
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

"""The one event loop on which a shell's sessions live, in a thread of its own.

The shell's own loop is busy for as long as the cell runs that waits for a session.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar, final

_T = TypeVar("_T")
_SLICE = 0.1
"""Seconds between two chances for an interrupt that cannot wake a blocked thread up."""


class _Pool(ThreadPoolExecutor):
    """Threads for blocking work; none can be started while the interpreter ends, and closing must go on."""

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Begin the call; at the interpreter's end do it here and now."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            return _done_here(fn, args, kwargs)


def _done_here(fn: Callable[..., _T], args: Any, kwargs: Any) -> Future[_T]:
    future: Future[_T] = Future()
    try:
        future.set_result(fn(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - it is handed on to whoever awaits the call
        future.set_exception(error)
    return future


class _Thread(threading.Thread):
    # The in-process place lets threads belong to the code that starts them; this one serves all code.
    ownerless = True


@final
class Background:
    """An event loop that starts with the first work it is given.

    Parameters
    ----------
    name
        Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()
        self._ended.set()

    def submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Begin `work`; cancelling the future cancels it."""
        # A fresh context: what the work prints or starts later must not count as the calling cell's.
        return contextvars.Context().run(asyncio.run_coroutine_threadsafe, work, self._started())

    def call(self, work: Coroutine[Any, Any, _T], *, meanwhile: Callable[[], object] = lambda: None) -> _T:
        """Do `work` and return its result; an interrupt of the caller cancels it.

        `meanwhile` is called in the calling thread about ten times a second.
        """
        future = self.submit(work)
        done: queue.SimpleQueue[None] = queue.SimpleQueue()
        future.add_done_callback(lambda _: done.put(None))
        try:
            while not future.done():
                take(done)
                meanwhile()
            return future.result()
        finally:
            future.cancel()

    def close(self, last: Callable[[], Coroutine[Any, Any, None]], *, timeout: float) -> bool:
        """Do the `last` work, end the thread, and wait so long for it.

        Calling it again waits again, also out of a signal's handler while another call waits; a loop
        that was never started does nothing.

        Returns
        -------
        bool
            Whether the thread has ended.
        """
        loop, self._loop = self._loop, None
        if loop is not None:
            ending = contextvars.Context().run(asyncio.run_coroutine_threadsafe, last(), loop)
            ending.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
        return self._ended.wait(timeout)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._ended = threading.Event()
                work = (self._loop, self._ended)
                _Thread(target=_serve, args=work, name=self._name, daemon=True).start()
            return self._loop


def take(items: queue.SimpleQueue[_T]) -> _T | None:
    """Wait a moment for an item; None if none came. Short, so that every kind of interrupt arrives soon."""
    try:
        return items.get(timeout=_SLICE)
    except queue.Empty:
        return None


def _serve(loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
    pool = _Pool(thread_name_prefix=f"{threading.current_thread().name}-work")
    loop.set_default_executor(pool)
    try:
        loop.run_forever()
        loop.run_until_complete(_wind_up())
    finally:
        pool.shutdown(cancel_futures=True)
        loop.close()
        ended.set()


async def _wind_up() -> None:
    """End what still runs."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()

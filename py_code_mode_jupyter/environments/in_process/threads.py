"""Threads and pool work belong to the code that started them."""

from __future__ import annotations

import threading
from concurrent.futures import thread as pool
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from .interrupts import Ended
from .ownership import Channel, current, enter, run_for

if TYPE_CHECKING:
    from .patches import Patches


def install(patches: Patches) -> None:
    """Let threads and work items of owned code inherit its channel."""
    start = threading.Thread.start
    submit = pool.ThreadPoolExecutor.submit

    def owned_start(self: threading.Thread) -> None:
        channel = current()
        # A pool's threads serve whoever submits work; each item brings its owner along.
        free = getattr(self, "ownerless", False) or getattr(self, "_target", None) is pool._worker
        if channel is not None and not free:
            _adopt(self, channel)
        start(self)

    def owned_submit(self: Any, fn: Any, /, *args: Any, **options: Any) -> Any:
        channel = current()
        if channel is not None:
            return submit(self, run_for, channel, partial(fn, *args, **options))
        return submit(self, fn, *args, **options)

    patches.set(threading.Thread, "start", owned_start)
    patches.set(pool.ThreadPoolExecutor, "submit", owned_submit)


def _adopt(thread: threading.Thread, channel: Channel) -> None:
    thread.run = partial(_run_thread, thread, channel)  # type: ignore[method-assign]


def _run_thread(thread: threading.Thread, channel: Channel) -> None:
    del thread.run  # else the thread would keep itself alive
    enter(channel)  # to the thread's very end: what reports its failure prints after this
    with suppress(Ended):
        run_for(channel, thread.run)

"""An event loop in a thread of its own, for what one container sends and takes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, final

_T = TypeVar("_T")
_PATIENCE = 5.0


@final
class LoopThread:
    """Runs coroutines beside whatever the host's own loop is doing."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name="pcm-container", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=_PATIENCE))
        self.loop.close()

    def begin(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        """Begin `work`; to be called from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def soon(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call something there."""
        self.loop.call_soon_threadsafe(call, *arguments)

    def stop(self) -> None:
        """End the thread, and what is still going on in it. It blocks."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()

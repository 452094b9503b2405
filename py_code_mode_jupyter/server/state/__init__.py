"""What the extension knows and watches between requests."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, final

from ...storage import FileStorage
from .artifacts import ArtifactPages
from .broadcast import Broadcast
from .changes import StorageChanges
from .kernels import KernelWatch
from .places import Places
from .sessions import Sessions

if TYPE_CHECKING:
    from jupyter_events import EventLogger
    from jupyter_server.serverapp import ServerApp

    from ..settings import ServerSettings

_T = TypeVar("_T")
_UNSEEN = 2.0
"""Seconds between two looks while nobody listens: only metrics and Jupyter's own events are told then."""
_THREADS = 4
"""Threads for what blocks: storage, engine, measuring."""


def _logger_of(server: ServerApp) -> EventLogger:
    assert server.event_logger is not None, "Jupyter Server makes it before it loads extensions"
    return server.event_logger


@final
class ServerState:
    """One server's state. It is made before the event loop runs, begins with `start`, and ends with `close`.

    Parameters
    ----------
    server
        The server.
    settings
        How it is configured.
    no_delay
        Whether kernel websockets were made prompt.

    Attributes
    ----------
    kernels, places, artifacts, sessions, broadcast, changes
        Its parts.
    """

    def __init__(self, server: ServerApp, settings: ServerSettings, *, no_delay: bool) -> None:
        self.server = server
        self.settings = settings
        self.no_delay = no_delay
        self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="pcm-server")
        self._storage: FileStorage | None = None
        self._watching: asyncio.Task[None] | None = None
        self.broadcast = Broadcast(settings)
        self.kernels = KernelWatch(server, settings, self.broadcast)
        self.places = Places(server, self.off_loop)
        self.artifacts = ArtifactPages(self.off_loop)
        self.sessions = Sessions(self.off_loop)
        self.changes = StorageChanges(_logger_of(server), self.broadcast, self.sessions)

    def start(self) -> None:
        """Begin to watch, on the running event loop."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """End everything that was begun. Safe to call twice."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait((watching,))
        self.broadcast.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def off_loop(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Run blocking `work` in a thread, and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def storage(self) -> FileStorage:
        """Return the user's storage.

        Raises
        ------
        StorageUnavailableError
            It cannot be used now; it is tried again the next time.
        """
        if self._storage is None:
            self._storage = await self.off_loop(FileStorage, self.settings.storage)
        return self._storage

    async def _watch(self) -> None:
        while True:  # the first look is at once: what it finds is no news, and what comes later is
            try:
                await self.kernels.look()
                await self.off_loop(self.changes.look, self.settings.storage)
                self.changes.tell()
            except Exception:
                self.server.log.exception("py_code_mode_jupyter could not look at what has changed")
                await asyncio.sleep(1.0)
            interval = self.settings.watch_interval
            await asyncio.sleep(interval if len(self.broadcast) else max(interval, _UNSEEN))

    def now(self) -> str:
        """Return the time in ISO 8601."""
        return datetime.now(UTC).isoformat()

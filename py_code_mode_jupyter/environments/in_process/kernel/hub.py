"""The one thread of this process that serves the sockets of all its in-process kernels."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import itertools
import logging
import os
from _thread import allocate_lock
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar, final

import zmq

from ...folder import OwnedFolder
from .. import routing
from ..worker import OwnerlessThread
from .forks import Forks
from .libraries import Libraries

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ..ownership import Channel

T = TypeVar("T")
_log = logging.getLogger(__name__)
_DELIVERY = 0.01  # seconds that text may wait for more before it is delivered
_SOCKETS = 16_384
_LINGER = 200  # milliseconds given to last replies


@final
class Hub:
    """An event loop in a thread, a ZeroMQ context, and a private folder for sockets.

    Attributes
    ----------
    loop
        Where the kernels' coroutines and callbacks run. Nothing that blocks may be called there.
    context
        Of all sockets.
    gone
        Resolves when nothing of it is left.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.context.max_sockets = _SOCKETS
        self.gone: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.pid = os.getpid()
        self.forks = Forks(self.loop)
        self._folder: OwnedFolder | None = None
        self._libraries = Libraries()
        self._numbers = itertools.count(1)
        self._routed = False
        self._thread = OwnerlessThread(target=self._main, name="pcm-kernels", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        atexit.register(self._at_exit)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after everything that was asked of it before."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.loop.stop)

    @property
    def is_here(self) -> bool:
        """Whether the caller is the hub's thread."""
        return get_ident() == self._thread.ident

    def ask(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine in the hub, from any thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def soon(self, call: Callable[..., object], *args: Any) -> None:
        """Call something in the hub, from any thread."""
        with suppress(RuntimeError):  # the loop has been closed
            self.loop.call_soon_threadsafe(call, *args)

    def deliver_soon(self, channel: Channel) -> None:
        """Deliver a channel's text when it has had a moment to become more."""
        self.soon(self.loop.call_later, _DELIVERY, self._deliver, channel)

    def _deliver(self, channel: Channel) -> None:
        # Whoever holds the channel may be waiting for a slow reader; the hub waits for nobody.
        if not channel.try_flush():
            self.loop.call_later(_DELIVERY, self._deliver, channel)

    def new_folder(self) -> Path:
        """Make and return a private folder for the sockets of one kernel; called in the hub."""
        if self._folder is None:
            self._folder = OwnedFolder(None)
            self._folder.create()
        path = self._folder.sockets() / str(next(self._numbers))
        path.mkdir(mode=0o700)
        return path

    # In the thread

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.forks.listen()
            self.loop.run_forever()
        except BaseException:  # noqa: BLE001 - nobody above could take it
            _log.exception("The thread of the in-process kernels has failed")
        finally:
            self._wind_up()

    def _wind_up(self) -> None:
        try:
            if self._routed:
                self._libraries.remove()
                routing.release()
            self.forks.close()
            self.context.destroy(linger=_LINGER)
            if self._folder is not None:
                self._folder.remove()
            self.loop.close()
        finally:
            atexit.unregister(self._at_exit)
            self.gone.set_result(None)

    def route(self) -> None:
        """Install what routes output and libraries; called in the hub by the first kernel."""
        if not self._routed:
            routing.acquire()
            self._routed = True
            self._libraries.install()

    def _at_exit(self) -> None:
        if os.getpid() == self.pid:  # and not a fork of it
            self.stop()
            self._thread.join(1.0)


_lock = allocate_lock()
_users = 0
_hub: Hub | None = None


def acquire() -> Hub:
    """Return the hub, and count one more kernel; the first starts it."""
    global _users, _hub
    with _lock:
        if _hub is None:
            _hub = Hub()
            _hub.start()
        _users += 1
        return _hub


async def release(hub: Hub) -> None:
    """Count one kernel less; the last ends the hub, and waits until it is gone."""
    global _users, _hub
    with _lock:
        _users -= 1
        if _users:
            return
        _hub = None
    hub.stop()
    await asyncio.wrap_future(hub.gone)

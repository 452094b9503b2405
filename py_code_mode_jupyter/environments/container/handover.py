"""How the messages of a session's kernel reach the one client that it has, in this process.

What a kernel manager needs five sockets for (`relay`) is here a queue between two event loops: the
container's, and the one that the session runs on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, final

from jupyter_client.session import Session

from ...sandbox.wire import IOPUB, SHELL

if TYPE_CHECKING:
    from .filtering import Message

_AT_ONCE = 100
_ROOM, _LITTLE = 4 * 2**20, 2**20
"""Bytes that may wait for the client before the container has to, and below which it may go on."""
_EACH = 500
"""Bytes that a message takes beside what it holds."""

_Item = tuple[str, str, str, dict[str, Any], Sequence[Any]]
Take = Callable[[str, str, str, dict[str, Any], Sequence[Any]], None]
"""Takes a message: channel, type, id of the request, content, buffers."""


@final
class Handover:
    """Hands messages over, in order, and lets the container wait for a client that is slow.

    Parameters
    ----------
    forward
        Takes the client's message (channel, and header to buffers) for the container.
    on_full
        Told True when the container has to wait, and False when it may go on. Called in any thread.

    Attributes
    ----------
    is_alive
        Whether there is a kernel.
    """

    is_leaving = False
    """A session's client asks its executor to end the kernel, and never the kernel itself."""

    def __init__(self, forward: Callable[[str, list[bytes]], None], on_full: Callable[[bool], None]) -> None:
        self._forward = forward
        self._on_full = on_full
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, _Item]] = deque()
        self._size = 0
        self._is_full = False
        self._is_expected = False
        self._asked = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._take: Take | None = None
        # Only the stream's ends know of these messages, so nothing has to be signed.
        self._session = Session(key=b"")
        self.is_alive = False

    # From the client, on its loop

    def open(self, take: Take) -> None:
        """Hand what arrives from now on to `take`, on the running event loop."""
        self.close()
        self._loop, self._take = asyncio.get_running_loop(), take
        # What a socket says when it is connected (JEP 65).
        self._put((IOPUB, "iopub_welcome", "", {}, ()), _EACH)

    def close(self) -> None:
        """Hand over nothing more; what waits is dropped."""
        with self._lock:
            self._loop = self._take = None
            self._waiting.clear()
            self._size, self._is_expected = 0, False
        self._let_go_on()

    def send(self, message: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Send a request on the shell channel."""
        self._asked = str(message["header"]["msg_id"])
        _, _, *parts = self._session.serialize(message)
        self._forward(SHELL, [*parts, *buffers])

    def catch_up(self) -> None:
        """Hand over what waits by now."""
        self._hand_over(len(self._waiting))

    # From the container, in its thread

    def deliver(self, message: Message, size: int) -> None:
        """Hand over a message that took so many bytes, if it belongs to what was asked last."""
        parent_id = str(message.parent.get("msg_id"))
        if parent_id == self._asked:  # and not another client's, or too late
            item = (message.channel, message.msg_type, parent_id, message.content, message.buffers)
            self._put(item, size + _EACH)

    def publish(self, msg_type: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        """Hand over a message of our own in the run of `parent` (its header), if that was asked last."""
        if (parent_id := str(parent.get("msg_id"))) == self._asked:
            self._put((IOPUB, msg_type, parent_id, content, ()), _EACH)

    def _put(self, item: _Item, size: int) -> None:
        with self._lock:
            if self._loop is None:
                return
            self._waiting.append((size, item))
            self._size += size
            is_new, self._is_expected = not self._is_expected, True
            becomes_full = self._size > _ROOM and not self._is_full
            self._is_full |= becomes_full
            loop = self._loop
        if becomes_full:
            self._on_full(True)
        if is_new:
            # A loop that was closed, without its session, takes nothing any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self, most: int = _AT_ONCE) -> None:
        try:
            for _ in range(most):
                with self._lock:
                    if not self._waiting or self._take is None:
                        return
                    size, item = self._waiting.popleft()
                    self._size -= size
                    take = self._take
                take(*item)
        finally:
            self._go_on()

    def _go_on(self) -> None:
        with self._lock:
            self._is_expected = bool(self._waiting)
            if self._waiting and self._loop is not None:
                self._loop.call_soon(self._hand_over)
            has_room = self._size < _LITTLE
        if has_room:
            self._let_go_on()

    def _let_go_on(self) -> None:
        with self._lock:
            was_full, self._is_full = self._is_full, False
        if was_full:
            self._on_full(False)

    # What only a kernel manager's sockets need

    @property
    def current_run(self) -> dict[str, Any]:
        """The request that the kernel is working on: the executor knows it."""
        return {}

    def show(self) -> None:
        """Do nothing: there is nothing to be found."""

    def forget_requests(self) -> None:
        """Do nothing: the executor knows what it has asked."""

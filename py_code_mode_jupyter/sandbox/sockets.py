"""ZeroMQ sockets on an asyncio event loop, without a task for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import zmq

_AT_ONCE = 100
_SMALL = zmq.COPY_THRESHOLD


def send_now(socket: zmq.Socket[bytes], parts: Sequence[Any]) -> None:
    """Send a message, or raise `zmq.Again`; large parts are not copied.

    For small ones a `zmq.Frame`, which stands for memory that is not copied, costs ten times the copy.
    """
    socket.send_multipart(parts, zmq.NOBLOCK, copy=max(map(len, parts)) < _SMALL)


class WatchedSocket:
    """A ZMQ socket whose messages are handled on the running event loop as they arrive.

    Parameters
    ----------
    socket
        Connected or bound; closed with this.
    handle
        Takes the frames of each message.
    """

    def __init__(self, socket: zmq.Socket[bytes], handle: Callable[[list[zmq.Frame]], None]) -> None:
        self._socket = socket
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._fd = socket.fileno()
        self._paused = False
        self._loop.add_reader(self._fd, self._drain)

    @property
    def zmq(self) -> zmq.Socket[bytes]:
        """The socket, to send on; call `poke` afterwards."""
        return self._socket

    def poke(self) -> None:
        """Look for messages once more: sending may use up the edge that announces them."""
        self._loop.call_soon(self._drain)

    def pause(self) -> None:
        """Take no messages until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Take messages again."""
        if self._paused:
            self._paused = False
            self.poke()

    def _drain(self) -> None:
        for _ in range(_AT_ONCE):
            if self._paused or self._socket.closed:
                return
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self._handle(frames)
        self.poke()

    def close(self) -> None:
        """Close it; what has not been sent is dropped."""
        if not self._socket.closed:
            self._loop.remove_reader(self._fd)
            self._socket.close(linger=0)

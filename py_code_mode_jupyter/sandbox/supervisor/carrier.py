"""The stream that the engine attaches to the first process, as one connection of an HTTP server.

Two plain threads carry it to a pair of connected sockets, so that the end of the stream is noticed
whatever the event loop is doing. No socket has a name: code could take its place. What the standard
output takes at once is written there without the detour, which costs a change of threads.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Any, final

from tornado.iostream import IOStream

if TYPE_CHECKING:
    from tornado.httpserver import HTTPServer

_SIZE = 256 * 1024


def serve_attached(server: HTTPServer, already_read: bytes) -> None:
    """Serve the standard input and output; their end is the end of this process, and of the container."""
    ours, theirs = socket.socketpair()
    os.set_blocking(1, False)
    stream = _AttachedStream(ours, max_buffer_size=server.conn_params.max_body_size or None)
    server.handle_stream(stream, ("", 0))
    for carry in (lambda: _carry_in(theirs, already_read), lambda: _carry_out(theirs, stream)):
        threading.Thread(target=carry, daemon=True).start()


@final
class _AttachedStream(IOStream):
    """Writes to the standard output while that takes what it is given, and else by the detour."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sent = 0
        self.carried = 0

    def write_to_fd(self, data: memoryview) -> int:
        if self._sent == self.carried:  # nothing is on its way that would have to come first
            with contextlib.suppress(BlockingIOError):
                return os.write(1, data)
        size = super().write_to_fd(data)
        self._sent += size
        return size


def _carry_in(to: socket.socket, already_read: bytes) -> None:
    data = already_read or os.read(0, _SIZE)
    while data:
        try:
            to.sendall(data)
        except OSError:
            break
        data = os.read(0, _SIZE)
    os._exit(0)


def _carry_out(come_from: socket.socket, stream: _AttachedStream) -> None:
    buffer = bytearray(_SIZE)
    view = memoryview(buffer)
    try:
        while size := come_from.recv_into(buffer):
            data = view[:size]
            while data:
                select.select((), (1,), ())
                data = data[os.write(1, data) :]
            stream.carried += size
    except OSError:
        pass
    os._exit(0)

"""The stream that the engine attaches to the first process, as one connection of an HTTP server.

Two plain threads carry it to a pair of connected sockets, so that the end of the stream is noticed
whatever the event loop is doing. No socket has a name: code could take its place.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

from tornado.iostream import IOStream

if TYPE_CHECKING:
    from tornado.httpserver import HTTPServer

_SIZE = 256 * 1024


def serve_attached(server: HTTPServer, already_read: bytes) -> None:
    """Serve the standard input and output; their end is the end of this process, and of the container."""
    ours, theirs = socket.socketpair()
    server.handle_stream(IOStream(ours, max_buffer_size=server.conn_params.max_body_size or None), ("", 0))
    for carry in (lambda: _carry_in(theirs, already_read), lambda: _carry_out(theirs)):
        threading.Thread(target=carry, daemon=True).start()


def _carry_in(to: socket.socket, already_read: bytes) -> None:
    data = already_read or os.read(0, _SIZE)
    while data:
        try:
            to.sendall(data)
        except OSError:
            break
        data = os.read(0, _SIZE)
    os._exit(0)


def _carry_out(come_from: socket.socket) -> None:
    buffer = bytearray(_SIZE)
    view = memoryview(buffer)
    try:
        while size := come_from.recv_into(buffer):
            data = view[:size]
            while data:
                data = data[os.write(1, data) :]
    except OSError:
        pass
    os._exit(0)

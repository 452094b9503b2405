"""A kernel's private channel, as bytes that are read and written one slice after the other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import final

from ..wire import CHUNK

ENDED = "That kernel has ended."


class PlaceError(Exception):
    """The kernel could not be started, or is not there."""


@final
class PrivateChannel:
    """The first process's end of it.

    Parameters
    ----------
    sock
        Connected; closed with this.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()

    async def read(self) -> bytes:
        """Return the next bytes, as soon as there are any; raises `PlaceError` at the end."""
        while True:
            try:
                data = self._sock.recv(CHUNK)
            except BlockingIOError:
                await self._until(self._loop.add_reader, self._loop.remove_reader)
                continue
            except OSError:
                data = b""
            if not data:
                raise PlaceError(ENDED)
            return data

    async def write(self, data: memoryview) -> None:
        """Write all of `data`; raises `PlaceError` if nobody reads it any more."""
        while data:
            try:
                data = data[self._sock.send(data) :]
            except BlockingIOError:
                await self._until(self._loop.add_writer, self._loop.remove_writer)
            except OSError as error:
                raise PlaceError(ENDED) from error

    async def _until(self, watch: Callable[..., object], unwatch: Callable[..., object]) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(future)
        watch(self._sock, resolve, future)
        try:
            await future
        finally:
            self._waiting.discard(future)
            if self._sock.fileno() >= 0:
                unwatch(self._sock)

    def close(self) -> None:
        """Close it; who waits for it is told."""
        for future in self._waiting:
            if not future.done():
                future.set_exception(PlaceError(ENDED))
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()


def resolve(future: asyncio.Future[None]) -> None:
    """Resolve a future, unless that has been done."""
    if not future.done():
        future.set_result(None)

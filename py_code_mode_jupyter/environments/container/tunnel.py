"""Carries a kernel's private channel from the container to the host's broker, slice by slice.

Each side asks for, or sends, the next slice only when the last has been taken, so that neither
gathers what the other has not asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, final

from ...errors import ContainerLostError, ContainerRefusedError
from ...sandbox.wire import CHUNK
from ..conversation import Serve, converse

if TYPE_CHECKING:
    from .link import Link

_MAX_REQUEST = 256 * 2**20
_ENDED = (ContainerLostError, ContainerRefusedError, OSError)


@final
class Tunnel:
    """One kernel's private channel.

    Parameters
    ----------
    link
        The connection with the container.
    generation
        The kernel's number.
    serve
        Answers its requests, in a thread of this tunnel's.
    on_nonsense
        Called, in that thread, when what came is no request: the kernel has to go.
    """

    def __init__(self, link: Link, generation: int, serve: Serve, on_nonsense: Callable[[], object]) -> None:
        self._link = link
        self._generation = generation
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._thread = threading.Thread(
            target=self._converse, args=(theirs, serve, on_nonsense), name="pcm-container-broker", daemon=True
        )
        self._thread.start()
        self._tasks = [asyncio.ensure_future(work()) for work in (self._inwards, self._outwards)]

    def _converse(self, theirs: socket.socket, serve: Serve, on_nonsense: Callable[[], object]) -> None:
        with theirs:
            if not converse(theirs, serve, max_payload=_MAX_REQUEST):
                on_nonsense()

    async def _outwards(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(*_ENDED):
            while True:
                _, data = await self._link.request("private_read", generation=self._generation)
                await loop.sock_sendall(self._ours, data)

    async def _inwards(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(*_ENDED):
            while data := await loop.sock_recv(self._ours, CHUNK):
                await self._link.request("private_write", data, generation=self._generation)

    async def close(self) -> None:
        """End it; a request that is being answered is still answered, to nobody."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._ours.close()

    @property
    def is_alive(self) -> bool:
        """Whether a request is still being answered."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for the thread's end. It blocks."""
        self._thread.join()

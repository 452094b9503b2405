"""What stays while containers come and go: a thread, local sockets, and the link with the one there is."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import socket
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, final
from urllib.parse import urlsplit

from ...errors import ContainerLostError, ContainerRefusedError, ExecutorStartError
from ...sandbox.wire import CONTROL, IOPUB, SHELL, STDIN, WireError
from .filtering import Filter, Message
from .handover import Handover
from .link import Link
from .loop import LoopThread
from .relay import Relay, parse_object
from .tunnel import Tunnel

if TYPE_CHECKING:
    from ..conversation import Serve

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
WORD = 10.0
"""Seconds that the supervisor may take for an answer that it has at once."""
_CHANNELS = frozenset({SHELL, CONTROL, STDIN, IOPUB})
_LONGEST_REASON = 1000
_LARGEST_HEAD, _LARGEST_CONTENT = 2**20, 64 * 2**20
"""Bytes of JSON in a message's parts, beside its buffers: as objects they may take twenty times the room."""


@final
class Connection:
    """One environment's thread, and all that is used in it. Making and closing it blocks.

    Parameters
    ----------
    local
        Where local sockets are to be, as in a Jupyter connection file; None: a session in this process is the
        one client, and takes messages from `clients`. Otherwise clients are shown why a kernel ended that
        nobody wanted to end.
    screen
        Lets the harmless part of the kernel's messages through.
    serve
        Answers the requests on the kernel's private channel.

    Attributes
    ----------
    clients
        The way to whoever uses the kernel.
    died
        Resolves with a sentence when the kernel that was last adopted has ended.
    """

    def __init__(self, local: dict[str, Any] | None, screen: Filter, serve: Serve) -> None:
        self.died: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._screen = screen
        self._serve = serve
        self._shows_death = local is not None
        self._link: Link | None = None
        self._tunnel: Tunnel | None = None
        self._ended_tunnels: list[Tunnel] = []
        self._generation = 0
        self._last_death: tuple[object, str] = None, ""
        self._thread = LoopThread()
        self.clients: Relay | Handover = self._thread.begin(self._open_clients(local)).result()

    async def _open_clients(self, local: dict[str, Any] | None) -> Relay | Handover:
        if local is None:
            soon = self._thread.soon
            return Handover(partial(soon, self._to_container), partial(soon, self._on_full))
        relay = Relay(local, self._to_container, self._on_full)
        relay.open()
        return relay

    @property
    def is_open(self) -> bool:
        """Whether there is a container that answers."""
        return self._link is not None and not self._link.lost.done()

    # Opening, from any event loop

    async def attach(
        self, stream: socket.socket, first_line: bytes, token: str | None, timeout: float
    ) -> None:
        """Open a link over a container's attached stream.

        Raises
        ------
        AuthenticationError, ExecutorStartError
            As `Link.opened`.
        """

        async def work() -> None:
            link = self._new_link(first_line, token, is_multiplexed=True)
            await asyncio.get_running_loop().create_connection(lambda: link, sock=stream)
            await link.opened(timeout)

        await self._there(work())

    async def connect(self, url: str, token: str | None, timeout: float) -> None:
        """Open a link with a container that is published at `url`.

        Raises
        ------
        AuthenticationError, ExecutorStartError
            As `Link.opened`; nobody answers there.
        """
        await self._there(self._connect(url, token, timeout))

    async def _connect(self, url: str, token: str | None, timeout: float) -> None:
        parts = urlsplit(url)
        link = self._new_link(b"", token, is_multiplexed=False, host=parts.netloc)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        loop = asyncio.get_running_loop()
        try:
            connecting = loop.create_connection(lambda: link, str(parts.hostname), port, ssl=secure or None)
            await asyncio.wait_for(connecting, timeout)
        except (OSError, TimeoutError) as error:
            raise ExecutorStartError(
                f"No container answers at {url}: {str(error) or 'it took too long'}.",
                remedy="Look whether it runs there, and whether its port is published.",
            ) from error
        await link.opened(timeout)

    def _new_link(
        self, first_line: bytes, token: str | None, *, is_multiplexed: bool, host: str = "container"
    ) -> Link:
        # Another container counts its kernels from 1 again.
        self._generation, self._last_death = 0, (None, "")
        link = self._link = Link(
            first_line=first_line,
            token=token,
            is_multiplexed=is_multiplexed,
            on_message=self._from_container,
            on_event=self._on_event,
            host=host,
        )
        link.lost.add_done_callback(lambda lost: self._on_lost(link, lost.result()))
        return link

    async def adopt(self, generation: object) -> None:
        """Take the kernel of this number for the one that is there, and answer its requests."""
        await self._there(self._adopt(generation))

    async def _adopt(self, generation: object) -> None:
        link = self._connected()
        self._generation = generation if isinstance(generation, int) else 0
        self.died = concurrent.futures.Future()
        self._screen.forget()
        self.clients.forget_requests()
        await self._drop_tunnel()
        self._tunnel = Tunnel(link, self._generation, self._serve, self._on_nonsense)
        self.clients.is_alive = True
        self.clients.show()
        if self._last_death[0] == self._generation:  # before we knew its number
            self.die(self._last_death[1])
        if link.lost.done():
            self.die(link.lost.result())

    def _connected(self) -> Link:
        if self._link is None:
            raise ContainerLostError("There is no container.")
        return self._link

    # Asking

    async def request(self, op: str, payload: Any = b"", *, timeout: float, **params: Any) -> dict[str, Any]:
        """Ask the supervisor something from any event loop, and return its answer.

        Raises
        ------
        TimeoutError, ContainerLostError, ContainerRefusedError
            It did not answer, has gone, or refused.
        """
        return (await self._there(_within(self._request(op, payload, **params), timeout)))[0]

    def ask(
        self, op: str, payload: Any = b"", *, timeout: float = WORD, **params: Any
    ) -> tuple[dict[str, Any], memoryview]:
        """Ask the supervisor something, and return its answer. It blocks.

        Raises
        ------
        ContainerLostError, ContainerRefusedError
            It has gone, refused, or did not answer.
        """
        try:
            return self._thread.begin(_within(self._request(op, payload, **params), timeout)).result()
        except TimeoutError:
            raise ContainerRefusedError(f"The container did not answer within {timeout:g} s.") from None

    def tell(self, op: str) -> concurrent.futures.Future[None]:
        """Ask the supervisor to do something; whether it still can does not matter."""
        return self._thread.begin(_forgiven(self._request(op)))

    async def _request(self, op: str, payload: Any = b"", **params: Any) -> tuple[dict[str, Any], memoryview]:
        return await self._connected().request(op, payload, **params)

    async def _there(self, work: Coroutine[Any, Any, _T]) -> _T:
        return await asyncio.wrap_future(self._thread.begin(work))

    # Messages, in the thread

    def _to_container(self, channel: str, parts: list[bytes]) -> None:
        if self._link is None or self._link.lost.done() or self.died.done():
            return
        try:
            self._link.send(channel, parts)
        except WireError as error:
            _log.warning("A message to a kernel was dropped: %s", error)

    def _from_container(self, channel: str, parts: list[memoryview]) -> None:
        if channel not in _CHANNELS or len(parts) < 4:
            return
        header, parent, metadata = (parse_object(part, _LARGEST_HEAD) for part in parts[:3])
        if header is None or parent is None or metadata is None:
            return
        raw = bytes(parts[3]) if len(parts[3]) <= _LARGEST_CONTENT else self._too_large(len(parts[3]), parent)
        content = parse_object(raw, _LARGEST_CONTENT)
        if content is None:
            return
        raws = (*map(bytes, parts[:3]), raw)
        message = Message(channel, header, parent, metadata, content, parts[4:], raws)
        passing = self._screen.admit(message)
        if passing is None:
            return
        for note in passing.notes:
            self.clients.publish("stream", {"name": "stderr", "text": f"{note}\n"}, passing.parent)
        if passing.channel:
            self.clients.deliver(passing, sum(map(len, parts)))

    def _too_large(self, size: int, parent: dict[str, Any]) -> bytes:
        """Say that a message was dropped, and return what a client that waits for it gets instead."""
        text = f"{size / 2**20:,.0f} MiB in one message; {_LARGEST_CONTENT // 2**20} may pass"
        self.clients.publish("stream", {"name": "stderr", "text": f"[not shown: {text}]\n"}, parent)
        error = {"status": "error", "ename": "MessageTooLarge", "evalue": text, "traceback": []}
        return json.dumps(error).encode()

    def _on_full(self, is_full: bool) -> None:
        if self._link is not None:
            (self._link.pause if is_full else self._link.resume)()

    def _on_event(self, event: dict[str, Any]) -> None:
        if event.get("event") == "died":
            self._last_death = event.get("generation"), str(event.get("reason"))[:_LONGEST_REASON]
            if event.get("generation") == self._generation:
                self._end_unwanted(self._last_death[1])

    def _on_nonsense(self) -> None:
        """End the link with a kernel whose private channel brought no request; called by the tunnel."""
        if self._link is not None:
            self._thread.soon(self._link.end, "What came over the private channel was no request.")

    def _on_lost(self, link: Link, reason: str) -> None:
        if link is self._link:
            self._end_unwanted(reason)

    def _end_unwanted(self, reason: str) -> None:
        """Take note that the kernel has ended, and say why where its code was running."""
        if self._shows_death and not self.died.done() and not self.clients.is_leaving:
            _log.warning("The kernel of a container has ended: %s", reason)
            text = f"{reason} Its variables are lost.\n"
            self.clients.publish("stream", {"name": "stderr", "text": text}, self.clients.current_run)
        self.die(reason)

    # The end

    def die(self, reason: str) -> None:
        """Take note that the kernel has ended."""
        self.clients.is_alive = False
        if not self.died.done():
            self.died.set_result(reason)

    def drop(self) -> None:
        """End the link with the container; the local sockets stay. It blocks."""
        self._thread.begin(self._drop()).result()

    async def _drop(self) -> None:
        link, self._link = self._link, None
        await self._drop_tunnel()
        if link is not None:
            link.end("The container was closed.")

    async def _drop_tunnel(self) -> None:
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            await tunnel.close()
            self._ended_tunnels = [one for one in (*self._ended_tunnels, tunnel) if one.is_alive]

    def close(self) -> None:
        """End everything. It blocks."""
        self.drop()
        self._thread.begin(self._close_clients()).result()
        self._thread.stop()
        for tunnel in self._ended_tunnels:
            tunnel.join()

    async def _close_clients(self) -> None:
        self.clients.close()


async def _within(work: Coroutine[Any, Any, _T], seconds: float) -> _T:
    return await asyncio.wait_for(work, seconds)


async def _forgiven(work: Coroutine[Any, Any, object]) -> None:
    """Do something for a container that may be ending."""
    with contextlib.suppress(ContainerRefusedError, ContainerLostError):
        await work

"""The WebSocket: the kernel's channels for whoever shows the token, and the place's for its host."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, final

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketHandler

from ..wire import CONTROL, IOPUB, PLACE, SHELL, STDIN, SUBPROTOCOL, WireError, pack, unpack
from .private import PlaceError
from .requests import Guarded

if TYPE_CHECKING:
    from ..frames import Payload
    from .operations import Operations

_log = logging.getLogger(__name__)
_LARGEST_HEAD = 2**20
_BUSY = b'{"execution_state":"busy"}'
_ENOUGH, _LITTLE = 2**20, 2**18
"""Bytes on their way to a client: above the first the kernel waits, until there are fewer than the second."""


class Watcher(Protocol):
    """Looks on beside the clients."""

    def take(self, channel: str, parts: Sequence[Payload]) -> None:
        """Take a message of the kernel's."""

    def die(self, reason: str) -> None:
        """Take note that the kernel has ended."""


@final
class Switchboard:
    """Hands what the kernel sends to every client that is connected."""

    def __init__(self, operations: Operations) -> None:
        self.operations = operations
        self.clients: list[ChannelsHandler] = []
        self.watchers: list[Watcher] = []
        self._tasks: set[asyncio.Task[None]] = set()
        operations.place.listener = self._on_message
        operations.place.on_death = self._on_death

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold on to a task until it is done: the event loop alone would let it go."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def is_waiting(self) -> bool:
        """Whether a client is too slow for the kernel to go on."""
        return any(client.waiting >= _LITTLE for client in self.clients)

    def _on_message(self, channel: str, parts: Sequence[Payload]) -> None:
        for watcher in list(self.watchers):
            watcher.take(channel, parts)
        try:
            frame = pack(channel, parts)
        except WireError as error:  # whatever the code has sent, the others are served
            _log.warning("A message of the kernel was dropped: %s", error)
            if channel == IOPUB:
                return
            # Somebody waits for it.
            frame = pack(channel, [*(bytes(part)[:_LARGEST_HEAD] for part in parts[:3]), _refusal(error)])
        # An executor does not look at these, and each message on the way to it counts.
        is_dull = self.operations.place.is_session and _says_busy(channel, parts)
        for client in list(self.clients):
            if client.may_use_kernel and not (is_dull and client.is_host):
                client.pass_on(frame, is_shown=channel == IOPUB)

    def _on_death(self, generation: int, reason: str) -> None:
        for watcher in list(self.watchers):
            watcher.die(reason)
        event = {"event": "died", "generation": generation, "reason": reason}
        frame = pack(PLACE, [json.dumps(event).encode()])
        for client in list(self.clients):
            if client.is_host and client.generation == generation:
                client.pass_on(frame)


def _says_busy(channel: str, parts: Sequence[Payload]) -> bool:
    return channel == IOPUB and bytes(parts[3][: len(_BUSY) + 2]).replace(b" ", b"") == _BUSY


def _header(size: int) -> bytes:
    """Return the header of a binary frame (RFC 6455, 5.2).

    Written here, because tornado makes a task of every message, which takes as long as all the rest.
    """
    if size < 126:
        return bytes((0x82, size))
    return struct.pack(">BBH", 0x82, 126, size) if size < 2**16 else struct.pack(">BBQ", 0x82, 127, size)


def _refusal(error: WireError) -> bytes:
    content = {"status": "error", "ename": "MessageTooLarge", "evalue": str(error), "traceback": []}
    return json.dumps(content).encode()


class ChannelsHandler(Guarded, WebSocketHandler):
    """One client's WebSocket.

    A host uses the kernel that it has had started, and no other: where a second one starts the kernel
    anew, the first is told that its own has ended, and nothing of either reaches the other.

    Attributes
    ----------
    is_host
        Whether it may ask about the place.
    generation
        The kernel that a host has had started, 0 if it has let go of it.
    waiting
        Bytes on their way to it.
    """

    def initialize(self, switchboard: Switchboard) -> None:
        """Take what the application gives to each handler."""
        self._board = switchboard
        self.waiting = 0
        self.is_host = False
        self.generation = 0

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Speak Jupyter's protocol, if that is asked for."""
        return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None

    def open(self, *args: str, **kwargs: str) -> None:
        """Begin to pass on messages."""
        self.is_host = self.get_query_argument("host", "") == "1"
        self.set_nodelay(True)
        stream = self.ws_connection.stream if self.ws_connection is not None else None
        assert stream is not None
        self._stream = stream
        self._board.clients.append(self)

    @property
    def may_use_kernel(self) -> bool:
        """Whether the kernel's messages are for this client, and the client's for the kernel."""
        return not self.is_host or self.generation == self._board.operations.place.generation

    async def on_message(self, message: str | bytes) -> None:
        """Take a message to the kernel, or a request about the place."""
        try:
            if isinstance(message, str):
                raise WireError("A frame is text.")
            channel, parts = unpack(message)
            if channel == PLACE and self.is_host:
                self._answer_soon(parts)
            elif channel in (SHELL, CONTROL, STDIN) and len(parts) >= 4:
                if not self.may_use_kernel:
                    raise PlaceError("It was for a kernel that has ended.")
                self._board.operations.place.send(channel, parts)
            else:
                raise WireError("A frame is for no channel that takes any.")
        except WireError as error:
            self.close(1003, str(error))
        except PlaceError as error:
            _log.warning("A message was dropped: %s", error)

    def _answer_soon(self, parts: Sequence[memoryview]) -> None:
        try:
            header = json.loads(bytes(parts[0])) if parts else None
        except (ValueError, RecursionError):
            header = None
        if not isinstance(header, dict):
            raise WireError("A request is not a JSON object.")
        self._board.keep(asyncio.ensure_future(self._answer(header, parts[1:])))

    async def _answer(self, header: dict[str, Any], payloads: Sequence[memoryview]) -> None:
        if header.get("op") in ("end", "restart"):
            self.generation = 0
        answer, data = await self._board.operations.answer(header, payloads)
        if header.get("op") in ("start", "restart"):
            self.generation = answer.get("generation", 0)
        self.pass_on(pack(PLACE, [json.dumps(answer).encode(), data]))

    def pass_on(self, frame: bytes, *, is_shown: bool = False) -> None:
        """Send a frame; where too much is on its way, the kernel waits before it shows more."""
        try:
            sent = self._stream.write(_header(len(frame)) + frame)
        except StreamClosedError:
            return
        self.waiting += len(frame)
        if is_shown and self.waiting > _ENOUGH:
            self._board.operations.place.pause()
        sent.add_done_callback(lambda done: self._on_sent(done, len(frame)))

    def _on_sent(self, sent: asyncio.Future[None], size: int) -> None:
        sent.exception()  # the client has gone: `on_close` is called as well
        self.waiting -= size
        if self.waiting < _LITTLE and not self._board.is_waiting:
            self._board.operations.place.resume()

    def on_close(self) -> None:
        """Forget the client, and end a host's kernel; one that was slow holds nobody up any more."""
        with contextlib.suppress(ValueError):
            self._board.clients.remove(self)
        place = self._board.operations.place
        if not self._board.is_waiting:
            place.resume()
        if self.generation:
            self._board.keep(asyncio.ensure_future(place.end(self.generation)))

"""The connection with a container's supervisor: a WebSocket over the attached stream, or over TCP.

Everything that arrives is the container's word. Frames are bounded, answers are taken only where
something was asked, and what breaks the protocol ends the connection.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import json
import logging
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast, final

from ...errors import AuthenticationError, ContainerLostError, ContainerRefusedError, ExecutorStartError
from ...sandbox.wire import MAX_MESSAGE, PLACE, SUBPROTOCOL, WireError, pack, unpack

if TYPE_CHECKING:
    from websockets.client import ClientProtocol

    from ...sandbox.frames import Payload

_log = logging.getLogger(__name__)
_HEADER = struct.Struct(">BxxxL")
_STDOUT, _STDERR = 1, 2
_TAIL = 4000
_NO_TOKEN = 401

OnMessage = Callable[[str, list[memoryview]], None]
OnEvent = Callable[[dict[str, Any]], None]


@final
class Link(asyncio.Protocol):
    """One connection, used on one event loop.

    Parameters
    ----------
    first_line
        What is sent before anything else; empty over TCP.
    token
        The bearer token, or None.
    is_multiplexed
        Whether the stream is the engine's, which marks each piece of standard output and error.
    on_message, on_event
        Take what arrives.

    Attributes
    ----------
    lost
        Resolves with a sentence when the connection has ended.
    """

    def __init__(
        self,
        *,
        first_line: bytes,
        token: str | None,
        is_multiplexed: bool,
        on_message: OnMessage,
        on_event: OnEvent,
        host: str = "container",
    ) -> None:
        self._first_line = first_line
        self._token = token
        self._pieces = _Pieces() if is_multiplexed else None
        self._on_message = on_message
        self._on_event = on_event
        self._protocol = _protocol(host)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[tuple[dict[str, Any], memoryview]]] = {}
        self._parts: list[bytes] = []
        self._stderr = b""
        self.lost: concurrent.futures.Future[str] = concurrent.futures.Future()

    # Opening

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the settings and the request for a WebSocket."""
        self._transport = cast("asyncio.Transport", transport)
        request = self._protocol.connect()
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        self._protocol.send_request(request)
        self._transport.write(self._first_line)
        self._first_line = b""
        self._flush()

    async def opened(self, timeout: float) -> None:
        """Wait until messages can be sent.

        Raises
        ------
        AuthenticationError
            The token was not admitted.
        ExecutorStartError
            The connection was refused, has ended, or did not come about in time.
        """
        try:
            await asyncio.wait_for(asyncio.shield(self._opened), timeout)
        except TimeoutError:
            raise ExecutorStartError(
                f"The container did not answer within {timeout:g} s.",
                remedy="Raise startup_timeout, or look at the machine's load.",
            ) from None

    # What arrives

    def data_received(self, data: bytes) -> None:
        """Take bytes from the stream."""
        if self._pieces is None:
            self._feed(data)
            return
        for kind, piece in self._pieces.feed(data):
            if kind == _STDOUT:
                self._feed(piece)
            elif kind == _STDERR:
                self._stderr = (self._stderr + piece)[-_TAIL:]
            else:
                self.end("The engine's stream was damaged.")

    def _feed(self, data: bytes) -> None:
        if self.lost.done():
            return
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            self._handle(event)
        self._flush()
        if (error := self._protocol.parser_exc or self._protocol.handshake_exc) is not None:
            if not self._opened.done() and self._pieces is None:
                self._opened.set_exception(_not_ours("in a way that is not understood"))
            self.end(f"What the container sent could not be understood: {error}.")

    def _handle(self, event: Any) -> None:
        from websockets.frames import Frame, Opcode

        if not isinstance(event, Frame):  # the answer to the request for a WebSocket
            self._answered(event.status_code)
            return
        if event.opcode is Opcode.CLOSE:
            self.end("The container closed the connection.")
        elif event.opcode in (Opcode.BINARY, Opcode.CONT, Opcode.TEXT):
            self._parts.append(bytes(event.data))
            if event.fin:
                whole = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts = []
                self._take(whole)

    def _answered(self, status: int) -> None:
        if self._opened.done():
            return
        if status == 101 and self._protocol.handshake_exc is None:
            self._opened.set_result(None)
        elif status == _NO_TOKEN:
            self._opened.set_exception(
                AuthenticationError(
                    "The container did not admit the token.", remedy="Give the right auth_token."
                )
            )
        else:
            self._opened.set_exception(_not_ours(f"with status {status}"))

    def _take(self, frame: bytes) -> None:
        try:
            channel, parts = unpack(frame)
            if channel == PLACE:
                self._take_word(parts)
            else:
                self._on_message(channel, parts)
        except WireError as error:
            self.end(f"What the container sent could not be understood: {error}")

    def _take_word(self, parts: list[memoryview]) -> None:
        try:
            header = json.loads(bytes(parts[0])) if parts else None
        except (ValueError, RecursionError):
            header = None
        if not isinstance(header, dict):
            raise WireError("An answer is not a JSON object.")
        if "event" in header:
            self._on_event(header)
            return
        number = header.get("id")
        asked = self._asked.pop(number, None) if isinstance(number, int) else None
        if asked is None or asked.done():  # nobody waits for it any more, or nobody ever asked
            return
        if "error" in header:
            asked.set_exception(
                ContainerRefusedError(str(header["error"])[:_TAIL], kind=str(header.get("kind"))[:100])
            )
        else:
            asked.set_result((header, parts[1] if len(parts) > 1 else memoryview(b"")))

    def eof_received(self) -> None:
        """Take note that the container has nothing more to say."""
        self.end("The container ended.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the stream has ended."""
        self.end(
            "The container ended." if exc is None else f"The connection with the container broke: {exc}."
        )

    def end(self, reason: str) -> None:
        """End the connection; whoever waits for something is told."""
        if self.lost.done():
            return
        said = self._stderr.decode(errors="replace").strip()
        self.lost.set_result(reason)
        if not self._opened.done():
            self._opened.set_exception(ExecutorStartError(f"{reason} {said}".strip()))
        self._opened.exception()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(ContainerLostError(reason))
        self._asked.clear()
        if self._transport is not None:
            self._transport.abort()

    # What is sent

    async def request(
        self, op: str, payload: Payload = b"", **params: Any
    ) -> tuple[dict[str, Any], memoryview]:
        """Ask the supervisor something, and return its answer.

        Raises
        ------
        ContainerRefusedError
            It refused, or failed.
        ContainerLostError
            The connection has ended.
        """
        number = next(self._numbers)
        asked: asyncio.Future[tuple[dict[str, Any], memoryview]] = self._loop.create_future()
        self._asked[number] = asked
        try:
            head = json.dumps({**params, "id": number, "op": op}).encode()
            self.send(PLACE, [head, payload] if len(payload) else [head])
            return await asked
        finally:
            self._asked.pop(number, None)

    def send(self, channel: str, parts: Sequence[Payload]) -> None:
        """Send a message.

        Raises
        ------
        ContainerLostError
            The connection has ended.
        """
        if self.lost.done():
            raise ContainerLostError(self.lost.result())
        self._protocol.send_binary(pack(channel, parts))
        self._flush()

    def _flush(self) -> None:
        data = self._protocol.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data[0] if len(data) == 1 else b"".join(data))

    def pause(self) -> None:
        """Take nothing more from the stream until `resume`: the container has to wait, then."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Take again what the stream brings."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


class _Pieces:
    """Takes the engine's marked pieces apart.

    Source: Docker Engine API, "Attach to a container", stream format: which stream (1 byte), three
    bytes of zero, the size (4 bytes, big-endian), and the piece.
    """

    def __init__(self) -> None:
        self._head = b""
        self._kind = self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the pieces in `data`, as far as they have come."""
        found = []
        view = memoryview(data)
        while view:
            if not self._left:
                need = _HEADER.size - len(self._head)
                self._head += bytes(view[:need])
                view = view[need:]
                if len(self._head) < _HEADER.size:
                    break
                self._kind, self._left = _HEADER.unpack(self._head)
                self._head = b""
                continue
            piece = bytes(view[: self._left])
            view = view[len(piece) :]
            self._left -= len(piece)
            found.append((self._kind, piece))
        return found


def _not_ours(how: str) -> ExecutorStartError:
    return ExecutorStartError(
        f"What answered {how} is no container of py_code_mode_jupyter.",
        remedy="Give a container's own address, without a path, as remote_url.",
    )


def _protocol(host: str) -> ClientProtocol:
    try:
        from websockets.client import ClientProtocol
        from websockets.typing import Subprotocol
        from websockets.uri import parse_uri
    except ImportError as error:
        raise ExecutorStartError(
            "The Python package websockets is missing.",
            remedy="Install it: pip install 'py_code_mode_jupyter[container]'.",
        ) from error
    uri = parse_uri(f"ws://{host}/api/channels?host=1")
    return ClientProtocol(uri, subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=MAX_MESSAGE)

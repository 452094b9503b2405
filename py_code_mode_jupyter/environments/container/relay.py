"""Five local ZeroMQ sockets behind which a kernel in a container looks like any other.

They outlive restarts and containers, so a client stays connected. Requests are passed on as they
are; replies go to whoever asked, once, and nobody gets one who did not ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, final

import zmq
from jupyter_client.session import Session

from ...sandbox.sockets import WatchedSocket, send_now
from ...sandbox.wire import CONTROL, IOPUB, SHELL, STDIN

if TYPE_CHECKING:
    from .filtering import Message

_log = logging.getLogger(__name__)
_DELIMITER = b"<IDS|MSG>"
_HEARTBEAT = "hb"
_KINDS = {
    SHELL: zmq.ROUTER,
    IOPUB: zmq.XPUB,
    STDIN: zmq.ROUTER,
    CONTROL: zmq.ROUTER,
    _HEARTBEAT: zmq.ROUTER,
}
_OPEN_REQUESTS = 10_000
_QUEUE = 64
_ROOM = 4 * 2**20
"""Bytes that may wait for slow clients before the container has to."""
_RETRY = 0.002
PATIENCE = 5.0
"""Seconds that one client of several may take nothing before it misses messages."""
_PROMPTS, _LONGEST_PROMPT = 100, 64 * 1024
"""Prompts that may wait for an answer, and the bytes of one."""

Forward = Callable[[str, list[bytes]], None]


@final
class Relay:
    """The sockets, used on one event loop.

    Parameters
    ----------
    connection
        Where to listen, and the key that signs messages.
    forward
        Takes a client's message (channel, and header to buffers) for the container.
    on_full
        Told True when the container has to wait, and False when it may go on.
    patience
        Seconds until a client that takes nothing misses messages, and the others no longer wait for it.

    Attributes
    ----------
    is_leaving
        Whether a client has asked the kernel to shut down.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        forward: Forward,
        on_full: Callable[[bool], None],
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._connection = connection
        self._forward = forward
        self._on_full = on_full
        self._patience = patience
        self._prompts = 0
        self.is_leaving = False
        self.session = Session(key=connection["key"])
        self._context = zmq.Context(io_threads=1)
        self._sockets: dict[str, WatchedSocket] = {}
        self._asked: OrderedDict[str, list[bytes]] = OrderedDict()
        self._runs: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._last_run: dict[str, Any] = {}
        self._waiting: deque[list[Any]] = deque()
        self._size = 0
        self._is_full = False
        self._retry: asyncio.TimerHandle | None = None
        self._stuck_since = 0.0
        self._folder = Path(connection["ip"]).parent
        self._tag = secrets.token_hex(4)
        self.is_alive = False

    def open(self) -> None:
        """Bind the sockets."""
        for name, kind in _KINDS.items():
            socket = self._context.socket(kind)
            if kind == zmq.XPUB:
                socket.setsockopt(zmq.XPUB_VERBOSE, 1)
                socket.setsockopt(zmq.XPUB_NODROP, 1)
                socket.set_hwm(_QUEUE)
            socket.bind(f"ipc://{self._own(name)}")
            self._sockets[name] = WatchedSocket(socket, self._taker(name))
        self.show()

    def _own(self, name: str) -> Path:
        return self._folder / f"{self._tag}-{name}"

    def _link(self, name: str) -> Path:
        return Path(f"{self._connection['ip']}-{self._connection[f'{name}_port']}")

    def show(self) -> None:
        """Put links to the sockets where clients look: a `KernelManager` removes them before a restart."""
        for name in _KINDS:
            link = self._link(name)
            if not link.is_symlink():
                link.symlink_to(self._own(name))

    def close(self) -> None:
        """Close the sockets and remove their files."""
        if self._retry is not None:
            self._retry.cancel()
        for name, one in self._sockets.items():
            one.close()
            for path in (self._link(name), self._own(name)):
                path.unlink(missing_ok=True)
        self._sockets.clear()
        self._context.term()

    # From clients

    def _taker(self, name: str) -> Callable[[list[zmq.Frame]], None]:
        if name == _HEARTBEAT:
            return self._beat
        if name == IOPUB:
            return self._welcome
        return lambda frames: self._take(name, [frame.bytes for frame in frames])

    def _beat(self, frames: list[zmq.Frame]) -> None:
        if self.is_alive:
            self._sockets[_HEARTBEAT].zmq.send_multipart([frame.bytes for frame in frames])

    def _welcome(self, frames: list[zmq.Frame]) -> None:
        # JEP 65: who subscribes is told when it has arrived.
        said = frames[0].bytes
        if said[:1] == b"\x01":
            topic = said[1:]
            content = {"subscription": topic.decode(errors="replace")}
            message = self.session.msg("iopub_welcome", content)
            self._publish(
                [topic, *self.session.serialize(message)] if topic else self.session.serialize(message)
            )

    def _take(self, channel: str, frames: list[bytes]) -> None:
        start = frames.index(_DELIMITER) if _DELIMITER in frames else len(frames)
        identities, rest = frames[:start], frames[start + 1 :]
        if len(rest) < 5 or not hmac.compare_digest(rest[0], self.session.sign(rest[1:5])):
            _log.warning("A message to a kernel was dropped, because it is not signed.")
            return
        with contextlib.suppress(ValueError, KeyError, TypeError):
            if channel == STDIN:
                self._prompts = 0
            else:
                self._expect(json.loads(rest[1]), identities)
        self._forward(channel, rest[1:])

    def _expect(self, header: dict[str, Any], identities: list[bytes]) -> None:
        """Remember who is to get the reply to a request."""
        self._asked[str(header["msg_id"])] = identities
        if header["msg_type"] == "execute_request":
            self._runs[str(header["msg_id"])] = header
        elif header["msg_type"] == "shutdown_request":
            self.is_leaving = True
        for memory in (self._asked, self._runs):
            if len(memory) > _OPEN_REQUESTS:
                memory.popitem(last=False)

    @property
    def current_run(self) -> dict[str, Any]:
        """The header of the first request to run code that has no reply yet, else of the last one."""
        return next(iter(self._runs.values()), self._last_run)

    def forget_requests(self) -> None:
        """Take what was asked of a kernel for lost: it has ended."""
        self._runs.clear()
        self._prompts = 0
        self.is_leaving = False

    # From the container

    def deliver(self, message: Message, _size: int) -> None:
        """Pass on a message to whoever asked for it, or publish it."""
        channel, parent_id = message.channel, str(message.parent.get("msg_id"))
        try:
            parts = message.parts()
        except ValueError:  # not JSON that every reader understands
            return
        signed = [_DELIMITER, self.session.sign([bytes(part) for part in parts[:4]]), *parts]
        if channel == IOPUB:
            self._publish(signed)
            return
        # Somebody is asked for input where the code came from, whose reply is still to come.
        asked = self._asked.get(parent_id) if channel == STDIN else self._asked.pop(parent_id, None)
        if channel == SHELL and parent_id in self._runs:
            self._last_run = self._runs.pop(parent_id)
        if asked is None:
            _log.debug("A reply that nobody here asked for was dropped.")
            return
        if channel == STDIN and not self._may_prompt(parts):
            # No warning: the log is the host's to fill.
            _log.debug("A prompt was dropped: it is too long, or too many wait for an answer.")
            return
        to = self._sockets[channel]
        with contextlib.suppress(zmq.Again):  # the client has gone, or takes nothing
            send_now(to.zmq, [*asked, *signed])
        to.poke()

    def _may_prompt(self, parts: Sequence[Any]) -> bool:
        self._prompts += 1
        return self._prompts <= _PROMPTS and len(parts[3]) <= _LONGEST_PROMPT

    def publish(self, msg_type: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        """Publish a message of our own, in the run of `parent` (its header)."""
        message = self.session.msg(msg_type, content)
        message["parent_header"] = parent
        self._publish(self.session.serialize(message))

    def _publish(self, frames: list[Any]) -> None:
        self._waiting.append(frames)
        self._size += sum(map(len, frames))
        self._flush()

    def _flush(self) -> None:
        self._retry = None
        if IOPUB not in self._sockets:
            return
        self._send_waiting()
        if self._waiting and self._is_stuck():
            # Who takes nothing misses this. It stays so until a message reaches everybody again.
            socket = self._sockets[IOPUB].zmq
            socket.setsockopt(zmq.XPUB_NODROP, 0)
            self._send_waiting()
            socket.setsockopt(zmq.XPUB_NODROP, 1)
        if self._waiting and self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(_RETRY, self._flush)
        is_full = self._size > _ROOM or (self._is_full and bool(self._waiting))
        if is_full != self._is_full:
            self._is_full = is_full
            self._on_full(is_full)
        self._sockets[IOPUB].poke()

    def _is_stuck(self) -> bool:
        now = time.monotonic()
        self._stuck_since = self._stuck_since or now
        return now - self._stuck_since > self._patience

    def _send_waiting(self) -> None:
        socket = self._sockets[IOPUB].zmq
        while self._waiting:
            try:
                send_now(socket, self._waiting[0])
            except zmq.Again:
                return
            self._size -= sum(map(len, self._waiting.popleft()))
            self._stuck_since = 0.0


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_STRICT = json.JSONDecoder(parse_constant=_refuse_constant)


def parse_object(part: Any, most: int) -> dict[str, Any] | None:
    """Return the JSON object in a part of a message, None if it is something else, or larger than `most`."""
    if len(part) > most:
        return None
    try:
        # UTF-8 and no NaN: Python would read more than other readers do.
        found = _STRICT.decode(bytes(part).decode())
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None

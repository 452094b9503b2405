"""The five sockets of one kernel, which outlive its restarts.

ZeroMQ's sockets are not made for several threads. Each is used under a lock of its own, which is
the full fence that ZeroMQ asks for, so that the thread that runs code also sends what it shows.
"""

from __future__ import annotations

import logging
import os
import time
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, final

import zmq
from jupyter_client.session import Session

from ...process import ipc_connection
from ..interrupts import own_gate, shielded

if TYPE_CHECKING:
    from .hub import Hub

_log = logging.getLogger(__name__)
Message = dict[str, Any]
Take = Callable[[str, list[bytes], Message], None]

_KINDS = {
    "shell": zmq.ROUTER,
    "iopub": zmq.XPUB,
    "stdin": zmq.ROUTER,
    "control": zmq.ROUTER,
    "hb": zmq.ROUTER,
}
_ROOM = 64  # messages of about 32 KB that wait for slow readers before the writer does
_PATIENCE = 5.0  # seconds that a writer waits for readers that take nothing
_RETRY = 0.002
_LINGER = 200  # milliseconds
_QUEUE = 32  # messages that ZeroMQ queues for a slow reader; the reader's side queues, too
_DIGESTS = 2048


@final
class Outlet:
    """A socket that any thread may send on, in order. It stands for the socket in `Session.send`."""

    def __init__(self, hub: Hub, kind: int, address: str, take: Callable[[list[bytes]], None]) -> None:
        self._hub = hub
        self._take = take
        self._socket: zmq.Socket[bytes] = hub.context.socket(kind)
        self._socket.linger = _LINGER
        self._publishes = kind == zmq.XPUB
        if self._publishes:
            self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
            self._socket.setsockopt(zmq.XPUB_NODROP, 1)
            self._socket.setsockopt(zmq.SNDHWM, _QUEUE)
        self._socket.bind(address)
        self._lock = allocate_lock()
        self._waiting: deque[list[Any]] = deque()
        self._retrying = False
        self._stuck_since = 0.0
        self._number = cast("int", self._socket.getsockopt(zmq.FD))
        hub.loop.add_reader(self._number, self.receive)

    def send_multipart(self, parts: list[Any], *_: object, **__: object) -> None:
        """Send a message, or queue it behind those that wait for slow readers."""
        if os.getpid() != self._hub.pid:  # a fork has these objects, and none of the threads
            return
        # Buffers may change before they are sent.
        self._waiting.append([bytes(part) if isinstance(part, memoryview) else part for part in parts])
        if self._hub.is_here:
            self._flush()
        elif own_gate() is not None:
            shielded(self._send_here)
        else:
            # This thread may be ended at any bytecode, also between two parts of a message.
            self._hub.soon(self._flush)

    def close(self) -> None:
        """Close the socket; called in the hub."""
        self._hub.loop.remove_reader(self._number)
        with self._lock:
            self._waiting.clear()
            self._socket.close()

    def _send_here(self) -> None:
        self._drain()
        if len(self._waiting) > _ROOM:
            self._wait_for_room()
        elif self._waiting:
            self._hub.soon(self._flush)

    def _wait_for_room(self) -> None:
        gate, pause = own_gate(), allocate_lock()
        pause.acquire()
        while len(self._waiting) > _ROOM:
            if gate is not None and (gate.pending or gate.doomed):
                return
            pause.acquire(True, _RETRY)
            self._drain()

    def _flush(self) -> None:
        """Send what waits, now or as soon as the readers take it; called in the hub."""
        if not self._drain() and not self._retrying:
            self._retrying = True
            self._hub.loop.call_later(_RETRY, self._retry)

    def _retry(self) -> None:
        self._retrying = False
        self._flush()

    def _drain(self) -> bool:
        """Send as much as the readers take; in the end, without those that take nothing."""
        with self._lock:
            if self._socket.closed:
                self._waiting.clear()
                return True
            if self._send_waiting():
                self._stuck_since = 0.0
            elif not self._stuck_since:
                self._stuck_since = time.monotonic()
            elif time.monotonic() - self._stuck_since > _PATIENCE:
                self._send_lossy()
            # Sending may have used up the sign that something has arrived.
            has_input = cast("int", self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN
        if has_input:
            self._hub.soon(self.receive)
        return not self._waiting

    def _send_waiting(self) -> bool:
        while self._waiting:
            try:
                self._socket.send_multipart(self._waiting[0], zmq.NOBLOCK)
            except zmq.Again:
                return False
            self._waiting.popleft()
        return True

    def _send_lossy(self) -> None:
        # Who takes nothing misses this. It stays so until a message reaches everybody again.
        self._socket.setsockopt(zmq.XPUB_NODROP, 0)
        self._send_waiting()
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)

    def receive(self) -> None:
        """Take what has arrived; called in the hub."""
        while True:
            with self._lock:
                if self._socket.closed:
                    return
                try:
                    parts = self._socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    return
            try:
                self._take(parts)
            except Exception:  # noqa: BLE001 - whatever a client sends, the others are served
                _log.exception("A message could not be handled")


class _Session(Session):
    """A session that several threads number messages of."""

    def __init__(self, **options: Any) -> None:
        self._numbers = count()
        super().__init__(**options)

    @property
    def msg_id(self) -> str:
        """A new identifier."""
        return f"{self.session}_{os.getpid()}_{next(self._numbers)}"


@final
class Front:
    """Listens for one kernel and sends for it.

    Parameters
    ----------
    hub
        Whose thread serves the sockets.
    key
        Signs messages.
    take
        Called in the hub with channel, identities and message.

    Attributes
    ----------
    connection
        Where it listens, as a connection file says it.
    session
        Makes and signs messages.
    """

    def __init__(self, hub: Hub, key: bytes, take: Take) -> None:
        self._take = take
        self._folder = hub.new_folder()
        self.connection = ipc_connection(self._folder, key)
        self.session = _Session(key=key, digest_history_size=_DIGESTS)
        self._outlets: dict[str, Outlet] = {}
        try:
            for name, kind in _KINDS.items():
                address = f"ipc://{self._folder / name}"
                self._outlets[name] = Outlet(hub, kind, address, self._taker(name))
            self.show()
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> Outlet:
        return self._outlets[name]

    def show(self) -> None:
        """Put links to the sockets where clients look for them.

        `KernelManager` removes the files it knows of whenever a kernel ends, also before a restart.
        """
        for name in _KINDS:
            link = Path(f"{self.connection['ip']}-{self.connection[f'{name}_port']}")
            if not link.is_symlink():
                link.symlink_to(self._folder / name)

    def send(self, name: str, kind: str, content: Message, parent: Message | None, **options: Any) -> None:
        """Send a message on a channel."""
        self.session.send(cast("Any", self._outlets[name]), kind, content, parent, **options)

    def publish(self, kind: str, content: Message, parent: Message | None, **options: Any) -> None:
        """Send a message to everybody who listens."""
        self.send("iopub", kind, content, parent, **{"ident": kind.encode(), **options})

    def refuse(self, channel: str, idents: list[bytes], message: Message, why: str) -> None:
        """Answer a request with an error."""
        kind = message["header"]["msg_type"].removesuffix("_request") + "_reply"
        content = {"status": "error", "ename": "RequestRefused", "evalue": why, "traceback": []}
        self.publish("status", {"execution_state": "busy"}, message)
        self.send(channel, kind, content, message, ident=idents, metadata={"status": "error"})
        self.publish("status", {"execution_state": "idle"}, message)

    def close(self) -> None:
        """Close the sockets and remove their folder; called in the hub."""
        for outlet in self._outlets.values():
            outlet.close()
        with suppress(OSError):
            for left in self._folder.iterdir():
                left.unlink()
            self._folder.rmdir()

    def _taker(self, name: str) -> Callable[[list[bytes]], None]:
        if name == "hb":
            return lambda parts: self._outlets["hb"].send_multipart(parts)
        if name == "iopub":
            return self._subscription
        return lambda parts: self._message(name, parts)

    def _message(self, name: str, parts: list[bytes]) -> None:
        idents, rest = self.session.feed_identities(parts)
        try:
            message = self.session.deserialize(rest)
        except Exception:  # noqa: BLE001 - an unsigned or broken message
            _log.exception("A message to a kernel was refused")
            return
        self._take(name, idents, message)

    def _subscription(self, parts: list[bytes]) -> None:
        # JEP 65: who subscribes is told when it has arrived.
        if parts[0][:1] == b"\x01":
            topic = parts[0][1:]
            content = {"subscription": topic.decode(errors="replace")}
            self.send("iopub", "iopub_welcome", content, None, ident=topic or None)

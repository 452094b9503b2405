"""The executor's way to a kernel: what it needs of one, and the one over local sockets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, final

import zmq
from jupyter_client.session import Session as WireSession

from ..sandbox.sockets import WatchedSocket
from ..sandbox.wire import IOPUB, SHELL

if TYPE_CHECKING:
    from ..environments.container.handover import Take

_log = logging.getLogger(__name__)
_MAX_MESSAGE = 512 * 2**20


class KernelClient(Protocol):
    """One client of one kernel, on one event loop."""

    def open(self, take: Take) -> None:
        """Hand messages to `take` from now on; from the first, ``iopub_welcome``, none is missed."""

    def send(self, message: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Send a request on the shell channel."""

    def catch_up(self) -> None:
        """Hand over what has arrived by now before anything that is scheduled after this call."""

    def close(self) -> None:
        """Hand over nothing more."""


class _Local(Protocol):
    connection: dict[str, Any]


@final
class SocketClient:
    """A client over the local sockets of a kernel.

    Parameters
    ----------
    environment
        Has the kernel's ``connection`` information, as in a Jupyter connection file.
    """

    def __init__(self, environment: _Local) -> None:
        self._connection = connection = environment.connection
        self._wire = WireSession(key=connection["key"], signature_scheme=connection["signature_scheme"])
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._sockets: dict[str, WatchedSocket] = {}

    def open(self, take: Take) -> None:
        """Connect, and hand over what arrives."""
        # First this one: no output is missed of what is asked over the other.
        for channel, kind in ((IOPUB, zmq.SUB), (SHELL, zmq.DEALER)):
            self._sockets[channel] = self._connected(kind, channel, take)

    def _connected(self, kind: int, channel: str, take: Take) -> WatchedSocket:
        connection = self._connection
        socket = self._context.socket(kind)
        # Small marks: what waits here waits in the kernel instead, which then stops printing.
        socket.set_hwm(64)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE)
        if kind == zmq.SUB:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(f"{connection['transport']}://{connection['ip']}-{connection[f'{channel}_port']}")
        return WatchedSocket(socket, lambda frames: self._hand_over(channel, frames, take))

    def _hand_over(self, channel: str, frames: list[zmq.Frame], take: Take) -> None:
        """Check and unpack a message; a forged or damaged one is dropped and said in the log."""
        try:
            _, parts = self._wire.feed_identities(frames, copy=False)
            message = self._wire.deserialize(parts, content=True, copy=False)
            parent_id, content = message["parent_header"].get("msg_id"), message["content"]
            if not isinstance(content, dict):
                raise ValueError("its content is not a JSON object")
        except Exception as error:  # noqa: BLE001 - whatever arrives, the session goes on
            _log.warning("A message that is not the kernel's was dropped: %s", error)
            return
        take(channel, str(message["msg_type"]), str(parent_id), content, message["buffers"])

    def send(self, message: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Sign and send a request on the shell channel."""
        shell = self._sockets[SHELL]
        self._wire.send(shell.zmq, message, buffers=list(buffers))
        shell.poke()

    def catch_up(self) -> None:
        """Look at the socket that brings output."""
        self._sockets[IOPUB].poke()

    def close(self) -> None:
        """Close the sockets."""
        for socket in self._sockets.values():
            socket.close()
        self._sockets.clear()
        self._context.term()

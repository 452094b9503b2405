"""Kernel websockets that do not wait: without Nagle's delay, and what has come is passed on at once.

Jupyter Server leaves the delay on. A browser that acknowledges late then holds every second small message
back for some 40 ms, so that running ``1 + 1`` takes several times as long as it has to (RFC 896, RFC 1122
4.2.3.2). It also passes one message on for each turn of its loop; a short cell answers with five.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import zmq
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.ioloop import IOLoop

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp
    from jupyter_server.services.kernels.connection.base import BaseKernelWebsocketConnection

TRAIT = "kernel_websocket_connection_class"
_AT_ONCE = 50  # messages, before others have their turn


class PromptWebsocketConnection(ZMQChannelsWebsocketConnection):
    """The usual connection of a browser with a kernel, whose messages leave at once."""

    def connect(self) -> Any:
        """Switch the delay off, and connect; called when the websocket is open."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """Pass a message on, and those behind it; called when one has come from the kernel."""
        super().handle_outgoing_message(stream, outgoing_msg)
        self._pass_on()

    def _pass_on(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._pass_one_on():
                return
        # A socket that was read by us does not tell its stream of what is left.
        IOLoop.current().add_callback(self._pass_on)

    def _pass_one_on(self) -> bool:
        for name in ("iopub", "shell"):
            stream = self.channels.get(name)
            # A connection that has ended leaves the rest to whoever comes next.
            if stream is None or stream.closed() or self._close_future.done():
                return False
            try:
                message = stream.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                continue
            super().handle_outgoing_message(stream, message)
            return True
        return False


@cache
def prompt(base: type[BaseKernelWebsocketConnection]) -> type[BaseKernelWebsocketConnection]:
    """Return a class like `base` whose websockets do not wait."""
    if base is ZMQChannelsWebsocketConnection:
        return PromptWebsocketConnection

    def connect(self: Any) -> Any:
        self.websocket_handler.set_nodelay(True)
        return base.connect(self)

    return type(f"Prompt{base.__name__}", (base,), {"connect": connect, "__module__": __name__})


def install(server: ServerApp) -> dict[str, Any]:
    """Make every kernel's websocket prompt, and return the settings of the web application that do it.

    There are none where the user, or another extension, chose a class for them.
    """
    base = server.kernel_websocket_connection_class
    chosen = any(TRAIT in server.config.get(cls.__name__, {}) for cls in type(server).mro())
    if chosen or not base.__module__.startswith("jupyter_server."):
        return {}
    server.kernel_websocket_connection_class = prompt(base)
    return {TRAIT: server.kernel_websocket_connection_class}

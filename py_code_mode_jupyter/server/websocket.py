"""Kernel websockets that do not wait: Nagle's delay is switched off.

Jupyter Server leaves it on. A browser that acknowledges late then holds every second small message back for
some 40 ms, so that running ``1 + 1`` takes ten times as long as it has to (RFC 896, RFC 1122 4.2.3.2).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp
    from jupyter_server.services.kernels.connection.base import BaseKernelWebsocketConnection

TRAIT = "kernel_websocket_connection_class"


class PromptWebsocketConnection(ZMQChannelsWebsocketConnection):
    """The usual connection of a browser with a kernel, whose messages leave at once."""

    def connect(self) -> Any:
        """Switch the delay off, and connect; called when the websocket is open."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()


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

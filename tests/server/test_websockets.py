"""Kernel websockets do not wait, and a class that the user chose for them is respected."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from py_code_mode_jupyter.server.websocket import _AT_ONCE, PromptWebsocketConnection

from .conftest import execute_request

WAIT = 60
MANY = 4 * _AT_ONCE + 3
SHOW = f"for n in range({MANY}): display({{'text/x': str(n)}}, raw=True)"


class Chosen(ZMQChannelsWebsocketConnection):
    """A user's own."""


def connected(jp_fetch: Any, jp_ws_fetch: Any, loop: Any) -> tuple[Any, int]:
    """Start a kernel; return its connection, and whether its socket waits (TCP_NODELAY)."""

    async def connect() -> tuple[Any, int]:
        made = await jp_fetch("api", "kernels", method="POST", body=b'{"name": "pcm-in-process"}')
        kernel = json.loads(made.body)["id"]
        client = await jp_ws_fetch("api", "kernels", kernel, "channels")
        found = next(iter(ZMQChannelsWebsocketConnection._open_sockets))
        stream = found.websocket_handler.ws_connection.stream
        is_prompt = stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        client.close()
        await jp_fetch("api", "kernels", kernel, method="DELETE")
        return found, is_prompt

    return loop.run_until_complete(connect())


def test_messages_leave_at_once(jp_fetch: Any, jp_ws_fetch: Any, jp_asyncio_loop: Any) -> None:
    found, is_prompt = connected(jp_fetch, jp_ws_fetch, jp_asyncio_loop)
    assert isinstance(found, PromptWebsocketConnection)
    assert is_prompt


def test_many_messages_come_whole_and_in_order(jp_fetch: Any, jp_ws_fetch: Any, jp_asyncio_loop: Any) -> None:
    """More than are passed on at once, twice: nothing is left behind in a socket."""

    async def check() -> None:
        made = await jp_fetch("api", "kernels", method="POST", body=b'{"name": "pcm-in-process"}')
        kernel = json.loads(made.body)["id"]
        client = await jp_ws_fetch("api", "kernels", kernel, "channels")
        for turn in ("first", "second"):
            await client.write_message(execute_request(turn, SHOW))
            shown, rest = [], set()
            while not {"execute_reply", "idle"} <= rest:
                message = json.loads(await asyncio.wait_for(client.read_message(), WAIT))
                if message["parent_header"].get("msg_id") != turn:
                    continue
                if message["msg_type"] == "display_data":
                    shown.append(int(message["content"]["data"]["text/x"]))
                rest |= {message["msg_type"], message["content"].get("execution_state")}
            assert shown == list(range(MANY))
        client.close()
        await jp_fetch("api", "kernels", kernel, method="DELETE")

    jp_asyncio_loop.run_until_complete(check())


class TestWhatTheUserChose:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"]["kernel_websocket_connection_class"] = Chosen
        return jp_server_config

    def test_is_respected_and_said(
        self, jp_fetch: Any, jp_ws_fetch: Any, jp_asyncio_loop: Any, jp_serverapp: Any
    ) -> None:
        found, is_prompt = connected(jp_fetch, jp_ws_fetch, jp_asyncio_loop)
        assert type(found) is Chosen
        assert not is_prompt
        assert jp_serverapp.web_app.settings["pcm_state"].no_delay is False


class TestWhereItIsSwitchedOff:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["CodeModeExtension"]["no_delay"] = False
        return jp_server_config

    def test_nothing_is_changed(self, jp_serverapp: Any) -> None:
        assert jp_serverapp.kernel_websocket_connection_class is ZMQChannelsWebsocketConnection
        assert "start_watching_activity" not in vars(jp_serverapp.kernel_manager)

"""The event stream: what changes is told to whoever listens, and who does not listen holds up nobody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
import websocket

from py_code_mode_jupyter.errors import RequestRefusedError
from py_code_mode_jupyter.server.settings import ServerSettings
from py_code_mode_jupyter.server.state.broadcast import Broadcast
from py_code_mode_jupyter.storage import FileStorage

from .live import LiveServer, heard, until


def test_the_first_event_says_hello_and_the_numbers_leave_none_out(live: LiveServer) -> None:
    with live.events() as events:
        hello = json.loads(events.recv())
        assert (hello["topic"], hello["sequence"]) == ("hello", 0)
        assert "usage" not in hello["topics"]
        events.send(json.dumps({"subscribe": ["kernels", "usage"]}))
        assert json.loads(events.recv())["topics"] == ["kernels", "usage"]
        kernel = live.start("pcm-in-process")
        numbers = []
        while "measured" not in (seen := json.loads(events.recv()))["change"]:
            numbers.append(seen["sequence"])
        assert (seen["id"], seen["topic"]) == (kernel, "usage")
        assert numbers == list(range(2, 2 + len(numbers)))
        live.ask("DELETE", f"/api/kernels/{kernel}")
        assert heard(events, "kernels", "ended")["id"] == kernel


def test_a_kernel_that_starts_works_and_ends_is_told(live: LiveServer) -> None:
    with live.events() as events:
        kernel = live.start("pcm-in-process")
        started = heard(events, "kernels", "started")
        assert started["kernel"]["place"] == "in-process"
        channels = live.channels(kernel)
        channels.begin("import time; time.sleep(1)")
        while (changed := heard(events, "kernels", "changed")["kernel"])["state"] != "busy":
            pass
        assert changed["id"] == kernel
        channels.close()
        live.ask("DELETE", f"/api/kernels/{kernel}")
        assert heard(events, "kernels", "ended")["id"] == kernel


def test_whoever_changes_the_storage_is_noticed(live: LiveServer) -> None:
    storage = FileStorage(live.storage)
    with live.events() as events:
        json.loads(events.recv())
        for change, id in (
            (lambda: storage.artifacts.save("new", 1), "artifacts"),
            (lambda: storage.artifacts.save("new", 2), "artifacts"),
            (lambda: storage.workflows.create("new", "def run():\n    pass\n"), "workflows"),
            (lambda: storage.artifacts.delete("new"), "artifacts"),
        ):
            change()
            while heard(events, "storage", "changed")["id"] != id:
                pass


@pytest.mark.parametrize(
    "message", ["{", "[]", '{"subscribe": "all"}', '{"subscribe": ["secrets"]}', "x" * 5000]
)
def test_a_client_that_talks_nonsense_is_let_go(live: LiveServer, message: str) -> None:
    with live.events() as events:
        events.recv()
        events.send(message)
        with pytest.raises(websocket.WebSocketConnectionClosedException):
            while True:
                if events.recv() == "":
                    raise websocket.WebSocketConnectionClosedException
    until(lambda: live.get("/pcm/health")["event_clients"] == 0, "it is forgotten")


def test_clients_that_vanish_are_forgotten(live: LiveServer) -> None:
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(live.events()) for _ in range(20)]
        assert live.get("/pcm/health")["event_clients"] == 20
        for one in opened:  # with a reset, and without a word
            one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.sock.close()
        until(lambda: live.get("/pcm/health")["event_clients"] == 0, "they are forgotten")


# The queue of one client


def settings(**more: Any) -> ServerSettings:
    return ServerSettings(storage=Path("none"), **more)


async def test_a_client_that_takes_nothing_is_let_go_and_others_hear_all() -> None:
    broadcast = Broadcast(settings(event_queue=10))
    slow, quick = broadcast.subscribe(), broadcast.subscribe()
    for number in range(25):
        broadcast.tell("runs", "changed", str(number))
        event = await quick.next()
        assert event is not None and event["id"] == str(number)
    assert slow.is_slow
    assert await slow.next() is None
    assert len(slow._waiting) == 0


async def test_there_are_only_so_many_clients() -> None:
    broadcast = Broadcast(settings(max_event_clients=2))
    first, _ = broadcast.subscribe(), broadcast.subscribe()
    with pytest.raises(RequestRefusedError) as refused:
        broadcast.subscribe()
    assert refused.value.status == 503
    broadcast.leave(first)
    broadcast.leave(first)
    broadcast.subscribe()


async def test_who_waits_is_woken_when_all_ends() -> None:
    broadcast = Broadcast(settings())
    waiting = asyncio.ensure_future(broadcast.subscribe().next())
    await asyncio.sleep(0)
    broadcast.close()
    assert await asyncio.wait_for(waiting, 5) is None
    assert len(broadcast) == 0


class TestAClientThatReadsNothing:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["CodeModeExtension"] |= {"event_timeout": 0.2, "event_queue": 5}
        return jp_server_config

    def test_is_disconnected_and_holds_up_nobody(
        self, jp_serverapp: Any, http_server_client: Any, jp_asyncio_loop: Any, jp_base_url: str
    ) -> None:
        broadcast = jp_serverapp.web_app.settings["pcm_state"].broadcast
        head = (
            f"GET {jp_base_url}pcm/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: token {jp_serverapp.identity_provider.token}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )

        async def listen_and_read_nothing() -> int:
            port = http_server_client.get_http_port()
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(head.encode())
            assert b" 101 " in await reader.readline()
            other = broadcast.subscribe()
            heard = 0
            async with asyncio.timeout(30):
                while len(broadcast) > 1:
                    broadcast.tell("runs", "changed", "x" * 100_000)
                    heard += await other.next() is not None
                    await asyncio.sleep(0)
            writer.transport.abort()
            broadcast.leave(other)
            return heard

        assert jp_asyncio_loop.run_until_complete(listen_and_read_nothing()) > 5

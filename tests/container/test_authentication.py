"""The container's HTTP API answers nobody without the token, and a container without one does not start."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.environments.container.images import BASE
from py_code_mode_jupyter.environments.container.options import container_options
from py_code_mode_jupyter.errors import (
    AuthenticationError,
    ConfigurationError,
    EngineError,
    ExecutorStartError,
)
from py_code_mode_jupyter.execution import ContainerConfig, ContainerExecutor

from .conftest import TOKEN, WAIT, Open, of_process, until

if TYPE_CHECKING:
    from py_code_mode_jupyter.environments.container.engine import Engine

ENDPOINTS = [
    ("GET", "/healthz"),
    ("GET", "/api/info"),
    ("POST", "/api/execute"),
    ("POST", "/api/interrupt"),
    ("POST", "/api/restart"),
    ("POST", "/api/reset"),
    ("GET", "/api/dependencies"),
    ("PUT", "/api/dependencies"),
    ("DELETE", "/api/dependencies/six"),
    ("GET", "/api/openapi.json"),
    ("GET", "/api/channels"),
    ("GET", "/"),
    ("GET", "/nowhere"),
    ("PATCH", "/healthz"),
    ("OPTIONS", "/api/execute"),
    ("BREW", "/api/execute"),
    ("GET", "/%ff%fe"),
]
WRONG: dict[str, dict[str, str]] = {
    "none": {},
    "empty": {"Authorization": ""},
    "without a token": {"Authorization": "Bearer "},
    "only the scheme": {"Authorization": "Bearer"},
    "wrong": {"Authorization": f"Bearer {TOKEN}x"},
    "cut short": {"Authorization": f"Bearer {TOKEN[:-1]}"},
    "in capitals": {"Authorization": f"Bearer {TOKEN.upper()}"},
    "two spaces": {"Authorization": f"Bearer  {TOKEN}"},
    "another scheme": {"Authorization": f"Basic {TOKEN}"},
    "no scheme": {"Authorization": TOKEN},
    "not ASCII": {"Authorization": f"Bearer {TOKEN}\xff"},
    "oversized": {"Authorization": f"Bearer {'x' * 100_000}"},
    "the right one and more": {"Authorization": f"Bearer {TOKEN} {TOKEN}"},
    "in another header": {"X-Authorization": f"Bearer {TOKEN}", "Cookie": f"token={TOKEN}"},
}


@pytest.fixture
async def published(open_session: Open) -> AsyncIterator[str]:
    """The address of a container's API."""
    async with open_session(network_disabled=False, publish=0) as session:
        yield (await session.stats())["published"]


def ask(address: str, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(address, timeout=WAIT)
    connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    return reply.status, text


RIGHT = {"Authorization": f"Bearer {TOKEN}"}


async def test_the_right_token_is_admitted_and_no_other(published: str) -> None:
    assert published.startswith("127.0.0.1:")
    assert ask(published, "GET", "/healthz", RIGHT)[0] == 200
    assert ask(published, "GET", "/healthz", {"Authorization": f"bearer {TOKEN}"})[0] == 200
    for name, headers in WRONG.items():
        for method, path in (("GET", "/healthz"), ("POST", "/api/execute")):
            assert ask(published, method, path, headers, {"code": "1"})[0] == 401, (name, path)


async def test_nothing_is_answered_without_a_token_not_even_that_it_is_not_there(published: str) -> None:
    for method, path in ENDPOINTS:
        assert ask(published, method, path, {})[0] == 401, (method, path)
    assert ask(published, "GET", "/nowhere", RIGHT)[0] == 404


async def test_two_tokens_are_none(published: str) -> None:
    connection = http.client.HTTPConnection(published, timeout=WAIT)
    connection.putrequest("GET", "/healthz")
    for _ in range(2):
        connection.putheader("Authorization", f"Bearer {TOKEN}")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


async def test_a_request_behind_one_that_was_refused_is_not_read(published: str) -> None:
    host, port = published.split(":")
    right = f"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    with socket.create_connection((host, int(port)), WAIT) as sock:
        sock.sendall((f"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n{right}").encode())
        got = b""
        while data := sock.recv(65_536):
            got += data
    assert got.count(b"HTTP/1.1 401") == 1
    assert got.count(b"HTTP/1.1 200") == 0


async def test_nothing_of_a_body_is_kept_before_the_token_was_seen(published: str, engine: Engine) -> None:
    [number] = of_process(engine)
    before = _memory(engine, number)
    host, port = published.split(":")
    head = "POST /api/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 400000000\r\n\r\n"
    for _ in range(3):
        with socket.create_connection((host, int(port)), WAIT) as sock, contextlib.suppress(OSError):
            sock.sendall(head.encode())
            started = time.monotonic()
            for _ in range(400):
                sock.sendall(bytes(10**6))
        assert time.monotonic() - started < 5
    assert _memory(engine, number) - before < 30 * 2**20
    with socket.create_connection((host, int(port)), WAIT) as sock:
        sock.sendall(head.encode())  # and nothing more
        got = b""
        while data := sock.recv(65_536):
            got += data
        assert got.startswith(b"HTTP/1.1 401")
    assert ask(published, "GET", "/healthz", RIGHT)[0] == 200


def _memory(engine: Engine, number: str) -> int:
    return int(engine.client.stats(number, stream=False)["memory_stats"]["usage"])


async def test_web_pages_are_refused_even_with_the_token(published: str) -> None:
    for origin in ("http://evil.example", f"http://{published}", "null"):
        assert ask(published, "GET", "/healthz", {**RIGHT, "Origin": origin})[0] == 403
        with pytest.raises(InvalidStatus) as caught:
            connect(f"ws://{published}/api/channels", additional_headers=RIGHT, origin=origin)  # type: ignore[arg-type]
        assert caught.value.response.status_code == 403


async def test_a_websocket_needs_the_token_too(published: str) -> None:
    for headers in WRONG.values():
        if "\xff" in str(headers):
            continue
        with pytest.raises(InvalidStatus) as caught:
            connect(f"ws://{published}/api/channels?host=1", additional_headers=headers)
        assert caught.value.response.status_code == 401
    with connect(f"ws://{published}/api/channels", additional_headers=RIGHT):
        pass


async def test_who_says_nothing_is_not_waited_for(published: str) -> None:
    host, port = published.split(":")
    with socket.create_connection((host, int(port)), WAIT) as sock:
        started = time.monotonic()
        assert sock.recv(1) == b""
        assert time.monotonic() - started < 10


async def test_code_inside_does_not_get_in_either(open_session: Open) -> None:
    code = """
import http.client
found = []
for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}):
    connection = http.client.HTTPConnection("127.0.0.1", 8765)
    connection.request("POST", "/api/execute", '{"code": "1"}', headers)
    found.append(connection.getresponse().status)
found
"""
    async with open_session(network_disabled=False, publish=0) as session:
        assert (await session.run(code)).value == [401] * 3


# Clients on another machine


async def test_a_client_elsewhere_uses_a_published_container(published: str, storage: FileStorage) -> None:
    config = ContainerConfig(auth_token=TOKEN, remote_url=f"http://{published}")
    async with Session(storage, ContainerExecutor(config)) as session:
        assert (await session.run("kept = 6 * 7\nkept")).value == 42
        assert (await session.run("artifacts.save('far', kept)")).is_ok
        assert storage.artifacts.load("far") == 42
        assert (await session.run("while True: pass", timeout=0.5)).state_preserved
        assert (await session.run("import os; os._exit(1)")).status == "died"
        assert (await session.run("1 + 1")).value == 2
    async with Session(storage, ContainerExecutor(config)) as session:
        assert (await session.run("'kept' in globals()")).value is False


async def test_a_second_client_takes_over_and_the_first_is_told(published: str, tmp_path: Path) -> None:
    config = ContainerConfig(auth_token=TOKEN, remote_url=f"http://{published}")
    stores = [FileStorage(base_path=tmp_path / name) for name in ("first", "second")]
    first, second = (Session(store, ContainerExecutor(config)) for store in stores)
    async with first:
        assert (await first.run("kept = 'first'")).is_ok
        waiting = first.stream("import time\nprint('waits')\ntime.sleep(60)", timeout=50)
        assert (await anext(waiting)).text == "waits\n"
        async with second:
            assert await anext(waiting, None) is None
            taken = first.last_result
            assert taken is not None
            assert (taken.status, taken.state_preserved) == ("died", False)
            assert "Another client of the container has ended this kernel" in str(taken.error)
            assert (await second.run("'kept' in globals()")).value is False
            assert (await second.run("artifacts.save('mine', 2)")).is_ok
            assert [[info.name for info in store.artifacts.list()] for store in stores] == [[], ["mine"]]
            # The first takes it back, and the second is told.
            back = await first.run("artifacts.save('mine', 1)\n'kept' in globals()")
            assert (back.value, back.state_preserved) == (False, False)
            assert stores[0].artifacts.load("mine") == 1
            assert stores[1].artifacts.load("mine") == 2
            assert (await second.run("1 + 1")).state_preserved is False
            assert (await second.run("2 + 2", timeout=20)).value == 4
        assert (await first.run("3 + 3", timeout=20)).value == 6


async def test_the_kernel_of_a_client_that_leaves_ends(published: str, storage: FileStorage) -> None:
    config = ContainerConfig(auth_token=TOKEN, remote_url=f"http://{published}")
    async with Session(storage, ContainerExecutor(config)) as session:
        assert (await session.run("kept = 1")).is_ok
        assert _kernel_of(published) == "running"
    until(lambda: _kernel_of(published) == "dead", "the kernel ends")


def _kernel_of(address: str) -> str:
    return str(json.loads(ask(address, "GET", "/healthz", RIGHT)[1])["kernel"])


async def test_a_client_elsewhere_with_another_token_is_told(published: str, storage: FileStorage) -> None:
    config = ContainerConfig(auth_token="another", remote_url=f"http://{published}")  # noqa: S106 - on purpose
    with pytest.raises(AuthenticationError, match="did not admit the token"):
        await Session(storage, ContainerExecutor(config)).start()
    nobody = ContainerConfig(auth_token=TOKEN, remote_url="http://127.0.0.1:9")
    with pytest.raises(ExecutorStartError, match="No container answers"):
        await Session(storage, ContainerExecutor(nobody)).start()


class NotOurs(http.server.BaseHTTPRequestHandler):
    """A server of something else."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("protocol", "how"), [("HTTP/1.1", "with status 501"), ("HTTP/1.0", "in a way")])
async def test_a_server_that_is_no_container_of_ours_is_said(
    storage: FileStorage, protocol: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NotOurs, "protocol_version", protocol)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NotOurs) as server:
        threading.Thread(target=server.serve_forever).start()
        config = ContainerConfig(auth_token=TOKEN, remote_url=f"http://127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(ExecutorStartError, match=f"What answered {how}.* is no container"):
                await Session(storage, ContainerExecutor(config)).start()
        finally:
            server.shutdown()


async def test_a_port_that_is_taken_is_said(published: str, storage: FileStorage) -> None:
    config = ContainerConfig(auth_token=TOKEN, publish=published)
    with pytest.raises(EngineError, match="publish=0 takes a free one"):
        await Session(storage, ContainerExecutor(config)).start()


# The table of the specification, on the host and inside


async def test_neither_a_token_nor_the_wish_to_do_without_starts_nothing(
    engine: Engine, storage: FileStorage
) -> None:
    with pytest.raises(AuthenticationError, match="needs an auth_token"):
        await Session(storage, ContainerExecutor()).start()
    assert of_process(engine) == {}


async def test_doing_without_warns_and_publishes_nothing(
    open_session: Open, caplog: pytest.LogCaptureFixture, engine: Engine
) -> None:
    async with open_session(auth_token=None, auth_disabled=True) as session:
        assert (await session.run("1 + 1")).value == 2
        [number] = of_process(engine)
        about = engine.inspect(number)
        assert about is not None
        assert not about["NetworkSettings"]["Ports"]
    assert "Authentication is switched off" in caplog.text
    with pytest.raises(ConfigurationError, match="nothing may be published"):
        ContainerConfig(auth_disabled=True, publish=0)


LINES = {
    "nothing at all": b"",
    "no settings": b"\n",
    "neither": b"{}\n",
    "no text": b'{"token_sha256": 7}\n',
    "a short hash": b'{"token_sha256": "abcd"}\n',
    "both": b'{"token_sha256": "' + b"a" * 64 + b'", "auth_disabled": true}\n',
    "almost without": b'{"auth_disabled": "yes"}\n',
    "without, and a port": b'{"auth_disabled": true, "port": 8765}\n',
    "without end": b"[" * 1_100_000,
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_the_server_inside_refuses_to_start_by_itself(engine: Engine, line: bytes) -> None:
    options = container_options(ContainerConfig(network_disabled=True), BASE, None, is_session=True)
    options["host"]["auto_remove"] = False
    number = engine.create(options)
    try:
        with engine.attach(number) as stream:
            engine.start(number)
            stream.sendall(line)
            stream.shutdown(socket.SHUT_WR)
            said = b"".join(iter(lambda: stream.recv(65_536), b""))
        until(lambda: (engine.inspect(number) or {})["State"]["Status"] == "exited", "it has ended")
        about = engine.inspect(number)
        assert about is not None
        assert about["State"]["ExitCode"] == 78
        assert len(said.split()) > 4  # it says why
    finally:
        engine.remove(number)


@pytest.fixture
def attached(engine: Engine) -> Iterator[socket.socket]:
    """The stream of a container that waits for a token."""
    options = container_options(ContainerConfig(network_disabled=True), BASE, None, is_session=True)
    number = engine.create(options)
    try:
        with engine.attach(number) as stream:
            stream.settimeout(WAIT)
            engine.start(number)
            yield stream
    finally:
        engine.remove(number)


def test_a_wrong_token_on_the_attached_stream_ends_the_container(attached: socket.socket) -> None:
    attached.sendall(b'{"token_sha256": "' + b"a" * 64 + b'"}\n')
    attached.sendall(f"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    got = b"".join(iter(lambda: attached.recv(65_536), b""))
    assert b"401" in got
    assert TOKEN.encode() not in got


@pytest.mark.parametrize("token", ["", " ", "two words", "line\nbreak", "x" * 1025, "é", 7, b"bytes"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(token: Any) -> None:
    with pytest.raises(ConfigurationError, match="auth_token") as caught:
        ContainerConfig(auth_token=token)
    if len(str(token)) > 2:
        assert str(token) not in str(caught.value)

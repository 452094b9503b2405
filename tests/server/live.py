"""A Jupyter Server in a process of its own, as a browser or a hostile client uses it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import websocket

WAIT = 60.0
TOKEN = uuid.uuid4().hex
Message = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class LiveServer:
    """A running server."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], root: Path) -> None:
        self.port, self.process, self.root = port, process, root
        self.about = psutil.Process(process.pid)

    @property
    def storage(self) -> Path:
        return self.root / "pcm_storage"

    def raw(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Ask with exactly these headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            reply = connection.getresponse()
            return Answer(reply.status, reply.read(), dict(reply.getheaders()))

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Ask with the token; a `body` that is not bytes becomes JSON."""
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return self.raw(method, path, raw, {"Authorization": f"token {TOKEN}", **headers})

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.json

    def start(self, name: str, path: str = "") -> str:
        """Start a kernel, for a notebook if a path is given, and return its id."""
        if path:
            body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": name}}
            return str(self.ask("POST", "/api/sessions", body).json["kernel"]["id"])
        return str(self.ask("POST", "/api/kernels", {"name": name}).json["id"])

    @contextlib.contextmanager
    def events(self) -> Iterator[websocket.WebSocket]:
        """Listen to the events."""
        opened = websocket.create_connection(
            f"ws://127.0.0.1:{self.port}/pcm/events",
            header=[f"Authorization: token {TOKEN}"],
            timeout=WAIT,
        )
        try:
            yield opened
        finally:
            opened.shutdown()

    def channels(self, kernel: str) -> Channels:
        """Connect to a kernel."""
        return Channels(self, kernel)


class Channels:
    """A browser's websocket to a kernel."""

    def __init__(self, server: LiveServer, kernel: str) -> None:
        self.session = uuid.uuid4().hex
        self.socket = websocket.create_connection(
            f"ws://127.0.0.1:{server.port}/api/kernels/{kernel}/channels?session_id={self.session}",
            header=[f"Authorization: token {TOKEN}"],
            timeout=WAIT,
        )

    def send(self, kind: str, content: Message, channel: str = "shell") -> str:
        """Send a message, and return its id."""
        number = uuid.uuid4().hex
        header = {
            "msg_id": number,
            "msg_type": kind,
            "session": self.session,
            "username": "",
            "version": "5.4",
            "date": "2024-01-01T00:00:00Z",
        }
        message = {
            "channel": channel,
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "buffers": [],
        }
        self.socket.send(json.dumps(message))
        return number

    def request(self, kind: str, content: Message, channel: str = "shell") -> Message:
        """Send a request, and return the content of its reply."""
        number = self.send(kind, content, channel)
        while True:
            message = json.loads(self.socket.recv())
            is_reply = message["msg_type"] == kind.replace("_request", "_reply")
            if is_reply and message["parent_header"].get("msg_id") == number:
                return dict(message["content"])

    def run(self, code: str) -> Message:
        """Run a cell, and return the content of its reply."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        return self.request("execute_request", content)

    def begin(self, code: str) -> None:
        """Begin a cell, and do not wait for its end."""
        self.send("execute_request", {"code": code, "silent": False, "store_history": True})

    def close(self) -> None:
        self.socket.shutdown()


@contextlib.contextmanager
def serving(root: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[LiveServer]:
    """Run a server whose folders are below `root`."""
    names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "PCM_STORAGE")
    folders = {name: str(root / name.lower()) for name in names}
    (root / "notebooks").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"),
        f"--ServerApp.root_dir={root / 'notebooks'}",
        '--ServerApp.jpserver_extensions={"py_code_mode_jupyter": True, "jupyterlab": False}',
        *options,
    ]
    with (root / "log").open("wb") as log:
        environ = {**os.environ, **folders, **(env or {})}
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    server = LiveServer(port, process, root)
    try:
        until(lambda: _answers(server), "the server answers")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(WAIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(server: LiveServer) -> bool:
    assert server.process.poll() is None, (server.root / "log").read_text()
    with contextlib.suppress(OSError):
        return server.ask("GET", "/pcm/health").status == 200
    return False


def until(holds: Callable[[], Any], what: str, seconds: float = WAIT) -> Any:
    """Poll until something holds, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(0.02)
    return found


def heard(events: Any, topic: str, change: str) -> Any:
    """Return the next event of a kind."""
    while True:
        event = json.loads(events.recv())
        if (event["topic"], event["change"]) == (topic, change):
            return event

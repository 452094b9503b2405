"""An unmodified Jupyter Server in a process of its own, as a browser uses it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import websocket

WAIT = 60.0
TOKEN = uuid.uuid4().hex
Message = dict[str, Any]


class Server:
    """A running server."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.port, self.process, self.log = port, process, log
        self.about = psutil.Process(process.pid)
        self.notebooks: list[Notebook] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)

    def request(self, method: str, path: str, body: Message | None = None) -> Any:
        """Ask the REST interface, over a connection that stays open."""
        self._connection.request(
            method,
            f"/api/{path}",
            body=None if body is None else json.dumps(body),
            headers={"Authorization": f"token {TOKEN}"},
        )
        reply = self._connection.getresponse()
        text = reply.read()
        assert reply.status < 400, text
        return json.loads(text or b"null")

    def ping(self) -> float:
        """Return the milliseconds that a small request takes."""
        begun = time.perf_counter()
        self.request("GET", "status")
        return (time.perf_counter() - begun) * 1000

    def notebook(self, name: str = "pcm-in-process") -> Notebook:
        """Start a kernel and connect to it."""
        return Notebook(self, self.request("POST", "kernels", {"name": name})["id"])

    def close(self) -> None:
        """Close the connection, and the websockets that are still open."""
        self._connection.close()
        for one in self.notebooks:
            one.socket.close()

    @property
    def descriptors(self) -> int:
        return self.about.num_fds()

    @property
    def memory(self) -> int:
        return int(self.about.memory_info().rss)


class Notebook:
    """One kernel, and a browser's websocket to it."""

    def __init__(self, server: Server, number: str) -> None:
        self.server, self.id = server, number
        server.notebooks.append(self)
        self.session = uuid.uuid4().hex
        self.socket = websocket.create_connection(
            f"ws://127.0.0.1:{server.port}/api/kernels/{number}/channels?session_id={self.session}",
            header=[f"Authorization: token {TOKEN}"],
            timeout=WAIT,
        )

    def send(self, code: str) -> str:
        number = uuid.uuid4().hex
        header = {
            "msg_id": number,
            "msg_type": "execute_request",
            "session": self.session,
            "username": "",
            "version": "5.4",
            "date": "2024-01-01T00:00:00Z",
        }
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        message = {
            "channel": "shell",
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "buffers": [],
        }
        self.socket.send(json.dumps(message))
        return number

    def messages(self, number: str) -> Iterator[Message]:
        """Yield what comes for a cell, up to its reply and its idle status."""
        left = {"reply", "idle"}
        while left:
            message = json.loads(self.socket.recv())
            if message["parent_header"].get("msg_id") != number:
                continue
            yield message
            if message["msg_type"] == "execute_reply":
                left.discard("reply")
            elif message["content"].get("execution_state") == "idle":
                left.discard("idle")

    def run(self, code: str) -> Message:
        """Run a cell; return its reply, with ``stdout``, ``stderr`` and ``value`` added."""
        reply: Message = {"stdout": "", "stderr": "", "value": None}
        for message in self.messages(self.send(code)):
            content = message["content"]
            if message["msg_type"] == "stream":
                reply[content["name"]] += content["text"]
            elif message["msg_type"] == "execute_result":
                reply["value"] = content["data"]["text/plain"]
            elif message["msg_type"] == "execute_reply":
                reply |= content
        return reply

    def begin(self, code: str) -> str:
        """Begin a cell and wait until it has printed something."""
        number = self.send(f"print('go')\n{code}")
        for message in self.messages(number):
            if message["msg_type"] == "stream":
                return number
        raise AssertionError("it ended")

    def act(self, what: str) -> None:
        self.server.request("POST", f"kernels/{self.id}/{what}")

    def delete(self) -> None:
        self.socket.close()
        self.server.request("DELETE", f"kernels/{self.id}")


def until(holds: Callable[[], object], what: str, seconds: float = WAIT) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(0.02)


def _limit_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))


@contextlib.contextmanager
def serving(folder: Path, env: Mapping[str, str] | None = None, *options: str) -> Iterator[Server]:
    """Run a server in a folder, with at most 4096 descriptors."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyter_server",
                "--allow-root",
                "--no-browser",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={TOKEN}",
                f"--ServerApp.root_dir={folder}",
                *options,
            ],
            stdout=output,
            stderr=output,
            env={**environ, **(env or {})},
            preexec_fn=_limit_descriptors,
        )
    server = Server(port, process, log)
    try:
        until(lambda: _answers(server), "the server answers")
        yield server
    finally:
        server.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _answers(server: Server) -> bool:
    assert server.process.poll() is None, server.log.read_text()
    try:
        server.request("GET", "")
    except (OSError, http.client.HTTPException):
        server._connection.close()
        return False
    return True

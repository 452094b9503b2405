"""An unmodified Jupyter Server drives the isolated kernel over HTTP and websockets, as for a browser."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from .conftest import WAIT, Message, gone, left_in, processes_of, until

TOKEN = uuid.uuid4().hex
OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.port=0",
    "--ServerApp.open_browser=False",
    "--KernelRestarter.time_to_dead=0.2",
)


class Server:
    """A running server, and what a browser asks of it."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, temp: Path) -> None:
        self.process, self.url, self.temp = process, url, temp

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.url}api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=WAIT) as reply:  # noqa: S310 - as above
            return json.loads(reply.read() or b"null")

    def answers(self) -> bool:
        try:
            return bool(self.request("GET", "status"))
        except urllib.error.URLError:
            return False

    def kernels(self) -> list[str]:
        return [kernel["id"] for kernel in self.request("GET", "kernels")]


class Tab:
    """A notebook in a browser: one kernel and one websocket."""

    def __init__(self, server: Server, name: str = "pcm-venv") -> None:
        self.server = server
        self.id = server.request("POST", "kernels", {"name": name})["id"]
        self.session = uuid.uuid4().hex
        address = server.url.replace("http", "ws", 1)
        self.socket = websocket.create_connection(
            f"{address}api/kernels/{self.id}/channels?session_id={self.session}",
            header=[f"Authorization: token {TOKEN}"],
            timeout=WAIT,
        )

    def send(self, kind: str, content: dict[str, Any], channel: str = "shell") -> str:
        number = uuid.uuid4().hex
        header = {
            "msg_id": number,
            "msg_type": kind,
            "session": self.session,
            "username": "",
            "date": "",
            "version": "5.3",
        }
        message = {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": channel,
        }
        self.socket.send(json.dumps(message))
        return number

    def until(self, wanted: Callable[[Message], object]) -> list[Message]:
        """Return all messages up to the first that is wanted."""
        deadline = time.monotonic() + WAIT
        seen = []
        while time.monotonic() < deadline:
            seen.append(json.loads(self.socket.recv()))
            if wanted(seen[-1]):
                return seen
        pytest.fail(f"not in {WAIT:g} s; seen: {[m['msg_type'] for m in seen]}")

    def execute(self, code: str) -> str:
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        return self.send("execute_request", {**content, "allow_stdin": False, "stop_on_error": True})

    def run(self, code: str, *, begun: Callable[[], object] = lambda: None) -> str:
        """Execute a cell and return what it showed; `begun` is called at its first output."""
        number = self.execute(code)

        def is_end(message: Message) -> bool:
            mine = message["parent_header"].get("msg_id") == number
            if mine and message["msg_type"] == "stream":
                begun()
            return mine and message["content"].get("execution_state") == "idle"

        seen = [m["content"] for m in self.until(is_end) if m["parent_header"].get("msg_id") == number]
        return "".join(c.get("text", "") + "\n".join(c.get("traceback", ())) for c in seen).strip()

    def pid(self) -> int:
        return int(self.run("import os; print(os.getpid())"))

    def close(self) -> None:
        self.socket.close()
        if self.id in self.server.kernels():
            self.server.request("DELETE", f"kernels/{self.id}")


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Start Jupyter Server as a person does, with secrets in its environment; it must leave nothing."""
    runtime, temp, log = folder / "runtime", folder / "t", folder / "log"
    runtime.mkdir()
    temp.mkdir()
    own = {"JUPYTER_RUNTIME_DIR": str(runtime), "TMPDIR": str(temp)}
    env = {**os.environ, **own, "JUPYTER_TOKEN": TOKEN, "MY_SECRET": "s3cret"}
    command = [sys.executable, "-m", "jupyter_server", *OPTIONS, f"--ServerApp.root_dir={folder}"]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=env, stdout=output, stderr=output) as process,
    ):
        try:
            until(lambda: [*runtime.glob("jpserver-*.json")], "the server runs")
            (about,) = runtime.glob("jpserver-*.json")
            running = Server(process, json.loads(about.read_text())["url"], temp)
            until(running.answers, "the server answers")
            yield running
            stop(process)
        finally:
            process.kill()
    text = log.read_text()
    assert "encryption" not in text
    assert "Traceback" not in text
    assert left_in(temp) == []
    assert [*runtime.glob("kernel-*")] == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server as a service manager does."""
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=WAIT)


@pytest.fixture
def tab(server: Server) -> Iterator[Tab]:
    with contextlib.closing(Tab(server)) as opened:
        yield opened


def test_the_launcher_offers_the_kernel(server: Server) -> None:
    spec = server.request("GET", "kernelspecs")["kernelspecs"]["pcm-venv"]
    assert spec["spec"]["display_name"] == "Python (isolated venv)"
    assert {"logo-32x32", "logo-64x64", "logo-svg"} <= {*spec["resources"]}


def test_a_cell_runs_and_sees_no_secret_of_the_server(tab: Tab) -> None:
    assert tab.run("print(6 * 7)") == "42"
    seen = tab.run("import os; print([*os.environ.items()])")
    assert "s3cret" not in seen
    assert TOKEN not in seen
    assert "'PATH'" in seen


def test_interrupt_restart_and_shutdown(tab: Tab, server: Server) -> None:
    pid = tab.pid()
    tab.run("kept = 42")
    interrupt = functools.partial(server.request, "POST", f"kernels/{tab.id}/interrupt")
    for code in ("while True: pass", "import time; time.sleep(60)"):
        assert "KeyboardInterrupt" in tab.run(f"print('begun', flush=True)\n{code}", begun=interrupt)
    assert tab.run("print(kept)") == "42"
    server.request("POST", f"kernels/{tab.id}/restart")
    assert gone(pid)
    assert "NameError" in tab.run("print(kept)")
    pid = tab.pid()
    server.request("DELETE", f"kernels/{tab.id}")
    assert gone(pid)
    assert server.kernels() == []
    assert left_in(server.temp) == []


def test_a_kernel_that_died_is_restarted_behind_the_same_websocket(tab: Tab) -> None:
    tab.run("kept = 42")
    tab.execute("import os; os._exit(1)")
    states = [
        m["content"].get("execution_state")
        for m in tab.until(lambda m: m["content"].get("execution_state") == "restarting")
    ]
    assert states[-1] == "restarting"
    assert "NameError" in tab.run("print(kept)")
    assert tab.run("print(6 * 7)") == "42"


def test_a_failed_start_is_explained_in_the_notebook_and_not_by_status_500(server: Server) -> None:
    kernels = Path(os.environ["JUPYTER_DATA_DIR"]) / "kernels" / "pcm-wrong"
    kernels.mkdir(parents=True)
    stanza = {"provisioner_name": "pcm-venv-provisioner", "config": {"python_version": 3.99}}
    spec = {"argv": ["x"], "display_name": "x", "metadata": {"kernel_provisioner": stanza}}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    with contextlib.closing(Tab(server, "pcm-wrong")) as tab:
        assert "python_version" in tab.run("1 + 1")
        assert "nothing is run" in tab.run("1 + 1")


def test_a_server_that_is_shut_down_takes_busy_kernels_along(tmp_path: Path) -> None:
    with serving(tmp_path) as own:
        tab = Tab(own)
        pid = tab.pid()
        tab.execute("while True: pass")
        own.request("POST", "shutdown")
        own.process.wait(timeout=WAIT)
        tab.socket.close()
        assert gone(pid)
        assert processes_of(own.temp) == set()

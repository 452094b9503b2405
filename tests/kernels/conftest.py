"""Kernels as frontends have them: a manager, one client, and folders in which anything left behind shows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import KernelManager
from jupyter_core.utils import ensure_event_loop
from traitlets.config import Config

from py_code_mode_jupyter.environments.process import MARK

WAIT = 60.0  # seconds that anything may take; the first kernel needs a base, which is built once
SPEC = Path(__file__).parents[2] / "kernelspecs" / "pcm-venv" / "kernel.json"
Message = dict[str, Any]


def until(condition: Callable[[], object], what: str, *, seconds: float = WAIT) -> None:
    """Poll until `condition` holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether no such process runs; one that waits to be collected does not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def processes_of(temp: Path) -> set[int]:
    """Return what runs in environments below `temp`, whoever started it."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            variables = process.environ() if process.status() != psutil.STATUS_ZOMBIE else {}
            if MARK in variables and variables.get("TMPDIR", "").startswith(str(temp)):
                found.add(process.pid)
    return found


def left_in(temp: Path) -> list[str]:
    """Return what kernels left of themselves in and below `temp`, their folder for temporary files."""
    folders = [path.name for path in temp.iterdir() if path.name.startswith("pcm-")]
    return sorted([*folders, *(f"process {pid}" for pid in processes_of(temp))])


def traces() -> set[str]:
    """Return what kernels of this process could leave elsewhere: threads and connection files."""
    threads = {f"thread {t.ident} {t.name}" for t in threading.enumerate() if t.name.startswith("pcm-")}
    return threads | {str(path) for path in Path(os.environ["JUPYTER_RUNTIME_DIR"]).iterdir()}


@dataclass
class Cell:
    """What one executed cell showed, in the terms of the messaging protocol."""

    messages: list[Message] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        self.messages.append(message)

    def contents(self, kind: str) -> list[dict[str, Any]]:
        return [m["content"] for m in self.messages if m["msg_type"] == kind]

    def stream(self, name: str) -> str:
        return "".join(c["text"] for c in self.contents("stream") if c["name"] == name)

    @property
    def stdout(self) -> str:
        assert self.reply["status"] == "ok", self.error
        return self.stream("stdout").strip()

    @property
    def value(self) -> str:
        assert self.reply["status"] == "ok", self.error
        return "".join(c["data"]["text/plain"] for c in self.contents("execute_result"))

    @property
    def shown(self) -> str:
        """Everything displayed, as text."""
        return "\n".join(
            c["data"]["text/plain"] for k in ("execute_result", "display_data") for c in self.contents(k)
        )

    @property
    def error(self) -> str:
        """The error as the notebook shows it."""
        return "\n".join(line for c in self.contents("error") for line in c["traceback"])


def _config(name: str, traits: dict[str, Any]) -> Config:
    provisioner = "ContainerProvisioner" if name.startswith("pcm-container") else "VenvProvisioner"
    return Config({provisioner: traits})


class Notebook:
    """A kernel and a frontend's client of it."""

    def __init__(
        self,
        name: str = "pcm-venv",
        *,
        variables: dict[str, str] | None = None,
        cwd: Path | None = None,
        **traits: Any,
    ) -> None:
        self.manager = KernelManager(kernel_name=name, config=_config(name, traits))
        where = {} if cwd is None else {"cwd": str(cwd)}
        self.manager.start_kernel(env={**os.environ, **(variables or {})}, **where)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=WAIT)

    def run(
        self, code: str, *, seen: Callable[[Message], object] | None = None, answer: str | None = None
    ) -> Cell:
        """Execute a cell; `seen` is called with each message as it arrives, `answer` is for ``input()``."""
        cell = Cell()

        def take(message: Message) -> None:
            cell.take(message)
            if seen is not None:
                seen(message)

        cell.reply = self.client.execute_interactive(
            code,
            timeout=WAIT,
            output_hook=take,
            allow_stdin=answer is not None,
            stdin_hook=lambda _: self.client.input(answer),
        )["content"]
        return cell

    def value(self, code: str) -> Any:
        """Execute a cell and return what the JSON text that it prints means."""
        return json.loads(self.run(f"import json as _json; print(_json.dumps({code}))").stdout)

    @property
    def pid(self) -> int:
        """The kernel's process, as its host knows it."""
        return int(self.manager.provisioner._place.pid)  # type: ignore[union-attr]

    def interrupted(self, code: str) -> Cell:
        """Execute `code`, and interrupt it once it has printed something."""

        def strike(message: Message) -> None:
            if message["msg_type"] == "stream":
                self.manager.interrupt_kernel()

        return self.run(f"print('begun', flush=True)\n{code}", seen=strike)

    def restart(self, *, now: bool = False) -> None:
        """Restart the kernel, and go on with the same client."""
        self.manager.restart_kernel(now=now)
        self.client.wait_for_ready(timeout=WAIT)

    def control(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """Send a request on the control channel and return the content of its reply."""
        message = self.client.session.msg(kind, content)
        self.client.control_channel.send(message)
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            reply = self.client.get_control_msg(timeout=WAIT)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return dict(reply["content"])
        pytest.fail(f"no reply to {kind}")

    def close(self) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


Start = Callable[..., Notebook]


@pytest.fixture(scope="module", autouse=True)
def client_loop() -> Iterator[None]:
    """Close the event loop that the blocking clients make for this thread and keep."""
    loop = ensure_event_loop()
    yield
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture(scope="module")
def shared(client_loop: None) -> Iterator[Notebook]:
    """A kernel for all tests of a file that leave it as it was."""
    notebook = Notebook()
    yield notebook
    notebook.close()


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of the test's own, with a path short enough for sockets."""
    # pytest makes `tmp_path` in the folder for temporary files, so it comes first.
    folder = Path(tempfile.mkdtemp(prefix="pcm-t-", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(temp: Path, client_loop: None) -> Iterator[Start]:
    """Start kernels for this test alone; afterwards they must have left nothing behind."""
    before = traces()
    with contextlib.ExitStack() as stack:

        def started(*args: Any, **kwargs: Any) -> Notebook:
            notebook = Notebook(*args, **kwargs)
            stack.callback(notebook.close)
            return notebook

        yield started
    assert traces() - before == set()
    assert left_in(temp) == []


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Install a kernelspec of its own with this configuration, as an administrator may; return its name."""

    def install(config: dict[str, Any], **fields: Any) -> str:
        kernel = {**json.loads(SPEC.read_text()), **fields}
        kernel["metadata"]["kernel_provisioner"]["config"] = config
        folder = tmp_path / "jupyter" / "kernels" / "pcm-own"
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(json.dumps(kernel))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
        return "pcm-own"

    return install

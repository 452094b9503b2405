"""Real kernels that load the magic, and an IPython shell in the test's own process."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from IPython.core.completer import provisionalcompleter, rectify_completions
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from jupyter_client.manager import KernelManager
from jupyter_core.utils import ensure_event_loop
from traitlets.config import Config

from py_code_mode_jupyter.magics.magic import PcmMagics
from py_code_mode_jupyter.magics.progress import DISPLAY

if TYPE_CHECKING:
    from py_code_mode_jupyter.magics.notebook import Notebook

WAIT = 60.0  # seconds that anything may take; the first venv needs a base, which is built once


def until(condition: Callable[[], object], what: str, *, seconds: float = WAIT) -> None:
    """Poll until `condition` holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(0.02)


@dataclass
class Cell:
    """What one executed cell showed, in the terms of the messaging protocol."""

    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return bool(self.reply["status"] == "ok")

    def stream(self, name: str) -> str:
        return "".join(c["text"] for kind, c in self.messages if kind == "stream" and c["name"] == name)

    @property
    def stdout(self) -> str:
        return self.stream("stdout")

    @property
    def stderr(self) -> str:
        return self.stream("stderr")

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.messages]

    def bundles(self, mime: str = "text/plain") -> list[str]:
        return [c["data"][mime] for _, c in self.messages if mime in c.get("data", {})]

    @property
    def error(self) -> str:
        """The error as the notebook shows it."""
        return "\n".join(line for kind, c in self.messages if kind == "error" for line in c["traceback"])


def _is_progress(transient: Mapping[str, Any] | None) -> bool:
    """Whether it is a progress bar, which only a slow machine shows: no other test is about that."""
    return str((transient or {}).get("display_id")).startswith(DISPLAY)


class Kernel:
    """A running kernel with the extension loaded, and one client."""

    def __init__(self, name: str, env: dict[str, str] | None = None) -> None:
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel(env={**os.environ, **(env or {})})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=WAIT)
        assert self("%load_ext py_code_mode_jupyter").ok

    def __call__(self, code: str, *, seen: Callable[[str, dict[str, Any]], object] | None = None) -> Cell:
        """Execute a cell; `seen` is called with type and content of each message as it arrives."""
        cell = Cell()

        def take(message: dict[str, Any]) -> None:
            kind, content = message["msg_type"], message["content"]
            if _is_progress(content.get("transient")):
                cell.progress.append(content["data"]["text/plain"])
            elif kind not in ("status", "execute_input"):
                cell.messages.append((kind, content))
                if seen is not None:
                    seen(kind, content)

        reply = self.client.execute_interactive(code, timeout=WAIT, output_hook=take, allow_stdin=False)
        cell.reply = reply["content"]
        return cell

    def pid(self) -> int:
        return int(self("import os; os.getpid()").bundles()[0])

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def send(self, number: int) -> None:
        os.kill(self.pid(), number)

    def close(self) -> None:
        self.client.stop_channels()
        if self.manager.is_alive():
            self.manager.shutdown_kernel()
        self.manager.cleanup_resources()


@pytest.fixture(scope="module", autouse=True)
def client_loop() -> Iterator[None]:
    """Close the event loop that the blocking clients make for this thread and keep."""
    loop = ensure_event_loop()
    yield
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture(scope="module")
def kernels(client_loop: None) -> Iterator[Callable[[str], Kernel]]:
    """Return the kernel of a name, one for all tests of a module."""
    with contextlib.ExitStack() as stack:
        started = {name: Kernel(name) for name in ("python3", "pcm-venv")}
        for kernel in started.values():
            stack.callback(kernel.close)
        yield started.__getitem__


class Place(NamedTuple):
    """A kernel that a person may choose, and an executor's word for -e in it."""

    kernel: Kernel
    executor: str


@pytest.fixture(
    params=[
        ("python3", "in-process"),
        ("python3", "venv"),
        ("pcm-venv", "in-process"),
        # An isolated kernel has no installer until it is asked for.
        pytest.param(("pcm-venv", "venv"), marks=pytest.mark.needs("network")),
    ],
    ids="-".join,
)
def place(request: pytest.FixtureRequest, kernels: Callable[[str], Kernel]) -> Place:
    """Each kernel with each executor."""
    name, executor = request.param
    kernel = kernels(name)
    if request.param == ("pcm-venv", "venv"):
        assert kernel("deps.add('uv')").ok
    return Place(kernel, executor)


@pytest.fixture
def stock(kernels: Callable[[str], Kernel]) -> Kernel:
    """A stock kernel."""
    return kernels("python3")


@pytest.fixture
def fresh(tmp_path: Path, client_loop: None) -> Iterator[Kernel]:
    """A stock kernel of the test's own, whose temporary files lie in `tmp_path`."""
    started = Kernel("python3", {"TMPDIR": str(tmp_path)})
    yield started
    started.close()


class Shell:
    """An IPython shell in this process."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell

    def __call__(self, code: str) -> tuple[str, BaseException | None]:
        """Run a cell; return everything it showed, and what it raised."""
        with capture_output() as shown:
            result = self.shell.run_cell(code)
        outputs = [output for output in shown.outputs if not _is_progress(output.transient)]
        texts = [str(output.data.get("text/plain", "")) for output in outputs]
        return "\n".join(
            [shown.stdout, shown.stderr, *texts]
        ), result.error_before_exec or result.error_in_exec

    def said(self, code: str) -> str:
        """Run a cell that has to succeed; return everything it showed."""
        shown, error = self(code)
        assert error is None, shown
        return shown.strip()

    def completions(self, code: str) -> list[str]:
        """Return what the text before the cursor, which is at its end, may become."""
        with provisionalcompleter():
            found = list(self.shell.Completer.completions(code, len(code)))
            return [code[: each.start] + each.text for each in rectify_completions(code, found)]

    @property
    def notebook(self) -> Notebook:
        """What the magic of this shell works with."""
        magics = self.shell.magics_manager.registry["PcmMagics"]
        assert isinstance(magics, PcmMagics)
        return magics.notebook

    def settle(self) -> None:
        """Have every thread started that sessions share: else one would in some test, which had left it."""
        self.notebook.background.call(_every_worker())

    def failing(self, code: str) -> str:
        """Run a cell that has to fail; return the error as it is shown, without the rest."""
        shown, error = self(code)
        assert error is not None
        return shown.strip()


@contextlib.contextmanager
def own_shell() -> Iterator[Shell]:
    """An IPython shell of this process with the extension loaded."""
    made = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}), colors="nocolor")
    made.run_cell("%load_ext py_code_mode_jupyter")
    yield Shell(made)
    made.run_cell("%unload_ext py_code_mode_jupyter")
    made.atexit_operations()
    atexit.unregister(made.atexit_operations)
    InteractiveShell.clear_instance()


@pytest.fixture
def shell() -> Iterator[Shell]:
    """A shell of the test's own."""
    with own_shell() as made:
        yield made


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell for all tests of a module, with a session in this process and the venv session ``lab``.

    They began in a folder of their own, and over a storage of their own.
    """
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(tmp_path_factory.mktemp("sessions")),
        own_shell() as made,
    ):
        patch.setenv("PCM_STORAGE", str(tmp_path_factory.mktemp("storage")))
        made.said("%pcm run -e in-process 1")
        made.said("%pcm start lab -e venv")
        made.settle()
        yield made


async def _every_worker() -> None:
    """Keep every thread of the loop's pool busy for a moment."""
    workers = min(32, (os.cpu_count() or 1) + 4)
    together = threading.Barrier(workers)
    await asyncio.gather(*(asyncio.to_thread(together.wait, WAIT) for _ in range(workers)))


def gone(pid: int) -> bool:
    """Whether no such process runs; one that waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"

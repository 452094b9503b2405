"""Interrupt, restart, death and the end of isolated kernels, whoever's end comes first."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.ioloop import AsyncIOLoopKernelManager
from traitlets.config import Config

from .conftest import WAIT, Notebook, Start, gone, left_in, processes_of, traces, until

SOON = 5.0  # seconds: long for a request, short beside the minute that interrupted code would take
LOOP = "while True: pass"
SLEEP = "import time; time.sleep(60)"
AWAIT = "import asyncio; await asyncio.sleep(60)"
CHILD = "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid, flush=True)"
STUBBORN = """
import signal
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print('begun', flush=True)
while True:
    try:
        while True: pass
    except BaseException: pass
"""
WRITE_MODULE = "import sysconfig; open(sysconfig.get_path('purelib') + '/put_there.py', 'w').write('x = 1')"


@pytest.mark.parametrize("code", [LOOP, SLEEP, AWAIT], ids=["loop", "sleep", "await"])
def test_an_interrupt_ends_the_cell_and_keeps_variables(shared: Notebook, code: str) -> None:
    shared.run("kept = 42")
    started = time.monotonic()
    cell = shared.interrupted(code)
    assert time.monotonic() - started < SOON
    assert cell.reply["status"] == "error"
    assert "KeyboardInterrupt" in cell.error or "CancelledError" in cell.error
    assert shared.value("kept") == 42


def test_an_interrupt_between_cells_does_nothing(shared: Notebook) -> None:
    pid = shared.pid
    shared.manager.interrupt_kernel()
    assert shared.pid == pid


def test_a_restart_loses_variables_and_keeps_the_environment(start: Start) -> None:
    notebook = start()
    assert notebook.value("__import__('os').getpid()") == notebook.pid
    notebook.run("kept = 42")
    notebook.run(WRITE_MODULE)
    before, prefix = notebook.pid, notebook.run("import sys; print(sys.prefix)").stdout
    notebook.restart()
    assert gone(before)
    assert "NameError" in notebook.run("kept").error
    assert notebook.run("import sys, put_there; print(put_there.x, sys.prefix)").stdout == f"1 {prefix}"


def test_a_new_kernel_gets_a_fresh_environment(start: Start) -> None:
    first = start()
    first.run(WRITE_MODULE)
    second = start()
    assert "ModuleNotFoundError" in second.run("import put_there").error
    first.close()
    assert "ModuleNotFoundError" in start().run("import put_there").error
    assert second.run("6 * 7").value == "42"


def test_a_restart_stops_code_that_does_not_stop(start: Start) -> None:
    notebook = start()
    before = notebook.pid
    begin(notebook, STUBBORN)
    notebook.restart()
    assert gone(before)
    assert notebook.run("6 * 7").value == "42"


@pytest.mark.parametrize("code", [f"print('begun', flush=True)\n{LOOP}", STUBBORN], ids=["loop", "stubborn"])
def test_shutdown_ends_code_that_does_not_stop_and_its_children(start: Start, temp: Path, code: str) -> None:
    notebook = start()
    pid, child = notebook.pid, int(notebook.run(CHILD).stdout)
    begin(notebook, code)
    notebook.manager.shutdown_kernel()
    assert gone(pid)
    assert gone(child)
    assert left_in(temp) == []


def begin(notebook: Notebook, code: str) -> None:
    """Have `code` run, and go on once it has printed something."""
    notebook.client.execute(code)
    deadline = time.monotonic() + WAIT
    while notebook.client.get_iopub_msg(timeout=WAIT)["msg_type"] != "stream":
        assert time.monotonic() < deadline


def test_shutdown_leaves_no_descriptor(start: Start) -> None:
    start().close()  # what is made once, is made now
    before = psutil.Process().num_fds()
    start().close()
    assert psutil.Process().num_fds() == before


def test_kernels_can_be_shut_down_at_once_and_twice(start: Start, temp: Path) -> None:
    notebook = start()
    pid = notebook.pid
    notebook.manager.shutdown_kernel(now=True)
    assert gone(pid)
    assert left_in(temp) == []
    notebook.manager.shutdown_kernel(now=True)
    notebook.manager.cleanup_resources()


# A server's manager: it watches its kernel and restarts one that died.


class Watched:
    """A kernel under the watch of the restarter that Jupyter Server uses, and one client."""

    def __init__(self, **restarter: Any) -> None:
        settings = {"time_to_dead": 0.1, **restarter}
        self.manager = AsyncIOLoopKernelManager(
            kernel_name="pcm-venv", config=Config(KernelRestarter=settings)
        )
        self.restarts = 0
        self._restarted = asyncio.Event()

    async def start(self) -> None:
        await self.manager.start_kernel()
        self.manager.add_restart_callback(self._count)
        self.client = self.manager.client()
        self.client.start_channels()
        await self.client.wait_for_ready(timeout=WAIT)

    def _count(self) -> None:
        self.restarts += 1
        self._restarted.set()

    async def run(self, code: str) -> str:
        """Execute a cell and return what it printed, or its error."""
        shown: list[str] = []

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            shown.append(content.get("text", "") + "".join(content.get("traceback", ())))

        await self.client.execute_interactive(code, timeout=WAIT, output_hook=take, allow_stdin=False)
        return "".join(shown).strip()

    async def death(self, kill: Callable[[], object]) -> None:
        """Kill the kernel, and wait until it was restarted."""
        self._restarted.clear()
        kill()
        await asyncio.wait_for(self._restarted.wait(), WAIT)
        # Jupyter tells that before it restarts the kernel.
        async with asyncio.timeout(WAIT):
            while not await self.manager.is_alive():  # noqa: ASYNC110 - nothing tells when it is
                await asyncio.sleep(0.01)
        await self.client.wait_for_ready(timeout=WAIT)

    async def close(self) -> None:
        self.client.stop_channels()
        await self.manager.shutdown_kernel()


@pytest.fixture
async def watch(temp: Path) -> AsyncIterator[Callable[..., Any]]:
    """Start a watched kernel; it must leave nothing behind."""
    before = traces()
    started: list[Watched] = []

    async def start(**restarter: Any) -> Watched:
        started.append(Watched(**restarter))
        await started[-1].start()
        return started[-1]

    yield start
    for watched in started:
        await watched.close()
    assert traces() - before == set()
    assert left_in(temp) == []


async def test_a_kernel_that_died_is_restarted_and_the_same_client_goes_on(watch: Callable[..., Any]) -> None:
    watched = await watch(stable_start_time=0.0)
    for death in (
        "import os; os._exit(1)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import ctypes; ctypes.string_at(0)",
    ):
        await watched.run("kept = 42")
        await watched.death(functools.partial(watched.client.execute, death))
        assert "NameError" in await watched.run("kept")
        assert await watched.run("print(6 * 7)") == "42"
    assert watched.restarts == 3


async def test_the_kernel_and_its_children_are_restarted_when_killed_from_outside(
    watch: Callable[..., Any], temp: Path
) -> None:
    # Jupyter gives a kernel that died this soon other ports; ours has sockets that stay.
    watched = await watch(stable_start_time=60.0)
    child = int(await watched.run(CHILD))
    pid = int(await watched.run("import os; print(os.getpid())"))
    await watched.death(lambda: os.kill(pid, signal.SIGKILL))
    assert gone(child)
    assert int(await watched.run("import os; print(os.getpid())")) != pid


@pytest.mark.parametrize("after", [0.0, 0.05, 0.2])
async def test_a_start_that_is_cancelled_leaves_nothing(temp: Path, after: float) -> None:
    before = traces()
    manager = AsyncIOLoopKernelManager(kernel_name="pcm-venv")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(manager.start_kernel(), after)
    assert left_in(temp) == []
    assert traces() - before == set()
    manager.context.destroy()


# The host's own end

HOST = """
import json, sys
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="pcm-venv")
printed = []
take = lambda message: printed.append(message["content"].get("text", ""))
client.execute_interactive(sys.argv[1], timeout=60, output_hook=take)
print(json.dumps({"child": int("".join(printed)), "kernel": manager.provisioner._place.pid}), flush=True)
sys.stdin.readline()
"""


def host(temp: Path) -> tuple[subprocess.Popen[str], dict[str, int]]:
    """Start a program that starts a kernel and something in it; return it and their process ids."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    pids = json.loads(process.stdout.readline())
    # A process that has only just begun does not show its variables yet.
    until(lambda: {pids["kernel"], pids["child"]} <= processes_of(temp), "both are running")
    return process, pids


def test_a_kernel_dies_with_its_killed_host_and_the_next_start_sweeps(temp: Path, start: Start) -> None:
    process, pids = host(temp)
    with process:
        process.kill()
    until(lambda: gone(pids["kernel"]), "the kernel is gone", seconds=2)
    assert left_in(temp) != []
    notebook = start()
    assert gone(pids["child"])
    notebook.close()
    assert left_in(temp) == []


def test_a_host_that_ends_without_closing_leaves_nothing(temp: Path) -> None:
    process, pids = host(temp)
    with process:
        process.communicate("\n", timeout=WAIT)
    assert process.returncode == 0
    assert gone(pids["kernel"])
    assert gone(pids["child"])
    assert left_in(temp) == []

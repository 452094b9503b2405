from __future__ import annotations

import asyncio
import builtins
import gc
import getpass
import linecache
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from py_code_mode_jupyter.config import InProcessConfig
from py_code_mode_jupyter.environments.in_process import InProcessEnvironment
from py_code_mode_jupyter.errors import ExecutorStartError, ExecutorStateError
from py_code_mode_jupyter.results import RunRequest, RunStatus

from .conftest import Kept, Place, until

if TYPE_CHECKING:
    from collections.abc import Callable

TOUCHED: list[tuple[Any, str]] = [
    (sys, "stdout"),
    (sys, "stderr"),
    (sys, "stdin"),
    (sys, "displayhook"),
    (sys, "excepthook"),
    (sys, "ps1"),
    (sys, "last_value"),
    (builtins, "input"),
    (builtins, "display"),
    (builtins, "get_ipython"),
    (builtins, "exit"),
    (getpass, "getpass"),
    (time, "sleep"),
    (os, "system"),
    (threading, "_allocate_lock"),
    (threading.Thread, "start"),
    (threading.Thread, "join"),
    (threading.Condition, "wait"),
    (ThreadPoolExecutor, "submit"),
    (subprocess.Popen, "__init__"),
    (subprocess.Popen, "wait"),
    (subprocess.Popen, "communicate"),
]


def state() -> list[object]:
    found = [vars(target).get(name) for target, name in TOUCHED]
    return [*found, sys.__class__, sys.getswitchinterval(), list(sys.meta_path), list(sys.path)]


async def cycle(code: str = "1+1") -> None:
    one = Place()
    await one.environment.start()
    await one.run(code)
    await one.environment.close()


async def test_everything_is_put_back_with_the_last_of_several() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    await cycle()
    before = state()
    places = [Place(), Place()]
    for one in places:
        await one.environment.start()
    assert sys.__class__ is not ModuleType
    await places[0].run("1/0")
    await places[0].environment.close()
    assert await places[1].value("1") == 1
    assert sys.__class__ is not ModuleType
    await places[1].environment.close()
    assert state() == before
    assert sys.__class__ is ModuleType
    assert "instance" not in vars(InteractiveShell)
    assert "initialized" not in vars(InteractiveShell)
    assert InteractiveShell._instance is None


async def test_what_somebody_else_replaced_meanwhile_is_left_to_them() -> None:
    original = time.sleep
    one = Place()
    await one.environment.start()
    mine: Callable[[float], None] = lambda _: None  # noqa: E731 - the smallest stand-in
    time.sleep = mine
    await one.environment.close()
    try:
        assert time.sleep is mine
    finally:
        time.sleep = original


CODES = [
    "1+1",
    "x = [object()]; print(x); display(x)\n1/0",
    "import asyncio\nt = asyncio.create_task(asyncio.sleep(60))\nawait asyncio.sleep(0)",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()",
    "import asyncio\nawait asyncio.to_thread(len, 'x')",
    "!true",
    "%%bash\ntrue",
    "import subprocess; p = subprocess.Popen(['sleep', '60'])",
    "class A: pass\na = A(); a.me = a",
    "import matplotlib.pyplot as plt; plt.plot([1, 2])",
]


def shells() -> int:
    gc.collect()
    return sum(type(one).__name__ in ("Shell", "Worker", "Owner") for one in gc.get_objects())


def open_files() -> int:
    # Matplotlib keeps up to 64 fonts open, one set for each identifier that a thread has had; how soon the
    # system gives identifiers out again differs between versions of Python.
    opened = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - no Path for it
    return sum(one.is_symlink() and one.readlink().suffix != ".ttf" for one in opened)


@pytest.mark.parametrize("code", CODES)
async def test_cycles_leave_no_thread_descriptor_module_or_shell(code: str) -> None:
    for _ in range(3):
        await cycle(code)
    gc.collect()
    await until(lambda: threading.active_count() <= 2)
    threads, descriptors, modules = threading.active_count(), open_files(), len(sys.modules)
    cells, living = len(linecache.cache), shells()
    for _ in range(20):
        await cycle(code)
    assert shells() <= living
    await until(lambda: threading.active_count() <= threads)
    assert open_files() <= descriptors
    assert len(sys.modules) == modules
    assert len(linecache.cache) <= cells
    assert psutil.Process().children() == []


async def test_cycles_do_not_grow_the_memory() -> None:
    for _ in range(20):
        await cycle()
    gc.collect()
    before = psutil.Process().memory_info().rss
    for _ in range(100):
        await cycle()
    gc.collect()
    assert (psutil.Process().memory_info().rss - before) / 100 < 100_000


async def test_closing_is_idempotent_and_final() -> None:
    one = Place()
    await one.environment.close()
    await one.environment.start()
    await asyncio.gather(one.environment.close(), one.environment.close())
    await one.environment.close()
    with pytest.raises(ExecutorStateError):
        one.begin("1")
    await one.environment.interrupt()


async def test_closing_during_a_run_ends_it_as_died() -> None:
    one = Place()
    await one.environment.start()
    future, _ = await one.begin_and_wait("print('go')\nwhile True: len('x')")
    await one.environment.close()
    assert (await asyncio.wait_for(future, 5)).status is RunStatus.DIED
    assert not any(thread.name.startswith("pcm_session") for thread in threading.enumerate())


async def test_a_start_that_takes_too_long_leaves_nothing() -> None:
    before = state()
    slow = InProcessEnvironment(InProcessConfig(startup_timeout=1e-6))
    with pytest.raises(ExecutorStartError):
        await slow.start()
    assert state() == before
    await until(lambda: not any(t.name.startswith("pcm_session") for t in threading.enumerate()))


async def test_a_cancelled_start_leaves_nothing() -> None:
    before = state()
    starting = asyncio.create_task(InProcessEnvironment(InProcessConfig()).start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert state() == before
    await until(lambda: not any(t.name.startswith("pcm_session") for t in threading.enumerate()))


def test_one_environment_serves_several_event_loops() -> None:
    environment = InProcessEnvironment(InProcessConfig())

    async def run() -> object:
        return (await environment.begin(RunRequest(code="x = globals().get('x', 0) + 1; x"), Kept())).value

    asyncio.run(environment.start())
    assert [asyncio.run(run()) for _ in range(3)] == [1, 2, 3]
    asyncio.run(environment.close())


SCRIPT = """
import asyncio, sys, threading, warnings
from py_code_mode_jupyter.config import InProcessConfig
from py_code_mode_jupyter.environments.in_process import InProcessEnvironment
from py_code_mode_jupyter.results import RunRequest

class Sink:
    def __init__(self): self.got = []
    def write(self, name, text): self.got.append((name, text))
    def show(self, output): self.got.append(output)

async def main():
    place = InProcessEnvironment(InProcessConfig())
    await place.start()
    async def run(code):
        sink = Sink()
        ending = await place.begin(RunRequest(code=code), sink)
        return ending, "".join(one[1] for one in sink.got if isinstance(one, tuple))
    %s
    CLOSE

asyncio.run(main())
print("host done", flush=True)
"""


def script(body: str, *, close: bool = True) -> subprocess.CompletedProcess[str]:
    text = (SCRIPT % body.replace("\n", "\n    ")).replace(
        "CLOSE", "await place.close()" if close else "pass"
    )
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
    )


def test_warnings_and_failing_threads_in_a_plain_script_go_to_the_run() -> None:
    done = script(
        "_, text = await run('import warnings; warnings.warn(\"careful\")')\nassert 'careful' in text, text\n"
        "_, text = await run('import threading\\nt = threading.Thread(target=lambda: 1/0)\\n'\n"
        "                    't.start(); t.join()')\n"
        "assert 'ZeroDivisionError' in text, text"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("host done\n", "", 0)


def test_a_script_that_forgets_to_close_ends_quietly() -> None:
    done = script("await run('import time, threading\\nprint(1)')", close=False)
    assert (done.stdout, done.stderr, done.returncode) == ("host done\n", "", 0)


def test_the_host_survives_sys_exit_and_its_own_output_is_exact() -> None:
    done = script(
        "print('a')\nending, _ = await run('import sys; print(1); sys.exit(3)')\nprint(ending.status)"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("a\nerror\nhost done\n", "", 0)


def test_matplotlib_and_ipython_are_loaded_only_when_needed() -> None:
    done = script("await run('1')\nassert 'matplotlib' not in sys.modules")
    assert (done.stdout, done.stderr) == ("host done\n", "")

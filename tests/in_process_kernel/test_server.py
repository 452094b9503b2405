"""A real Jupyter Server with kernels in its process: it stays healthy, lean, and clean."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import Notebook, Server, serving, until

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as one:
        first = one.notebook()  # what is loaded once is loaded
        first.run("import matplotlib.pyplot")
        first.delete()
        yield one


@pytest.fixture
def notebook(server: Server) -> Iterator[Notebook]:
    one = server.notebook()
    yield one
    one.delete()


def pings(server: Server, number: int) -> list[float]:
    return [server.ping() for _ in range(number)]


def test_the_server_answers_while_a_cell_is_busy(server: Server, notebook: Notebook) -> None:
    idle = statistics.median(pings(server, 300))
    notebook.begin("while True: pass")
    busy = pings(server, 300)
    notebook.act("interrupt")
    assert statistics.median(busy) - idle < 4, (idle, statistics.median(busy))
    assert max(busy) < 100, sorted(busy)[-5:]
    print(f"ping: idle {idle:.2f} ms, busy {statistics.median(busy):.2f} ms, at most {max(busy):.1f} ms")


def test_a_flood_of_prints_does_not_grow_the_server(server: Server, notebook: Notebook) -> None:
    # The browser reads nothing any more, as a laptop that was closed.
    notebook.begin("while True: print('x' * 1000)")
    before = server.memory
    other = server.notebook()
    sizes = []
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        assert other.run("1+1")["value"] == "2"
        sizes.append(server.memory)
    notebook.act("interrupt")
    other.delete()
    grown = (max(sizes) - before) / MEGABYTE
    print(f"a flood of 6 s grew the server by {grown:.0f} MB")
    assert grown < 250


def test_fifty_kernels_at_once_with_few_descriptors_and_threads(server: Server) -> None:
    server.notebook().delete()
    descriptors, threads = server.descriptors, server.about.num_threads()
    numbers = [server.request("POST", "kernels", {"name": "pcm-in-process"})["id"] for _ in range(50)]
    each = (server.descriptors - descriptors) / 50
    notebooks = [Notebook(server, number) for number in numbers]
    memory = server.memory
    values = [one.run(f"mine = {i}\nmine")["value"] for i, one in enumerate(notebooks)]
    assert values == [str(i) for i in range(50)]
    count = int(notebooks[0].run("import threading; threading.active_count()")["value"])
    assert each <= 25
    assert count <= 50 * 5
    print(f"each of 50: {each:.1f} descriptors, {count / 50:.1f} threads; {memory / MEGABYTE:.0f} MB in all")
    for one in notebooks:
        one.delete()
    until(lambda: server.descriptors <= descriptors, "descriptors are given back", 20)
    until(lambda: server.about.num_threads() <= threads, "threads have ended", 20)


def test_warnings_and_failing_threads_are_shown_in_the_cell(notebook: Notebook) -> None:
    assert "careful" in notebook.run("import warnings; warnings.warn('careful')")["stderr"]
    shown = notebook.run("import threading\nt = threading.Thread(target=lambda: 1/0); t.start(); t.join()")
    assert "ZeroDivisionError" in shown["stderr"]


FAULTS = (
    "import sys; sys.exit()",
    "exit()",
    "import sys, io; sys.stdout = io.StringIO()",
    "import builtins; print = lambda *a: None",
    "import os, signal; signal.getsignal(2)",
    "import asyncio; asyncio.get_event_loop().stop()",
    "import sys; sys.setrecursionlimit(200)\ndef f(): return f()\nf()",
    "raise KeyboardInterrupt",
    "import gc; gc.collect()",
)


@pytest.mark.parametrize("code", FAULTS)
def test_faults_of_a_cell_stay_in_its_kernel(server: Server, notebook: Notebook, code: str) -> None:
    other = server.notebook()
    notebook.run(code)
    assert other.run("print('well')\n1+1")["stdout"] == "well\n"
    until(
        lambda: server.request("GET", f"kernels/{other.id}")["execution_state"] == "idle",
        "the server has noted that the other is idle",
    )
    other.delete()
    notebook.act("restart")
    notebook.socket.close()
    again = Notebook(server, notebook.id)
    assert again.run("1+1")["value"] == "2"
    again.socket.close()


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import _thread; lock = _thread.allocate_lock(); lock.acquire(); lock.acquire(True, 5)",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "while True: print('x')",
        "import asyncio\nawait asyncio.sleep(60)",
        "input_ = __import__('time').sleep(60)",
    ],
)
def test_a_busy_kernel_can_be_deleted(server: Server, code: str) -> None:
    busy, other = server.notebook(), server.notebook()
    busy.begin(code)
    begun = time.monotonic()
    busy.delete()
    assert time.monotonic() - begun < 5
    assert max(pings(server, 50)) < 100
    assert other.run("1+1")["value"] == "2"
    other.delete()


def test_restarts_keep_the_websocket(server: Server, notebook: Notebook) -> None:
    for _ in range(3):
        notebook.run("x = 1")
        notebook.act("restart")
        assert notebook.run("'x' in dir()")["value"] == "False"


def test_nothing_is_left_of_the_last_kernel(server: Server) -> None:
    one = server.notebook()
    one.run("import threading; 1")
    one.delete()
    until(lambda: server.request("GET", "kernels") == [], "no kernel is left")
    time_names = [thread for thread in server.about.threads()]
    assert len(time_names) < 40


@pytest.mark.parametrize(
    ("env", "options", "said"),
    [
        ({"JUPYTERHUB_USER": "ada"}, (), "JupyterHub"),
        ({}, ("--InProcessProvisioner.allowed=False",), "does not allow it"),
    ],
)
def test_it_is_refused_where_it_would_expose_others(
    tmp_path: Path, env: dict[str, str], options: tuple[str, ...], said: str
) -> None:
    with serving(tmp_path, env, *options) as server:
        one = server.notebook()
        reply = one.run("import os; os.getpid()")
        assert reply["status"] == "error"
        assert said in reply["evalue"]
        one.delete()

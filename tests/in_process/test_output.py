from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from .conftest import until

if TYPE_CHECKING:
    from .conftest import Place


async def test_the_hosts_prints_stay_the_hosts_while_code_runs(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    future, kept = await place.begin_and_wait("import time\nprint('go')\ntime.sleep(30)")
    print("from the host")
    thread = threading.Thread(target=print, args=("from its thread",))
    thread.start()
    thread.join()
    await asyncio.to_thread(print, "from its pool")
    await place.stop(future)
    assert kept.text() == "go\n"
    assert capsys.readouterr().out == "from the host\nfrom its thread\nfrom its pool\n"


async def test_two_sessions_printing_at_once_stay_apart(place: Place, other: Place) -> None:
    code = "for number in range(20_000): print(name, number)"
    (_, first), (_, second) = await asyncio.gather(place.run(code, name="a"), other.run(code, name="b"))
    assert first.text() == "".join(f"a {number}\n" for number in range(20_000))
    assert second.text() == "".join(f"b {number}\n" for number in range(20_000))


@pytest.mark.parametrize(
    "code",
    [
        "import threading\nt = threading.Thread(target=print, args=('heard',)); t.start(); t.join()",
        "import asyncio\nawait asyncio.create_task(asyncio.to_thread(print, 'heard'))",
        "import asyncio\nawait asyncio.get_running_loop().run_in_executor(None, print, 'heard')",
        "from concurrent.futures import ThreadPoolExecutor as P\nwith P() as p: p.submit(print, 'heard')",
        "import asyncio\nasyncio.get_running_loop().call_later(0.01, print, 'heard')\n"
        "await asyncio.sleep(0.1)",
        "import sys\nfrom sys import stdout\n_ = sys.stdout.write('heard\\n')",
        "import sys\n_ = sys.stdout.buffer.write(b'heard\\n')",
        "import contextvars\ncontextvars.Context().run(print, 'heard')",
    ],
)
async def test_whatever_a_run_starts_prints_into_it(place: Place, code: str) -> None:
    _, kept = await place.run(code)
    assert kept.text() == "heard\n"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import logging; logging.getLogger('alone').warning('careful')", "careful\n"),
        ("import sys; print('careful', file=sys.stderr)", "careful\n"),
    ],
)
async def test_logs_are_heard_on_stderr(place: Place, code: str, text: str) -> None:
    silent = logging.getLogger("alone")
    silent.propagate = False
    try:
        _, kept = await place.run(code)
    finally:
        silent.propagate = True
    assert text in kept.text("stderr")


async def test_a_logging_handler_made_in_a_run_follows_whoever_logs(
    place: Place, other: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import logging, sys\nlog = logging.getLogger('shared'); log.propagate = False\n"
    await place.run(code + "handler = logging.StreamHandler(sys.stdout); log.addHandler(handler)")
    _, kept = await other.run(code + "log.warning('from the other')")
    assert kept.text() == "from the other\n"
    logging.getLogger("shared").warning("from the host")
    assert capsys.readouterr().out == "from the host\n"


async def test_a_late_print_is_dropped_and_never_enters_a_later_result(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    await place.run(
        "import threading, time, asyncio\n"
        "def talk():\n    while not done.is_set():\n        print('late'); time.sleep(0.001)\n"
        "done = threading.Event(); thread = threading.Thread(target=talk); thread.start()\n"
        "async def chat():\n    while True: print('late'); await asyncio.sleep(0.001)\n"
        "task = asyncio.create_task(chat())"
    )
    _, kept = await place.run("await asyncio.sleep(0.2)\nprint('mine')\ndone.set(); thread.join()")
    assert kept.text() == "mine\n"
    assert "late" not in capsys.readouterr().out


async def test_redirecting_in_one_session_swallows_nobody_elses_output(
    place: Place, other: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import contextlib, io, sys, time\nprint('go')\nheard = io.StringIO()\n"
        "with contextlib.redirect_stdout(heard):\n"
        "    print('redirected')\n    while not finished: time.sleep(0.001)\n"
        "print('after')\nheard.getvalue()"
    )
    finished: list[int] = []
    kept_future, kept = place.begin(code, finished=finished)
    await until(lambda: "go" in kept.text())
    await asyncio.sleep(0.05)
    _, others = await other.run("print('other')")
    print("host")
    finished.append(1)
    ending = await asyncio.wait_for(kept_future, 20)
    assert ending.value == "redirected\n"
    assert kept.text() == "go\nafter\n"
    assert others.text() == "other\n"
    assert capsys.readouterr().out == "host\n"


async def test_the_host_may_redirect_while_code_runs(place: Place) -> None:
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard):
        _, kept = await place.run("print('run')")
        print("host")
    assert heard.getvalue() == "host\n"
    assert kept.text() == "run\n"


async def test_replacing_what_lies_in_the_dict_of_sys_does_no_harm(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    found = sys.__dict__["stdout"]
    sys.stdout = io.StringIO()
    sys.stdout = found
    print("host")
    assert capsys.readouterr().out == "host\n"


async def test_text_reaches_the_sink_while_the_run_goes_on(place: Place) -> None:
    future, _kept = await place.begin_and_wait("import time\nprint('go')\ntime.sleep(30)")
    assert not future.done()
    await place.stop(future)


async def test_stdout_and_stderr_and_displays_keep_their_order(place: Place) -> None:
    _, kept = await place.run(
        "import sys\nfor n in range(3):\n    print(n); print(n, file=sys.stderr); display(n)"
    )
    seen = [one.name or one.data["text/plain"] for one in kept.outputs]
    assert seen == ["stdout", "stderr", "0", "stdout", "stderr", "1", "stdout", "stderr", "2"]


async def test_small_writes_are_joined(place: Place) -> None:
    _, kept = await place.run("for n in range(10_000): print(n)")
    assert kept.writes < 200
    assert len(kept.text().splitlines()) == 10_000


async def test_a_hundred_megabytes_do_not_grow_the_process(place: Place) -> None:
    from py_code_mode_jupyter.results import RunRequest

    class Bin:
        size = 0

        def write(self, name: str, text: str) -> None:
            self.size += len(text)

        def show(self, output: object) -> None:
            """Drop it."""

    await place.run("line = 'x' * 999")
    before = psutil.Process().memory_info().rss
    sink = Bin()
    await asyncio.wait_for(
        place.environment.begin(RunRequest(code="for _ in range(100_000): print(line)"), sink), 60
    )
    assert sink.size == 100_000_000
    assert psutil.Process().memory_info().rss - before < 20 * 2**20


async def test_printing_is_quick(place: Place) -> None:
    begun = time.perf_counter()
    await place.run("for n in range(100_000): print(n)")
    assert time.perf_counter() - begun < 3.0


async def test_the_hosts_display_hook_is_its_own(place: Place) -> None:
    assert sys.displayhook is sys.__displayhook__
    assert await place.value("import sys\nsys.displayhook is get_ipython().displayhook")

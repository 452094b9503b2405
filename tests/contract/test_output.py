"""Rules 2 and 10: output belongs to the run that made it, arrives in order, and is bounded."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from py_code_mode_jupyter import ExecutionResult, Session

LATE_THREAD = """
import threading
go = threading.Event()
def late():
    go.wait()
    print("LATE")
t = threading.Thread(target=late); t.start()
print("early")
"""
LATE_TASK = """
import asyncio
gate = asyncio.Event()
async def late():
    await gate.wait()
    print("LATE")
task = asyncio.create_task(late())
print("early")
"""


async def test_a_thread_that_prints_late_does_not_enter_a_later_result(session: Session) -> None:
    assert (await session.run(LATE_THREAD)).stdout == "early\n"
    result = await session.run("go.set(); t.join(); print('mine')")
    assert result.stdout == "mine\n"


async def test_a_task_that_prints_late_does_not_enter_a_later_result(session: Session) -> None:
    assert (await session.run(LATE_TASK)).stdout == "early\n"
    result = await session.run("gate.set(); await task; print('mine')")
    assert result.stdout == "mine\n"


async def test_a_child_that_writes_late_does_not_enter_a_later_result(session: Session) -> None:
    if not session.supports("process_isolation"):
        pytest.skip("in-process, children write to the host's descriptors, as it documents")
    code = (
        "import subprocess, os\nr, w = os.pipe()\n"
        "p = subprocess.Popen(f'echo early; cat <&{r}; echo LATE', shell=True, pass_fds=(r,))\nos.close(r)"
    )
    await session.run(code)
    result = await session.run("os.close(w); p.wait(); print('mine')")
    assert result.stdout == "mine\n"


async def test_a_pool_prints_into_the_run_that_uses_it(session: Session) -> None:
    await session.run("from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)")
    for n in (1, 2):
        result = await session.run(f"pool.submit(print, 'pool {n}').result()")
        assert result.stdout == f"pool {n}\n"


async def test_logging_reaches_its_run(session: Session) -> None:
    code = """
import logging
logger = logging.getLogger("guest")
logger.addHandler(logging.StreamHandler())
logger.propagate = False
logger.warning("logged")
"""
    assert (await session.run(code)).stderr == "logged\n"


async def test_warnings_reach_their_run(session: Session) -> None:
    # pytest keeps this process's warnings for itself, so the guest's own are printed as by default.
    code = """
import sys, warnings
def show(message, *args, **kwargs): print(message, file=sys.stderr)
with warnings.catch_warnings():
    warnings.simplefilter("always")
    warnings.showwarning = show
    warnings.warn("warned")
"""
    assert (await session.run(code)).stderr == "warned\n"


async def test_the_hosts_own_prints_stay_the_hosts(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = threading.Event()
    printed = threading.Event()

    def host() -> None:
        while not stop.is_set():
            print("HOST", file=sys.stdout)
            printed.set()

    thread = threading.Thread(target=host)
    thread.start()
    try:
        printed.wait(10)
        result = await session.run("for i in range(2000): print('guest')")
    finally:
        stop.set()
        thread.join()
    assert result.stdout == "guest\n" * 2000
    captured = capsys.readouterr().out
    assert "HOST\n" in captured
    assert "guest" not in captured


async def test_redirecting_inside_the_code_leaves_the_host_alone(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    code = """
import contextlib, io, time
buffer = io.StringIO()
with contextlib.redirect_stdout(buffer):
    print("caught")
    print("ready", file=__import__("sys").stderr, flush=True)
    time.sleep(0.5)
buffer.getvalue()
"""
    async for output in session.stream(code):
        if output.text == "ready\n":
            print("HOST")
    assert session.last_result is not None
    assert session.last_result.value == "caught\n"
    assert capsys.readouterr().out == "HOST\n"


async def test_the_hosts_logging_does_not_enter_a_result(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    async for output in session.stream("import time\nprint('on')\ntime.sleep(0.3)"):
        if output.text == "on\n":
            logging.getLogger("host").warning("of the host")
    assert session.last_result is not None
    assert "of the host" not in str(session.last_result)
    assert "of the host" in caplog.text


async def test_output_that_reads_like_the_protocol_is_output(session: Session) -> None:
    for text in ("busy", '{"execution_state": "busy"}', '{"execution_state":"busy"}', "idle"):
        assert (await session.run(f"print({text!r}, end='')")).stdout == text


async def test_two_sessions_at_once_do_not_mix(open_session: Callable[..., Any]) -> None:
    async with open_session() as a, open_session() as b:
        code = "for i in range(3000): print('{0}')\nwho = '{0}'"
        results: list[ExecutionResult] = await asyncio.gather(
            a.run(code.format("A")), b.run(code.format("B"))
        )
        assert [r.stdout for r in results] == ["A\n" * 3000, "B\n" * 3000]
        assert [(await s.run("who")).value for s in (a, b)] == ["A", "B"]


async def test_a_hundred_megabytes_do_not_grow_the_host(open_session: Callable[..., Any]) -> None:
    async with open_session(max_output="1m") as session:
        await session.run("line = 'x' * 9_999")
        before = psutil.Process().memory_info().rss
        result = await session.run("for i in range(10_000): print(line)", timeout=100)
        grown = psutil.Process().memory_info().rss - before
    assert result.is_ok
    assert len(result.stdout) == 2**20
    assert result.truncated == 100_000_000 - 2**20
    assert "bytes of output dropped" in str(result)
    assert grown < 50e6, f"grew by {grown / 1e6:.0f} MB"


async def test_output_beyond_the_bound_still_leaves_the_error(open_session: Callable[..., Any]) -> None:
    async with open_session(max_output=100) as session:
        result = await session.run(
            "print('x' * 1000)\nfrom IPython.display import HTML, display\ndisplay(HTML('y' * 500))\n1/0"
        )
    assert (len(result.stdout), result.truncated >= 1400) == (100, True)
    assert result.outputs[-1].name == "ZeroDivisionError"


async def test_of_many_frames_the_last_is_kept(open_session: Callable[..., Any]) -> None:
    code = """
from IPython.display import clear_output, display
shown = display({"text/plain": ""}, raw=True, display_id=True)
for i in range(40):
    clear_output(wait=True)
    print(str(i) * 300)
frame = display({"text/plain": ""}, raw=True, display_id=True)
for i in range(40):
    frame.update({"text/plain": str(i) * 300}, raw=True)
"""
    async with open_session(max_output=8000) as session:
        result = await session.run(code)
    assert result.stdout == "39" * 300 + "\n"
    assert result.outputs[-1].data["text/plain"] == "39" * 300
    assert result.truncated == 0


async def test_frames_without_end_are_bounded_too(open_session: Callable[..., Any]) -> None:
    code = """
from IPython.display import clear_output
for i in range(2000):
    clear_output()
    print("x" * 99)
"""
    async with open_session(max_output=1000) as session:
        shown = [output async for output in session.stream(code)]
    assert sum(len(output.text) for output in shown) <= 11_000
    assert session.last_result is not None
    assert session.last_result.truncated > 2000 * 100 - 11_000
    assert "bytes of output dropped" in str(session.last_result)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def session(used_session: Session) -> Session:
    return used_session


async def test_the_bound_counts_bytes_and_cuts_between_characters(open_session: Callable[..., Any]) -> None:
    async with open_session(max_output=1000) as session:
        result = await session.run("print('\u20ac' * 1000, end='')")
    assert result.stdout == "\u20ac" * 333
    assert result.truncated == 3000 - 999


async def test_no_line_is_lost_or_out_of_order(session: Session) -> None:
    result = await session.run("for i in range(20_000): print(i)")
    assert result.stdout == "".join(f"{i}\n" for i in range(20_000))


async def test_the_process_id_tells_whether_it_is_isolated(session: Session) -> None:
    same = (await session.run("import os; os.getpid()")).value == os.getpid()
    assert same is not session.supports("process_isolation")

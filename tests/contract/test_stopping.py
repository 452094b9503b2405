"""Rules 3, 4 and 5: timeouts, interrupts, cancellation, deaths."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import pytest

from py_code_mode_jupyter import RunStatus, Session
from py_code_mode_jupyter.errors import ConfigurationError

LOOPS = {
    "loop": "while True: pass",
    "sleep": "import time; time.sleep(60)",
    "await": "import asyncio; await asyncio.sleep(60)",
    "event": "import threading; threading.Event().wait(60)",
    "join": "import threading as t\nw = t.Timer(60, print)\nw.daemon = True\nw.start(); w.join()",
    "queue": "import queue; queue.Queue().get()",
    "child": "import subprocess; subprocess.run(['sleep', '60'])",
    "shell": "!sleep 60",
}


@pytest.mark.parametrize("code", LOOPS.values(), ids=LOOPS)
async def test_a_timeout_gives_control_back_and_keeps_variables(session: Session, code: str) -> None:
    await session.run("kept = 7")
    started = time.monotonic()
    result = await session.run(code, timeout=1)
    assert time.monotonic() - started < 2.5
    assert result.status is RunStatus.TIMEOUT
    assert result.state_preserved
    assert result.error is not None
    assert "longer than 1 s" in result.error
    assert str(result).count("The run took longer than 1 s.") == 1
    assert result.exception is not None
    assert result.exception.name == "TimeoutError"
    assert (await session.run("kept")).value == 7


async def test_code_stopped_by_a_timeout_does_not_go_on(session: Session) -> None:
    await session.run("n = 0")
    await session.run("while True: n += 1", timeout=0.5)
    first = (await session.run("n")).value
    await asyncio.sleep(0.2)
    assert (await session.run("n")).value == first


async def test_code_that_swallows_interrupts_is_ended_by_force(open_session: Callable[..., Any]) -> None:
    code = """
import time
kept = 7
while True:
    try:
        while True: time.sleep(0.001)
    except KeyboardInterrupt: pass
"""
    async with open_session(interrupt_grace=0.5) as session:
        started = time.monotonic()
        result = await session.run(code, timeout=0.5)
        assert time.monotonic() - started < 2.5
        assert (result.status, result.state_preserved) == (RunStatus.TIMEOUT, False)
        after = await session.run("'kept' in globals()")
        assert (after.value, after.state_preserved) == (False, False)
        assert (await session.run("1")).state_preserved


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def session(used_session: Session) -> Session:
    return used_session


async def test_a_c_call_that_cannot_be_stopped_is_given_up_and_said(open_session: Callable[..., Any]) -> None:
    # Opening a pipe that nobody writes to blocks in a C call. A process of its own is woken by SIGINT; in
    # this process a thread is not, and giving it up is all that can be done.
    code = "import os\nos.mkfifo('held')\nopen('held').close()"
    async with open_session(interrupt_grace=0.5) as session:
        result = await session.run(code, timeout=0.5)
        assert result.status is RunStatus.TIMEOUT
        assert result.error is not None
        assert (await session.run("1 + 1")).value == 2
        if session.supports("process_isolation"):
            return
        assert not result.state_preserved
        assert "abandoned" in result.error
        assert (await session.stats())["abandoned_threads"] == 1
        assert (await session.run("import os; os.close(os.open('held', os.O_WRONLY))")).is_ok
        while (await session.stats())["abandoned_threads"]:  # noqa: ASYNC110 - it ends as soon as the call does
            await asyncio.sleep(0.01)


async def test_interrupt_stops_the_run_at_once(session: Session) -> None:
    async def stop() -> None:
        await asyncio.sleep(0.3)
        await session.interrupt()

    stopper = asyncio.create_task(stop())
    result = await session.run("kept = 7\nwhile True: pass")
    await stopper
    assert result.status is RunStatus.INTERRUPTED
    assert result.execution_time < 1.5
    assert result.exception is not None
    assert result.exception.name == "KeyboardInterrupt"
    assert [f.function for f in result.exception.frames] == ["<module>"]
    assert "py_code_mode_jupyter" not in str(result)
    assert (await session.run("kept")).value == 7


async def test_interrupting_an_idle_session_harms_nothing(session: Session) -> None:
    for _ in range(20):
        await session.interrupt()
    assert (await session.run("sum(range(100_000))")).value == sum(range(100_000))


async def test_an_interrupt_never_reaches_a_later_run(session: Session) -> None:
    for i in range(40):
        run = asyncio.create_task(session.run("for _ in range(20_000): pass"))
        await asyncio.sleep(i * 0.0003)
        await session.interrupt()
        assert (await run).status in (RunStatus.OK, RunStatus.INTERRUPTED)
        assert (await session.run(f"{i} + 1")).value == i + 1


async def test_cancelling_a_run_stops_its_code(session: Session) -> None:
    await session.run("n = 0")
    run = asyncio.create_task(session.run("while True: n += 1"))
    await asyncio.sleep(0.3)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    first = (await session.run("n")).value
    assert first > 0
    await asyncio.sleep(0.2)
    assert (await session.run("n")).value == first


async def test_leaving_a_stream_stops_its_code(session: Session) -> None:
    before = await session.run("n = 0")
    code = "while True:\n    n += 1\n    if n == 1: print('on', flush=True)"
    async with contextlib.aclosing(session.stream(code)) as stream:
        async for _ in stream:
            break
    assert (await session.stats())["state"] == "idle"
    assert session.last_result is before
    first = (await session.run("n")).value
    await asyncio.sleep(0.2)
    assert (await session.run("n")).value == first


async def test_runs_of_one_session_wait_for_each_other(session: Session) -> None:
    code = "import time\nstart = time.monotonic()\ntime.sleep(0.1)\n(start, time.monotonic())"
    spans = sorted((await asyncio.gather(*[session.run(code) for _ in range(3)])), key=lambda r: r.value)
    assert all(a.value[1] <= b.value[0] for a, b in itertools.pairwise(spans))


@pytest.mark.parametrize("code", ["import sys; sys.exit(3)", "raise SystemExit(3)", "exit()", "quit()"])
async def test_leaving_python_is_contained(session: Session, code: str) -> None:
    await session.run("kept = 7")
    result = await session.run(code)
    assert (result.status, result.state_preserved) == (RunStatus.ERROR, True)
    assert result.exception is not None
    assert result.exception.name == "SystemExit"
    # An end that only comes later would strike a run that has nothing to do with it.
    assert (await session.run("import time; time.sleep(0.5); kept")).value == 7


async def test_a_killed_place_is_reported_at_once_and_replaced(session: Session) -> None:
    if not session.supports("crash_recovery"):
        pytest.skip("in-process, the host would die too, as it documents")
    await session.run("kept = 7")
    for code in ("import os; os._exit(1)", "import ctypes; ctypes.string_at(0)"):
        started = time.monotonic()
        result = await session.run(code)
        assert time.monotonic() - started < 1
        assert (result.status, result.state_preserved) == (RunStatus.DIED, False)
        assert result.error is not None
        await session.put("x", 1)  # hides nothing: only a run of the user's own says what was lost
        after = await session.run("'kept' in globals()")
        assert (after.value, after.state_preserved) == (False, False)
        assert (await session.run("x")).state_preserved


@pytest.mark.parametrize("timeout", [-1, 0, math.nan, "2", True])
async def test_a_timeout_that_is_none_is_refused(session: Session, timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        await session.run("1", timeout=timeout)


async def test_no_limit_can_be_asked_for(open_session: Callable[..., Any]) -> None:
    async with open_session(default_timeout=0.2) as session:
        assert (await session.run("import time; time.sleep(0.5)")).status is RunStatus.TIMEOUT
        assert (await session.run("time.sleep(0.5); 'done'", timeout=math.inf)).value == "done"

"""Interrupting, and what cannot be interrupted."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from .conftest import WAIT, Kernel, Start, until

GO = "import threading, queue, time, subprocess, asyncio, os\nprint('go')\n"
WAITS = {
    "loop": "while True: pass",
    "calls": "while True: len('x')",
    "sleep": "time.sleep(61.5)",
    "event": "threading.Event().wait()",
    "condition": "c = threading.Condition()\nwith c: c.wait()",
    "queue": "queue.Queue().get()",
    "join": "t = threading.Thread(target=time.sleep, args=(61.5,), daemon=True); t.start(); t.join()",
    "subprocess": "subprocess.run(['sleep', '61.5'])",
    "shell": "!sleep 61.5",
    "system": "os.system('sleep 61.5')",
    "await": "await asyncio.sleep(61.5)",
    "await in a loop": "while True: await asyncio.sleep(0)",
    "gather": "await asyncio.gather(asyncio.sleep(61.5), asyncio.sleep(61.5))",
    "print": "while True: print('x')",
    "display": "while True: display(1)",
}
FAST = 0.2
SLACK = 0.5  # this machine is shared: most stay below FAST, and none may take longer than this


@pytest.mark.parametrize("code", WAITS.values(), ids=WAITS)
async def test_an_interrupt_stops(kernel: Kernel, code: str) -> None:
    seconds = []
    for _ in range(3):
        cell, taken = await kernel.stop(await kernel.begun(GO + code))
        assert cell.reply["ename"] in ("KeyboardInterrupt", "CancelledError"), cell.reply
        seconds.append(taken)
    assert min(seconds) < FAST
    assert max(seconds) < SLACK
    assert await kernel.value("1+1") == "2"


async def test_an_interrupt_stops_input(kernel: Kernel) -> None:
    asked = asyncio.Event()
    task = asyncio.create_task(kernel.run("input()", answer=lambda _: asked.set()))
    await asyncio.wait_for(asked.wait(), WAIT)
    cell, taken = await kernel.stop(task)
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert taken < SLACK
    kernel.client.input("stale")
    cell = await kernel.run("input()", answer=lambda _: kernel.client.input("fresh"))
    assert cell.value == "'fresh'"


async def test_an_interrupt_by_message_works_too(kernel: Kernel) -> None:
    task = await kernel.begun(GO + "time.sleep(61.5)")
    assert (await kernel.control("interrupt_request"))["status"] == "ok"
    assert (await asyncio.wait_for(task, WAIT)).reply["ename"] == "KeyboardInterrupt"


async def test_an_interrupt_of_an_idle_kernel_does_nothing(kernel: Kernel) -> None:
    for _ in range(5):
        await kernel.manager.interrupt_kernel()
    assert await kernel.value("1+1") == "2"


async def test_an_interrupt_hits_one_kernel_alone(start: Start) -> None:
    one, other = await start(), await start()
    kept = await other.begun(GO + "gate = threading.Event(); gate.wait(60); 'kept'")
    cell, _ = await one.stop(await one.begun(GO + "time.sleep(61.5)"))
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert not kept.done()
    await other.stop(kept)


async def test_code_that_swallows_interrupts_is_ended_by_a_restart(start: Start) -> None:
    kernel, other = await start(), await start()
    stubborn = GO + "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    task = await kernel.begun(stubborn)
    await kernel.manager.interrupt_kernel()
    assert await other.value("1+1") == "2"
    task.cancel()
    await kernel.restart()
    assert await kernel.value("'stubborn' in dir()") == "False"
    await until(lambda: busy() <= 2, "the thread has ended")


def busy() -> int:
    return sum(thread.name.startswith("pcm_kernel") for thread in threading.enumerate())


async def test_what_cannot_be_interrupted_is_abandoned_and_variables_are_kept(start: Start) -> None:
    kernel = await start(abandon_after=0.3)
    await kernel.run("x = 42; lock = __import__('_thread').allocate_lock(); lock.acquire()")
    cell, taken = await kernel.stop(await kernel.begun("print('go')\nlock.acquire()"))
    assert taken < 5
    assert cell.reply["ename"] == "Abandoned"
    assert "lock.acquire()" in cell.stream("stderr")
    assert "cannot be interrupted" in cell.stream("stderr")
    assert "lock.acquire()" in cell.error
    assert await kernel.value("x") == "42"
    assert busy() == 2
    await kernel.run("lock.release()")
    await until(lambda: busy() == 1, "the abandoned thread has ended")
    assert await kernel.value("x + 1") == "43"
    cell, _ = await kernel.stop(await kernel.begun(GO + "time.sleep(61.5)"))
    assert cell.reply["ename"] == "KeyboardInterrupt"


async def test_a_call_that_returns_in_time_is_not_abandoned(start: Start) -> None:
    kernel = await start(abandon_after=10)
    code = (
        "import _thread; lock = _thread.allocate_lock(); lock.acquire()\nprint('go')\nlock.acquire(True, 1.5)"
    )
    cell, _ = await kernel.stop(await kernel.begun(code))
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert "has to wait" in cell.stream("stderr")


@pytest.mark.parametrize("now", [False, True])
async def test_a_c_call_without_end_does_not_hold_up_the_end(start: Start, tmp_path: Path, now: bool) -> None:
    kernel, other = await start(), await start()
    held = tmp_path / "held"
    os.mkfifo(held)
    task = await kernel.begun(f"print('go')\nopen({str(held)!r}).close()")  # until somebody writes to it
    ending = asyncio.create_task(kernel.manager.shutdown_kernel(now=now))
    while not ending.done():
        assert await asyncio.wait_for(other.value("1+1"), 1.0) == "2"
    await ending
    task.cancel()
    os.close(os.open(held, os.O_WRONLY | os.O_NONBLOCK))


async def test_a_busy_kernel_can_be_restarted_and_its_output_ends(kernel: Kernel) -> None:
    task = await kernel.begun("print('go')\nwhile True: print('old')")
    task.cancel()
    await kernel.restart(now=True)
    cell = await kernel.run("print('new')")
    assert cell.stdout == "new\n"
    assert cell.reply["execution_count"] == 1


async def test_a_client_may_end_the_kernel(kernel: Kernel) -> None:
    reply = await kernel.control("shutdown_request", {"restart": False})
    assert reply == {"status": "ok", "restart": False}

    async def dead() -> bool:
        return not await kernel.manager.is_alive()

    for _ in range(500):
        if await dead():
            break
        await asyncio.sleep(0.01)
    assert await dead()

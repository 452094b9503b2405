from __future__ import annotations

import asyncio
import gc
import logging
import random
import sys
import threading
import time

import psutil
import pytest

from py_code_mode_jupyter.results import RunStatus

from .conftest import Place, until

GO = "print('go')\n"
WAITS = {
    "loop": "while True: pass",
    "sleep": "import time; time.sleep(60)",
    "await": "import asyncio; await asyncio.sleep(60)",
    "event": "import threading; threading.Event().wait()",
    "event with timeout": "import threading; threading.Event().wait(60)",
    "condition": "import threading\nc = threading.Condition()\nwith c: c.wait()",
    "queue": "import queue; queue.Queue().get()",
    "queue with timeout": "import queue; queue.Queue().get(timeout=60)",
    "semaphore": "import threading; threading.Semaphore(0).acquire()",
    "join": (
        "import threading, time\nt = threading.Thread(target=time.sleep, args=(60,)); t.start(); t.join()"
    ),
    "future": "import concurrent.futures; concurrent.futures.Future().result()",
    "to_thread": "import asyncio, time; await asyncio.to_thread(time.sleep, 60)",
    "subprocess": "import subprocess; subprocess.run(['sleep', '61.5'])",
    "captured": "import subprocess; subprocess.run('sleep 61.5; echo', shell=True, capture_output=True)",
    "deaf child": "import subprocess; subprocess.run(['sh', '-c', \"trap '' INT; sleep 61.5; sleep 61.5\"])",
    "command": "!sleep 61.5",
    "deaf command": "!trap '' INT; sleep 61.5; sleep 61.5",
    "os.system": "import os; os.system('sleep 61.5')",
    "busy task": (
        "import asyncio\nasync def f():\n    while True: pass\nawait asyncio.gather(f(), asyncio.sleep(60))"
    ),
    "sleeping task": "import asyncio, time\nasync def f(): time.sleep(60)\nawait asyncio.create_task(f())",
    "background": (
        "import asyncio\nasync def f():\n"
        "    while True: pass\nt = asyncio.create_task(f()); await asyncio.sleep(60)"
    ),
    "async for": (
        "import asyncio\nasync def g():\n"
        "    while True:\n        yield 1; await asyncio.sleep(0)\nasync for _ in g(): pass"
    ),
    "repr": "class Slow:\n    def __repr__(self):\n        while True: pass\nSlow()",
    "print": "while True: print('x')",
}


def sleepers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "61.5" in " ".join(p.cmdline())]


@pytest.mark.parametrize("code", WAITS.values(), ids=WAITS.keys())
async def test_an_interrupt_stops(place: Place, code: str) -> None:
    future, _ = await place.begin_and_wait(GO + code)
    await asyncio.sleep(0.05)
    ending, seconds = await place.stop(future)
    assert ending.status is RunStatus.INTERRUPTED
    assert ending.exception is not None
    assert ending.exception.name == "KeyboardInterrupt"
    assert seconds < 1.0
    assert await place.value("'alive'") == "alive"
    await until(lambda: not sleepers(), 2)


async def test_an_interrupted_script_cell_fails_as_ipython_has_it(place: Place) -> None:
    future, _ = place.begin("%%bash\nsleep 61.5")
    await until(sleepers)
    ending, seconds = await place.stop(future)
    assert ending.exception is not None
    assert ending.exception.name in ("CalledProcessError", "KeyboardInterrupt")
    assert seconds < 1.0


async def test_an_interrupt_that_comes_before_the_code_begins_counts(place: Place) -> None:
    future, _kept = place.begin("print('ran')\nwhile True: pass")
    ending, _ = await place.stop(future)
    assert ending.status is RunStatus.INTERRUPTED


async def test_an_interrupt_of_nothing_does_nothing(place: Place) -> None:
    await place.environment.interrupt()
    assert await place.value("sum(range(100_000))") == sum(range(100_000))


async def test_code_that_handles_the_interrupt_goes_on_and_meets_no_second(place: Place) -> None:
    future, kept = await place.begin_and_wait(
        GO + "try:\n    while True: sum(range(100_000))\nexcept KeyboardInterrupt:\n    print('handled')\n"
        "import time\ntime.sleep(0.1)\n'went on'"
    )
    ending, _ = await place.stop(future)
    assert ending.value == "went on"
    assert "handled" in kept.text()


async def test_awaiting_code_that_handles_the_interrupt_goes_on(place: Place) -> None:
    future, _kept = await place.begin_and_wait(
        "import asyncio\n" + GO + "try:\n    await asyncio.sleep(60)\nexcept KeyboardInterrupt:\n    pass\n"
        "await asyncio.sleep(0.1)\nasyncio.current_task().cancelling()"
    )
    ending, _ = await place.stop(future)
    assert ending.value == 0


async def test_a_background_process_of_an_earlier_run_is_not_interrupted(place: Place) -> None:
    await place.run("import subprocess; child = subprocess.Popen(['sleep', '61.5'])")
    future, _ = await place.begin_and_wait(GO + "while True: pass")
    await place.stop(future)
    assert await place.value("child.poll()") is None
    await place.environment.reset()
    await until(lambda: not sleepers())


async def test_an_interrupt_in_one_session_spares_the_other(place: Place, other: Place) -> None:
    mine, _ = await place.begin_and_wait(GO + "while True: pass")
    theirs, _ = await other.begin_and_wait(GO + "import time; time.sleep(0.5); 'whole'")
    await place.stop(mine)
    assert (await asyncio.wait_for(theirs, 20)).value == "whole"


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time\nwhile True: time.sleep(0.001)",
        "import asyncio\nwhile True: await asyncio.sleep(0.001)",
        "while True: print('x')",
    ],
)
async def test_interrupts_at_any_moment_never_reach_a_later_run(place: Place, code: str) -> None:
    dice = random.Random(7)  # noqa: S311 - moments, no secrets
    for _ in range(75):
        future, _ = place.begin(code)
        await asyncio.sleep(dice.random() * 0.005)
        ending, _ = await place.stop(future)
        assert ending.status is RunStatus.INTERRUPTED
        for _ in range(2):
            ending, _ = await place.run("x = [n for n in range(300)]\nlen(x)")
            assert (ending.status, ending.value) == (RunStatus.OK, 300)


async def test_interrupts_around_the_end_of_short_runs_do_no_harm(place: Place) -> None:
    dice = random.Random(11)  # noqa: S311 - moments, no secrets
    for _ in range(300):
        future, _ = place.begin("for n in range(2_000): pass\nn")
        await asyncio.sleep(dice.random() * 0.003)
        for _ in range(dice.randrange(1, 4)):
            await place.environment.interrupt()
        ending = await asyncio.wait_for(future, 20)
        assert ending.status in (RunStatus.OK, RunStatus.INTERRUPTED)
    assert await place.value("'alive'") == "alive"


async def test_a_call_into_c_is_abandoned_visibly(
    place: Place, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        future, kept = await place.begin_and_wait(
            GO + "import ctypes; ctypes.CDLL(None).sleep(2)\nprint('too late')\nbad.append(1)"
        )
        await place.environment.interrupt()
        said = await place.environment.replace()
    ending = await asyncio.wait_for(future, 20)
    assert ending.status is RunStatus.DIED
    assert "abandoned" in said
    assert "ctypes.CDLL(None).sleep(2)" in ending.reason
    assert said in caplog.text
    assert (await place.environment.stats())["abandoned_threads"] == 1
    assert await place.value("'alive', 'ctypes' in globals()") == ("alive", False)
    thread = next(one for one in threading.enumerate() if repr(one.name) in said)
    await until(lambda: not thread.is_alive())
    assert (await place.environment.stats())["abandoned_threads"] == 0
    assert "too late" not in kept.text() + capsys.readouterr().out


async def test_an_abandoned_thread_runs_no_more_code_of_the_user(place: Place) -> None:
    done: list[int] = []
    code = GO + "import ctypes\ntry:\n    ctypes.CDLL(None).sleep(1)\nfinally:\n    done.append(len('x'))"
    future, kept = place.begin(code, done=done)
    await until(lambda: "go" in kept.text())
    said = await place.environment.replace()
    thread = next((one for one in threading.enumerate() if repr(one.name) in said), None)
    await until(lambda: thread is None or not thread.is_alive())
    assert done == []
    assert (await future).status is RunStatus.DIED


@pytest.mark.parametrize(
    "code",
    [
        "while True:\n    try:\n        while True: sum(range(100_000))\n    except BaseException: pass",
        "import time\nwhile True:\n    try: time.sleep(60)\n    except BaseException: continue",
        "def f():\n    while True:\n        try: f2()\n        except BaseException: pass\n"
        "def f2():\n    while True:\n        try: len('x')\n        except BaseException: pass\nf()",
        "import asyncio\nwhile True:\n    try: await asyncio.sleep(60)\n    except BaseException: pass",
        # The loop inside, because Python 3.13 notices at the next call or jump, not at the same one, what was
        # armed while a thread made room for another; after sum() that would be the jump out of `finally`.
        "while True:\n    try:\n        while True: sum(range(100_000))\n    finally:\n        continue",
        "import threading\nwhile True:\n    try: threading.Event().wait()\n    except BaseException: pass",
    ],
)
async def test_code_that_swallows_everything_is_ended_by_replacing(place: Place, code: str) -> None:
    future, _ = await place.begin_and_wait(GO + code)
    for _ in range(3):
        await place.environment.interrupt()
        await asyncio.sleep(0.02)
    assert not future.done()
    said = await place.environment.replace()
    assert "was ended" in said
    assert (await future).status is RunStatus.DIED
    assert (await place.environment.stats())["abandoned_threads"] == 0
    assert await place.value("'alive'") == "alive"


@pytest.mark.parametrize(
    "code",
    [
        "while True:\n    try: sum(range(100_000))\n    except BaseException: pass",
        "while True:\n    try: len('x')\n    except: continue",
        "def f():\n    while True:\n        try: sum(range(100_000))\n        except: pass\n"
        "while True:\n    try: f()\n    except: pass",
    ],
)
async def test_code_whose_handler_jumps_back_into_its_try_is_ended(place: Place, code: str) -> None:
    # Python 3.12 may count that jump as part of the `try`; 3.11 and 3.13 do not.
    await place.begin_and_wait(GO + code)
    assert "was ended" in await place.environment.replace()
    assert await place.value("'alive'") == "alive"


async def test_a_raw_lock_is_abandoned_and_the_next_run_works(place: Place) -> None:
    lock = threading.Lock()
    lock.acquire()
    future, kept = place.begin(GO + "lock.acquire()", lock=lock)
    await until(lambda: "go" in kept.text())
    assert "lock.acquire()" in await place.environment.replace()
    assert (await future).status is RunStatus.DIED
    assert await place.value("1") == 1
    lock.release()
    await until(lambda: sum(one.name.startswith("pcm_session") for one in threading.enumerate()) == 1)


async def test_reset_ends_tasks_threads_and_children_of_the_code(place: Place) -> None:
    seen: list[int] = []
    await place.run(
        "import asyncio, subprocess, threading, time\n"
        "def count():\n    while True:\n        try: seen.append(1); time.sleep(0.001)\n"
        "        except BaseException: pass\n"
        "async def tick():\n    while True: seen.append(1); await asyncio.sleep(0.001)\n"
        "threading.Thread(target=count).start(); task = asyncio.create_task(tick())\n"
        "child = subprocess.Popen(['sleep', '61.5'])",
        seen=seen,
    )
    await until(lambda: len(seen) > 10)
    await place.environment.reset()
    size = len(seen)
    await asyncio.sleep(0.05)
    assert len(seen) == size
    assert sleepers() == []
    assert (await place.environment.stats())["abandoned_threads"] == 0


async def test_the_host_answers_while_code_is_busy(place: Place) -> None:
    usual = sys.getswitchinterval()
    future, _ = await place.begin_and_wait(GO + "while True: pass")
    delays = []
    for _ in range(50):
        begun = time.perf_counter()
        await asyncio.sleep(0)
        delays.append(time.perf_counter() - begun)
    await place.stop(future)
    assert sorted(delays)[25] < 0.05
    assert sys.getswitchinterval() == usual


async def test_no_coroutine_that_swallows_everything_is_left_to_the_garbage_collector() -> None:
    # Closed by the collector, without a loop, it would spin for ever in whatever thread that is.
    stubborn = (
        "import asyncio\nasync def stay():\n    while True:\n        try: await asyncio.sleep(60)\n"
        "        except BaseException: pass\nasync def spin():\n    while True: len('x')\n"
    )
    for last in (
        "await asyncio.sleep(0)",
        "await stay()",
        "other = asyncio.create_task(spin()); await stay()",
    ):
        one = Place()
        await one.environment.start()
        one.begin(stubborn + "task = asyncio.create_task(stay())\n" + last)
        await asyncio.sleep(0.1)
        await one.environment.close()
        del one
        gc.collect()
        assert (await asyncio.to_thread(threading.active_count)) < 20

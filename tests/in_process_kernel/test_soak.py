"""Repeats what kernels go through, to find what stays behind."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading

import psutil
import pytest

from .conftest import WAIT, Cell, Kernel, Start, until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(240)]
CYCLES, RESTARTS, INTERRUPTS, KERNELS, PRINTS = 200, 100, 300, 8, 20_000
GROWTH = 100_000  # bytes a cycle
OURS = ("ZMQInteractiveShell", "Life", "Lane", "Worker", "Front", "Outlet", "Hub", "CommManager", "Comm")


def leftovers() -> list[str]:
    gc.collect()
    return [type(one).__name__ for one in gc.get_objects() if type(one).__name__ in OURS]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no Path for it


async def cycle() -> None:
    kernel = Kernel()
    await kernel.start_quickly()
    assert await kernel.value("import threading\nx = [0] * 1000\nlen(x)") == "1000"
    await kernel.close()


async def test_cycles_leave_nothing() -> None:
    for _ in range(10):
        await cycle()
    gc.collect()
    process = psutil.Process()
    memory, threads, files = process.memory_info().rss, process.num_threads(), descriptors()
    for _ in range(CYCLES):
        await cycle()
    assert leftovers() == []
    await until(lambda: process.num_threads() <= threads, "threads have ended")
    await until(lambda: descriptors() <= files, "descriptors are closed")
    assert [t.name for t in threading.enumerate() if t.name.startswith("pcm")] == []
    grown = (process.memory_info().rss - memory) / CYCLES
    print(f"{CYCLES} cycles: {grown / 1000:.1f} KB each")
    assert grown < GROWTH
    assert process.children() == []


async def test_restarts_leave_nothing(kernel: Kernel) -> None:
    async def again() -> None:
        await kernel.run("x = [0] * 1000")
        await kernel.manager.restart_kernel()
        assert await kernel.value("'x' in dir()") == "False"

    for _ in range(5):
        await again()
    gc.collect()
    process = psutil.Process()
    memory, threads, files = process.memory_info().rss, process.num_threads(), descriptors()
    for _ in range(RESTARTS):
        await again()
    await until(lambda: leftovers().count("ZMQInteractiveShell") == 1, "the shells before are gone")
    await until(lambda: process.num_threads() <= threads, "threads have ended")
    assert descriptors() <= files
    grown = (process.memory_info().rss - memory) / RESTARTS
    print(f"{RESTARTS} restarts: {grown / 1000:.1f} KB each")
    assert grown < GROWTH


CODES = (
    "for i in range(10**9): pass",
    "while True: print(i)",
    "import time\nwhile True: time.sleep(0.0001)",
    "await asyncio.sleep(9)",
    "while True: await asyncio.sleep(0)",
    "while True: display(i)",
    "import threading; threading.Event().wait(9)",
    "while True: sorted(range(1000))",
)


async def test_interrupts_at_any_moment_cost_no_reply(start: Start) -> None:
    kernels = await start(), await start()
    chance = random.Random(7)  # noqa: S311 - no secret
    await asyncio.gather(*(k.run("import asyncio; i = 0") for k in kernels))

    async def strike(kernel: Kernel, number: int) -> None:
        task = asyncio.create_task(kernel.run(CODES[number % len(CODES)]))
        while not task.done():
            await asyncio.sleep(chance.random() * 0.02)
            await kernel.manager.interrupt_kernel()
        cell: Cell = task.result()
        assert cell.reply["status"] in ("error", "ok"), cell.reply
        assert cell.contents("status")[-1] == {"execution_state": "idle"}
        assert await kernel.value(f"{number}") == f"{number}"

    for number in range(INTERRUPTS // 2):
        await asyncio.gather(*(asyncio.wait_for(strike(k, number), WAIT) for k in kernels))


THREADS = """
import threading, sys
def p(n):
    for i in range(200): sys.stdout.write(f'{n}-{i}\\n')
threads = [threading.Thread(target=p, args=(n,)) for n in range(5)]
[t.start() for t in threads]; [t.join() for t in threads];
"""


async def test_prints_of_many_kernels_are_exact_and_uncrossed(start: Start) -> None:
    kernels = [await start() for _ in range(KERNELS)]

    async def one(number: int, kernel: Kernel) -> None:
        cell = await kernel.run(f"for i in range({PRINTS}): print('k{number}', i)")
        lines = cell.stdout.splitlines()
        assert lines == [f"k{number} {i}" for i in range(PRINTS)]
        cell = await kernel.run(THREADS)
        assert sorted(cell.stdout.split()) == sorted(f"{n}-{i}" for n in range(5) for i in range(200))

    await asyncio.gather(*(one(i, k) for i, k in enumerate(kernels)))

"""What is measured: pairs of the same thing done by this package and by stock Jupyter or IPython.

A measure makes its pair ready and hands out two functions, each of which takes one value: seconds,
or bytes. Who calls them alternates, so that a change of the machine's speed strikes both alike.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import psutil
import pyperf  # type: ignore[import-untyped]
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from stock import StockKernel, StockShell

from py_code_mode_jupyter import FileStorage
from py_code_mode_jupyter.execution import (
    Executor,
    InProcessConfig,
    InProcessExecutor,
    SubprocessExecutor,
)

Take = Callable[[], Awaitable[float]]
Pair = tuple[Take, Take]
MEGABYTES = 100
PRINTS = f"for _ in range({MEGABYTES * 1000}): print('x' * 999)"
CALLS = 50
ARTIFACTS = 1_000
KERNELS = 20
BROKER = f"""
import time
def calls():
    started = time.perf_counter()
    for _ in range({CALLS}): artifacts.get("none")
    return (time.perf_counter() - started) / {CALLS}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One row of the table.

    Attributes
    ----------
    name
        What ``--only`` selects, and the benchmarks' name in the file of results.
    ours, stock
        What is compared, in words.
    pair
        Makes both sides ready.
    values, workers
        Values that each worker process takes of each side, and the number of such processes.
    bound
        The ratio of medians that must not be exceeded; None: for information.
    limit
        What our own median must not exceed, in the unit; None: no such limit.
    unit
        As pyperf names it.
    """

    name: str
    ours: str
    stock: str
    pair: Callable[[], AbstractAsyncContextManager[Pair]]
    values: int
    workers: int = 3
    bound: float | None = None
    limit: float | None = None
    unit: Literal["second", "byte"] = "second"


class Place(Protocol):
    """Something to start, and to close."""

    async def start(self) -> None:
        """Make it ready."""

    async def close(self) -> None:
        """End it."""


P = TypeVar("P", bound=Place)


@asynccontextmanager
async def running(place: P) -> AsyncIterator[P]:
    """Start a place and close it in the end."""
    try:
        await place.start()
        yield place
    finally:
        await place.close()


def timed(work: Callable[[], Awaitable[Any]]) -> Take:
    """Return a function that does `work` and says how long it took."""

    async def take() -> float:
        started = pyperf.perf_counter()
        await work()
        return float(pyperf.perf_counter() - started)

    return take


def starting(make: Callable[[], Any]) -> Take:
    """Return a function that says how long a fresh place takes to its first result."""

    async def take() -> float:
        started = pyperf.perf_counter()
        async with running(make()) as place:
            await place.run("1+1")
            return float(pyperf.perf_counter() - started)

    return take


def closing(make: Callable[[], Any]) -> Take:
    """Return a function that says how long a place takes to close after a run."""

    async def take() -> float:
        async with running(make()) as place:
            await place.run("1+1")
            return await timed(place.close)()

    return take


@asynccontextmanager
async def venv_start() -> AsyncIterator[Pair]:
    """Make an environment and its kernel; the base is there after the warm-up."""
    yield starting(SubprocessExecutor), starting(StockKernel)


@asynccontextmanager
async def venv_close() -> AsyncIterator[Pair]:
    """End and remove everything."""
    yield closing(SubprocessExecutor), closing(StockKernel)


@asynccontextmanager
async def venv_run() -> AsyncIterator[Pair]:
    """Run a little in a kernel that is there."""
    async with running(SubprocessExecutor()) as ours, running(StockKernel()) as stock:
        yield timed(lambda: ours.run("1+1")), timed(lambda: stock.run("1+1"))


@asynccontextmanager
async def in_process_start() -> AsyncIterator[Pair]:
    """Make a place in this process."""
    yield starting(InProcessExecutor), starting(StockShell)


@asynccontextmanager
async def in_process_close() -> AsyncIterator[Pair]:
    """End a place in this process; stock only stops a thread."""
    yield closing(InProcessExecutor), closing(StockShell)


@asynccontextmanager
async def in_process_run() -> AsyncIterator[Pair]:
    """Run a little in this process."""
    async with running(InProcessExecutor()) as ours, running(StockShell()) as stock:
        yield timed(lambda: ours.run("1+1")), timed(lambda: stock.run("1+1"))


def kernel_here() -> StockKernel:
    """Return our kernel in this process, driven as stock's own."""
    return StockKernel("pcm-in-process")


@asynccontextmanager
async def kernel_start() -> AsyncIterator[Pair]:
    """Start a kernel in this process, and what serves the sockets of all of them."""
    yield starting(kernel_here), starting(StockKernel)


@asynccontextmanager
async def kernel_run() -> AsyncIterator[Pair]:
    """Run a little over ZeroMQ in kernels that are there."""
    async with running(kernel_here()) as ours, running(StockKernel()) as stock:
        yield timed(lambda: ours.run("1+1")), timed(lambda: stock.run("1+1"))


@asynccontextmanager
async def kernel_memory() -> AsyncIterator[Pair]:
    """Weigh what several kernels add to this process, and the process that each of stock's is."""

    async def ours() -> float:
        async with running(kernel_here()) as first, AsyncExitStack() as others:
            await first.run("1+1")
            before = psutil.Process().memory_info().rss
            for _ in range(KERNELS):
                await (await others.enter_async_context(running(kernel_here()))).run("1+1")
            return float(psutil.Process().memory_info().rss - before) / KERNELS

    async def stock() -> float:
        async with running(StockKernel()) as kernel:
            await kernel.run("1+1")
            return float(psutil.Process(kernel.pid).memory_info().rss)

    yield ours, stock


@asynccontextmanager
async def venv_memory() -> AsyncIterator[Pair]:
    """Weigh the kernel's process after a run."""

    def resident(make: Callable[[], Any], pid_of: Callable[[Any], Awaitable[int]]) -> Take:
        async def take() -> float:
            async with running(make()) as place:
                await place.run("1+1")
                return float(psutil.Process(await pid_of(place)).memory_info().rss)

        return take

    async def our_pid(executor: Any) -> int:
        return int((await executor.stats())["pid"])

    async def stock_pid(kernel: Any) -> int:
        return int(kernel.pid)

    yield resident(SubprocessExecutor, our_pid), resident(StockKernel, stock_pid)


@asynccontextmanager
async def venv_prints() -> AsyncIterator[Pair]:
    """Print a flood, which is read meanwhile; ours bounds what it keeps."""
    async with running(SubprocessExecutor()) as ours, running(StockKernel()) as stock:
        stock.listen()
        yield timed(lambda: ours.run(PRINTS)), timed(lambda: stock.output(PRINTS))


@asynccontextmanager
async def in_process_prints() -> AsyncIterator[Pair]:
    """Print the same flood in this process."""
    config = InProcessConfig(default_timeout=None)
    async with running(InProcessExecutor(config)) as ours, running(StockShell()) as stock:
        yield timed(lambda: ours.run(PRINTS)), timed(lambda: stock.run(PRINTS))


class WithStorage:
    """An isolated executor with a storage to ask for."""

    def __init__(self, executor: Executor, folder: Path) -> None:
        self._storage = FileStorage(base_path=folder)
        self.executor = executor

    async def start(self) -> None:
        """Start it, and let it know how to ask."""
        await self.executor.start(self._storage)
        await self.executor.run(BROKER)

    async def close(self) -> None:
        """End it."""
        await self.executor.close()


@asynccontextmanager
async def asking(executor: Executor) -> AsyncIterator[Pair]:
    """Ask the host from isolated code; stock has only the round trip in the other direction."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(WithStorage(executor, Path(folder))) as ours, running(StockKernel()) as stock:

            async def call() -> float:
                return float((await ours.executor.run("calls()")).value)

            yield call, timed(lambda: stock.run("1+1"))


def _filled(folder: Path) -> tuple[FileStorage, LargeFileManager]:
    storage, files = FileStorage(base_path=folder / "storage"), folder / "files"
    files.mkdir()
    for number in range(ARTIFACTS):
        storage.artifacts.save(f"artifact{number}", number)
        (files / f"artifact{number}.json").write_text(f"{number}")
    return storage, LargeFileManager(root_dir=str(files))


@asynccontextmanager
async def listing() -> AsyncIterator[Pair]:
    """List what a storage holds, and files in a folder as Jupyter Server does."""
    with tempfile.TemporaryDirectory() as folder:
        storage, contents = _filled(Path(folder))

        async def ours() -> None:
            storage.artifacts.list()

        async def stock() -> None:
            contents.get("", content=True)

        yield timed(ours), timed(stock)


@asynccontextmanager
async def importing() -> AsyncIterator[Pair]:
    """Import the package in a fresh interpreter, whose own start is not counted."""

    def fresh(module: str) -> Take:
        program = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"

        async def take() -> float:
            command = [sys.executable, "-c", program]
            return float(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)  # noqa: ASYNC221 - nothing else goes on

        return take

    yield fresh("py_code_mode_jupyter"), fresh("jupyter_client")


MEASURES = (
    Measure(
        name="venv-start",
        ours="SubprocessExecutor: start to result of 1+1",
        stock="kernel python3: start to first reply",
        pair=venv_start,
        values=8,
        bound=1.5,
    ),
    Measure(
        name="venv-run",
        ours='SubprocessExecutor: run("1+1")',
        stock="kernel python3: shell round trip",
        pair=venv_run,
        values=200,
        bound=1.3,
    ),
    Measure(
        name="in-process-run",
        ours='InProcessExecutor: run("1+1")',
        stock="IPython: run_cell_async in a thread",
        pair=in_process_run,
        values=500,
        bound=1.5,
    ),
    Measure(
        name="in-process-start",
        ours="InProcessExecutor: start to result of 1+1",
        stock="IPython: shell in a thread to result",
        pair=in_process_start,
        values=15,
        workers=1,
    ),
    Measure(
        name="kernel-start",
        ours="kernel pcm-in-process: start to first reply",
        stock="kernel python3: start to first reply",
        pair=kernel_start,
        values=8,
        bound=0.15,
    ),
    Measure(
        name="kernel-run",
        ours="kernel pcm-in-process: shell round trip",
        stock="kernel python3: shell round trip",
        pair=kernel_run,
        values=200,
        bound=0.65,
    ),
    Measure(
        name="kernel-memory",
        ours="kernel pcm-in-process: memory it adds",
        stock="kernel python3: memory",
        pair=kernel_memory,
        values=2,
        bound=1 / 59,
        unit="byte",
    ),
    Measure(
        name="venv-close",
        ours="SubprocessExecutor: close",
        stock="kernel python3: killed",
        pair=venv_close,
        values=5,
        workers=1,
    ),
    Measure(
        name="in-process-close",
        ours="InProcessExecutor: close",
        stock="IPython: thread stopped",
        pair=in_process_close,
        values=15,
        workers=1,
    ),
    Measure(
        name="venv-memory",
        ours="SubprocessExecutor: memory of the kernel",
        stock="kernel python3: memory",
        pair=venv_memory,
        values=2,
        workers=1,
        unit="byte",
    ),
    Measure(
        name="venv-prints",
        ours=f"SubprocessExecutor: {MEGABYTES} MB of prints",
        stock="kernel python3: prints, all read",
        pair=venv_prints,
        values=2,
        workers=1,
    ),
    Measure(
        name="in-process-prints",
        ours=f"InProcessExecutor: {MEGABYTES} MB of prints",
        stock="IPython: prints into a buffer",
        pair=in_process_prints,
        values=2,
        workers=1,
    ),
    Measure(
        name="broker-call",
        ours='artifacts.get("...") in the venv',
        stock="kernel python3: shell round trip",
        pair=lambda: asking(SubprocessExecutor()),
        values=30,
        bound=0.5,
    ),
    Measure(
        name="artifact-list",
        ours=f"FileStorage: list {ARTIFACTS:,} artifacts",
        stock=f"Jupyter Server: list {ARTIFACTS:,} files",
        pair=listing,
        values=30,
        limit=0.05,
    ),
    Measure(
        name="import",
        ours="import py_code_mode_jupyter",
        stock="import jupyter_client",
        pair=importing,
        values=8,
        workers=1,
    ),
)

"""What the container costs, beside stock kernels on the same machine; it needs an engine and the image."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from measures import Measure, Pair, asking, closing, running, starting, timed
from stock import StockKernel

from py_code_mode_jupyter.environments.container.engine import Engine
from py_code_mode_jupyter.environments.container.images import BASE, check_image
from py_code_mode_jupyter.errors import CodeModeError
from py_code_mode_jupyter.execution import ContainerConfig, ContainerExecutor

AT_ONCE = 20


def container(memory_limit: str = "512m") -> ContainerExecutor:
    """Return an executor as strangers' code gets it: without a network."""
    token = secrets.token_urlsafe()
    return ContainerExecutor(
        ContainerConfig(auth_token=token, network_disabled=True, memory_limit=memory_limit)
    )


def why_not() -> str:
    """Return why containers cannot be measured here, or nothing."""
    try:
        with contextlib.closing(Engine()) as engine:
            check_image(engine, BASE)
    except CodeModeError as error:
        return str(error)
    return ""


@asynccontextmanager
async def start() -> AsyncIterator[Pair]:
    """Make a container, and its kernel in it."""
    yield starting(container), starting(StockKernel)


@asynccontextmanager
async def run() -> AsyncIterator[Pair]:
    """Run a little in a kernel that is there."""
    async with running(container()) as ours, running(StockKernel()) as stock:
        yield timed(lambda: ours.run("1+1")), timed(lambda: stock.run("1+1"))


@asynccontextmanager
async def close() -> AsyncIterator[Pair]:
    """End the container, and wait until the engine has removed it."""
    yield closing(container), closing(StockKernel)


@asynccontextmanager
async def memory() -> AsyncIterator[Pair]:
    """Weigh the control group of an idle container, and the process that a stock kernel is."""
    import psutil

    async def ours() -> float:
        async with running(container()) as place:
            return float((await place.stats())["memory"])

    async def stock() -> float:
        async with running(StockKernel()) as kernel:
            await kernel.run("1+1")
            return float(psutil.Process(kernel.pid).memory_info().rss)

    yield ours, stock


@asynccontextmanager
async def many() -> AsyncIterator[Pair]:
    """Start many at once, run a little in each, and close them all."""

    async def ours() -> None:
        async def use() -> None:
            async with running(container("128m")) as place:
                await place.run("1+1")

        await asyncio.gather(*(use() for _ in range(AT_ONCE)))

    async def stock() -> None:
        kernels = [StockKernel() for _ in range(AT_ONCE)]
        await asyncio.gather(*(kernel.start() for kernel in kernels))
        for kernel in kernels:  # its socket blocks, and the others start meanwhile
            await kernel.run("1+1")
        await asyncio.gather(*(kernel.close() for kernel in kernels))

    yield timed(ours), timed(stock)


MEASURES = (
    Measure(
        name="container-broker-call",
        ours='artifacts.get("...") in the container',
        stock="kernel python3: shell round trip",
        pair=lambda: asking(container()),
        values=30,
        bound=0.5,
    ),
    Measure(
        name="container-start",
        ours="ContainerExecutor: start to result of 1+1",
        stock="kernel python3: start to first reply",
        pair=start,
        values=8,
        bound=2.0,
    ),
    Measure(
        name="container-run",
        ours='ContainerExecutor: run("1+1")',
        stock="kernel python3: shell round trip",
        pair=run,
        values=200,
        bound=1.5,
    ),
    Measure(
        name="container-close",
        ours="ContainerExecutor: close",
        stock="kernel python3: killed",
        pair=close,
        values=8,
        limit=0.3,
    ),
    Measure(
        name="container-memory",
        ours="ContainerExecutor: memory of an idle container",
        stock="kernel python3: memory",
        pair=memory,
        values=2,
        workers=1,
        limit=60 * 2**20,
        unit="byte",
    ),
    Measure(
        name="container-many",
        ours=f"ContainerExecutor: {AT_ONCE} at once, from start to end",
        stock=f"{AT_ONCE} kernels python3",
        pair=many,
        values=1,
        workers=1,
    ),
)

"""What recording costs: the same run, and the same start, with the ledger and the registry and without."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyperf  # type: ignore[import-untyped]
from measures import Measure, Pair, Take, closing, running, timed

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.execution import InProcessExecutor, SubprocessExecutor


@asynccontextmanager
async def in_process_run() -> AsyncIterator[Pair]:
    """Run in this process, where little else is there to hide the cost."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(Session(FileStorage(Path(folder)))) as session:
            yield timed(lambda: session.run("1+1")), timed(lambda: session.executor.run("1+1"))


@asynccontextmanager
async def venv_run() -> AsyncIterator[Pair]:
    """Run in a kernel of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(Session(FileStorage(Path(folder)), SubprocessExecutor())) as session:
            yield timed(lambda: session.run("1+1")), timed(lambda: session.executor.run("1+1"))


@asynccontextmanager
async def in_process_start() -> AsyncIterator[Pair]:
    """Start and run, after which both close unwatched."""
    with tempfile.TemporaryDirectory() as folder:
        storage = FileStorage(Path(folder))

        yield _ready(lambda: Session(storage)), _ready(lambda: _Executor(storage))


def _ready(make: Callable[[], Any]) -> Take:
    """Return a function that says how long a fresh place takes to its first result, closing not counted."""

    async def take() -> float:
        started = pyperf.perf_counter()
        async with running(make()) as place:
            await place.run("1+1")
            took = pyperf.perf_counter() - started
        return float(took)

    return take


class _Executor:
    """An executor over a storage, and nothing around it."""

    def __init__(self, storage: FileStorage) -> None:
        self._storage = storage
        self._executor = InProcessExecutor()
        self.run, self.close = self._executor.run, self._executor.close

    async def start(self) -> None:
        """Make it ready."""
        await self._executor.start(self._storage)


@asynccontextmanager
async def in_process_close() -> AsyncIterator[Pair]:
    """Close after a run, which for ours means that what was recorded is on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        storage = FileStorage(Path(folder))
        yield closing(lambda: Session(storage)), closing(lambda: _Executor(storage))


MEASURES = (
    Measure(
        name="ledger-run",
        ours='Session.run("1+1") in this process, recorded',
        stock="its executor alone",
        pair=in_process_run,
        values=500,
        bound=1.25,
    ),
    Measure(
        name="ledger-venv-run",
        ours='Session.run("1+1") in a venv, recorded',
        stock="its executor alone",
        pair=venv_run,
        values=200,
        bound=1.1,
    ),
    Measure(
        name="ledger-start",
        ours="Session: start in this process to result of 1+1",
        stock="its executor alone",
        pair=in_process_start,
        values=15,
        bound=1.2,
    ),
    Measure(
        name="ledger-close",
        ours="Session: close, all that ran written",
        stock="its executor alone",
        pair=in_process_close,
        values=15,
    ),
)

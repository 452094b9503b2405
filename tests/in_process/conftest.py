"""A real environment for each test, and a sink that keeps what it is given."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from py_code_mode_jupyter.config import InProcessConfig
from py_code_mode_jupyter.environments.in_process import InProcessEnvironment
from py_code_mode_jupyter.results import Output, RunEnding, RunRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PATIENCE = 20.0


class Kept:
    """Keeps what a run shows."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.writes = 0

    def write(self, name: str, text: str) -> None:
        self.writes += 1
        self.outputs.append(Output(type="stream", name=name, text=text))

    def show(self, output: Output) -> None:
        self.outputs.append(output)

    def text(self, name: str = "stdout") -> str:
        return "".join(one.text for one in self.outputs if one.type == "stream" and one.name == name)

    def of_type(self, kind: str) -> list[Output]:
        return [one for one in self.outputs if one.type == kind]


class Place:
    """An environment and the ways in which tests use it."""

    def __init__(self, **namespaces: object) -> None:
        self.environment = InProcessEnvironment(InProcessConfig(), namespaces=namespaces)

    def begin(self, code: str, **variables: object) -> tuple[asyncio.Future[RunEnding], Kept]:
        kept = Kept()
        return self.environment.begin(RunRequest(code=code, variables=variables), kept), kept

    async def run(self, code: str, **variables: object) -> tuple[RunEnding, Kept]:
        future, kept = self.begin(code, **variables)
        return await asyncio.wait_for(future, PATIENCE), kept

    async def value(self, code: str, **variables: object) -> Any:
        ending, _ = await self.run(code, **variables)
        assert ending.exception is None, ending.exception.traceback
        return ending.value

    async def begin_and_wait(self, code: str) -> tuple[asyncio.Future[RunEnding], Kept]:
        """Begin code that prints ``go`` when it is where it shall be interrupted."""
        future, kept = self.begin(code)
        await until(lambda: "go" in kept.text() or future.done())
        return future, kept

    async def stop(self, future: asyncio.Future[RunEnding]) -> tuple[RunEnding, float]:
        begun = time.perf_counter()
        await self.environment.interrupt()
        ending = await asyncio.wait_for(future, PATIENCE)
        return ending, time.perf_counter() - begun


async def until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.005)


@pytest_asyncio.fixture
async def place() -> AsyncIterator[Place]:
    one = Place()
    await one.environment.start()
    yield one
    await one.environment.close()


@pytest_asyncio.fixture
async def other() -> AsyncIterator[Place]:
    one = Place()
    await one.environment.start()
    yield one
    await one.environment.close()


@pytest.fixture
def patience() -> float:
    return PATIENCE

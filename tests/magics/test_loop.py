"""The background loop, by itself."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator

import pytest

from py_code_mode_jupyter.magics.loop import Background

from .conftest import until

WHO = contextvars.ContextVar("WHO", default="nobody")


async def nothing() -> None:
    """Do no last work."""


@pytest.fixture
def background() -> Iterator[Background]:
    made = Background("pcm-test")
    yield made
    assert made.close(nothing, timeout=5)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pcm-test")]


async def thread_name() -> str:
    return threading.current_thread().name


def test_all_work_is_done_in_one_thread_that_starts_with_it(background: Background) -> None:
    assert threads() == []
    assert background.call(thread_name()) == background.call(thread_name()) == "pcm-test"


def test_an_exception_reaches_the_caller(background: Background) -> None:
    async def fail() -> None:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        background.call(fail())


def test_work_does_not_count_as_the_calling_cells(background: Background) -> None:
    async def who() -> str:
        return await asyncio.to_thread(WHO.get)

    token = WHO.set("the cell")
    assert background.call(who()) == "nobody"
    WHO.reset(token)


def test_closing_cancels_what_still_runs_and_leaves_no_thread(background: Background) -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.to_thread(lambda: None)
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    future = background.submit(wait())
    until(lambda: len(threads()) == 2, "the work has begun")
    assert background.close(nothing, timeout=5)
    assert future.cancelled()
    assert ended == ["cancelled"]
    until(lambda: not threads(), "the threads have ended")


def test_a_second_close_waits_for_the_first(background: Background) -> None:
    go_on = threading.Event()

    async def last() -> None:
        await asyncio.to_thread(go_on.wait, 10)

    background.call(nothing())
    assert not background.close(last, timeout=0)
    assert not background.close(last, timeout=0.05)
    go_on.set()
    assert background.close(last, timeout=5)


def test_it_starts_again_after_it_was_closed(background: Background) -> None:
    background.call(nothing())
    assert background.close(nothing, timeout=5)
    assert background.call(thread_name()) == "pcm-test"

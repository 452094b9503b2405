"""From a container's thread to a session's event loop: bounded, in order, and to nobody who has left."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import psutil

from py_code_mode_jupyter import FileStorage, RunStatus, Session
from py_code_mode_jupyter.environments.container.filtering import Message
from py_code_mode_jupyter.environments.container.handover import Handover
from py_code_mode_jupyter.execution import ContainerConfig, ContainerExecutor

from .conftest import TOKEN, Open, until

if TYPE_CHECKING:
    from collections.abc import Coroutine

MB = 10**6


def handover_of(session: Session) -> Handover:
    environment = session.executor._environment  # type: ignore[attr-defined]
    assert environment is not None
    found: Handover = environment.handover
    return found


async def test_a_container_waits_for_a_host_whose_loop_is_busy(open_session: Open) -> None:
    async with open_session(timeout=60) as session:
        await session.run("1")
        handover, before = handover_of(session), psutil.Process().memory_info().rss
        code = f"for _ in range(100): print('x' * {MB - 1})"
        run = asyncio.ensure_future(session.run(code))
        await asyncio.sleep(0)  # the request is on its way
        until(lambda: handover._is_full, "more has come than may wait")  # nothing else can run meanwhile
        assert psutil.Process().memory_info().rss - before < 50 * MB
        result = await run
        assert len(result.stdout) + result.truncated == 100 * MB
        assert (await session.run("'still here'")).value == "still here"


async def test_a_session_ends_while_its_container_waits(open_session: Open) -> None:
    async with open_session() as session:
        run = asyncio.ensure_future(session.run(f"while True: print('x' * {MB})"))
        await asyncio.sleep(0)
        until(lambda: handover_of(session)._is_full, "more has come than may wait")
        await session.close()
        assert (await run).status is RunStatus.DIED


def test_output_for_a_loop_that_was_closed_goes_nowhere(storage: FileStorage) -> None:
    session = Session(storage, ContainerExecutor(ContainerConfig(auth_token=TOKEN, network_disabled=True)))

    def in_a_loop(work: Coroutine[object, object, object]) -> None:
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            loop.run_until_complete(work)

    in_a_loop(session.start())
    handover_of(session)._asked = "1"
    handover_of(session).publish("stream", {"name": "stdout", "text": "late"}, {"msg_id": "1"})
    in_a_loop(session.close())


def message(text: str) -> Message:
    return Message("iopub", {"msg_type": "stream"}, {"msg_id": "1"}, {}, {"name": "stdout", "text": text})


def ask(handover: Handover) -> None:
    handover.send({"header": {"msg_id": "1"}, "parent_header": {}, "metadata": {}, "content": {}})


async def test_messages_keep_their_order_and_a_client_that_fails_gets_the_next() -> None:
    seen: list[str] = []
    failed: list[str] = []
    all_seen = asyncio.Event()

    def take(_channel: str, kind: str, _parent: str, content: dict[str, str], _buffers: object) -> None:
        if kind == "stream":
            seen.append(content["text"])
            if len(seen) == 300:
                all_seen.set()
            if content["text"] == "3":
                raise ValueError("on the client's side")

    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, about: failed.append(str(about["exception"]))
    )
    handover = Handover(lambda _channel, _parts: None, lambda _is_full: None)
    handover.open(take)
    ask(handover)
    for number in range(300):
        handover.deliver(message(str(number)), 1)
    async with asyncio.timeout(10):
        await all_seen.wait()
    assert seen == [str(number) for number in range(300)]
    assert failed == ["on the client's side"]


async def test_a_client_that_has_left_gets_nothing_and_holds_nobody_up() -> None:
    said: list[bool] = []
    got: list[object] = []
    handover = Handover(lambda _channel, _parts: None, said.append)
    handover.open(lambda *about: got.append(about))
    handover.deliver(message("of a run that nobody here asked for"), 10 * MB)
    for number in range(20_000):  # a container chooses which run a note is for
        handover.publish("stream", {"name": "stderr", "text": "not shown"}, {"msg_id": str(number + 2)})
    assert said == []
    ask(handover)
    handover.deliver(message("x"), 10 * MB)
    handover.close()
    assert said == [True, False]
    handover.deliver(message("y"), 10 * MB)
    await asyncio.sleep(0)
    assert (said, got) == ([True, False], [])

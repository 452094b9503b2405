"""What Jupyter Server notes of its kernels' activity comes a moment later, and is the same."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import zmq
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from zmq.eventloop.zmqstream import ZMQStream

from py_code_mode_jupyter.server import activity

from .conftest import execute_request

WAIT = 60.0
FLOOD = 3 * activity._AT_ONCE + 7


class Chosen(AsyncMappingKernelManager):
    """A user's own, with its own way to listen."""

    def start_watching_activity(self, kernel_id: str) -> None:
        super().start_watching_activity(kernel_id)


async def until(holds: Callable[[], object]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(WAIT):
        while not holds():  # noqa: ASYNC110 - Jupyter Server has no event for it
            await asyncio.sleep(0.005)


async def _run(kernel: str, connect: Any, code: str) -> list[str]:
    """Run code through a websocket; return the kinds of the messages that answered."""
    name = uuid.uuid4().hex
    client = await connect("api", "kernels", kernel, "channels")
    await client.write_message(execute_request(name, code))
    kinds: list[str] = []
    while not {"execute_reply", "idle"} <= set(kinds):
        answer = json.loads(await client.read_message())
        if answer["parent_header"].get("msg_id") == name:
            kinds.append(answer["content"].get("execution_state", answer["msg_type"]))
    client.close()
    return kinds


@pytest.mark.parametrize("kernel_name", ["pcm-in-process", "python3"])
def test_state_and_time_of_the_last_activity_are_noted(
    jp_fetch: Any, jp_ws_fetch: Any, jp_asyncio_loop: Any, jp_serverapp: Any, kernel_name: str
) -> None:
    manager = jp_serverapp.kernel_manager
    assert "start_watching_activity" in vars(manager)

    async def check() -> None:
        made = await jp_fetch("api", "kernels", method="POST", body=json.dumps({"name": kernel_name}))
        kernel = manager.get_kernel(json.loads(made.body)["id"])
        await _run(kernel.kernel_id, jp_ws_fetch, "0")
        await until(lambda: kernel.execution_state == "idle")
        before: datetime = kernel.last_activity
        states: list[str] = []
        kernel.observe(lambda change: states.append(change["new"]), "execution_state")
        assert "execute_result" in await _run(kernel.kernel_id, jp_ws_fetch, "1+1")
        await until(lambda: states[-2:] == ["busy", "idle"])
        assert kernel.last_activity > before
        assert manager.last_kernel_activity >= kernel.last_activity

        await jp_fetch("api", "kernels", kernel.kernel_id, "restart", method="POST", body=b"{}")
        before = kernel.last_activity
        await _run(kernel.kernel_id, jp_ws_fetch, "1+1")
        await until(lambda: kernel.last_activity > before and kernel.execution_state == "idle")
        await jp_fetch("api", "kernels", kernel.kernel_id, method="DELETE")

    jp_asyncio_loop.run_until_complete(check())


@pytest.fixture
async def pair(tmp_path: Any) -> Any:
    """A socket that publishes, and a stream that has subscribed to it."""
    with zmq.Context() as context:
        publishing, taking = context.socket(zmq.XPUB), context.socket(zmq.SUB)
        publishing.bind(f"ipc://{tmp_path / 'pub'}")
        taking.connect(f"ipc://{tmp_path / 'pub'}")
        taking.subscribe(b"")
        assert await asyncio.to_thread(publishing.recv) == b"\x01"
        stream = ZMQStream(taking)
        yield publishing, stream
        stream.close()
        publishing.close(linger=0)


async def test_a_flood_is_taken_whole_in_order_and_in_turns(pair: Any) -> None:
    publishing, stream = pair
    taken: list[bytes] = []
    turns = 0
    activity.Patient(stream, lambda message: taken.append(message[0])).listen()
    sent = [b"%d" % number for number in range(FLOOD)]
    for one in sent:
        publishing.send(one)
    while len(taken) < FLOOD:
        seen = len(taken)
        await asyncio.sleep(0)
        turns += len(taken) > seen
        assert len(taken) - seen <= activity._AT_ONCE
    assert taken == sent
    assert turns >= FLOOD / activity._AT_ONCE
    publishing.send(b"the next")
    await until(lambda: taken[-1] == b"the next")


async def test_what_cannot_be_noted_costs_no_other_message(
    pair: Any, caplog: pytest.LogCaptureFixture
) -> None:
    publishing, stream = pair
    taken: list[bytes] = []

    def record(message: list[bytes]) -> None:
        if message[0] == b"forged":
            raise ValueError("Invalid Signature")
        taken.append(message[0])

    activity.Patient(stream, record).listen()
    for one in (b"forged", b"good", b"forged"):
        publishing.send(one)
    await until(lambda: caplog.text.count("Invalid Signature") >= 2)
    publishing.send(b"last")
    await until(lambda: taken == [b"good", b"last"])


async def test_nothing_is_noted_of_a_stream_that_was_closed_meanwhile(pair: Any) -> None:
    publishing, stream = pair
    taken: list[bytes] = []
    activity.Patient(stream, lambda message: taken.append(message[0])).listen()
    publishing.send(b"one")
    await until(lambda: not stream.receiving())
    stream.close()
    await asyncio.sleep(activity.MOMENT)  # a later timer of the same loop: the other has fired before
    assert taken == []


async def test_what_somebody_waits_for_is_noted_at_once(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "MOMENT", 10 * WAIT)
    publishing, stream = pair
    taken: list[bytes] = []
    activity.Patient(stream, lambda message: taken.append(message[0]), lambda: len(taken) < 2).listen()
    for one in (b"starting", b"idle", b"busy"):
        publishing.send(one)
    await until(lambda: taken[:2] == [b"starting", b"idle"])


class TestAManagerOfTheUsers:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"]["kernel_manager_class"] = Chosen
        return jp_server_config

    def test_listens_its_own_way(self, jp_serverapp: Any) -> None:
        assert "start_watching_activity" not in vars(jp_serverapp.kernel_manager)

"""The boundary between user code and ours, entered with whatever can be armed inside."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from py_code_mode_jupyter.environments.in_process import interrupts
from py_code_mode_jupyter.environments.in_process.interrupts import Ended, Gate, Stay, run_open
from py_code_mode_jupyter.results import Output, RunRequest, RunStatus

from .conftest import Kept, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Place

# The second of two that are armed may be raised in a callback of the garbage collector, and ends there.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def in_thread(call: Callable[[], Any]) -> Any:
    """Call in a thread of its own, and return what is returned there; nothing may be raised."""
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(call()), daemon=True)
    thread.start()
    thread.join(20)
    assert got, "it raised, or did not return"
    return got[0]


def spin() -> None:
    while True:
        len("x")


def swallow() -> None:
    while True:
        try:
            spin()
        except BaseException:  # noqa: BLE001 - what the tests are about
            break


def deaf() -> None:
    swallow()
    spin()


def tell(stay: Stay, left: threading.Event) -> None:
    while not left.wait(0.002):
        stay.end()


def some_work() -> int:
    return sum(len("x") for _ in range(1_000))


def interrupted(gate: Gate) -> None:
    gate.interrupt()
    spin()


def interrupted_again_on_the_way_out(gate: Gate) -> None:
    try:
        interrupted(gate)
    finally:
        gate.interrupt()


def doomed(gate: Gate) -> None:
    gate.doom()
    spin()


def doomed_and_deaf(gate: Gate) -> None:
    gate.doom()
    deaf()


def doomed_on_the_way_out(gate: Gate) -> None:
    try:
        interrupted(gate)
    finally:
        gate.doom()


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        (some_work, ()),
        (interrupted, KeyboardInterrupt),
        (interrupted_again_on_the_way_out, KeyboardInterrupt),
        (doomed, Ended),
        (doomed_and_deaf, Ended),
        (doomed_on_the_way_out, Ended),
    ],
)
def test_what_is_armed_in_user_code_is_raised_there_and_nowhere_later(code: Any, raised: Any) -> None:
    def boundary() -> tuple[BaseException | None, int]:
        gate = Gate()
        gate.begin()
        _, error = run_open(gate, code, *() if code is some_work else (gate,))
        return error, some_work()

    for _ in range(50):
        error, worked = in_thread(boundary)
        assert error is None if raised == () else isinstance(error, raised)
        assert worked == 1_000


def test_a_stay_that_is_ended_ends_and_nothing_follows() -> None:
    def boundary() -> int:
        stay = Stay()
        left = threading.Event()
        telling = threading.Thread(target=tell, args=(stay, left))
        telling.start()
        try:
            stay.run(deaf, ())
        except Ended:
            pass
        finally:
            left.set()
        telling.join()
        return some_work()

    for _ in range(50):
        assert in_thread(boundary) == 1_000


async def test_a_run_that_nobody_interrupts_arms_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On Python 3.11 and 3.12 it would slow down every thread of the process from then on.
    armed: list[object] = []
    arm = interrupts._set_async_exc

    def record(ident: int, exception: object) -> None:
        armed.append(exception)
        arm(ident, exception)

    monkeypatch.setattr(interrupts, "_set_async_exc", record)
    assert await place.value("import asyncio\nawait asyncio.sleep(0.01)\nprint(1)\n2") == 2
    assert armed == []


async def test_code_told_to_end_while_its_output_is_delivered_cannot_swallow_that(place: Place) -> None:
    class Slow(Kept):
        def __init__(self) -> None:
            super().__init__()
            self.delivering = threading.Event()
            self.go_on = threading.Event()

        def show(self, output: Output) -> None:
            self.delivering.set()
            assert self.go_on.wait(20)

    slow = Slow()
    code = (
        "def f():\n    try: display(1)\n    except BaseException: pass\n"
        "def g():\n    while True: len('x')\nf()\ng()"
    )
    future = place.environment.begin(RunRequest(code=code), slow)
    await until(slow.delivering.is_set)
    replacing = asyncio.create_task(place.environment.replace())
    await asyncio.sleep(0)
    slow.go_on.set()
    assert "was ended" in await replacing
    assert (await future).status is RunStatus.DIED

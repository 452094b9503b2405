"""A large artifact passes without either side holding it three times."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from py_code_mode_jupyter import Session
from py_code_mode_jupyter.execution import ContainerConfig, ContainerExecutor

if TYPE_CHECKING:
    from py_code_mode_jupyter import FileStorage

OFFLINE = True
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc"),
]
TOKEN = "a token of the tests".replace(" ", "-")
SIZE = 100_000_000
MEASURE = r'''
import re
from pathlib import Path
def memory(name):
    """Return a figure of this process in bytes."""
    return 1024 * int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1])
def begin():
    """Forget the peak, and return what is in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")
'''


def memory(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def begin() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


async def test_neither_side_holds_a_large_artifact_three_times(
    session: Session, storage: FileStorage
) -> None:
    await session.run(f"{MEASURE}\nartifacts.save('small', b'x')\nartifacts.load('small')")
    host = begin()
    steps = {
        "save": f"artifacts.save('large', b'0123456789' * {SIZE // 10})",
        "load": "len(artifacts.load('large'))",
    }
    for step, code in steps.items():
        start = begin()
        result = await session.run(f"start = begin()\n{code}\nmemory('VmHWM') - start")
        assert result.is_ok, result.error
        assert result.value < 2.5 * SIZE, step
        assert memory("VmHWM") - start < 2.5 * SIZE, step
        # And when it has passed, neither side holds it at all.
        assert (await session.run("memory('VmRSS') - start")).value < 0.5 * SIZE, step
        assert memory("VmRSS") - host < 0.5 * SIZE, step
    assert storage.artifacts.get("large").size == SIZE  # type: ignore[union-attr]


@pytest.mark.needs("docker")
async def test_a_container_with_room_for_less_than_three_passes_it(
    images: None, storage: FileStorage
) -> None:
    """All that is in the container together, what carries the channel to the host included."""
    config = ContainerConfig(auth_token=TOKEN, network_disabled=True, memory_limit="300m")
    async with Session(storage, ContainerExecutor(config)) as session:
        assert (await session.run(f"artifacts.save('large', b'0123456789' * {SIZE // 10})")).is_ok
        assert (await session.run("len(artifacts.load('large'))")).value == SIZE

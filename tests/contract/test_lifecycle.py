"""Rule 7: closing is idempotent, survives cancellation, and leaves nothing. Starting and monitoring."""

from __future__ import annotations

import asyncio
import gc
import secrets
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.kernelspec import KernelSpecManager

from py_code_mode_jupyter import FileStorage, RunStatus, Session
from py_code_mode_jupyter.errors import ExecutorStateError
from py_code_mode_jupyter.execution import Executor

Make = Callable[..., Executor]


def leftovers() -> dict[str, Any]:
    """What a session may leave: processes, threads, descriptors, folders, kernelspecs."""
    gc.collect()
    return {
        "processes": {p.pid for p in psutil.Process().children(recursive=True)},
        "threads": {t.name for t in threading.enumerate() if not t.name.startswith("asyncio_")},
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "folders": set(Path(tempfile.gettempdir()).glob("pcm-venv-*")),
        "kernelspecs": set(KernelSpecManager().find_kernel_specs()),
    }


async def test_twenty_sessions_leave_nothing(make: Make, storage: FileStorage) -> None:
    async with Session(storage, make()) as session:  # what is made once per process is made here
        await session.run("1")
    before = leftovers()
    for _ in range(5):
        sessions = [Session(storage, make()) for _ in range(4)]
        await asyncio.gather(*(s.start() for s in sessions))
        assert [r.value for r in await asyncio.gather(*(s.run("6 * 7") for s in sessions))] == [42] * 4
        await asyncio.gather(*(s.close() for s in sessions))
    assert leftovers() == before


async def test_children_of_the_code_end_with_the_session(open_session: Callable[..., Any]) -> None:
    seconds = str(300 + secrets.randbelow(10**9) / 10**9)  # by which the host knows them, whatever their pids
    async with open_session() as session:
        if not session.supports("process_isolation"):
            pytest.skip("in-process, children are the host's own")
        code = (
            "import subprocess\n"
            f"plain = subprocess.Popen(['sleep', '{seconds}'])\n"
            f"away = subprocess.Popen(['sleep', '{seconds}'], start_new_session=True)\n"
            f"daemon = subprocess.Popen(['sh', '-c', 'setsid sleep {seconds} & echo $!'], stdout=-1)\n"
            "int(daemon.stdout.readline())"
        )
        assert (await session.run(code)).is_ok
        while len(sleeping(seconds)) < 3:  # noqa: ASYNC110 - they begin when the system lets them
            await asyncio.sleep(0.01)
    assert sleeping(seconds) == []


def sleeping(seconds: str) -> list[int]:
    """Return the processes that sleep so long; those that have ended, and are not reaped yet, do not."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["cmdline"] == ["sleep", seconds] and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


async def test_closing_twice_and_before_the_start_is_fine(make: Make, storage: FileStorage) -> None:
    session = Session(storage, make())
    await session.close()
    await session.start()
    await session.close()
    await session.close()


async def test_a_closed_session_says_so(make: Make, storage: FileStorage) -> None:
    session = Session(storage, make())
    with pytest.raises(ExecutorStateError, match="not running"):
        await session.run("1")
    await session.start()
    await session.close()
    with pytest.raises(ExecutorStateError, match="not running"):
        await session.run("1")


async def test_an_executor_can_be_used_again_but_not_twice_at_once(make: Make, storage: FileStorage) -> None:
    executor = make()
    async with Session(storage, executor) as session:
        await session.run("kept = 1")
        with pytest.raises(ExecutorStateError, match="already running"):
            await Session(storage, executor).start()
        assert (await session.run("kept")).value == 1
    async with Session(storage, executor) as session:
        assert (await session.run("'kept' in globals()")).value is False


@pytest.mark.parametrize("after", [0.0, 0.005, 0.05, 0.15, 0.3])
async def test_a_start_that_is_cancelled_leaves_nothing(
    make: Make, storage: FileStorage, after: float
) -> None:
    async with Session(storage, make()) as session:
        await session.run("1")
    before = leftovers()
    session = Session(storage, make())
    starting = asyncio.create_task(session.start())
    await asyncio.sleep(after)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await session.close()  # where it was faster than that
    assert leftovers() == before


async def test_a_close_that_is_cancelled_still_removes_everything(make: Make, storage: FileStorage) -> None:
    async with Session(storage, make()) as session:
        await session.run("1")
    before = leftovers()
    session = Session(storage, make())
    await session.start()
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    for _ in range(200):
        if leftovers() == before:
            break
        await asyncio.sleep(0.05)
    assert leftovers() == before


@pytest.mark.parametrize("after", [0.0, 0.03, 0.1, 0.2])
async def test_closing_while_it_starts_leaves_nothing(make: Make, storage: FileStorage, after: float) -> None:
    async with Session(storage, make()) as session:
        await session.run("1")
    before = leftovers()
    starting = asyncio.create_task((session := Session(storage, make())).start())
    await asyncio.sleep(after)
    was_ready = starting.done()
    await session.close()
    [outcome] = await asyncio.gather(starting, return_exceptions=True)
    assert outcome is None if was_ready else isinstance(outcome, ExecutorStateError | None)
    with pytest.raises(ExecutorStateError):
        await session.run("1")
    assert leftovers() == before


async def test_closing_ends_a_run_that_is_under_way(make: Make, storage: FileStorage) -> None:
    session = Session(storage, make())
    await session.start()
    run = asyncio.create_task(session.run("import time\ntime.sleep(60)"))
    await asyncio.sleep(0.3)
    await session.close()
    result = await asyncio.wait_for(run, 10)
    assert result.status is RunStatus.DIED


async def test_reset_forgets_variables_and_keeps_the_session(session: Session) -> None:
    await session.run("kept = 7\nimport threading")
    await session.reset()
    result = await session.run("'kept' in globals()")
    assert (result.value, result.state_preserved) == (False, True)
    assert (await session.run("artifacts.list()")).is_ok


async def test_stats_and_probe_answer(session: Session) -> None:
    await session.run("sum(range(1_000_000))")
    stats = await session.stats()
    assert stats["runs"] == 1
    assert stats["state"] == "idle"
    assert stats["memory"] > 2**20
    assert stats["cpu"] > 0
    assert stats["uptime"] > 0
    assert psutil.pid_exists(stats["pid"])
    probe = await session.probe()
    assert probe["measured"]["process_isolation"] is session.supports("process_isolation")
    assert "max_output" in probe["configured"]


async def test_a_session_works_without_an_event_loop_of_its_own(make: Make, storage: FileStorage) -> None:
    """As a script uses it: one `asyncio.run` for everything, in a thread that has no loop yet."""

    async def main() -> Any:
        async with Session(storage, make()) as session:
            return (await session.run("6 * 7")).value

    assert await asyncio.to_thread(lambda: asyncio.run(main())) == 42


def test_a_session_belongs_to_the_event_loop_it_was_started_on(make: Make, storage: FileStorage) -> None:
    before = leftovers()["processes"]
    session = Session(storage, make())
    asyncio.run(session.start())
    with pytest.raises(ExecutorStateError, match=r"another event loop.*one asyncio.run"):
        asyncio.run(session.run("1"))
    asyncio.run(session.close())
    assert leftovers()["processes"] == before


def test_an_executor_can_be_used_on_one_event_loop_after_another(make: Make, storage: FileStorage) -> None:
    executor = make()

    async def main() -> list[Any]:
        async with Session(storage, executor) as session:
            return [r.value for r in await asyncio.gather(session.run("1"), session.run("2"))]

    assert [asyncio.run(main()) for _ in range(2)] == [[1, 2], [1, 2]]

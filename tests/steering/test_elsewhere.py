"""Sessions of other processes: found, watched, interrupted, made fresh, ended, and missed when killed."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.errors import SessionGoneError, SteeringError
from py_code_mode_jupyter.execution import SubprocessConfig, SubprocessExecutor
from py_code_mode_jupyter.steering import SessionClient

from .conftest import HOST, WAIT, only, process, said, until

LOOP = "while True: pass"


async def state_of(client: SessionClient) -> str:
    return str((await client.describe())["state"])


async def busy(client: SessionClient) -> None:
    while await state_of(client) != "busy":  # noqa: ASYNC110 - it lives in another process
        await asyncio.sleep(0.01)


async def test_a_session_of_another_process_is_seen_and_steered(storage: FileStorage) -> None:
    with process(HOST, storage.base_path, "x = 1", LOOP, "x", LOOP, "x", LOOP) as owner:
        entry = only(storage)
        assert (entry.name, entry.executor, entry.owner_pid) == ("far", "in-process", owner.pid)
        assert storage.sessions.get(entry.id) == entry
        client = SessionClient(entry)
        assert said(owner) == "ok"
        await busy(client)
        about = await client.describe()
        assert (about["id"], about["name"], about["runs"]) == (entry.id, "far", 2)
        assert about["memory"] > 0
        while (last := (await client.describe())["last_run"]) is None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        assert storage.runs.get(last).session_id == entry.id
        assert (about["probe"], about["owner_pid"]) == (None, owner.pid)
        await client.interrupt()
        assert (said(owner), said(owner)) == ("interrupted", "ok")
        await busy(client)
        await client.reset()
        assert (said(owner), said(owner)) == ("interrupted", "error")
        await busy(client)
        await client.restart()
        assert said(owner) == "died"
        assert await state_of(client) == "idle"
        assert (await client.probe())["measured"]["process_isolation"] is False
        assert (await client.describe())["probe"]["measured"]["process_isolation"] is False
        await client.stop()
        assert said(owner) == "closed"
        assert storage.sessions.entries() == []
        with pytest.raises(SessionGoneError, match="has ended"):
            await client.describe()


async def test_a_killed_owner_leaves_no_entry_after_the_next_reading(storage: FileStorage) -> None:
    with process(HOST, storage.base_path) as owner:
        client = SessionClient(only(storage))
        owner.send_signal(signal.SIGKILL)
        owner.wait(WAIT)
        assert len(list(storage.sessions.path.iterdir())) == 2
        with pytest.raises(SessionGoneError):
            await client.interrupt()
        assert storage.sessions.entries() == []
        assert list(storage.sessions.path.iterdir()) == []
        with pytest.raises(SessionGoneError, match="no running session"):
            storage.sessions.get(client.entry.id)


def test_a_process_that_ends_without_closing_takes_its_entry_along(storage: FileStorage) -> None:
    code = HOST.replace('print("ready", flush=True)', 'print("ready", flush=True); sys.exit()')
    with process(code, storage.base_path) as owner:
        owner.wait(WAIT)
    assert list(storage.sessions.path.iterdir()) == []


async def test_an_owner_that_is_stopped_is_said_to_not_answer(storage: FileStorage) -> None:
    with process(HOST, storage.base_path) as owner:
        client = SessionClient(only(storage), patience=0.2)
        owner.send_signal(signal.SIGSTOP)
        with pytest.raises(SessionGoneError, match=r"did not answer within 0\.2 s.*may be busy"):
            await client.describe()
        owner.send_signal(signal.SIGCONT)
        while not await _answers(client):  # noqa: ASYNC110 - it lives in another process
            await asyncio.sleep(0.01)


async def _answers(client: SessionClient) -> bool:
    try:
        return await state_of(client) == "idle"
    except SessionGoneError:
        return False


def test_a_session_in_a_notebooks_kernel_is_steered_while_its_cell_runs(storage: FileStorage) -> None:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, "PCM_STORAGE": str(storage.base_path)})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=WAIT)
        client.execute_interactive("%load_ext py_code_mode_jupyter", timeout=WAIT, output_hook=_drop)
        shown: list[dict[str, Any]] = []
        client.execute("%%pcm run -s near -e in-process\nwhile True: pass")
        until(lambda: storage.runs.list(status="running"))
        entry = only(storage)
        assert entry.owner_what.startswith("kernel ")
        steering = SessionClient(entry)
        asyncio.run(steering.interrupt())
        while not shown or shown[-1]["msg_type"] != "error":
            shown.append(client.get_iopub_msg(timeout=WAIT))
        assert "KeyboardInterrupt" in str(shown[-1]["content"]) + str(shown)
        assert asyncio.run(steering.describe())["state"] == "idle"
        asyncio.run(steering.stop())
        assert storage.sessions.entries() == []
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _drop(_: dict[str, Any]) -> None:
    pass


async def test_a_venv_is_restarted_from_elsewhere_as_another_process(storage: FileStorage) -> None:
    async with Session(storage, SubprocessExecutor(), name="venv") as session:
        before = (await session.stats())["pid"]
        await session.run("x = 1")
        running = asyncio.ensure_future(session.run(LOOP))
        client = SessionClient(only(storage))
        await busy(client)
        await client.restart()
        assert (await running).status == "died"
        assert (await session.run("'x' in globals()")).value is False
        assert (await client.describe())["pid"] != before


# What is on the disk


async def test_only_this_user_can_reach_the_entry_and_its_socket(storage: FileStorage) -> None:
    async with Session(storage) as session:
        entry = only(storage)
        assert stat.S_IMODE(storage.sessions.path.stat().st_mode) == 0o700
        for path in storage.sessions.path.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(entry.endpoint.lstat().st_mode)
        assert entry.to_dict()["endpoint"] == str(entry.endpoint)
        await session.close()
        assert list(storage.sessions.path.iterdir()) == []


async def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / ("long " * 20) / ("longer" * 20))
    async with Session(storage):
        assert await state_of(SessionClient(only(storage))) == "idle"


async def test_a_session_started_again_is_another_incarnation(storage: FileStorage) -> None:
    session = Session(storage)
    seen = []
    for _ in range(2):
        async with session:
            assert only(storage).id == session.id
            seen.append(session.id)
    assert len({*seen}) == 2


async def test_a_session_runs_where_it_cannot_be_registered(
    storage: FileStorage, caplog: pytest.LogCaptureFixture
) -> None:
    storage.sessions.path.write_text("in the way")
    async with Session(storage) as session:
        assert (await session.run("1")).value == 1
    assert "cannot be seen or steered" in caplog.text


# Who may steer


async def test_another_user_gets_no_answer(storage: FileStorage) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    async with Session(storage):
        entry = only(storage)
        for folder in entry.endpoint.parents[:3]:
            folder.chmod(0o755)
        entry.endpoint.chmod(0o666)
        code = f"import os, socket; os.setuid(65534)\n{_ask(entry.endpoint)}"
        assert await _output_of(code) == "b''"
        # And nobody reads entries, or connects, through a folder that others can reach.
        with pytest.raises(SessionGoneError):
            await SessionClient(entry).describe()


@pytest.mark.needs("landlock")
async def test_code_that_is_confined_cannot_steer_its_own_or_another_session(storage: FileStorage) -> None:
    config = SubprocessConfig(allow_runtime_deps=False)
    async with Session(storage) as other, Session(storage, SubprocessExecutor(config)) as session:
        for entry in storage.sessions.entries():
            result = await session.run(_ask(entry.endpoint, do="stop"))
            assert result.stdout.strip() == "b''"
        assert (await session.run("1")).value == 1
        assert (await other.run("2")).value == 2


def _ask(path: Path, do: str = "describe") -> str:
    return (
        "import socket\n"
        "with socket.socket(socket.AF_UNIX) as s:\n"
        "    s.settimeout(30)\n"
        f"    s.connect({str(path)!r})\n"
        "    try:\n"
        f'        s.sendall(b\'{{"do": "{do}"}}\\n\')\n'
        "        print(s.recv(1000))\n"
        "    except ConnectionError:\n"
        "        print(b'')\n"
    )


async def _output_of(code: str) -> str:
    done = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", code, stdout=-1)
    out, _ = await done.communicate()
    return out.decode().strip()


async def test_a_request_that_fails_says_why(storage: FileStorage) -> None:
    async with Session(storage) as session:
        client = SessionClient(only(storage))
        await session.executor.close()
        with pytest.raises(SteeringError, match="not running") as caught:
            await client.probe()
        assert caught.value.kind == "ExecutorStateError"
        assert caught.value.remedy

"""Limits and isolation: set, measured inside and outside, and refused where they cannot be kept."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from py_code_mode_jupyter import FileStorage, RunStatus, Session
from py_code_mode_jupyter.environments.container import options as container_options
from py_code_mode_jupyter.environments.container.images import BASE
from py_code_mode_jupyter.errors import (
    ConfigurationError,
    EngineError,
    ExecutorStartError,
    ExecutorStateError,
)
from py_code_mode_jupyter.execution import ContainerConfig, ContainerExecutor

from .conftest import TOKEN, Open, of_process

if TYPE_CHECKING:
    from py_code_mode_jupyter.environments.container.engine import Engine


async def test_what_is_configured_is_measured_inside_and_outside(open_session: Open) -> None:
    fields = {"memory_limit": "300m", "cpu_quota": 50_000, "pids_limit": 77, "disk_limit": "64m"}
    async with open_session(**fields) as session:
        probe = await session.probe()
        measured, outside = probe["measured"], probe["measured"]["outside"]
        assert TOKEN not in repr(probe)
        assert measured["memory_limit"] == outside["memory_limit"] == 300 * 2**20
        assert measured["memory_and_swap_limit"] == outside["memory_and_swap_limit"] == 300 * 2**20
        assert measured["cpu_quota"] == outside["cpu_quota"] == 50_000
        assert measured["pids_limit"] == outside["pids_limit"] == 77
        assert measured["disk_limit"] <= 64 * 2**20
        assert (measured["uid"], measured["capabilities"], measured["root_writable"]) == (1000, 0, False)
        assert measured["no_new_privileges"]
        assert measured["seccomp"]
        assert (measured["network_isolation"], measured["interfaces"]) == (True, ["lo"])
        assert (outside["network_mode"], outside["addresses"], outside["ports"]) == ("none", [], {})
        assert (outside["privileged"], outside["read_only"], outside["mounts"]) == (False, True, [])
        assert outside["control_group"] in ({}, {"memory": 300 * 2**20, "pids": 77})


async def test_code_that_lies_does_not_change_what_was_measured(session: Session) -> None:
    before = (await session.probe())["measured"]
    lie = "import builtins, os\nos.getuid = lambda: 0\nbuiltins.open = lambda *a, **k: 1 / 0"
    assert (await session.run(lie)).is_ok
    assert (await session.probe())["measured"] == before


async def test_a_network_is_there_unless_it_is_disabled(open_session: Open) -> None:
    async with open_session(network_disabled=False) as session:
        measured = (await session.probe())["measured"]
        assert not measured["network_isolation"]
        assert "lo" in measured["interfaces"]
        assert len(measured["interfaces"]) == 2
        assert not session.supports("network_isolation")


async def test_cpu_time_is_limited(open_session: Open) -> None:
    async with open_session(cpu_quota=20_000) as session:
        code = """
import time
started, end = time.process_time(), time.monotonic() + 2
while time.monotonic() < end: pass
time.process_time() - started
"""
        used = (await session.run(code)).value
        assert used < 1.0  # a fifth of two seconds, and what it may catch up


async def test_no_environment_variable_of_the_host_is_seen(
    open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "s3cret")
    monkeypatch.setenv("MY_CHOICE", "chosen")
    async with open_session(env=("MY_CHOICE", "SET=value")) as session:
        seen = (await session.run("import os; dict(os.environ)")).value
        assert (seen["MY_CHOICE"], seen["SET"]) == ("chosen", "value")
        assert "s3cret" not in repr(seen)
        assert TOKEN not in repr(seen)


def _leave_out(monkeypatch: pytest.MonkeyPatch, part: str, option: str) -> None:
    """Take an option out behind the back of the check: no engine here ignores one without a word."""
    real = container_options.container_options

    def without(*arguments: Any, **others: Any) -> dict[str, Any]:
        made = real(*arguments, **others)
        del made[part][option]
        return made

    target = "py_code_mode_jupyter.environments.container.environment.container_options"
    monkeypatch.setattr(target, without)


async def test_a_limit_that_does_not_hold_refuses_the_start(
    engine: Engine, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _leave_out(monkeypatch, "host", "pids_limit")
    config = ContainerConfig(auth_token=TOKEN, network_disabled=True)
    with pytest.raises(ExecutorStartError, match="did not keep pids_limit"):
        await Session(storage, ContainerExecutor(config)).start()
    assert of_process(engine) == {}


async def test_an_image_that_says_root_is_not_run_as_root(
    engine: Engine, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = engine.client.create_container(BASE, entrypoint=["none"])["Id"]
    about = engine.image(BASE)["Config"]
    kept = f"ENTRYPOINT {json.dumps(about['Entrypoint'])}"
    engine.client.commit(made, repository="py-code-mode", tag="root", changes=["USER root", kept])
    engine.remove(made)
    try:
        config = ContainerConfig(auth_token=TOKEN, network_disabled=True, image="py-code-mode:root")
        async with Session(storage, ContainerExecutor(config)) as session:
            assert (await session.run("import os; os.getuid(), os.getgid()")).value == (1000, 1000)
        _leave_out(monkeypatch, "config", "user")
        with pytest.raises(ExecutorStartError, match="did not keep uid"):
            await Session(storage, ContainerExecutor(config)).start()
    finally:
        engine.client.remove_image("py-code-mode:root", force=True)


async def test_a_runtime_that_the_engine_does_not_have_is_refused(
    engine: Engine, storage: FileStorage
) -> None:
    config = ContainerConfig(auth_token=TOKEN, network_disabled=True, runtime="no-such-runtime")
    with pytest.raises(EngineError, match=r"no-such-runtime.*`docker info` lists the runtimes"):
        await Session(storage, ContainerExecutor(config)).start()
    assert of_process(engine) == {}


BAD = {
    "memory_limit": ["1m", "much", 0, -1, None, True],
    "disk_limit": ["1m", "", 0],
    "pids_limit": [1, 0, "many", 2.5, None],
    "cpu_quota": [0, 10, "half", 0.5],
    "image": ["", "-x", "a b", 7],
    "network_disabled": ["yes", 1, None],
    "fresh_per_run": [1],
    "publish": ["nowhere", "1:2:3", 70_000, True, -1],
    "remote_url": ["host:1", "ftp://x", 7],
    "docker_host": ["", "a b", 7],
    "timeout": [0, -1, "x"],
    "wheelhouse": ["", 7],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, many in BAD.items() for value in many]
)
def test_a_wrong_value_is_refused_when_the_configuration_is_made(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=field) as caught:
        ContainerConfig(auth_token=TOKEN, **{field: value})
    assert caught.value.remedy


def test_the_defaults_are_those_of_the_specification() -> None:
    config = ContainerConfig()
    names = (
        "timeout",
        "allow_runtime_deps",
        "auth_token",
        "auth_disabled",
        "network_disabled",
        "memory_limit",
        "cpu_quota",
    )
    values = (60.0, False, None, False, False, 512 * 2**20, None)
    assert tuple(getattr(config, name) for name in names) == values


def test_limits_of_a_remote_container_cannot_be_set_from_here() -> None:
    with pytest.raises(ConfigurationError, match="decided where the container"):
        ContainerConfig(auth_token=TOKEN, remote_url="http://host:1", memory_limit="1g")
    with pytest.raises(ConfigurationError, match="auth_token"):
        ContainerConfig(remote_url="http://host:1")


# Lifetimes


async def test_a_session_keeps_its_container_and_fresh_runs_do_not(
    open_session: Open, engine: Engine
) -> None:
    async with open_session() as session:
        await session.run("kept = 1\nopen('/work/file', 'w').write('x')")
        assert (await session.run("kept")).value == 1
    async with open_session(fresh_per_run=True) as session:
        await session.run("kept = 1\nopen('/work/file', 'w').write('x')")
        result = await session.run("import os\n('kept' in globals(), os.path.exists('/work/file'))")
        assert result.value == (False, False)
        assert not result.state_preserved
        assert (await session.run("artifacts.save('x', 1)")).is_ok
        assert (await session.run("artifacts.load('x')")).value == 1
        assert len(of_process(engine)) <= 1
        for _ in range(2):
            died = await session.run("import os; os._exit(4)")
            assert "ended by itself with status 4" in str(died.error)
            late = await session.run("while True: pass", timeout=0.3)
            assert (late.status, late.state_preserved) == ("timeout", False)
            assert "kept" not in str(late.error)
            assert (await session.run("1 + 1")).value == 2
        assert (await session.run("x + 1", variables={"x": 1})).value == 2
        with pytest.raises(ExecutorStateError, match="no variable outlives a run"):
            await session.put("x", 1)
        with pytest.raises(ExecutorStateError, match="no variable outlives a run"):
            await session.get("x")


async def test_fresh_runs_that_are_asked_for_together_see_nothing_of_each_other(open_session: Open) -> None:
    code = "import os\nseen = os.path.exists('x') or 'kept' in globals()\nkept = open('x', 'w')\nseen"
    async with open_session(fresh_per_run=True) as session:
        results = await asyncio.gather(*(session.run(code) for _ in range(3)))
    assert [result.value for result in results] == [False] * 3


async def test_what_comes_before_a_fresh_run_is_for_that_run(open_session: Open, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("given")
    async with open_session(fresh_per_run=True) as session:
        for _ in range(2):
            await session.upload(tmp_path / "data.txt", "data.txt")
            assert (await session.stats())["state"] == "idle"
            assert (await session.run("open('data.txt').read()")).value == "given"
            assert (await session.stats())["state"] == "idle"
            assert (await session.run("import os; os.listdir()")).value == []
        with pytest.raises(ExecutorStateError, match="no file outlives a run"):
            await session.download("data.txt", tmp_path / "back")


async def test_twenty_sessions_at_once(open_session: Open) -> None:
    async def use(number: int) -> int:
        async with open_session(memory_limit="128m") as session:
            return int((await session.run(f"{number} * 2")).value)

    assert await asyncio.gather(*(use(number) for number in range(20))) == [2 * n for n in range(20)]


async def test_closing_takes_a_moment_even_while_code_runs(open_session: Open) -> None:
    async with open_session() as session:
        run = asyncio.ensure_future(session.run("while True: pass"))
        await asyncio.sleep(0.3)
        started = time.perf_counter()
        await session.close()
        assert time.perf_counter() - started < 3
        assert (await run).status is RunStatus.DIED

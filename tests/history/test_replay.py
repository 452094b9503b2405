"""Sessions that were killed come back: their runs run again, and what may differ is named."""

from __future__ import annotations

import contextlib
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.config import ContainerConfig, InProcessConfig, SubprocessConfig
from py_code_mode_jupyter.errors import ReplayConsentError, ReplayError, RunNotFoundError
from py_code_mode_jupyter.execution import InProcessExecutor, SubprocessExecutor
from py_code_mode_jupyter.history import executor_like, is_less_isolated, lost_runs, replay
from py_code_mode_jupyter.storage import RunRecord
from py_code_mode_jupyter.storage.kept import recorded_limits

from .conftest import WAIT, host


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "storage")


def record(code: str = "x = 1", **fields: Any) -> RunRecord:
    given: dict[str, Any] = {"executor": "in-process", "status": "ok", "started": datetime.now(UTC), **fields}
    return RunRecord(**{"id": 1, "session": "s", "session_id": "i", "code": code, **given})


async def value(session: Session, code: str) -> Any:
    result = await session.run(code)
    assert result.is_ok, result.error
    return result.value


@pytest.mark.parametrize("place", ["in-process", "venv"])
async def test_a_session_whose_process_was_killed_comes_back(storage: FileStorage, place: str) -> None:
    with host(storage.base_path, place) as owner:
        with pytest.raises(ReplayError, match=r"still runs, in .*Stop it first"):
            await Session.resume(storage, "lost")
        while not storage.runs.list(status="running"):
            assert owner.poll() is None
        owner.send_signal(signal.SIGKILL)
        owner.wait(WAIT)
    async with await Session.resume(storage, "lost") as session:
        report = session.replayed
        assert report is not None
        assert session.executor.name == place
        assert await value(session, "[x, y, config]") == [[1, 2, 3], 7.0, {"rate": 0.5}]
        assert await value(session, "'kept_running' in globals()") is False
        named = {run.record.code: run.uncertain for run in report.uncertain}
        assert named["dice = random.random()"] == ("random: random.random",)
        assert named["throws = [dice] * 2"] == ("random: dice (random.random)",)
        assert set(named) == {"dice = random.random()", "throws = [dice] * 2"}
        skipped = {run.record.code: run.why for run in report.skipped}
        assert skipped["while True: pass"] == "it did not come to its end (timeout)"
        assert skipped["kept_running = 1\nwhile True: pass"] == "it did not come to its end (died)"
        assert ("z = thing" in skipped) is (place == "in-process")
        assert (report.failed, report.differ) == ((), ())
        said = str(report)
        assert "dice = random.random()  (random: random.random)" in said
        assert not report.is_exact


async def test_a_session_that_was_resumed_can_be_resumed_again(storage: FileStorage) -> None:
    async with Session(storage, name="again") as session:
        await session.run("n = [1]")
    for number in (2, 3):
        async with await Session.resume(storage, "again") as session:
            report = session.replayed
            assert report is not None
            assert report.is_exact
            assert await value(session, f"n.append({number})\nlen(n)") == number
    records = storage.runs.of_session("again")
    assert [one.code for one in records if one.kind == "run"] == [
        "n = [1]",
        "n.append(2)\nlen(n)",
        "n.append(3)\nlen(n)",
    ]
    assert [one.replay_of is not None for one in records if one.kind == "run"] == [True, True, False]
    [repeated] = [one for one in records if one.replay_of == records[1].replay_of]
    assert storage.runs.get(repeated.replay_of or 0).code == "n = [1]"


async def test_a_venv_whose_kernel_was_killed_gets_its_variables_again(storage: FileStorage) -> None:
    async with Session(storage, SubprocessExecutor(), name="venv") as session:
        with pytest.raises(RunNotFoundError):
            await session.replay()
        await session.run("x = 1")
        await session.reset()
        await session.run("y = 20")
        await session.run("y += 1\nprint(y)")
        assert (await session.run("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")).status == "died"
        assert not (await session.run("y")).is_ok
        report = await session.replay()
        outcomes = [(one.outcome, one.why) for one in report.runs]
        assert outcomes[:2] == [("same", ""), ("same", "")]
        assert outcomes[2] == ("skipped", "it did not come to its end (died)")
        assert outcomes[3] == ("differs", "error became ok")
        assert await value(session, "[y, 'x' in globals()]") == [21, False]


async def test_a_fresh_session_of_a_name_replays_what_the_one_before_it_ran(storage: FileStorage) -> None:
    async with Session(storage, name="kernel") as session:
        await session.run("kept = 'yes'")
    async with Session(storage, name="kernel") as session:
        assert not (await session.run("kept")).is_ok  # what a user notices first
        assert [one.code for one in lost_runs(storage.runs, "kernel", session.id)] == ["kept = 'yes'"]
        await session.replay()
        assert await value(session, "kept") == "yes"


async def test_runs_that_show_something_else_or_fail_now_are_named(
    storage: FileStorage, tmp_path: Path
) -> None:
    file = tmp_path / "data.txt"
    file.write_text("one")
    async with Session(storage, name="files") as session:
        await session.run(f"with open({str(file)!r}) as opened:\n    text = opened.read()\ntext")
        await session.run("object()")
        await session.run("raise ValueError('the same')")
        await session.run(f"import os\nos.remove({str(file)!r})")
    file.write_text("two")
    async with await Session.resume(storage, "files") as session:
        report = session.replayed
        assert report is not None
        outcomes = [(one.outcome, one.why) for one in report.runs]
        assert outcomes[:3] == [("differs", "another value"), ("same", ""), ("same", "")]
    async with await Session.resume(storage, "files") as session:
        report = session.replayed
        assert report is not None
        [failed, *_] = report.failed
        assert failed.why.startswith("ok became error: FileNotFoundError")


async def test_a_replay_in_a_less_isolated_place_asks_first(storage: FileStorage) -> None:
    records = [record("ran = 1", executor="container"), record("ran = 2")]
    async with Session(storage, name="s") as session:
        with pytest.raises(ReplayConsentError, match=r"'container'.*'in-process'.*consent=True") as caught:
            await replay(session, records)
        assert (caught.value.origin, caught.value.place) == ("container", "in-process")
        assert await value(session, "'ran' in globals()") is False
        report = await replay(session, records, consent=True)
        assert len(report.ran) == 2
        assert await value(session, "ran") == 2
    async with Session(storage, SubprocessExecutor(), name="isolated") as session:
        await session.run("mine = 1")
    with pytest.raises(ReplayConsentError):
        await Session.resume(storage, "isolated", executor=InProcessExecutor())
    assert storage.sessions.entries() == []
    executor = InProcessExecutor()
    async with await Session.resume(storage, "isolated", executor=executor, consent=True) as session:
        assert await value(session, "mine") == 1


@pytest.mark.parametrize(
    ("place", "origin", "is_less"),
    [
        ("in-process", "venv", True),
        ("in-process", "container", True),
        ("venv", "container", True),
        ("venv", "in-process", False),
        ("container", "venv", False),
        ("container", "somewhere", False),
        ("venv", "somewhere", True),
        ("somewhere", "container", False),
        ("somewhere", "somewhere", True),
        ("venv", "venv", False),
    ],
)
def test_which_place_is_less_isolated(place: str, origin: str, is_less: bool) -> None:
    assert is_less_isolated(place, origin) is is_less


async def test_what_is_not_kept_whole_is_not_rerun(storage: FileStorage) -> None:
    async with Session(storage, name="s") as session:
        for bad, why in (
            (record(code_is_whole=False), "too long or holding a secret"),
            (record(variables=("a", "b"), given={"a": 1}), "handed b, which is not plain JSON"),
            (record(kind="reset"), "is no run"),
        ):
            with pytest.raises(ReplayError, match=why):
                await session.rerun(bad)
        result = await session.rerun(record("a + 1", variables=("a",), given={"a": 1}, id=77))
        assert result.value == 2
        assert (await session.history())[0].replay_of == 77


async def test_a_replay_that_is_cut_short_is_not_what_is_resumed_next(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Session(storage, name="torn") as session:
        for i in range(3):
            await session.run(f"x{i} = {i}")
        first = session.id
    async with Session(storage, name="torn") as session:
        rerun = session.rerun

        async def cut(one: RunRecord) -> Any:
            if one.code == "x1 = 1":
                raise KeyboardInterrupt
            return await rerun(one)

        monkeypatch.setattr(session, "rerun", cut)
        with contextlib.suppress(KeyboardInterrupt):
            await session.replay()
    assert storage.runs.of_session("torn")[0].session_id == first


# Packages


async def test_recorded_packages_are_installed_first_and_said(storage: FileStorage) -> None:
    """`six` is there in whatever runs these tests, so that no index is asked."""
    records = [record("import six", deps=("six>=1",))]
    async with Session(storage, name="s") as session:
        report = await replay(session, records)
        assert report.deps is not None
        assert report.deps.already_present == ("six>=1",)
        assert "Packages: already present six>=1." in str(report)
        assert storage.deps.list() == ["six>=1"]
        assert (await replay(session, records, install=False)).deps is None


async def test_packages_that_may_not_be_installed_are_named(storage: FileStorage) -> None:
    records = [record("x = 1", deps=("a-package-that-is-nowhere==1",))]
    executor = InProcessExecutor(InProcessConfig(allow_runtime_deps=False))
    async with Session(storage, executor, name="s") as session:
        report = await replay(session, records)
        assert report.notes == ("Packages that could not be installed: a-package-that-is-nowhere==1.",)
        assert len(report.ran) == 1
        assert not report.is_exact


# An executor like the one that was


@pytest.mark.parametrize(
    "config",
    [
        InProcessConfig(default_timeout=None, max_output="1m"),
        SubprocessConfig(python_version="3.11", memory_limit="512m", env=("HOME", "LANG"), deps=("six",)),
        SubprocessConfig(allow_runtime_deps=False, working_dir="/tmp", writable_paths=("/tmp",)),
        ContainerConfig(auth_disabled=True, network_disabled=True, cpu_quota=50_000, timeout=None),
    ],
    ids=lambda config: type(config).__name__,
)
def test_an_executor_is_made_again_from_its_recorded_limits(config: Any) -> None:
    names = {"InProcessConfig": "in-process", "SubprocessConfig": "venv", "ContainerConfig": "container"}
    name = names[type(config).__name__]
    made = executor_like(record(executor=name, limits=recorded_limits(config)))
    assert (made.name, made.config) == (name, config)


def test_a_container_gets_a_new_token_and_no_values_of_variables() -> None:
    config = ContainerConfig(auth_token="the old one".replace(" ", "-"), env=("KEY=value", "LANG"))
    made = executor_like(record(executor="container", limits=recorded_limits(config)))
    assert made.config.env == ("LANG",)
    assert made.config.auth_token not in (None, config.auth_token)


@pytest.mark.parametrize(
    ("executor", "limits"),
    [("somewhere", {}), ("container", {"remote_url": "https://host:1"})],
)
def test_what_cannot_be_made_again_says_to_give_an_executor(executor: str, limits: dict[str, Any]) -> None:
    with pytest.raises(ReplayError, match=r"executor="):
        executor_like(record(executor=executor, limits=limits))


async def test_resuming_what_never_was_is_an_error(storage: FileStorage) -> None:
    with pytest.raises(RunNotFoundError, match="'nobody'"):
        await Session.resume(storage, "nobody")


async def test_the_first_runs_may_be_missing_and_are_then_said_to_be(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "few", keep_runs=3)
    async with Session(storage, name="long") as session:
        for i in range(12):
            await session.run(f"x{i} = {i}")
            storage.runs.flush()
    async with await Session.resume(storage, "long") as session:
        assert session.replayed is not None
        assert "may be missing: no longer kept" in session.replayed.notes[0]

"""The run ledger: what it keeps and how it is asked, with real sessions and real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.errors import (
    ConfigurationError,
    RunNotFoundError,
)
from py_code_mode_jupyter.execution import InProcessConfig, InProcessExecutor
from py_code_mode_jupyter.results import ExecutionResult, Output, RunStatus
from py_code_mode_jupyter.storage.kept import MOST_CODE, MOST_OUTPUTS, MOST_TEXT, kept

if TYPE_CHECKING:
    from py_code_mode_jupyter.storage import RunLedger
    from py_code_mode_jupyter.storage.recording import Recorder

WAIT = 60


@pytest.fixture
async def session(storage: FileStorage) -> AsyncIterator[Session]:
    async with Session(storage, name="analysis") as running:
        yield running


def recorder_of(ledger: RunLedger, session: str = "s", **more: Any) -> Recorder:
    about = {"session_id": "0" * 32, "executor": "venv", "limits": {}}
    return ledger.recorder(session=session, **{**about, **more})


def result(value: str = "", **fields: Any) -> ExecutionResult:
    outputs = (Output(type="execute_result", data={"text/plain": value}),) if value else ()
    return ExecutionResult(**{"status": RunStatus.OK, "outputs": outputs, **fields})


def program(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that runs `code`."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


WRITER = """
    import sys
    from py_code_mode_jupyter import FileStorage
    from py_code_mode_jupyter.results import ExecutionResult, RunStatus
    storage, name, number = FileStorage(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    recorder = storage.runs.recorder(session=name, session_id=name, executor="venv", limits={"a": 1})
    for i in range(number):
        begun = recorder.begin(f"{name} {i}")
        recorder.finish(begun, ExecutionResult(status=RunStatus.OK, stdout="x" * 1000))
    recorder.close()
"""


# What a session leaves


async def test_a_run_is_kept_with_all_that_was_in_force(session: Session, storage: FileStorage) -> None:
    storage.deps.add("six>=1")
    await session.run("print('hi')\nn + 1", variables={"n": 41, "odd": object()})
    [found] = storage.runs.list()
    assert found == (await session.history())[0]
    assert (found.session, found.session_id, found.executor) == ("analysis", session.id, "in-process")
    assert found.limits["default_timeout"] == 30.0
    assert found.deps == ("six>=1",)
    assert (found.variables, found.given) == (("n", "odd"), {"n": 41})
    assert (found.status, found.value, found.stdout, found.error) == ("ok", "42", "hi\n", None)
    assert found.execution_time is not None
    assert abs(found.started.timestamp() - time.time()) < WAIT
    assert found.outputs == ()
    assert [output["output_type"] for output in storage.runs.get(found.id).outputs] == [
        "stream",
        "execute_result",
    ]


async def test_every_ending_is_recorded(session: Session, storage: FileStorage) -> None:
    await session.run("1/0")
    await session.run("while True: pass", timeout=0.2)
    running = asyncio.ensure_future(session.run("import time\nwhile True: time.sleep(0.01)"))
    while not storage.runs.list(status="running"):  # noqa: ASYNC110 - another thread writes it
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait((running,))
    async with contextlib.aclosing(session.stream("print(1)\nprint(2)")) as stream:
        await anext(stream)
    with pytest.raises(ConfigurationError):  # nothing ran
        await session.run("never", variables={"no name": 1})
    endings = [(found.status, found.code.split("\n")[0]) for found in storage.runs.list()]
    assert endings[::-1] == [
        ("error", "1/0"),
        ("timeout", "while True: pass"),
        ("interrupted", "import time"),
        ("interrupted", "print(1)"),
    ]
    assert "ZeroDivisionError" in str(storage.runs.list(status="error")[0].error)
    [shown] = storage.runs.get(storage.runs.list(status="error")[0].id).outputs
    assert (shown["ename"], shown["evalue"]) == ("ZeroDivisionError", "division by zero")


async def test_what_happens_between_runs_is_recorded_too(session: Session, storage: FileStorage) -> None:
    await session.run("a = 1")
    await session.reset()
    await session.put("b", [1, {"c": None}])
    await session.restart()
    await session.run("d = 2")
    everything = storage.runs.of_session("analysis", since_reset=False)
    assert [found.kind for found in everything] == ["run", "reset", "put", "reset", "run"]
    assert [found.number for found in everything] == [1, 2, 3, 4, 5]
    assert everything[2].given == {"b": [1, {"c": None}]}
    assert [found.code for found in storage.runs.of_session("analysis")] == ["d = 2"]
    assert [found.kind for found in storage.runs.list()] == ["run", "reset", "reset", "run"]


async def test_closing_leaves_no_thread_and_no_open_file(storage: FileStorage) -> None:
    async with Session(storage) as session:
        await session.run("1")
    assert not [thread for thread in threading.enumerate() if thread.name == "pcm-ledger"]
    opened = [Path(f"/proc/self/fd/{name.name}") for name in Path("/proc/self/fd").iterdir()]
    assert not [one for one in opened if one.is_symlink() and "sqlite" in one.readlink().name]
    assert not storage.runs.path.with_name("runs.sqlite-wal").exists()


async def test_one_ledger_serves_sessions_in_several_threads(storage: FileStorage) -> None:
    async def work(name: str) -> None:
        async with Session(storage, name=name) as session:
            for i in range(20):
                await session.run(f"{i}")

    threads = [threading.Thread(target=asyncio.run, args=(work(f"s{i}"),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    for i in range(4):
        assert [found.value for found in storage.runs.of_session(f"s{i}")] == [str(i) for i in range(20)]


# Asking


@pytest.fixture
def ledger(storage: FileStorage) -> RunLedger:
    """Eight runs of two sessions, two of which failed."""
    for session in ("one", "two"):
        recorder = recorder_of(storage.runs, session, session_id=session, executor="venv")
        for i in range(4):
            begun = recorder.begin(f"Print({i}) # {session}")
            status = RunStatus.OK if i else RunStatus.ERROR
            recorder.finish(begun, result(f"Value {i}", status=status, error=None if i else "Boom"))
        recorder.close()
    return storage.runs


def test_it_lists_the_newest_first_in_pages(ledger: RunLedger) -> None:
    first = ledger.list(limit=3)
    assert [found.code for found in first] == ["Print(3) # two", "Print(2) # two", "Print(1) # two"]
    assert len(ledger.list(before=first[-1].id)) == 5
    assert ledger.list(before=1) == []


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ({"session": "one"}, 4),
        ({"session": "none"}, 0),
        ({"search": "print(2)"}, 2),
        ({"search": "value 3"}, 2),
        ({"search": "BOOM"}, 2),
        ({"search": "100%"}, 0),
        ({"search": "_"}, 0),
        ({"search": "' OR 1=1 --"}, 0),
        ({"status": "error"}, 2),
        ({"status": "ok", "session": "two", "search": "print"}, 3),
    ],
)
def test_it_finds_what_was_asked_for(ledger: RunLedger, asked: dict[str, Any], number: int) -> None:
    assert len(ledger.list(**asked)) == number


@pytest.mark.parametrize("limit", [0, -1, 1001, True, "10", None])
def test_a_limit_is_a_number_within_bounds(ledger: RunLedger, limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="limit"):
        ledger.list(limit=limit)


def test_sessions_are_summed_up_by_name(ledger: RunLedger) -> None:
    recorder = recorder_of(ledger, "one", session_id="again", executor="container")
    recorder.begin("x")
    recorder.close()
    one, two = ledger.sessions()
    assert (one.name, one.executor, one.ids, one.runs) == ("one", "container", ("again", "one"), 5)
    assert (two.name, two.runs) == ("two", 4)
    assert one.to_dict()["first"] == one.first.isoformat()


@pytest.mark.parametrize("number", [999, -1, 2**70, True, "1", None])
def test_a_run_that_is_not_there_has_an_error_of_its_own(ledger: RunLedger, number: Any) -> None:
    with pytest.raises(RunNotFoundError, match="no longer kept"):
        ledger.get(number)


def test_a_record_becomes_json(ledger: RunLedger) -> None:
    found = ledger.get(1)
    said = json.loads(json.dumps(found.to_dict()))
    assert said["started"] == found.started.isoformat()
    assert (said["reset"], said["code"], said["outputs"][0]["data"]) == (
        False,
        "Print(0) # one",
        {"text/plain": "Value 0"},
    )


def test_runs_are_forgotten_by_session_or_all(ledger: RunLedger) -> None:
    assert ledger.delete(session="one") == 4
    assert [found.name for found in ledger.sessions()] == ["two"]
    assert ledger.delete() == 4
    assert ledger.list() == []
    assert ledger.delete() == 0


def test_before_the_first_run_there_is_nothing_and_no_file(storage: FileStorage) -> None:
    assert storage.runs.list() == []
    assert list(storage.runs.sessions()) == []
    assert storage.runs.delete() == 0
    with pytest.raises(RunNotFoundError, match="'s'"):
        storage.runs.of_session("s")
    assert not storage.runs.path.exists()


# Which incarnation is meant


def test_the_latest_incarnation_that_ran_something_is_the_one_to_rebuild(ledger: RunLedger) -> None:
    for session_id in ("second", "third"):
        recorder = recorder_of(ledger, "one", session_id=session_id)
        recorder.finish(recorder.begin(session_id), result())
        recorder.close()
    recorder = recorder_of(ledger, "one", session_id="fresh")
    recorder.mark("reset")
    recorder.close()
    assert [found.code for found in ledger.of_session("one")] == ["third"]
    assert [found.code for found in ledger.of_session("one", excluding="third")] == ["second"]
    assert len(ledger.of_session("one", session_id="one")) == 4
    with pytest.raises(RunNotFoundError):
        ledger.of_session("one", session_id="other")


def test_an_incarnation_whose_replay_was_cut_short_is_passed_over(ledger: RunLedger) -> None:
    recorder = recorder_of(ledger, "one", session_id="torn")
    begun = recorder.begin("# earlier runs are run again", kind="replay")
    recorder.finish(recorder.begin("half", replay_of=1), result())
    ledger.flush()
    assert ledger.of_session("one")[0].session_id == "one"
    recorder.give_up(begun, RunStatus.OK, None, 0.0)
    recorder.close()
    assert ledger.of_session("one")[0].session_id == "torn"


# Bounds


def test_what_is_too_large_is_cut_and_says_so(storage: FileStorage) -> None:
    recorder = recorder_of(storage.runs)
    huge = "é" * (3 * MOST_OUTPUTS)
    outputs = (
        Output(type="display_data", data={"text/plain": huge}),
        Output(type="stream", name="stdout", text=huge),
        Output(type="execute_result", data={"text/plain": "seen"}),
    )
    begun = recorder.begin("#" * (2 * MOST_CODE))
    recorder.finish(begun, result(outputs=outputs, stdout=huge, error=huge, truncated=7))
    recorder.close()
    found = storage.runs.get(1)
    assert (len(found.code), found.code_is_whole) == (MOST_CODE, False)
    assert len(found.stdout) < MOST_TEXT + 100
    assert "characters are not kept" in found.stdout
    assert "characters are not kept" in str(found.error)
    assert [output["output_type"] for output in found.outputs] == ["stream", "execute_result"]
    assert (found.value, found.truncated) == ("seen", 7 + outputs[0].size)
    assert storage.runs.path.stat().st_size < 3 * MOST_OUTPUTS


def test_the_oldest_runs_give_way_by_number(tmp_path: Path) -> None:
    ledger = FileStorage(tmp_path / "few", keep_runs=20).runs
    recorder = recorder_of(ledger)
    for i in range(100):
        recorder.finish(recorder.begin(f"{i}"), result())
        ledger.flush()
    recorder.close()
    found = ledger.list()
    assert [one.code for one in found][:3] == ["99", "98", "97"]
    assert 20 <= len(found) <= 40
    assert ledger.of_session("s")[0].number > 1


def test_the_oldest_runs_give_way_by_size_and_the_file_shrinks(tmp_path: Path) -> None:
    ledger = FileStorage(tmp_path / "small", keep_run_bytes=2**20).runs
    recorder = recorder_of(ledger)
    for i in range(100):
        text = str(i) * 20_000
        recorder.finish(recorder.begin(f"{i}"), result(stdout=text, error=text, stderr=text))
        ledger.flush()
    recorder.close()
    assert ledger.list()[0].code == "99"
    assert len(ledger.list()) < 40
    assert ledger.path.stat().st_size < 3 * 2**20


@pytest.mark.parametrize(
    "value",
    [
        object(),
        (1, 2),
        {1: 2},
        {"a": {1, 2}},
        [b"x"],
        float("nan"),
        [float("inf")],
        2**5000,
        "x" * 2**19,
        [0] * 10**6,
        type("Text", (str,), {})("x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_variable_that_is_not_exactly_json_or_too_large_is_kept_by_name_only(value: object) -> None:
    assert kept({"good": [1, "a", None, {"b": 2.5}], "bad": value, "last": True}) == {
        "good": [1, "a", None, {"b": 2.5}],
        "last": True,
    }


def test_a_value_that_holds_itself_or_is_very_deep_is_no_json() -> None:
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    own: list[Any] = []
    own.append(own)
    assert kept({"deep": deep, "own": own}) == {}


def test_kept_variables_are_those_of_the_moment(storage: FileStorage) -> None:
    recorder = recorder_of(storage.runs)
    given = {"x": [1]}
    recorder.begin("x.append(2)", variables=given)
    given["x"].append(2)
    recorder.close()
    assert storage.runs.get(1).given == {"x": [1]}


# Secrets, and what hostile code shows


async def test_no_secret_gets_in_whatever_the_code_does_with_it(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from py_code_mode_jupyter import config

    monkeypatch.setenv("PCM_TEST_PASSED", "passed-on-value")
    configuration = config.ContainerConfig(
        auth_token="a token of the tests".replace(" ", "-"),
        env=("KEY=sk-geheim-äß", "PCM_TEST_PASSED"),
        docker_host="tcp://user:pass-of-the-host@127.0.0.1:1",
    )
    executor = InProcessExecutor(InProcessConfig())
    executor.config = configuration  # type: ignore[assignment]
    session = Session(storage, name="s")
    session.journal.begin(session, executor)
    known = configuration.secrets({"PCM_TEST_PASSED": "passed-on-value"})
    assert known == ("a-token-of-the-tests", "sk-geheim-äß", "passed-on-value")
    text = " ".join(known)
    with session.journal.recorded(f"x = {text!r}", {"given": text, "nested": [{text: text}]}) as finish:
        bundle = {"text/plain": text, "application/json": {text: [text]}}
        shown = (
            Output(type="stream", name="stdout", text=text),
            Output(type="display_data", data=bundle),
            Output(type="error", name="E", text=f"E: {text}"),
        )
        finish(result(outputs=shown, stdout=text, stderr=text, error=text))
    entry = storage.sessions.path / f"{session.id}.json"
    seen = entry.read_bytes()
    await session.close()
    seen += storage.runs.path.read_bytes()
    for secret in (*known, "pass-of-the-host", "sk-geheim"):
        assert secret.encode() not in seen
    found = storage.runs.get(1)
    assert found.limits["env"] == ["KEY=***", "PCM_TEST_PASSED"]
    assert "auth_token" not in found.limits
    assert found.limits["docker_host"] == "tcp://127.0.0.1:1"
    assert found.stdout == "*** *** ***"
    assert not found.code_is_whole


class _Hostile:
    def __str__(self) -> str:
        raise SystemExit

    def __repr__(self) -> str:
        raise RuntimeError


class _Looping(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise KeyError("no")


@pytest.mark.parametrize(
    "shown",
    [
        Output(type="display_data", data={"a/b": _Looping(x=1), "text/plain": "\ud800 half"}),
        Output(type="display_data", data={"application/json": {"nan": float("nan"), "deep": [[[object()]]]}}),
        Output(type="stream", name="stdout", text="\x00\x1b]0;title\x07'); DROP TABLE runs; --\ud83d"),
        Output(type="execute_result", data={"text/plain": 5, "image/png": b"\x89PNG"}),
        Output(type="error", name="E\ud800", text="\ud800"),
    ],
    ids=lambda output: output.type,
)
def test_what_hostile_code_shows_is_stored_as_data(storage: FileStorage, shown: Output) -> None:
    recorder = recorder_of(storage.runs)
    text = "\ud800\x00'; --"
    recorder.finish(recorder.begin(f"# {text}"), result(outputs=(shown,), stdout=text, error=text))
    recorder.finish(recorder.begin("next"), result("2"))
    recorder.close()
    last, found = storage.runs.list(with_outputs=True)
    assert last.value == "2"
    assert "'; --" in found.code
    assert "\\ud800" in found.stdout
    assert len(found.outputs) == 1
    assert sqlite3.connect(storage.runs.path).execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_an_object_that_fails_when_looked_at_does_not_end_the_writer(storage: FileStorage) -> None:
    recorder = recorder_of(storage.runs)
    data = {"application/x": _Hostile(), "text/plain": "seen"}
    recorder.finish(recorder.begin("x"), result(outputs=(Output(type="display_data", data=data),)))
    recorder.close()
    assert storage.runs.get(1).outputs[0]["data"]["text/plain"] == "seen"

"""The run ledger with many processes, killed writers, full disks and files that are not its own."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.errors import LedgerFormatError, StorageUnavailableError
from py_code_mode_jupyter.results import ExecutionResult, RunStatus
from py_code_mode_jupyter.storage import database

WAIT = 60
OK = ExecutionResult(status=RunStatus.OK)
BEGIN = """
    import sys
    from py_code_mode_jupyter import FileStorage
    from py_code_mode_jupyter.results import ExecutionResult, RunStatus
    storage, name = FileStorage(sys.argv[1]), sys.argv[2]
    recorder = storage.runs.recorder(session=name, session_id=name, executor="venv", limits={})
"""
WRITER = f"""{BEGIN}
    print("ready", flush=True)
    sys.stdin.readline()
    for i in range(100):
        begun = recorder.begin(f"{{name}} {{i}}")
        recorder.finish(begun, ExecutionResult(status=RunStatus.OK, stdout="x" * 1000))
        if i % 10 == 0:
            storage.runs.flush()
    recorder.close()
"""
BUSY = f"""{BEGIN}
    recorder.finish(recorder.begin("first"), ExecutionResult(status=RunStatus.OK))
    recorder.begin("second")
    storage.runs.flush()
    print("ready", flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def process(code: str, *arguments: object, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `code`, from the moment it is ready."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, **options) as started:  # type: ignore[call-overload]
        try:
            assert started.stdout.readline() == "ready\n"
            yield started
        finally:
            started.kill()


def go(*processes: subprocess.Popen[str]) -> None:
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in processes:
        assert one.wait(WAIT) == 0


# Many processes


def test_processes_that_write_at_once_lose_nothing(storage: FileStorage) -> None:
    names = [f"p{i}" for i in range(4)]
    with contextlib.ExitStack() as stack:
        go(*[stack.enter_context(process(WRITER, storage.base_path, name)) for name in names])
    for name in names:
        found = storage.runs.of_session(name)
        assert [run.code for run in found] == [f"{name} {i}" for i in range(100)]
        assert {run.status for run in found} == {"ok"}
        assert [run.number for run in found] == [*range(1, 101)]
    assert storage.runs.path.stat().st_mode & 0o777 == 0o600


def test_a_run_whose_process_was_killed_counts_as_died(storage: FileStorage) -> None:
    with process(BUSY, storage.base_path, "s") as owner:
        assert [run.status for run in storage.runs.list()] == ["running", "ok"]
        assert len(storage.runs.list(status="died")) == 0
        owner.send_signal(signal.SIGKILL)
        owner.wait(WAIT)
        second, first = storage.runs.list()
        assert (second.status, second.error) == ("died", "The process that ran it has ended.")
        assert (first.status, first.error) == ("ok", None)
        assert [run.id for run in storage.runs.list(status="died")] == [second.id]
        assert storage.runs.list(status="running") == []


def test_a_process_that_was_killed_and_not_yet_waited_for_has_ended(storage: FileStorage) -> None:
    with process(BUSY, storage.base_path, "s") as owner:
        owner.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + WAIT
        while storage.runs.list(status="running"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert len(storage.runs.list(status="died")) == 1


def test_runs_of_another_machine_are_not_declared_dead(storage: FileStorage) -> None:
    recorder = storage.runs.recorder(session="s", session_id="s", executor="venv", limits={})
    recorder.begin("elsewhere")
    recorder.close()
    with contextlib.closing(sqlite3.connect(storage.runs.path)) as connection, connection:
        connection.execute("UPDATE sessions SET owner = 'other-1:1:1-1'")
    assert storage.runs.list()[0].status == "running"


def test_a_fork_of_a_recording_process_writes_for_itself(storage: FileStorage) -> None:
    code = f"""{BEGIN}
        import os
        recorder.finish(recorder.begin("parent"), ExecutionResult(status=RunStatus.OK))
        storage.runs.flush()
        if not (child := os.fork()):
            own = storage.runs.recorder(session="child", session_id="child", executor="venv", limits={{}})
            own.finish(own.begin("child"), ExecutionResult(status=RunStatus.OK))
            own.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        recorder.finish(recorder.begin("parent again"), ExecutionResult(status=RunStatus.OK))
        recorder.close()
        print("ready", flush=True)
    """
    with process(textwrap.dedent(code.replace("\n        ", "\n    ")), storage.base_path, "parent"):
        pass
    assert [run.code for run in storage.runs.list()] == ["parent again", "child", "parent"]


def test_what_was_not_written_is_written_when_the_process_ends(storage: FileStorage) -> None:
    code = f'{BEGIN}\n    recorder.begin("last")\n    print("ready", flush=True)'
    with process(code, storage.base_path, "s") as owner:
        owner.wait(WAIT)
    assert storage.runs.list()[0].code == "last"


# Disks


def test_a_full_disk_costs_the_record_and_not_the_run(storage: FileStorage) -> None:
    code = """
        import asyncio, logging, resource, sys
        from py_code_mode_jupyter import FileStorage, Session
        logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
        async def main():
            async with Session(FileStorage(sys.argv[1])) as session:
                await session.run("1")
                await session.history()
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
                for i in range(5):
                    assert (await session.run(f"{i} + 1")).value == i + 1
                    await asyncio.to_thread(session.storage.runs.flush)
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
                assert (await session.run("'room again'")).is_ok
        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), storage.base_path],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("WARNING") == 1
    assert "Runs go on, but are not recorded now" in done.stdout
    # What waited meanwhile was written as soon as there was room.
    assert [run.value for run in storage.runs.list()] == ["'room again'", "5", "4", "3", "2", "1", "1"]


async def test_a_ledger_that_may_not_be_written_costs_the_record_and_not_the_run(
    storage: FileStorage, caplog: pytest.LogCaptureFixture
) -> None:
    storage.runs.path.mkdir()  # not even root can write that
    with caplog.at_level(logging.WARNING):
        async with Session(storage) as session:
            for _ in range(3):
                assert (await session.run("1 + 1")).value == 2
                storage.runs.flush()
    assert len(caplog.records) == 1
    assert "Remove it" in caplog.text
    with pytest.raises(LedgerFormatError, match=r"no file at all.*Remove it"):
        storage.runs.list()


async def test_a_session_runs_on_when_its_storage_disappears(
    storage: FileStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async with Session(storage) as session:
        assert (await session.run("1")).is_ok
        storage.runs.flush()
        storage.base_path.rename(storage.base_path.with_name("away"))
        with caplog.at_level(logging.WARNING):
            assert (await session.run("2")).is_ok
            storage.runs.flush()
        assert "not recorded" in caplog.text
        with pytest.raises(StorageUnavailableError):
            await session.list_artifacts()


# Files that are not its own


def damaged(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + os.urandom(8192))


def text(path: Path) -> None:
    path.write_text("id,code\n1,print(1)\n" * 100)


def foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE runs (id INTEGER)")


def newer(path: Path) -> None:
    with contextlib.closing(database.open_for_writing(path.parent)) as connection:
        connection.execute("PRAGMA user_version = 99")


def link(path: Path) -> None:
    target = path.with_name("elsewhere")
    foreign(target)
    path.symlink_to(target)


def emptied(path: Path) -> None:
    with contextlib.closing(database.open_for_writing(path.parent)) as connection:
        connection.execute("DROP TABLE runs")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (damaged, "damaged.*Move the file away"),
        (text, "damaged.*Move the file away"),
        (foreign, "another program's database.*Move the file away"),
        (newer, "format 99.*Upgrade"),
        (link, "a link.*Remove it"),
        (emptied, "damaged.*Move the file away"),
    ],
)
async def test_a_file_that_is_not_ours_has_an_error_that_says_what_to_do(
    storage: FileStorage, caplog: pytest.LogCaptureFixture, make: object, says: str
) -> None:
    assert callable(make)
    make(storage.runs.path)
    before = storage.runs.path.read_bytes()
    for ask in (storage.runs.list, storage.runs.sessions, lambda: storage.runs.get(1), storage.runs.delete):
        with pytest.raises(LedgerFormatError, match=says):
            ask()
    with caplog.at_level(logging.WARNING):
        async with Session(storage) as session:
            assert [(await session.run(f"{i}")).value for i in range(3)] == [0, 1, 2]
    assert len(caplog.records) == 1
    assert make is emptied or storage.runs.path.read_bytes() == before


def test_a_file_damaged_in_the_middle_is_noticed(storage: FileStorage) -> None:
    recorder = storage.runs.recorder(session="s", session_id="s", executor="venv", limits={})
    for i in range(200):
        recorder.finish(recorder.begin(f"{i}" * 100), OK)
    recorder.close()
    data = bytearray(storage.runs.path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    storage.runs.path.write_bytes(data)
    with pytest.raises(LedgerFormatError, match="damaged"):
        storage.runs.list()


def test_what_a_foreign_schema_asks_for_is_not_done(storage: FileStorage) -> None:
    with contextlib.closing(database.open_for_writing(storage.base_path)) as connection:
        connection.execute("DROP TABLE runs")
        connection.execute("CREATE VIEW runs AS SELECT load_extension('/nowhere.so') AS id")
    with pytest.raises(LedgerFormatError):
        storage.runs.list()


def test_cells_that_somebody_changed_by_hand_do_not_break_the_listing(storage: FileStorage) -> None:
    recorder = storage.runs.recorder(session="s", session_id="s", executor="venv", limits={})
    recorder.finish(recorder.begin("x"), OK)
    recorder.close()
    with contextlib.closing(sqlite3.connect(storage.runs.path)) as connection, connection:
        connection.execute("UPDATE runs SET deps = '[[[', outputs = '{}', given = '3', variables = 'null'")
        connection.execute("UPDATE sessions SET limits = ?", ("[" * 10_000,))
    [found] = storage.runs.list(with_outputs=True)
    assert (found.deps, found.outputs, found.given, found.variables, found.limits) == ((), (), {}, (), {})


def test_an_older_file_is_brought_up_to_date(storage: FileStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = storage.runs.recorder(session="s", session_id="s", executor="venv", limits={})
    recorder.finish(recorder.begin("x"), OK)
    recorder.close()
    steps = (*database._STEPS, "ALTER TABLE runs ADD COLUMN later TEXT NOT NULL DEFAULT ''")
    monkeypatch.setattr(database, "_STEPS", steps)
    assert storage.runs.list()[0].code == "x"
    with contextlib.closing(sqlite3.connect(storage.runs.path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT later FROM runs").fetchone() == ("",)

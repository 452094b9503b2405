"""Crashes, full disks and many writers at once: what was saved stays, and nothing half-made shows."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from py_code_mode_jupyter.errors import ArtifactNotFoundError, StorageUnavailableError
from py_code_mode_jupyter.storage import FileStorage
from py_code_mode_jupyter.storage.folder import LITTER_AGE, Folder

WAIT = 60.0
START = "import sys\nfrom py_code_mode_jupyter.storage import FileStorage\nfolder = sys.argv[1]\n"


class Start(Protocol):
    """Starts Python with code that finds its arguments in ``sys.argv``."""

    def __call__(self, code: str, *arguments: object) -> subprocess.Popen[str]: ...


@pytest.fixture
def start() -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def started(code: str, *arguments: object) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", START + code, *map(str, arguments)]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield started


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0, err
    return out


def poll(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_eight_processes_that_save_one_name_get_distinct_versions_all_intact(
    base: Path, start: Start
) -> None:
    code = """
artifacts = FileStorage(folder, keep_versions=50).artifacts
for number in range(25):
    info = artifacts.save("x", {"writer": sys.argv[2], "number": number, "pad": "y" * 5000})
    print(info.version)
"""
    writers = [start(code, base, writer) for writer in range(8)]
    versions = [int(line) for writer in writers for line in finish(writer).split()]
    assert sorted(versions) == list(range(1, 201))
    artifacts = FileStorage(base).artifacts
    kept = [info.version for info in artifacts.versions("x")]
    assert kept == list(range(200, 150, -1))
    assert {len(artifacts.load("x", version)["pad"]) for version in kept} == {5000}
    assert (
        sorted(int(path.name.split(".")[0]) for path in (base / "artifacts/x").glob("*.info.json"))
        == kept[::-1]
    )
    assert len(list((base / "artifacts/x").iterdir())) == 100
    assert not list((base / ".incoming").iterdir())


def test_processes_that_make_twins_at_once_end_up_with_one(base: Path, start: Start) -> None:
    FileStorage(base)
    code = """
from py_code_mode_jupyter.errors import InvalidArtifactNameError
artifacts = FileStorage(folder).artifacts
sys.stdin.readline()
for number in range(40):
    try:
        artifacts.save(f"{sys.argv[2]}{number}", 1)
    except InvalidArtifactNameError:
        continue
    print(number)
"""
    writers = [start(code, base, name) for name in ("data", "Data", "DATA", "dATA")]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    saved = [int(line) for writer in writers for line in finish(writer).split()]
    assert sorted(saved) == list(range(40))


def test_a_reader_is_never_disturbed_by_writers_that_prune(base: Path, start: Start) -> None:
    artifacts = FileStorage(base, keep_versions=1).artifacts
    artifacts.save("x", 0)
    code = """
artifacts = FileStorage(folder, keep_versions=1).artifacts
for number in range(200):
    artifacts.save("x", number)
"""
    writer = start(code, base)
    reads = 0
    while writer.poll() is None:
        assert isinstance(artifacts.load("x"), int)
        assert artifacts.list()[0].name == "x" and artifacts.exists("x")
        reads += 1
    finish(writer)
    assert reads > 10 and artifacts.load("x") == 199


def test_saving_and_deleting_at_once_loses_no_save_that_came_last(storage: FileStorage) -> None:
    failures: list[Exception] = []
    artifacts = storage.artifacts

    def repeat(action: Callable[[], object]) -> None:
        try:
            for _ in range(100):
                with contextlib.suppress(ArtifactNotFoundError):
                    action()
        except Exception as error:  # noqa: BLE001 - a thread has no other way to report it
            failures.append(error)

    actions = [
        lambda: artifacts.save("x", 1),
        lambda: artifacts.save("x", 2),
        lambda: artifacts.delete("x"),
        lambda: artifacts.load("x"),
        lambda: artifacts.list(),
    ]
    threads = [threading.Thread(target=repeat, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert not failures
    artifacts.save("x", 3)
    assert artifacts.load("x") == 3


def test_a_process_killed_while_it_writes_leaves_the_old_version_and_nothing_half_made(
    base: Path, start: Start
) -> None:
    artifacts = FileStorage(base).artifacts
    artifacts.save("x", b"old")
    code = 'FileStorage(folder).artifacts.save("x", b"new" * 100_000_000)\n'
    incoming = base / ".incoming"
    writer = start(code, base)

    def is_writing() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return any(path.stat().st_size > 1_000_000 for path in incoming.iterdir())
        return False

    poll(is_writing)
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=WAIT)
    assert artifacts.load("x") == b"old"
    assert [info.version for info in artifacts.versions("x")] == [1]
    (litter,) = incoming.iterdir()
    assert artifacts.save("y", 1).version == 1
    assert litter.exists()  # another process could still be writing it
    long_ago = time.time() - 2 * LITTER_AGE
    os.utime(litter, (long_ago, long_ago))
    artifacts.save("x", b"newer")
    assert not list(incoming.iterdir())
    assert artifacts.load("x") == b"newer"


def test_processes_killed_at_any_moment_leave_whole_versions_only(base: Path, start: Start) -> None:
    code = """
artifacts = FileStorage(folder, keep_versions=3).artifacts
print("ready", flush=True)
for number in range(100_000):
    artifacts.save("x", "z" * 50_000)
"""
    artifacts = FileStorage(base).artifacts
    newest = 0
    for turn in range(12):
        writer = start(code, base)
        assert writer.stdout is not None and writer.stdout.readline()
        before = newest
        poll(lambda before=before: (info := artifacts.get("x")) is not None and info.version > before)
        time.sleep(turn * 0.0007)  # not to wait for anything, but to hit another moment each time
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=WAIT)
        infos = artifacts.versions("x")
        newest = infos[0].version
        assert newest > before
        assert all(artifacts.load("x", info.version) == "z" * 50_000 for info in infos)
    artifacts.save("x", "last")
    files = {path.name.split(".")[0] for path in (base / "artifacts/x").iterdir()}
    assert files == {str(info.version) for info in artifacts.versions("x")}


def test_data_whose_writer_died_before_it_was_described_is_no_version_and_goes(
    storage: FileStorage, base: Path
) -> None:
    storage.artifacts.save("x", "1")
    (base / "artifacts/x/2.txt").write_text("without a description")
    assert storage.artifacts.load("x") == "1"
    assert storage.artifacts.save("x", "3").version == 3
    assert not (base / "artifacts/x/2.txt").exists()
    (base / "artifacts/y").mkdir()
    assert not storage.artifacts.exists("y") and len(storage.artifacts.list()) == 1
    with pytest.raises(ArtifactNotFoundError):
        storage.artifacts.delete("y")
    assert storage.artifacts.save("y", 1).version == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, timeout=WAIT, check=False)
    except OSError as error:
        pytest.skip(f"mount cannot be run: {error}")
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], timeout=WAIT, check=True)


def test_a_full_disk_leaves_the_old_version_and_no_litter(small_disk: Path) -> None:
    storage = FileStorage(small_disk / "storage")
    storage.artifacts.save("x", b"old" * 100_000)
    storage.deps.add("numpy")
    for name in ("x", "y"):
        with pytest.raises(StorageUnavailableError, match=r"no room .* untouched"):
            storage.artifacts.save(name, os.urandom(2_000_000))
    assert storage.artifacts.load("x") == b"old" * 100_000
    assert not storage.artifacts.exists("y")
    assert not list((storage.base_path / ".incoming").iterdir())
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(StorageUnavailableError, match="no room"):
        storage.deps.add("pandas")
    assert storage.deps.list() == ["numpy"]
    filler.unlink()
    assert storage.artifacts.save("x", b"new").version == 2


def test_a_limit_on_file_sizes_leaves_the_old_version(base: Path, start: Start) -> None:
    code = """
import resource
artifacts = FileStorage(folder).artifacts
artifacts.save("x", b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    artifacts.save("x", bytes(1_000_000))
except Exception as error:
    print(type(error).__name__, error)
print(artifacts.load("x"))
"""
    said = finish(start(code, base)).splitlines()
    assert said[0].startswith("StorageUnavailableError") and "no room" in said[0]
    assert said[1] == "b'old'"
    assert not list((base / ".incoming").iterdir())


def test_waiting_for_a_lock_ends(tmp_path: Path) -> None:
    with Folder.open(tmp_path) as holder, Folder.open(tmp_path) as waiter:
        with holder.locked():
            with pytest.raises(StorageUnavailableError, match="lock"), waiter.locked(timeout=0.05):
                pass
        with waiter.locked(timeout=0.05):
            pass


def test_a_lock_ends_with_its_holder(base: Path, start: Start) -> None:
    FileStorage(base)
    code = """
from pathlib import Path
from py_code_mode_jupyter.storage.folder import Folder
import signal
with Folder.open(Path(folder)) as held, held.locked():
    print("held", flush=True)
    signal.pause()
"""
    holder = start(code, base)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with Folder.open(base) as waiter:
        with pytest.raises(StorageUnavailableError), waiter.locked(timeout=0.05):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.communicate(timeout=WAIT)
        with waiter.locked(timeout=1):
            pass


def test_nothing_is_left_open(storage: FileStorage) -> None:
    def use() -> None:
        storage.artifacts.save("x", 1)
        storage.artifacts.load("x")
        storage.artifacts.list()
        storage.artifacts.versions("x")
        storage.deps.add("numpy")
        for missing in (storage.artifacts.load, storage.artifacts.delete):
            with pytest.raises(ArtifactNotFoundError):
                missing("missing")
        storage.artifacts.delete("x")

    use()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        use()
    assert len(list(Path("/proc/self/fd").iterdir())) == before

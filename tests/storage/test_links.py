"""Somebody with write access plants links, pipes and folders: nothing outside is written or read."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from py_code_mode_jupyter.errors import (
    ArtifactFormatError,
    ArtifactNotFoundError,
    StorageError,
    StorageUnavailableError,
)
from py_code_mode_jupyter.storage import FileStorage
from py_code_mode_jupyter.storage.folder import LITTER_AGE


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that looks like an artifact's, beside the storage."""
    other = FileStorage(tmp_path / "other").artifacts
    other.save("secret", "do not read or change")
    return tmp_path / "other" / "artifacts" / "secret"


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_link_as_artifact_folder_is_not_followed(storage: FileStorage, base: Path, outside: Path) -> None:
    before = everything_in(outside)
    (base / "artifacts" / "x").symlink_to(outside)
    for attempt in (lambda: storage.artifacts.save("x", 1), lambda: storage.artifacts.delete("x")):
        with pytest.raises(StorageUnavailableError, match="link"):
            attempt()
    with pytest.raises(ArtifactNotFoundError):
        storage.artifacts.load("x")
    assert storage.artifacts.list() == [] and storage.artifacts.get("x") is None
    assert everything_in(outside) == before


def test_a_link_as_data_file_is_neither_read_nor_written(
    storage: FileStorage, base: Path, outside: Path
) -> None:
    before = everything_in(outside)
    storage.artifacts.save("x", "do not read or change")
    data = base / "artifacts" / "x" / "1.txt"
    data.unlink()
    data.symlink_to(outside / "1.txt")
    with pytest.raises(ArtifactFormatError, match="changed since"):
        storage.artifacts.load("x")
    assert storage.artifacts.save("x", "new").version == 2
    assert everything_in(outside) == before


def test_links_where_the_next_files_will_be_are_passed_or_replaced(
    storage: FileStorage, base: Path, outside: Path
) -> None:
    before = everything_in(outside)
    storage.artifacts.save("x", "1")
    for name in ("2.txt", "2.info.json", "3.txt", "3.info.json"):
        (base / "artifacts" / "x" / name).symlink_to(outside / "1.txt")
    info = storage.artifacts.save("x", "mine")
    assert storage.artifacts.load("x") == "mine"
    assert info.path is not None and not info.path.is_symlink()
    assert everything_in(outside) == before


def test_a_link_as_description_is_not_read(storage: FileStorage, base: Path, outside: Path) -> None:
    storage.artifacts.save("x", "1")
    for file in ("1.txt", "1.info.json"):
        (base / "artifacts" / "x" / file).unlink()
        (base / "artifacts" / "x" / file).symlink_to(outside / file)
    assert storage.artifacts.list() == []
    with pytest.raises(ArtifactNotFoundError):
        storage.artifacts.load("x")


@pytest.mark.parametrize("folder", ["artifacts", ".incoming"])
def test_a_link_as_folder_of_the_storage_is_not_followed(
    storage: FileStorage, base: Path, outside: Path, folder: str
) -> None:
    before = everything_in(outside.parent)
    (base / folder).rmdir()
    (base / folder).symlink_to(outside.parent)
    for attempt in (
        lambda: storage.artifacts.save("x", 1),
        lambda: storage.artifacts.load("secret"),
        lambda: storage.artifacts.delete("secret"),
        lambda: storage.artifacts.list(),
        lambda: FileStorage(base),
    ):
        with pytest.raises(StorageUnavailableError, match="link"):
            attempt()
    assert everything_in(outside.parent) == before


def test_deleting_removes_links_and_not_what_they_lead_to(
    storage: FileStorage, base: Path, outside: Path
) -> None:
    before = everything_in(outside)
    storage.artifacts.save("x", 1)
    (base / "artifacts" / "x" / "planted").symlink_to(outside)
    (base / "artifacts" / "x" / "nested").mkdir()
    (base / "artifacts" / "x" / "nested" / "link").symlink_to(outside)
    storage.artifacts.delete("x")
    assert not list((base / "artifacts").iterdir())
    assert everything_in(outside) == before


def test_sweeping_removes_links_and_not_what_they_lead_to(
    storage: FileStorage, base: Path, outside: Path
) -> None:
    before = everything_in(outside)
    link = base / ".incoming" / "old"
    link.symlink_to(outside)
    long_ago = time.time() - 2 * LITTER_AGE
    os.utime(link, (long_ago, long_ago), follow_symlinks=False)
    (base / ".incoming" / "deleted-x").mkdir()
    (base / ".incoming" / "deleted-x" / "link").symlink_to(outside)
    storage.artifacts.save("x", 1)
    assert not list((base / ".incoming").iterdir())
    assert everything_in(outside) == before


def test_a_pipe_in_place_of_a_file_does_not_block(storage: FileStorage, base: Path) -> None:
    storage.artifacts.save("x", "old")
    storage.artifacts.save("x", "new")
    folder = base / "artifacts" / "x"
    (folder / "2.info.json").unlink()
    os.mkfifo(folder / "2.info.json")
    assert storage.artifacts.load("x") == "old"
    (folder / "1.txt").unlink()
    os.mkfifo(folder / "1.txt")
    with pytest.raises(ArtifactFormatError):
        storage.artifacts.load("x")
    os.mkfifo(base / "artifacts" / "pipe")
    assert [info.name for info in storage.artifacts.list()] == ["x"]


def test_folders_and_giants_in_place_of_files_are_passed_over(storage: FileStorage, base: Path) -> None:
    storage.artifacts.save("x", "old")
    folder = base / "artifacts" / "x"
    (folder / "2.info.json").mkdir()
    with (folder / "3.info.json").open("wb") as file:
        file.truncate(2**40)
    (folder / "4.txt").mkdir()
    (base / "artifacts" / "file").write_text("not an artifact")
    assert storage.artifacts.load("x") == "old"
    assert len(storage.artifacts.list()) == 1
    assert storage.artifacts.save("x", "new").version == 5
    with (folder / "5.txt").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ArtifactFormatError):
        storage.artifacts.load("x")
    with pytest.raises(StorageError):
        storage.artifacts.save("file", 1)


def test_a_planted_number_does_not_make_saves_vanish(storage: FileStorage, base: Path) -> None:
    storage.artifacts.save("x", "old")
    planted = base / "artifacts" / "x" / "9999999999.txt"
    planted.touch()
    with pytest.raises(StorageUnavailableError, match="no version number"):
        storage.artifacts.save("x", "new")
    assert storage.artifacts.load("x") == "old"
    planted.rename(planted.with_name("9999999998.txt"))
    assert storage.artifacts.save("x", "new").version == 9999999999
    assert storage.artifacts.load("x") == "new"


def test_a_link_as_requirements_file_is_neither_read_nor_written(
    storage: FileStorage, base: Path, tmp_path: Path
) -> None:
    target = tmp_path / "secret"
    target.write_text("password\n")
    (base / "requirements.txt").symlink_to(target)
    for attempt in (
        storage.deps.list,
        lambda: storage.deps.add("numpy"),
        lambda: storage.deps.remove("numpy"),
    ):
        with pytest.raises(StorageUnavailableError):
            attempt()
    assert target.read_text() == "password\n"


def test_the_way_to_the_storage_may_lead_over_links_of_the_user(storage: FileStorage, tmp_path: Path) -> None:
    storage.artifacts.save("x", 1)
    (tmp_path / "shortcut").symlink_to(storage.base_path)
    assert FileStorage(tmp_path / "shortcut").artifacts.load("x") == 1


def test_a_failure_that_hides_artifacts_is_not_passed_over(storage: FileStorage) -> None:
    storage.artifacts.save("x", 1)
    held: list[int] = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
            if len(held) > 200_000:
                pytest.skip("this process may open more files than a test should")
    except OSError as error:
        assert error.errno in (errno.EMFILE, errno.ENFILE)
    for _ in range(3):  # room for the storage's own folders, and not for the artifact's
        os.close(held.pop())
    try:
        with pytest.raises(StorageUnavailableError, match="too many files"):
            storage.artifacts.exists("x")
    finally:
        for fd in held:
            os.close(fd)

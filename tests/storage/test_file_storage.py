"""A storage folder is made, or refused with what to do about it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import py_code_mode_jupyter.formats
import py_code_mode_jupyter.storage
from py_code_mode_jupyter.errors import ConfigurationError, StorageUnavailableError
from py_code_mode_jupyter.storage import ArtifactStore, DependencyList, FileStorage, Storage

NOBODY = 65534


def test_a_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    storage = FileStorage(str(tmp_path / "a" / "b"))
    assert storage.base_path == tmp_path / "a" / "b"
    assert storage.base_path.stat().st_mode & 0o777 == 0o700
    assert isinstance(storage, Storage)
    assert isinstance(storage.artifacts, ArtifactStore) and isinstance(storage.deps, DependencyList)
    assert repr(storage) == f"FileStorage('{tmp_path}/a/b')"


def test_a_folder_that_exists_keeps_its_mode_and_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    tmp_path.chmod(0o750)
    FileStorage(tmp_path).artifacts.save("x", 1)
    assert FileStorage(tmp_path).artifacts.load("x") == 1
    assert tmp_path.stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "file").read_text() == "mine"


def test_relative_paths_are_fixed_when_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = FileStorage("data")
    monkeypatch.chdir("/")
    storage.artifacts.save("x", 1)
    assert (tmp_path / "data" / "artifacts" / "x").is_dir()


@pytest.mark.parametrize("path", ["", None, 5, "a\0b", b"x"], ids=repr)
def test_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(ConfigurationError):
        FileStorage(path)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (file, file / "below", file / "far" / "below"):
        with pytest.raises(StorageUnavailableError) as caught:
            FileStorage(path)
        assert caught.value.path == str(path) and caught.value.remedy
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "artifacts").write_text("mine")
    with pytest.raises(StorageUnavailableError, match="in the way"):
        FileStorage(tmp_path / "storage")
    assert file.read_text() == "mine"


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageUnavailableError):
        FileStorage(tmp_path / "link")


@pytest.mark.parametrize("mode", [0o500, 0o300, 0o600, 0o000], ids=oct)
def test_a_folder_without_the_permissions_is_refused(mode: int) -> None:
    # Not in pytest's folder: nobody, who has to try it in place of root, cannot enter that.
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        folder = Path(parent, "storage")
        FileStorage(folder)
        folder.chmod(mode)
        said = refusal_by_nobody(folder)
        folder.chmod(0o700)
    assert "not permitted" in said and "read and write permission" in said


def refusal_by_nobody(folder: Path) -> str:
    code = f"""
import os, sys
from py_code_mode_jupyter.errors import StorageUnavailableError
from py_code_mode_jupyter.storage import FileStorage
if os.geteuid() == 0:
    os.chown(sys.argv[1], {NOBODY}, {NOBODY})
    os.setegid({NOBODY})
    os.seteuid({NOBODY})
try:
    FileStorage(sys.argv[1])
except StorageUnavailableError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_a_read_only_file_system_is_refused(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(disk)]
    if (
        shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True, timeout=60, check=False).returncode
    ):
        pytest.skip("a read-only file system cannot be mounted")
    try:
        for path in (disk, disk / "below"):
            with pytest.raises(StorageUnavailableError, match="read-only"):
                FileStorage(path)
    finally:
        subprocess.run(["umount", str(disk)], timeout=60, check=True)


def test_a_folder_that_vanishes_is_reported(storage: FileStorage, base: Path) -> None:
    shutil.rmtree(base)
    for attempt in (storage.artifacts.list, storage.deps.list, lambda: storage.artifacts.save("x", 1)):
        with pytest.raises(StorageUnavailableError, match="missing"):
            attempt()
    FileStorage(base)
    assert storage.artifacts.list() == []


@pytest.mark.parametrize("module", [py_code_mode_jupyter.storage, py_code_mode_jupyter.formats])
def test_public_names_are_sorted_and_there(module: Any) -> None:
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), name))
    assert all(hasattr(module, name) for name in module.__all__)

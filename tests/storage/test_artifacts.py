"""Artifacts: saved, loaded, listed, versioned and deleted."""

from __future__ import annotations

import json
import pickle
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from py_code_mode_jupyter.errors import (
    ArtifactFormatError,
    ArtifactNotFoundError,
    ConfigurationError,
    InvalidArtifactNameError,
)
from py_code_mode_jupyter.formats import Encoded, encode
from py_code_mode_jupyter.storage import ArtifactInfo, FileStorage, folder, versions


def test_what_is_saved_is_loaded_and_described(storage: FileStorage) -> None:
    frame = pd.DataFrame({"species": ["Adelie", "Gentoo"], "mass": [3.7, 5.0]})
    info = storage.artifacts.save("penguins", frame, description="cleaned", metadata={"source": "x"})
    assert storage.artifacts.load("penguins").equals(frame)
    assert (info.name, info.version, info.format, info.summary) == (
        "penguins",
        1,
        "parquet",
        "DataFrame 2 x 2",
    )
    assert (info.description, info.metadata) == ("cleaned", {"source": "x"})
    assert info.media_type == "application/vnd.apache.parquet"
    assert datetime.now(UTC) - info.created < timedelta(minutes=1)
    assert storage.artifacts.get("penguins") == info
    assert storage.artifacts.list() == [info]
    assert storage.artifacts.exists("penguins")


def test_a_person_and_other_tools_find_their_way_in_the_folder(storage: FileStorage, base: Path) -> None:
    storage.artifacts.save("penguins", pd.DataFrame({"a": [1]}))
    info = storage.artifacts.save("penguins", {"a": 1}, description="für alle")
    folder = base / "artifacts" / "penguins"
    assert sorted(path.name for path in folder.iterdir()) == [
        "1.info.json",
        "1.parquet",
        "2.info.json",
        "2.json",
    ]
    assert pd.read_parquet(folder / "1.parquet").shape == (1, 1)
    assert json.loads((folder / "2.json").read_text()) == {"a": 1}
    assert json.loads((folder / "2.info.json").read_text("utf-8"))["description"] == "für alle"
    assert info.path == folder / "2.json"
    assert not list((base / ".incoming").iterdir())


def test_files_are_private(storage: FileStorage, base: Path) -> None:
    storage.artifacts.save("x", 1)
    for path in (base, *base.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_each_save_is_a_version_and_the_oldest_are_deleted(base: Path) -> None:
    artifacts = FileStorage(base, keep_versions=3).artifacts
    for number in range(1, 6):
        assert artifacts.save("x", number).version == number
    assert [info.version for info in artifacts.versions("x")] == [5, 4, 3]
    assert artifacts.load("x") == 5
    assert artifacts.load("x", 3) == 3
    assert artifacts.load("x", version=4) == 4
    for gone in (1, 2, 6, 0, -1):
        with pytest.raises(ArtifactNotFoundError, match=f"version {gone} of"):
            artifacts.load("x", gone)
    assert len(list((base / "artifacts" / "x").iterdir())) == 6


@pytest.mark.parametrize("count", [0, -1, True, 2.0, "3", None])
def test_a_number_of_versions_that_is_none_is_refused(base: Path, count: Any) -> None:
    with pytest.raises(ConfigurationError):
        FileStorage(base, keep_versions=count)


def test_listings_show_the_newest_first_and_one_entry_for_each_name(storage: FileStorage) -> None:
    for name in ("a", "b", "c", "a"):
        storage.artifacts.save(name, name)
    assert [(info.name, info.version) for info in storage.artifacts.list()] == [("a", 2), ("c", 1), ("b", 1)]


def test_a_listing_that_was_kept_notices_every_change(storage: FileStorage, base: Path) -> None:
    other = FileStorage(base).artifacts
    for name in ("a", "b", "c"):
        other.save(name, 1, metadata={"n": 1})
    deadline = time.monotonic() + 20
    while len(storage.artifacts._listed) < 3:  # folders that changed just now are read again
        assert time.monotonic() < deadline
        assert len(storage.artifacts.list()) == 3
        time.sleep(0.05)
    for info in storage.artifacts.list():
        info.metadata["n"] = "changed by a caller"
    other.save("b", 2)
    other.delete("c")
    other.save("d", 1)
    found = {info.name: (info.version, info.metadata) for info in storage.artifacts.list()}
    assert found == {"a": (1, {"n": 1}), "b": (2, {}), "d": (1, {})}


def test_a_folder_that_changed_just_now_is_not_remembered(storage: FileStorage) -> None:
    # Some file systems give two changes within a second the same time.
    storage.artifacts.save("x", 1)
    storage.artifacts.list()
    assert not storage.artifacts._listed


def test_deleting_takes_all_versions_and_numbering_starts_again(storage: FileStorage, base: Path) -> None:
    storage.artifacts.save("x", 1)
    storage.artifacts.save("x", 2)
    storage.artifacts.delete("x")
    assert not storage.artifacts.exists("x")
    assert storage.artifacts.get("x") is None
    assert not list((base / "artifacts").iterdir()) and not list((base / ".incoming").iterdir())
    assert storage.artifacts.save("x", 3).version == 1


def test_missing_artifacts_are_reported_with_those_that_look_alike(storage: FileStorage) -> None:
    for name in ("penguins", "penguins clean", "sales"):
        storage.artifacts.save(name, 1)
    for call in (storage.artifacts.load, storage.artifacts.delete, storage.artifacts.versions):
        with pytest.raises(ArtifactNotFoundError, match="Did you mean 'penguins'") as caught:
            call("pengins")
        assert "sales" not in caught.value.known
    assert isinstance(caught.value, KeyError)


def test_names_with_a_path_reach_nothing(storage: FileStorage, base: Path) -> None:
    (base / "secret").mkdir()
    for name in ("../secret", "/etc/passwd", "a/b", "..", ".", "", ".incoming", "a\0b"):
        for call in (
            storage.artifacts.load,
            storage.artifacts.delete,
            storage.artifacts.versions,
            storage.artifacts.get,
            storage.artifacts.exists,
            lambda name: storage.artifacts.save(name, 1),
            lambda name: storage.artifacts.save_encoded(name, encode(1)),
        ):
            with pytest.raises(InvalidArtifactNameError):
                call(name)


def test_what_was_encoded_elsewhere_is_checked_but_not_decoded(storage: FileStorage) -> None:
    encoded = Encoded(format="npy", data=encode(np.arange(3)).data, summary="array\x1b[31m\n3\u202e")
    info = storage.artifacts.save_encoded("x", encoded)
    assert info.summary == "array[31m3"
    back, same = storage.artifacts.load_encoded("x")
    assert (back.data, same) == (bytes(encoded.data), info)
    # Valid at its head and damaged behind it: stored as it is, refused when it is loaded.
    storage.artifacts.save_encoded("y", Encoded(format="json", data=b'{"a": '))
    with pytest.raises(ArtifactFormatError):
        storage.artifacts.load("y")
    for lie in ("npy", "parquet", "png", "json"):
        with pytest.raises(ArtifactFormatError):
            storage.artifacts.save_encoded("z", Encoded(format=lie, data=pickle.dumps(1)))
    assert not storage.artifacts.exists("z")


@pytest.mark.parametrize(
    "extra",
    [
        {"metadata": {1: 2}},
        {"metadata": {"a": {1}}},
        {"metadata": {"a": float("nan")}},
        {"metadata": ["a"]},
        {"metadata": {"a": "x" * 70_000}},
        {"metadata": {"a": "\ud800"}},
        {"description": 5},
        {"description": "x" * 5_000},
    ],
    ids=range(8),
)
def test_metadata_and_descriptions_are_bounded_and_typed(storage: FileStorage, extra: dict[str, Any]) -> None:
    with pytest.raises(ArtifactFormatError) as caught:
        storage.artifacts.save("x", 1, **extra)
    assert isinstance(caught.value, TypeError)
    assert not storage.artifacts.exists("x")


def test_what_cannot_be_saved_leaves_nothing(storage: FileStorage, base: Path) -> None:
    storage.artifacts.save("x", 1)
    with pytest.raises(ArtifactFormatError):
        storage.artifacts.save("x", object())
    assert storage.artifacts.load("x") == 1
    assert not list((base / ".incoming").iterdir())


def test_an_info_crosses_to_other_processes_without_its_path(storage: FileStorage) -> None:
    info = storage.artifacts.save("x", [1], metadata={"a": [1, {"b": None}]})
    wire = json.loads(json.dumps(info.to_dict()))
    back = ArtifactInfo.from_dict(wire)
    assert back.path is None and "path" not in wire
    assert back.to_dict() == info.to_dict() and back.created == info.created
    assert pickle.loads(pickle.dumps(info)) == info  # noqa: S301 - our own
    assert repr(info) == "<Artifact 'x' v1, list, 1 items, 3 bytes>"
    hash(info)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0},
        {"version": "1"},
        {"version": True},
        {"size": -1},
        {"created": "yesterday"},
        {"created": "2020-01-01T00:00:00"},
        {"sha256": "x"},
        {"format": "pickle"},
        {"metadata": None},
        {"name": None},
    ],
    ids=str,
)
def test_a_description_with_wrong_fields_is_refused(storage: FileStorage, change: dict[str, Any]) -> None:
    good = storage.artifacts.save("x", 1).to_dict()
    for bad in (good | change, {k: v for k, v in good.items() if k not in change}, None, [], "x"):
        with pytest.raises(ArtifactFormatError):
            ArtifactInfo.from_dict(bad)


def test_a_file_that_was_changed_from_outside_is_not_passed_off_as_the_artifact(storage: FileStorage) -> None:
    for content in (b"[2]", b"[1", b"", b"[1, 2, 3]" * 1000):
        info = storage.artifacts.save("x", [1])
        assert info.path is not None
        info.path.write_bytes(content)
        with pytest.raises(ArtifactFormatError, match="changed since"):
            storage.artifacts.load("x")
    info.path.unlink()
    with pytest.raises(ArtifactFormatError, match="missing"):
        storage.artifacts.load("x")


def test_a_damaged_description_hides_its_version_only(storage: FileStorage, base: Path) -> None:
    for junk in (b"", b"{", b"[]", b'{"format": []}', b"[" * 100_000, b"\xff", b'{"version": 1}'):
        storage.artifacts.save("x", "old")
        newest = storage.artifacts.save("x", "new").version
        (base / "artifacts" / "x" / f"{newest}.info.json").write_bytes(junk)
        assert storage.artifacts.load("x") == "old"
        assert newest not in [info.version for info in storage.artifacts.versions("x")]


def test_a_folder_renamed_or_copied_by_a_person_is_an_artifact(storage: FileStorage, base: Path) -> None:
    storage.artifacts.save("x", 1)
    (base / "artifacts" / "x").rename(base / "artifacts" / "y")
    assert storage.artifacts.load("y") == 1
    assert [info.name for info in storage.artifacts.list()] == ["y"]


def test_large_data_is_saved_without_loss(storage: FileStorage) -> None:
    data = bytes(range(256)) * 200_000
    storage.artifacts.save("big", data)
    assert storage.artifacts.load("big") == data


def test_empty_data_is_saved(storage: FileStorage) -> None:
    for data in ("", b"", [], {}, np.zeros(0)):
        storage.artifacts.save("empty", data)
        assert len(storage.artifacts.load("empty")) == 0


def test_a_thousand_artifacts_are_listed_within_50_ms(storage: FileStorage) -> None:
    for number in range(1000):
        storage.artifacts.save(f"artifact {number}", number, description="one of many")
    times = []
    deadline = time.monotonic() + 20
    while not times or min(times) > 0.05:
        assert time.monotonic() < deadline, f"the best listing took {min(times):.3f} s"
        started = time.perf_counter()
        assert len(storage.artifacts.list()) == 1000
        times.append(time.perf_counter() - started)


def test_a_listing_reads_again_only_what_has_changed(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that ten thousand artifacts are not read for each page that is asked for."""
    monkeypatch.setattr(folder, "SETTLED", 0.0)
    for number in range(20):
        storage.artifacts.save(f"a{number}", number)
    storage.artifacts.list()
    read: list[str] = []
    newest = versions.newest

    def noted(artifacts: folder.Folder, name: str, version: int | None = None) -> ArtifactInfo | None:
        read.append(name)
        return newest(artifacts, name, version)

    monkeypatch.setattr(versions, "newest", noted)
    assert len(storage.artifacts.list()) == 20
    storage.artifacts.save("a7", "newer")
    assert storage.artifacts.list()[0].name == "a7"
    assert read == ["a7"]

"""Names of artifacts are the same files on every system."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from py_code_mode_jupyter.errors import InvalidArtifactNameError
from py_code_mode_jupyter.storage import FileStorage, artifact_name
from py_code_mode_jupyter.storage.names import MAX_BYTES, MAX_CHARACTERS, is_artifact_name


@pytest.mark.parametrize(
    "name",
    ["penguins", "a", "Q3 sales (final)", "größe", "データ", "x.y-z_1", "report.json", "com10", "0", "😀"],
)
def test_ordinary_names_are_allowed(name: str) -> None:
    assert artifact_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        ".hidden",
        "-rf",
        " a",
        "a ",
        "a.",
        "a/b",
        "a\\b",
        "../a",
        "C:",
        "a:b",
        "a*",
        "a?",
        'a"',
        "a<b",
        "a|b",
        "a\0b",
        "a\nb",
        "a\x7f",
        "a\x85b",
        "a\u202eb",
        "a\u200bb",
        "a\u2028b",
        "a\u00a0b",
        "a\ud800",
        "a\ue000",
        "con",
        "NUL",
        "Aux.txt",
        "com1",
        "LPT9.tar.gz",
        "com¹",
        "x" * 129,
        "ä" * 101,
    ],
    ids=ascii,
)
def test_names_that_some_system_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(InvalidArtifactNameError):
        artifact_name(name)


@pytest.mark.parametrize("name", [None, 5, b"x", ["x"], Path("x")], ids=repr)
def test_what_is_no_text_is_no_name(name: object) -> None:
    with pytest.raises(InvalidArtifactNameError, match="not text"):
        artifact_name(name)


def test_the_two_spellings_of_an_umlaut_are_one_artifact(storage: FileStorage) -> None:
    composed, decomposed = "gr\u00f6\u00dfe", "gro\u0308\u00dfe"
    storage.artifacts.save(decomposed, 1)
    assert storage.artifacts.load(composed) == 1
    assert storage.artifacts.save(composed, 2).version == 2
    assert [info.name for info in storage.artifacts.list()] == [composed]


@pytest.mark.parametrize(("first", "twin"), [("Data", "data"), ("straße", "STRASSE"), ("ﬁt", "fit")])
def test_a_name_that_a_system_takes_for_another_is_refused(
    storage: FileStorage, first: str, twin: str
) -> None:
    storage.artifacts.save(first, 1)
    with pytest.raises(InvalidArtifactNameError, match="too like"):
        storage.artifacts.save(twin, 2)
    assert storage.artifacts.load(first) == 1
    storage.artifacts.delete(first)
    storage.artifacts.save(twin, 2)


@given(st.text(max_size=140) | st.text(st.sampled_from("aA.-_ /\\ö\u0308"), max_size=12))
def test_a_name_is_refused_or_makes_exactly_one_entry_of_the_folder(name: str) -> None:
    try:
        normal = artifact_name(name)
    except InvalidArtifactNameError:
        return
    assert artifact_name(normal) == normal and is_artifact_name(normal)
    assert normal == unicodedata.normalize("NFC", name)
    assert len(normal) <= MAX_CHARACTERS and len(os.fsencode(normal)) <= MAX_BYTES
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, normal).mkdir()
        assert os.listdir(folder) == [normal]  # noqa: PTH208 - names are compared as they are

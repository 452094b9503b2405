"""Workflows are found by the words they share with a query, or by what they mean."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from py_code_mode_jupyter.errors import ConfigurationError
from py_code_mode_jupyter.storage import FileStorage
from py_code_mode_jupyter.storage.search import words

RECIPES = {
    "load_penguins": "def run(path): 'Load the penguins as a table.'",
    "monthlyReport": "def run(month): 'Write the report of a month, with its charts.'",
    "send_mail": "def run(to, subject): 'Send a letter.'",
    "forecast": "def run(city): 'Say which weather comes; load nothing.'",
}


def filled(storage: FileStorage) -> FileStorage:
    for name, source in RECIPES.items():
        storage.workflows.create(name, source)
    return storage


def found(storage: FileStorage, query: str, **options: int) -> list[str]:
    return [info.name for info in storage.workflows.search(query, **options)]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("penguin", "load_penguins"),
        ("reports for months", "monthlyReport"),
        ("charts", "monthlyReport"),
        ("city", "forecast"),
        ("mailing", "send_mail"),
        ("load a table", "load_penguins"),
        ("LOAD PENGUINS", "load_penguins"),
    ],
)
def test_the_rarest_shared_word_decides(storage: FileStorage, query: str, first: str) -> None:
    assert found(filled(storage), query)[0] == first


def test_what_shares_nothing_is_not_found(storage: FileStorage) -> None:
    assert found(storage, "anything") == []
    filled(storage)
    for query in ("", "?!", "unicorn", "\ud800", "(" * 500):
        assert found(storage, query) == []
    assert found(storage, "load", limit=1) == ["load_penguins"]
    for bad in (
        {"query": 3},
        {"query": "x" * 2000},
        {"query": "x", "limit": 0},
        {"query": "x", "limit": True},
    ):
        with pytest.raises(ConfigurationError):
            storage.workflows.search(**bad)  # type: ignore[arg-type]


def test_a_search_sees_what_has_just_changed(storage: FileStorage) -> None:
    filled(storage)
    storage.workflows.create("unicorn", "def run(): 'Rare.'")
    assert found(storage, "unicorn") == ["unicorn"]
    (storage.workflows.path / "unicorn.py").write_text("def run(): 'A horse.'")
    assert found(storage, "horses") == ["unicorn"]
    storage.workflows.delete("unicorn")
    assert found(storage, "unicorn horse") == []


def test_names_fall_into_words() -> None:
    assert words("load_csvFile2 loads") == ["load", "csv", "file2", "load"]


MEANINGS = (
    {"weather", "rain", "sun", "climate"},
    {"letter", "mail", "post", "message"},
    {"report", "summary", "chart"},
    {"table", "data", "penguin"},
)


class Concepts:
    """An embedder of four dimensions: each counts the words of one meaning."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, sentences: Sequence[str]) -> list[list[float]]:
        self.encoded += sentences
        known = [{word for one in meaning for word in words(one)} for meaning in MEANINGS]
        return [[float(sum(word in one for word in words(text))) for one in known] for text in sentences]


def test_by_meaning_it_need_not_share_a_word(base: Path) -> None:
    embedder = Concepts()
    storage = filled(FileStorage(base, embedder=embedder))
    assert found(FileStorage(base), "will there be rain and sun") == []
    assert found(storage, "will there be rain and sun") == ["forecast"]
    assert found(storage, "post a message")[0] == "send_mail"
    assert found(storage, "summary")[0] == "monthlyReport"
    # Each text is embedded once, and each query.
    assert len(embedder.encoded) == len(RECIPES) + 3


def test_vectors_may_be_arrays(base: Path) -> None:
    numpy = pytest.importorskip("numpy")

    class Arrays(Concepts):
        def encode(self, sentences: Sequence[str]) -> list[list[float]]:
            found: list[list[float]] = numpy.array(super().encode(sentences), "float32")
            return found

    assert found(filled(FileStorage(base, embedder=Arrays())), "climate") == ["forecast"]


@pytest.fixture(autouse=True)
def packages_are_forgotten() -> Iterator[None]:
    yield
    for name in ("huggingface_hub", "model2vec"):
        sys.modules.pop(name, None)


def packages(folder: Path, model: str) -> None:
    """Write packages as they are installed: a hub with models, and one that reads them."""
    (folder / "huggingface_hub.py").write_text(
        f"def snapshot_download(name, *, local_files_only):\n    {model}\n"
    )
    (folder / "model2vec.py").write_text(
        "class StaticModel:\n"
        "    @classmethod\n"
        "    def from_pretrained(cls, path):\n"
        "        assert path == 'a folder'\n"
        "        return cls()\n"
        "    def encode(self, sentences):\n"
        "        return [[float('weather' in s or 'rain' in s), 0.1] for s in sentences]\n"
    )


def test_an_installed_embedding_package_is_used(
    storage: FileStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages(tmp_path, "return 'a folder'")
    monkeypatch.syspath_prepend(tmp_path)
    assert found(filled(storage), "rain")[0] == "forecast"


def test_a_package_without_its_model_leaves_the_words(
    storage: FileStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    packages(tmp_path, "raise OSError('there is no such model on this machine')")
    monkeypatch.syspath_prepend(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert found(filled(storage), "penguins") == ["load_penguins"]
        assert found(storage, "weather") == ["forecast"]
    assert [record.getMessage().count("no such model") for record in caplog.records] == [1]


def test_a_thousand_workflows_are_searched_at_once(storage: FileStorage) -> None:
    """Without a bound on time: that what is asked for comes first among many."""
    for number in range(300):
        storage.workflows.create(f"recipe_{number}", f"def run(): 'Does thing {number} of many.'")
    filled(storage)
    assert found(storage, "thing 217 of many")[0] == "recipe_217"
    assert math.isclose(len(found(storage, "many", limit=1000)), 100)

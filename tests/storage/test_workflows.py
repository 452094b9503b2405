"""Workflows are files that people edit; nothing of them runs, and nobody can write as somebody else."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from py_code_mode_jupyter.errors import (
    ConfigurationError,
    InvalidWorkflowError,
    StorageUnavailableError,
    WorkflowConsentError,
    WorkflowExistsError,
    WorkflowNotFoundError,
    WorkflowProtectedError,
)
from py_code_mode_jupyter.storage import FileStorage, WorkflowInfo
from py_code_mode_jupyter.workflow import MAX_SOURCE, RESERVED

if TYPE_CHECKING:
    from py_code_mode_jupyter.storage import WorkflowStore

SOURCE = '''"""A module."""

def run(city: str, days: int = 3, *, unit="C", **more: object):
    """Forecast the weather.

    In words.
    """
    return f"{city} {days} {unit}"
'''


@pytest.fixture
def workflows(storage: FileStorage) -> WorkflowStore:
    return storage.workflows


@pytest.fixture
def folder(base: Path) -> Path:
    return base / "workflows"


def test_a_workflow_is_a_file_with_its_source_and_nothing_else(
    workflows: WorkflowStore, folder: Path
) -> None:
    info = workflows.create("forecast", SOURCE)
    assert (folder / "forecast.py").read_text() == SOURCE
    assert info.path == folder / "forecast.py"
    assert workflows.get("forecast").source == SOURCE
    assert workflows.get("forecast").info == info
    assert workflows.exists("forecast")
    assert sorted(path.name for path in folder.iterdir()) == [".about", "forecast.py"]


def test_signature_and_docstring_say_what_it_takes(workflows: WorkflowStore) -> None:
    info = workflows.create("forecast", SOURCE)
    assert info.signature == 'forecast(city: str, days: int = 3, *, unit="C", **more: object)'
    assert [parameter.kind for parameter in info.parameters] == [
        *["positional or keyword"] * 2,
        "keyword-only",
        "variadic keyword",
    ]
    assert info.description == "Forecast the weather.\n\nIn words."
    assert not info.is_async
    assert workflows.create("other", "async def run(): ...").is_async
    assert workflows.create("third", "def run(): 'doc'", description="Given.").description == "Given."
    assert workflows.create("fourth", "'''Of the module.'''\ndef run(): pass").description == "Of the module."


def test_what_is_known_crosses_as_json(workflows: WorkflowStore) -> None:
    info = workflows.create("forecast", SOURCE, origin="venv")
    again = WorkflowInfo.from_dict(json.loads(json.dumps(info.to_dict())), path=info.path)
    assert again == info
    assert "path" not in info.to_dict()


def test_nothing_is_executed_at_creation_listing_or_search(workflows: WorkflowStore, tmp_path: Path) -> None:
    touch = f"open({str(tmp_path / 'ran')!r}, 'w')"
    source = f"{touch}\n@({touch})\ndef run(a: {touch} = {touch}): {touch}\n"
    workflows.create("sly", source)
    workflows.list()
    workflows.search("sly")
    workflows.get("sly")
    assert not (tmp_path / "ran").exists()


NAMES = [
    "",
    "a-b",
    "../x",
    "a/b",
    "1a",
    "class",
    "_x",
    "__init__",
    "a b",
    "x" * 65,
    "a\0",
    "a\n",
    "a.py",
    "con",
]


@pytest.mark.parametrize("name", [*NAMES, *sorted(RESERVED), None, 3, "é" * 64 + "é", "\ud800"])
def test_names_that_cannot_be_called_or_are_no_files_are_refused(
    workflows: WorkflowStore, folder: Path, name: str
) -> None:
    with pytest.raises(InvalidWorkflowError):
        workflows.create(name, "def run(): pass")
    assert workflows.list() == []
    assert not workflows.exists(name)
    with pytest.raises(WorkflowNotFoundError):
        workflows.get(name)
    assert [path.name for path in folder.iterdir()] == [".about"]


def test_a_name_is_read_as_python_reads_it(workflows: WorkflowStore) -> None:
    assert workflows.create("ﬁle", "def run(): pass").name == "file"
    assert workflows.exists("ﬁle")
    assert workflows.create("größe", "def run(): pass").name == "größe"
    with pytest.raises(WorkflowExistsError):
        workflows.create("file", "def run(): pass")
    with pytest.raises(InvalidWorkflowError, match="too like that of 'file'"):
        workflows.create("File", "def run(): pass")


SOURCES = {
    "no run": ("x = 1", None),
    "a run inside": ("if True:\n  def run(): pass", None),
    "a method": ("class A:\n  def run(self): pass", None),
    "two": ("def run(): pass\nasync def run(): pass", 2),
    "bound twice": ("def run(): pass\nrun = print", 2),
    "bound in a branch": ("def run(): pass\nif 1:\n  import os as run", 3),
    "no Python": ("def run():\n  pass\n\ndef broken(:\n", 4),
    "an indentation": ("def run():\npass", 2),
    "positional only": ("\n\ndef run(a, /): pass", 3),
    "any number": ("def run(*a): pass", 1),
    "a null": ("def run(): '\0'", 1),
    "an escape": ("def run():\n  '\x1b[2J'", 2),
    "text the other way round": ("def run():\n  '\u202e'", 2),
    "half a character": ("def run(): '\ud800'", None),
    "too much": ("def run(): pass\n" + "#" * MAX_SOURCE, None),
    "too many": (f"def run({', '.join(f'a{n}' for n in range(99))}): pass", 1),
    "no text": (b"def run(): pass", None),
}


@pytest.mark.parametrize(("source", "line"), SOURCES.values(), ids=SOURCES)
def test_sources_that_cannot_be_called_are_refused_with_the_line(
    workflows: WorkflowStore, source: str, line: int | None
) -> None:
    with pytest.raises(InvalidWorkflowError) as caught:
        workflows.create("x", source)
    assert caught.value.line == line
    if line is not None and "\x1b" not in source and "\0" not in source and "\u202e" not in source:
        assert source.splitlines()[line - 1].strip()[:80] in str(caught.value)
    assert workflows.list() == []


def test_one_that_exists_is_replaced_only_if_that_is_said(workflows: WorkflowStore) -> None:
    workflows.create("one", "def run(): return 1")
    with pytest.raises(WorkflowExistsError, match="overwrite=True"):
        workflows.create("one", "def run(): return 2")
    workflows.create("one", "def run(b): return 2", overwrite=True)
    assert workflows.get("one").info.signature == "one(b)"


def test_they_are_listed_by_name_and_deleted(workflows: WorkflowStore, folder: Path) -> None:
    for name in ("b", "a", "c"):
        workflows.create(name, "def run(): pass")
    assert [info.name for info in workflows.list()] == ["a", "b", "c"]
    workflows.delete("b")
    assert [info.name for info in workflows.list()] == ["a", "c"]
    with pytest.raises(WorkflowNotFoundError):
        workflows.delete("b")
    assert sorted(path.name for path in (folder / ".about").iterdir()) == ["a.json", "c.json"]


def test_a_missing_one_is_told_with_near_names(workflows: WorkflowStore) -> None:
    workflows.create("forecast", SOURCE)
    with pytest.raises(WorkflowNotFoundError, match="forecast") as caught:
        workflows.get("forecasts")
    assert caught.value.known == ("forecast",)
    assert isinstance(caught.value, AttributeError)


# By hand


def test_what_a_person_edits_is_read_again(workflows: WorkflowStore, folder: Path) -> None:
    workflows.create("forecast", SOURCE)
    workflows.list()
    (folder / "forecast.py").write_text("def run(town):\n  'Other.'")
    (folder / "new.py").write_text("\ufeffasync def run(a=1): pass", "utf-8")
    forecast, new = workflows.list()
    assert (forecast.signature, forecast.description) == ("forecast(town)", "Other.")
    assert (new.signature, new.is_async, new.origin) == ("new(a=1)", True, "host")
    assert workflows.load("new", "host").source == "async def run(a=1): pass"


BROKEN = {
    "no Python": (b"def run(:", "line 1: "),
    "no run": (b"x = 1", "no function run"),
    "no text": (b"def run(): '\xff'", "UTF-8"),
    "huge": (b"#" * (MAX_SOURCE + 1), "larger than"),
    "deep": (b"x = " + b"(" * 5000, "cannot|too|nested"),
    "empty": (b"", "no function run"),
}


@pytest.mark.parametrize(("content", "problem"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_listed_as_broken_and_does_not_run(
    workflows: WorkflowStore, folder: Path, content: bytes, problem: str
) -> None:
    workflows.create("whole", "def run(): pass")
    (folder / "broken.py").write_bytes(content)
    with pytest.raises(InvalidWorkflowError, match=problem):
        workflows.load("broken", "host")
    broken, whole = workflows.list()
    assert (bool(broken.problem), whole.problem) == (True, "")
    assert workflows.get("broken").info == broken
    assert [info.name for info in workflows.search("broken whole")] == ["whole"]
    workflows.delete("broken")


def test_links_pipes_and_folders_are_broken_and_never_followed(
    workflows: WorkflowStore, folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("def run(): pass")
    (folder / "link.py").symlink_to(outside)
    (folder / "folder.py").mkdir()
    os.mkfifo(folder / "pipe.py")
    (folder / "not a name.py").touch()
    assert {info.name: bool(info.problem) for info in workflows.list()} == {
        "folder": True,
        "link": True,
        "pipe": True,
    }
    workflows.create("link", "def run(): return 1", overwrite=True)
    assert outside.read_text() == "def run(): pass"
    assert not (folder / "link.py").is_symlink()


def test_a_link_in_place_of_what_is_kept_beside_leads_nowhere(
    workflows: WorkflowStore, folder: Path, tmp_path: Path
) -> None:
    workflows.create("a", "def run(): pass")
    (folder / ".about").rename(tmp_path / "stolen")
    (folder / ".about").symlink_to(tmp_path / "stolen")
    for call in (workflows.list, lambda: workflows.delete("a"), lambda: workflows.load("a", "host")):
        with pytest.raises(StorageUnavailableError, match="link"):
            call()
    assert (tmp_path / "stolen" / "a.json").exists()


# Who wrote it


@pytest.mark.parametrize(
    ("origin", "place", "asks"),
    [
        ("host", "in-process", False),
        ("in-process", "host", False),
        ("host", "container", False),
        ("venv", "container", False),
        ("venv", "venv", False),
        ("venv", "in-process", True),
        ("container", "venv", True),
        ("container", "host", True),
    ],
)
def test_a_less_isolated_place_asks_first(
    workflows: WorkflowStore, origin: str, place: str, asks: bool
) -> None:
    workflows.create("a", "def run(): pass", origin=origin)
    assert workflows.get("a").info.origin == origin
    assert workflows.needs_consent("a", place) is asks
    if not asks:
        workflows.load("a", place)
        return
    with pytest.raises(WorkflowConsentError) as caught:
        workflows.load("a", place)
    assert (caught.value.origin, caught.value.place) == (origin, place)
    workflows.approve("a", place, sha256=caught.value.sha256)
    workflows.load("a", place)


def test_an_approval_is_for_one_source_and_for_places_as_isolated(
    workflows: WorkflowStore, folder: Path
) -> None:
    workflows.create("a", "def run(): pass", origin="container")
    workflows.approve("a", "venv")
    assert (workflows.needs_consent("a", "venv"), workflows.needs_consent("a", "host")) == (False, True)
    workflows.create("a", "def run(): 'other'", origin="container", overwrite=True)
    assert workflows.needs_consent("a", "venv")
    workflows.approve("a", "host")
    assert not workflows.needs_consent("a", "venv")
    (folder / "a.py").write_text("def run(): 'edited'")
    assert workflows.needs_consent("a", "venv")
    workflows.approve("a", "venv")
    workflows.load("a", "venv")


def test_an_approval_is_not_given_to_what_came_instead(workflows: WorkflowStore) -> None:
    read = workflows.create("a", "def run(): pass", origin="container").sha256
    workflows.create("a", "def run(): 'evil'", origin="container", overwrite=True)
    with pytest.raises(WorkflowConsentError):
        workflows.approve("a", "host", sha256=read)
    assert workflows.needs_consent("a", "host")


def test_a_source_cannot_say_who_wrote_it(workflows: WorkflowStore) -> None:
    source = '# origin: host\n__origin__ = "host"\ndef run(): pass\n'
    assert workflows.create("a", source, origin="container").origin == "container"
    with pytest.raises(ConfigurationError):
        workflows.create("b", source, origin="nowhere")


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b'{"origin": "host"}', b"[" * 10_000, b"\xff"])
def test_where_it_is_not_known_who_wrote_it_the_worst_is_assumed(
    workflows: WorkflowStore, folder: Path, damage: bytes
) -> None:
    workflows.create("a", "def run(b): pass")
    (folder / ".about" / "a.json").write_bytes(damage)
    [info] = workflows.list()
    assert (info.origin, info.signature) == ("container", "a(b)")
    workflows.approve("a", "host")
    assert not workflows.needs_consent("a", "host")


def test_no_moment_of_a_replacement_takes_a_hostile_source_for_the_hosts(storage: FileStorage) -> None:
    """Host and hostile code replace each other's, and a reader never gets the one as the other's."""
    sources = {"host": "def run(): 'good'", "container": "def run(): 'evil'"}
    ended = threading.Event()

    def write() -> None:
        store = FileStorage(storage.base_path).workflows
        while not ended.is_set():
            for origin, source in reversed(sources.items()):
                store.create("a", source, origin=origin, overwrite=True)
            store.delete("a")

    writer = threading.Thread(target=write)
    writer.start()
    seen: Counter[tuple[str, str]] = Counter()
    try:
        while min(seen[pair[1], pair[0]] for pair in sources.items()) < 50:
            with contextlib.suppress(WorkflowNotFoundError):
                found = storage.workflows.get("a")
                seen[found.source, found.info.origin] += 1
    finally:
        ended.set()
        writer.join()
    assert seen[sources["container"], "host"] == 0


def test_a_writer_that_dies_between_two_files_leaves_nothing_that_seems_the_hosts(
    workflows: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from py_code_mode_jupyter.storage.folder import Folder

    move, moves = Folder.move, 0

    def dies_at_the_second(self: Folder, name: str, to: Folder, new_name: str) -> None:
        nonlocal moves
        moves += 1
        if moves == 2:
            raise KeyboardInterrupt
        move(self, name, to, new_name)

    monkeypatch.setattr(Folder, "move", dies_at_the_second)
    evil = "def run(): 'evil'"
    for first, second in (("container", "host"), ("container", "venv"), ("container", "container")):
        moves = 10
        workflows.create("a", evil, origin=first)
        moves = 0
        with pytest.raises(KeyboardInterrupt):
            workflows.create("a", f"{evil}  # {second}", origin=second, overwrite=True)
        assert workflows.get("a").info.origin == "container"
        workflows.delete("a")


def test_a_more_isolated_place_changes_nothing_of_a_less_isolated_one(workflows: WorkflowStore) -> None:
    for writer, other, may in (
        ("host", "venv", False),
        ("venv", "container", False),
        ("container", "venv", True),
    ):
        workflows.create("a", "def run(): 1", origin=writer)
        if may:
            assert workflows.create("a", "def run(): 2", origin=other, overwrite=True).origin == other
            workflows.delete("a", origin=other)
            continue
        with pytest.raises(WorkflowProtectedError):
            workflows.create("a", "def run(): 2", origin=other, overwrite=True)
        with pytest.raises(WorkflowProtectedError):
            workflows.delete("a", origin=other)
        assert workflows.get("a").source == "def run(): 1"
        workflows.delete("a")

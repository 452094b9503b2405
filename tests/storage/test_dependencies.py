"""Dependencies: what is one, and the requirements file."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from py_code_mode_jupyter.dependency import Dependency, parse_dependency
from py_code_mode_jupyter.errors import InvalidDependencyError, StorageUnavailableError
from py_code_mode_jupyter.storage import FileStorage


@pytest.mark.parametrize(
    ("spec", "usual"),
    [
        ("pandas", "pandas"),
        ("Pandas", "pandas"),
        ("zope.interface", "zope-interface"),
        ("scikit_learn >= 1.4 , < 2", "scikit-learn<2,>=1.4"),
        ("pandas[Parquet,excel]>=2.2", "pandas[excel,parquet]>=2.2"),
        ("numpy==2.*", "numpy==2.*"),
        ("numpy~=2.1", "numpy~=2.1"),
        ("numpy!=2.1", "numpy!=2.1"),
        ("numpy (>=2)", "numpy>=2"),
    ],
)
def test_names_with_specifiers_are_dependencies(spec: str, usual: str) -> None:
    found = parse_dependency(spec)
    assert str(found) == usual
    assert parse_dependency(usual) == found


@pytest.mark.parametrize(
    "spec",
    [
        "",
        " ",
        "-e .",
        "--index-url=https://evil.example",
        "-r other.txt",
        "--pre numpy",
        "numpy --pre",
        "numpy @ https://evil.example/x.whl",
        "numpy@file:///tmp/x",
        "https://evil.example/x.whl",
        "git+https://evil.example/x",
        "./local",
        "../x",
        "/abs/path",
        "C:\\x",
        "x.whl; python_version > '3'",
        "numpy; os_name == 'posix'",
        "numpy\nevil",
        "numpy\r\nevil",
        "numpy\x0bevil",
        "numpy\0",
        "numpy # comment",
        "numpy \\",
        "numpy evil",
        "numpy,evil",
        "numpy===anything",
        "numpy===--pre",
        "numpy>=",
        "numpy>=x y",
        "nümpy",
        "num\u200bpy",
        "$HOME",
        "${HOME}",
        "numpy;",
        "numpy[",
        "numpy[a b]",
        "_numpy",
        "a" * 300,
        None,
        5,
        b"numpy",
        ["numpy"],
        "0_",
        "numpy[extra_]",
    ],
    ids=ascii,
)
def test_everything_else_is_refused(spec: str) -> None:
    with pytest.raises(InvalidDependencyError) as caught:
        parse_dependency(spec)
    assert caught.value.remedy


@given(st.text(max_size=60) | st.text(st.sampled_from("ab1.-_ []<>=!~,;@#/\\:'\"\n"), max_size=30))
def test_what_is_accepted_is_one_harmless_line(text: str) -> None:
    try:
        found = parse_dependency(text)
    except InvalidDependencyError:
        return
    line = str(found)
    assert line[0].isalnum() and line.isascii() and line.isprintable()
    assert not set(line) & set(" ;@#/\\:'\"$")
    assert parse_dependency(line) == found


def test_the_list_has_one_entry_for_each_package(storage: FileStorage, base: Path) -> None:
    assert storage.deps.list() == []
    assert storage.deps.add("Scikit_Learn>=1.4") == "scikit-learn>=1.4"
    storage.deps.add("numpy")
    storage.deps.add("scikit.learn<2")
    assert storage.deps.list() == ["scikit-learn<2", "numpy"]
    assert (base / "requirements.txt").read_text() == "scikit-learn<2\nnumpy\n"
    assert storage.deps.path == base / "requirements.txt"


def test_removing_takes_a_name_or_what_was_added(storage: FileStorage) -> None:
    for spec in ("numpy>=2", "pandas"):
        storage.deps.add(spec)
    assert storage.deps.remove("NumPy")
    assert storage.deps.remove("pandas>=1")
    assert not storage.deps.remove("pandas")
    assert storage.deps.list() == []
    with pytest.raises(InvalidDependencyError):
        storage.deps.remove("../x")


def test_what_is_refused_changes_nothing(storage: FileStorage) -> None:
    storage.deps.add("numpy")
    with pytest.raises(InvalidDependencyError):
        storage.deps.add("numpy @ https://evil.example/x.whl")
    assert storage.deps.list() == ["numpy"]


def test_comments_of_a_person_stay(storage: FileStorage, base: Path) -> None:
    (base / "requirements.txt").write_text("# for the plots\nmatplotlib  # any\n\nNumPy>=1\nnumpy<3\n")
    assert storage.deps.list() == ["matplotlib", "numpy>=1", "numpy<3"]
    storage.deps.add("numpy==2.*")
    assert (base / "requirements.txt").read_text() == "# for the plots\nmatplotlib  # any\n\nnumpy==2.*\n"


def test_a_line_that_is_no_dependency_is_not_passed_over(storage: FileStorage, base: Path) -> None:
    for line in ("-r other.txt", "numpy @ https://evil.example/x.whl", "\ufffd"):
        (base / "requirements.txt").write_text(f"pandas\n{line}\n")
        with pytest.raises(InvalidDependencyError):
            storage.deps.list()


def test_a_requirements_file_of_absurd_size_is_not_read(storage: FileStorage, base: Path) -> None:
    with (base / "requirements.txt").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(StorageUnavailableError):
        storage.deps.list()


def test_threads_that_add_at_once_lose_nothing(storage: FileStorage, base: Path) -> None:
    def add(first: int) -> None:
        deps = FileStorage(base).deps
        for number in range(first, first + 10):
            deps.add(f"package{number}")

    threads = [threading.Thread(target=add, args=(first,)) for first in range(0, 60, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(storage.deps.list()) == sorted(f"package{number}" for number in range(60))
    assert not list((base / ".incoming").iterdir())


def test_a_dependency_is_a_value() -> None:
    assert Dependency(name="a") == parse_dependency("A")
    assert len({parse_dependency("a>=1"), parse_dependency("A >=1")}) == 1

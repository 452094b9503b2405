"""An error in a cell names the lines that the user sees: that of the magic is the first."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .conftest import Shell, own_shell

RUNTIME = """%%pcm run
def inner():
    raise ValueError("on purpose")

inner()"""
SYNTAX = "%%pcm run\nx = 1\nx = = 2"
PLACES = [
    "in-process",
    "venv",
    pytest.param("container", marks=pytest.mark.needs("docker")),
]


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Shell]:
    """A shell with a session in the place."""
    if request.param == "container":
        request.getfixturevalue("images")
    with own_shell() as shell:
        shell.said(f"%pcm start here -e {request.param} --use")
        shell.said("%pcm run 1")
        shell.settle()
        yield shell


def lines_named(shown: str) -> list[int]:
    """Return the numbers that a traceback names: ``line 3`` of a frame, and its arrow."""
    return [
        int(number) for number in re.findall(r"line (\d+)|-+> (\d+) ", shown) for number in number if number
    ]


def test_a_runtime_error_names_the_lines_of_the_cell(place: Shell) -> None:
    shown = place.failing(RUNTIME)
    assert {*lines_named(shown)} == {5, 3}
    assert "RunFailedError: ValueError: on purpose" in shown


def test_a_syntax_error_names_the_line_of_the_cell(place: Shell) -> None:
    shown = place.failing(SYNTAX)
    assert "SyntaxError" in shown
    assert {*lines_named(shown)} == {3}


def test_blank_lines_and_options_change_no_number(place: Shell) -> None:
    assert {*lines_named(place.failing("%%pcm run -t 30\n\n\n1 / 0"))} == {4}


def test_an_indented_cell_keeps_its_numbers(place: Shell) -> None:
    assert {*lines_named(place.failing("%%pcm run\n    x = 1\n    1 / 0"))} == {3}


def test_values_and_the_ledger_know_nothing_of_the_line_above(place: Shell) -> None:
    place.said("%%pcm run -o result\n6 * 7")
    assert place.shell.user_ns["result"].value == 42
    assert place.notebook.storage.runs.list(session="here", limit=1)[0].code == "6 * 7\n"


def test_a_function_of_an_earlier_cell_keeps_its_numbers(place: Shell) -> None:
    place.said("%%pcm run\n\ndef earlier():\n    return 1 / 0")
    assert {*lines_named(place.failing("%%pcm run\n\n\n\nearlier()"))} == {4, 5}


def test_a_file_has_its_own_numbers(place: Shell, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("code") / "code.py"
    file.write_text("x = 1\n1 / 0\n")
    assert {*lines_named(place.failing(f"%pcm run -f {file}"))} == {2}

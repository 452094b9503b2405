"""Every subcommand has help with an example, completion, and an answer to bad input; none is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from IPython.core.interactiveshell import InteractiveShell

from py_code_mode_jupyter.errors import CodeModeError
from py_code_mode_jupyter.magics.commands import GRAMMAR
from py_code_mode_jupyter.magics.completion import SOURCES

from .conftest import Shell, own_shell


class Case(NamedTuple):
    """What one subcommand is tried with.

    Attributes
    ----------
    typed, becomes
        The beginning of an argument behind the subcommand, and what the line may become.
    wrong
        What is wrong behind the subcommand.
    says
        The error's type, and what its one line names: the problem and the remedy.
    """

    typed: str
    becomes: str
    wrong: str
    says: tuple[str, ...]


CONFIGURATION = "ConfigurationError"
CASES = {
    "run": Case(
        "--exec", "--executor", "-e vnev 1", (CONFIGURATION, "executor='vnev'", "Did you mean 'venv'?")
    ),
    "compare": Case(
        "-e v", "-e venv", "-e venv 1", (CONFIGURATION, "one place cannot be compared", "Give -e twice")
    ),
    "start": Case(
        "--memory",
        "--memory-limit",
        "x -e venv --memory-limit much",
        (CONFIGURATION, "memory_limit='much'", "512m"),
    ),
    "use": Case("boa", "board", "bord", (CONFIGURATION, "session='bord'", "Did you mean 'board'?")),
    "sessions": Case("--he", "--help", "now", (CONFIGURATION, "argument='now'", "%pcm sessions --help")),
    "status": Case(
        "boa", "board", "bord", (CONFIGURATION, "no such session is running", "Did you mean 'board'?")
    ),
    "interrupt": Case("boa", "board", "bord", (CONFIGURATION, "no such session is running", "Did you mean")),
    "reset": Case("boa", "board", "bord", (CONFIGURATION, "no such session is running", "Did you mean")),
    "restart": Case("boa", "board", "bord", (CONFIGURATION, "no such session is running", "Did you mean")),
    "stop": Case("--a", "--all", "board --all", (CONFIGURATION, "not allowed with", "%pcm stop --help")),
    "probe": Case("-s boa", "-s board", "-e docker", (CONFIGURATION, "executor='docker'", "'container'")),
    "put": Case("tabl", "table", "tabel", (CONFIGURATION, "variable='tabel'", "Did you mean 'table'?")),
    "get": Case(
        "missing -s boa",
        "missing -s board",
        "missing -s board",
        ("TransferError", "no variable", "Run the code"),
    ),
    "upload": Case(
        "/et", "/etc/", "/nowhere/file -s board", ("TransferError", "No such file", "Give an existing file")
    ),
    "download": Case(
        "x /et",
        "x /etc/",
        "../../x /tmp/no-such -s board",
        ("TransferError", "working folder", "Give the relative path"),
    ),
    "artifacts ls": Case("--li", "--limit", "-n few", (CONFIGURATION, "limit='few'", "Give e.g. 20")),
    "artifacts show": Case(
        "num",
        "numbers",
        "nubmers",
        ("ArtifactNotFoundError", "no artifact 'nubmers'", "Did you mean 'numbers'"),
    ),
    "artifacts save": Case(
        "x tabl", "x table", "x tabel", (CONFIGURATION, "variable='tabel'", "Did you mean 'table'?")
    ),
    "artifacts load": Case(
        "num", "numbers", "numbers --version 9", ("ArtifactNotFoundError", "version 9", "artifacts.list()")
    ),
    "artifacts rm": Case(
        '"my n',
        '"my numbers"',
        "numbers nubmers",
        ("ArtifactNotFoundError", "'nubmers'", "Did you mean 'numbers'"),
    ),
    "artifacts versions": Case(
        "num", "numbers", "../x", ("InvalidArtifactNameError", "cannot name an artifact", "no path")
    ),
    "workflows ls": Case("-", "--limit", "-n 0", (CONFIGURATION, "limit='0'", "above zero")),
    "workflows show": Case(
        "doub",
        "double",
        "duoble",
        ("WorkflowNotFoundError", "no workflow 'duoble'", "Did you mean 'double'?"),
    ),
    "workflows new": Case(
        "x --over", "x --overwrite", "x", (CONFIGURATION, "there is none", "%%pcm workflows new NAME")
    ),
    "workflows run": Case("doub", "double", "double 3", (CONFIGURATION, "not NAME=VALUE", "days=3")),
    "workflows rm": Case("doub", "double", "duoble", ("WorkflowNotFoundError", "'duoble'", "'double'")),
    "workflows search": Case("x --li", "x --limit", "x -n x", (CONFIGURATION, "limit='x'", "Give e.g. 20")),
    "deps add": Case("nump", "numpy", "a@b", ("InvalidDependencyError", "a@b")),
    "deps ls": Case("--he", "--help", "x", (CONFIGURATION, "argument='x'", "%pcm deps ls --help")),
    "deps rm": Case("nump", "numpy", "-s lab", (CONFIGURATION, "required", "%pcm deps rm --help")),
    "deps sync": Case(
        "-e ve", "-e venv", "-e ven", (CONFIGURATION, "executor='ven'", "Did you mean 'venv'?")
    ),
    "history": Case(
        "--status inter",
        "--status interrupted",
        "--replay -s nobody",
        ("RunNotFoundError", "'nobody'", "no longer kept"),
    ),
    "panel": Case("sto", "storage", "storrage", (CONFIGURATION, "invalid choice", "%pcm panel --help")),
    "doctor": Case("--docker", "--docker-host", "--dokcer", (CONFIGURATION, "--dokcer", "'--docker-host'")),
}


@pytest.fixture(scope="module")
def board() -> Iterator[Shell]:
    """A shell with a session, a variable, artifacts, a workflow and a recorded package."""
    with own_shell() as shell:
        shell.said("table = [1, 2, 3]")
        shell.said("%pcm run -s board -e in-process 1")
        shell.said("%pcm run -s board artifacts.save('numbers', [1]); artifacts.save('my numbers', [1])")
        shell.said("%%pcm workflows new double\ndef run(x):\n    return 2 * x")
        shell.notebook.storage.deps.add("numpy")
        yield shell
    InteractiveShell.clear_instance()


def test_every_subcommand_is_tried() -> None:
    assert [*CASES] == [*GRAMMAR.subcommands]


@pytest.mark.parametrize("path", GRAMMAR.subcommands)
def test_help_says_what_it_does_what_it_takes_and_how_it_is_written(board: Shell, path: str) -> None:
    text = board.said(f"%pcm {path} --help")
    assert text.startswith(f"usage: %pcm {path}")
    subcommand = GRAMMAR.subcommands[path]
    assert " ".join(subcommand.about.split()) in " ".join(text.split())
    assert [example for example in subcommand.examples if example not in text] == []
    assert [option for option in GRAMMAR.parser(path).options if option not in text] == []
    assert "%%%" not in text


@pytest.mark.parametrize("path", GRAMMAR.subcommands)
def test_examples_can_be_parsed(path: str) -> None:
    subcommand = GRAMMAR.subcommands[path]
    assert subcommand.examples
    for example in subcommand.examples:
        line = example.lstrip("%").removeprefix("pcm ")
        found, _ = GRAMMAR.parse(line, "x" if example.startswith("%%") else None)
        assert found is subcommand


@pytest.mark.parametrize("path", GRAMMAR.subcommands)
def test_its_words_and_arguments_are_completed(board: Shell, path: str) -> None:
    assert f"%pcm {path}" in board.completions(f"%pcm {path[:-1]}")
    case = CASES[path]
    assert f"%pcm {path} {case.becomes}" in board.completions(f"%pcm {path} {case.typed}")


@pytest.mark.parametrize("path", GRAMMAR.subcommands)
def test_bad_input_is_one_line_of_a_typed_error_with_a_remedy(board: Shell, path: str) -> None:
    case = CASES[path]
    shown, error = board(f"%pcm {path} {case.wrong}")
    assert isinstance(error, CodeModeError)
    assert type(error).__name__ == case.says[0]
    [line] = shown.strip().splitlines()
    assert [word for word in case.says if word not in line] == []
    assert error.remedy


@pytest.mark.parametrize("path", GRAMMAR.subcommands)
def test_an_unknown_option_is_met_with_the_nearest_known_one(board: Shell, path: str) -> None:
    assert board.failing(f"%pcm {path} --hepl").endswith(f"unknown to %pcm {path}. Did you mean '--help'?")


def test_every_argument_is_completed_by_something_that_exists() -> None:
    for subcommand in GRAMMAR.subcommands.values():
        kinds = {argument.completes for argument in subcommand.arguments} - {"", "file"}
        assert kinds <= SOURCES.keys()


@pytest.mark.parametrize("word", ["rnu", "artifact", "workflow ls", "artifacts lst", "deps instal"])
def test_an_unknown_subcommand_is_met_with_the_nearest_known_one(board: Shell, word: str) -> None:
    assert "Did you mean" in board.failing(f"%pcm {word}")

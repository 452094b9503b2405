"""What may be typed behind %pcm, and what is said about what may not."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from py_code_mode_jupyter.errors import ConfigurationError
from py_code_mode_jupyter.magics.commands import GRAMMAR
from py_code_mode_jupyter.magics.notebook import Notebook
from py_code_mode_jupyter.magics.options import RunOptions, run_options

SETTINGS: Any = SimpleNamespace(timeout=None, no_raise=False)
NOTEBOOK = Notebook(None, SETTINGS)


def options(line: str, cell: str | None = None) -> RunOptions:
    subcommand, request = GRAMMAR.parse(line, cell)
    assert subcommand is not None
    assert subcommand.path == "run"
    return run_options(NOTEBOOK, request)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("run 6 * 7", "6 * 7"),
        ("run   6   *   7  ", "6   *   7"),
        ("run print('a  b')", "print('a  b')"),
        ("run -s lab 'quoted'", "'quoted'"),
        ("run don't = 1", "don't = 1"),
        ("run -t 3 f(-e) -s x", "f(-e) -s x"),
        ("run -1 + 2", "-1 + 2"),
        ("run -- -x", "-x"),
        ("run {'a': '$b'}", "{'a': '$b'}"),
        ("run -s 'my lab' x", "x"),
    ],
)
def test_code_on_the_line_is_what_was_typed(line: str, code: str) -> None:
    assert options(line).code == code


def test_options_are_read_in_their_long_and_short_forms() -> None:
    short = options("run -e venv -s lab -t 1.5 -o result --no-raise x")
    long = options("run --executor venv --session=lab --timeout=1.5 --output result --no-raise x")
    assert short == long
    assert (short.executor, short.session, short.timeout, short.variable) == ("venv", "lab", 1.5, "result")


def test_a_name_may_be_quoted() -> None:
    assert options('run -s "my lab" x').session == "my lab"
    assert options("run --session='my lab' x").session == "my lab"


def test_a_run_raises_unless_told_otherwise() -> None:
    assert options("run x").raises
    assert not options("run --no-raise x").raises
    assert not options("run -o result x").raises


def test_a_timeout_may_be_infinite() -> None:
    assert options("run -t inf x").timeout == math.inf


def test_a_cell_is_run_as_it_is_below_the_line_that_the_user_sees() -> None:
    found = options("run -e venv", "  x = 1\n")
    assert (found.heading, found.code) == ("%%pcm run -e venv", "  x = 1\n")
    assert options("run x").heading == ""


@pytest.mark.parametrize(
    ("line", "cell", "named"),
    [
        ("run -t abc x", None, ["timeout='abc'", "number of seconds"]),
        ("run -t -1 x", None, ["timeout=-1.0", "above zero"]),
        ("run -t nan x", None, ["timeout=nan"]),
        ("run -t", None, ["%pcm run", "-t/--timeout", "expected one argument"]),
        ("run -o 1x y", None, ["output='1x'", "variable's name"]),
        ("run -o class y", None, ["output='class'"]),
        ("run -e contaner x", None, ["executor='contaner'", "Did you mean 'container'?"]),
        ("run -e docker x", None, ["Did you mean 'container'?"]),
        ("run -e vnev x", None, ["Did you mean 'venv'?"]),
        ("run -e subprocess x", None, ["Did you mean 'venv'?"]),
        ("run --timout 3 x", None, ["option='--timout'", "Did you mean '--timeout'?"]),
        ("run --debug x", None, ["It stands before the subcommand"]),
        ("run -x y", None, ["option='-x'", "%pcm run --help"]),
        ("run", None, ["nothing to run", "%%pcm run"]),
        ("run", " \n\n", ["nothing to run", "below"]),
        ("run x", "y", ["code='x'", "stands on the line"]),
        ("rnu x", None, ["subcommand='rnu'", "Did you mean 'run'?"]),
        ("quux", None, ["There are: run, compare, start, use"]),
        ("--debg run x", None, ["Did you mean '--debug'?"]),
        ("sessions now", None, ["argument='now'", "%pcm sessions"]),
        ("stop a b", None, ["argument='b'", "%pcm stop"]),
        ("stop a --all", None, ["not allowed with"]),
        ("stop --al", None, ["Did you mean '--all'?"]),
    ],
)
def test_bad_input_is_one_line_that_names_it(line: str, cell: str | None, named: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options(line, cell)
    text = str(caught.value)
    assert "\n" not in text
    assert [part for part in named if part not in text] == []


@pytest.mark.parametrize(
    "line", ["", "--help", "-h", "run --help", "sessions -h", "stop --help", "run -e venv -h x"]
)
def test_help_is_printed_and_nothing_is_done(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert GRAMMAR.parse(line)[0] is None
    assert capsys.readouterr().out.startswith("usage: %pcm")


def test_help_names_every_option_and_says_which_session_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    GRAMMAR.parse("run --help")
    text = capsys.readouterr().out
    assert [option for option in GRAMMAR.parser("run").options if option not in text] == []
    assert "current session" in text
    assert "in-process, venv or container" in text


def test_help_of_the_whole_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    GRAMMAR.parse("--help")
    text = capsys.readouterr().out
    assert [name for name in GRAMMAR.words if name not in text] == []


def test_help_asked_for_in_code_is_code() -> None:
    assert options("run f --help").code == "f --help"


def test_help_of_a_group_names_what_is_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("artifacts", "artifacts --help"):
        assert GRAMMAR.parse(line)[0] is None
        text = capsys.readouterr().out
        assert [name for name in GRAMMAR.below("artifacts") if f"artifacts {name}" not in text] == []


def test_a_file_is_run_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "my code.py").write_text("first\nsecond\n")
    assert options(f"run -f '{tmp_path}/my code.py'").code == "first\nsecond\n"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file"), (b"\xff\xfe\xff", "not UTF-8 text"), (b"x" * (2**24 + 1), "too large")],
    ids=["missing", "binary", "giant"],
)
def test_a_file_that_cannot_be_code_is_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "code.py").write_bytes(content)
    with pytest.raises(ConfigurationError, match=problem):
        options(f"run -f {tmp_path}/code.py")


def test_a_notebook_is_no_file_of_code() -> None:
    with pytest.raises(ConfigurationError, match="nbconvert --to script"):
        options("run -f analysis.ipynb")


def test_a_file_and_code_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a file is given"):
        options("run -f code.py", "x = 1\n")


def test_configured_defaults_are_taken_where_nothing_is_typed() -> None:
    settings: Any = SimpleNamespace(timeout=7.5, no_raise=True)
    _, request = GRAMMAR.parse("run x")
    found = run_options(Notebook(None, settings), request)
    assert (found.timeout, found.raises) == (7.5, False)
    _, request = GRAMMAR.parse("run -t 3 x")
    assert run_options(Notebook(None, settings), request).timeout == 3


def test_words_that_were_quoted_are_plain_text() -> None:
    _, request = GRAMMAR.parse("put 'x' -s \"my lab\"")
    assert [type(request.given.session), *map(type, request.given.names)] == [str, str]

"""Completion where `%pcm` is typed, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from py_code_mode_jupyter.magics import completion
from py_code_mode_jupyter.magics.commands import GRAMMAR

from .conftest import Kernel, Shell, own_shell


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell with variables, a session in use, artifacts and a workflow of its own storage."""
    with pytest.MonkeyPatch.context() as patch, own_shell() as shell:
        patch.setenv("PCM_STORAGE", str(tmp_path_factory.mktemp("storage")))
        shell.said("penguins = 1; _hidden = 2")
        shell.said('%pcm start "my lab" -e in-process')
        for name in ("numbers", "my numbers", "it's"):
            shell.notebook.storage.artifacts.save(name, 1)
        yield shell


def words(shell: Shell, typed: str) -> list[str]:
    """Return what the last word of a line may become."""
    start = typed.rfind(" ") + 1
    return [line[start:] for line in shell.completions(typed)]


def test_subcommands_are_completed(board: Shell) -> None:
    assert words(board, "%pcm ") == GRAMMAR.words
    assert words(board, "%pcm st") == ["start", "status", "stop"]
    assert words(board, "%pcm workflows ") == ["ls", "show", "new", "run", "rm", "search"]
    assert words(board, "%pcm --debug artifacts sh") == ["show"]


@pytest.mark.parametrize("before", ["%", "  ", "r = ", "x = 1\n"])
def test_it_works_wherever_the_magic_may_stand(board: Shell, before: str) -> None:
    assert words(board, f"{before}%pcm run -e v") == ["venv"]


def test_names_are_completed_and_quoted_where_needed(board: Shell) -> None:
    assert '"my lab"' in words(board, "%pcm stop ")
    assert words(board, "%pcm put pen") == ["penguins"]
    assert "_hidden" not in words(board, "%pcm put ")
    assert words(board, "%pcm artifacts show num") == ["numbers"]
    assert board.completions("%pcm artifacts show my") == ['%pcm artifacts show "my numbers"']
    assert board.completions("%pcm artifacts show 'my n") == ["%pcm artifacts show 'my numbers'"]
    assert board.completions("%pcm artifacts show it") == ['%pcm artifacts show "it\'s"']
    assert board.completions("%pcm run --session=")[:1] == ['%pcm run --session="my lab"']


def test_options_that_were_given_are_not_offered_again_unless_they_may_be(board: Shell) -> None:
    offered = words(board, "%pcm run -e venv --var penguins -")
    assert "--executor" not in offered
    assert "--var" in offered
    assert "--timeout" in offered


def test_an_option_is_followed_by_its_values_and_an_argument_by_the_next(board: Shell) -> None:
    assert words(board, "%pcm history --status err") == ["error"]
    assert words(board, "%pcm artifacts load numbers pen") == ["penguins"]
    assert words(board, "%pcm artifacts rm numbers num") == ["numbers"]
    assert words(board, "%pcm start x -e con") == ["container"]


def test_the_parameters_of_a_workflow_are_completed(board: Shell) -> None:
    board.said(
        "%%pcm workflows new forecast --overwrite\ndef run(days: int, *, city='Oslo', **more):\n    pass"
    )
    assert words(board, "%pcm workflows run forecast ") == ["days=", "city="]
    assert words(board, "%pcm workflows run forecast days=3 c") == ["city="]
    assert "days=" not in words(board, "%pcm workflows run nothing ")


def test_files_are_completed_with_folders_marked(board: Shell, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code.py").touch()
    assert words(board, f"%pcm run -f {tmp_path}/co") == [f"{tmp_path}/code/", f"{tmp_path}/code.py"]


@pytest.mark.parametrize(
    "line", ["penguins.bit_l", "%pcm run penguins.bit_l", "%pcm run -e venv -- penguins.bit_l"]
)
def test_code_is_completed_as_code(board: Shell, line: str) -> None:
    assert any(word.endswith("bit_length") for word in words(board, line))


def test_a_cell_below_the_magic_is_completed_as_code(board: Shell) -> None:
    assert "start" not in words(board, "%%pcm run -e venv\nst")
    assert any(word.endswith("bit_length") for word in words(board, "%%pcm run\npenguins.bit_l"))


def test_a_storage_that_cannot_be_used_offers_nothing(
    board: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PCM_STORAGE", str(tmp_path / "file" / "storage"))
    assert "numbers" not in words(board, "%pcm artifacts show ")


def test_names_that_isolated_code_made_unprintable_are_not_offered(
    board: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = dict(completion.SOURCES) | {"artifact": lambda *_: ["fine", "\x1b[2J", "a\nb", "both\"'quotes"]}
    monkeypatch.setattr(completion, "SOURCES", named)
    assert words(board, "%pcm artifacts show ") == ["fine"]


def test_a_kernel_answers_a_front_end_that_asks(fresh: Kernel) -> None:
    code = "%%pcm run -e v\nx"
    fresh.client.complete(code, len("%%pcm run -e v"))
    reply = fresh.client.get_shell_msg(timeout=30)["content"]
    assert reply["matches"] == ["venv"]
    assert code[reply["cursor_start"] : reply["cursor_end"]] == "v"

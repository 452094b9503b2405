"""Variables and files go to a session and come back; from an isolated one never as a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Shell

PLACES = pytest.mark.parametrize("session", ["in-process", "lab"])


@pytest.fixture
def here(lab: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, to which the notebook has gone since its sessions began."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@PLACES
def test_plain_data_goes_there_and_back(lab: Shell, session: str) -> None:
    lab.shell.push({"a": {"x": [1, None]}, "b": b"\x00"})
    lab.said(f"%pcm put a b -s {session}")
    lab.shell.push({"a": None, "b": None})
    lab.said(f"%pcm get a b -s {session}")
    assert (lab.shell.user_ns["a"], lab.shell.user_ns["b"]) == ({"x": [1, None]}, b"\x00")


@PLACES
def test_a_variable_may_be_called_otherwise_on_the_other_side(lab: Shell, session: str) -> None:
    lab.shell.push({"mine": 41})
    assert lab.said(f"%pcm put mine --as theirs -s {session}") == f"Set theirs in {session}."
    lab.said(f"%pcm run -s {session} theirs += 1")
    assert lab.said(f"%pcm get theirs --as back -s {session}") == f"Set back from {session}."
    assert lab.shell.user_ns["back"] == 42


def test_in_process_it_is_the_very_object_and_elsewhere_a_copy(lab: Shell) -> None:
    lab.shell.push({"shared": [1]})
    for session in ("in-process", "lab"):
        lab.said(f"%pcm put shared -s {session}\n%pcm run -s {session} shared.append(2)")
    assert lab.shell.user_ns["shared"] == [1, 2]


def test_what_is_not_plain_does_not_come_out_of_an_isolated_place(lab: Shell) -> None:
    bomb = "class Bomb:\n    def __reduce__(self):\n        return (print, ('boom',))\nbomb = Bomb()"
    lab.said(f"%%pcm run -s lab\n{bomb}")
    shown = lab.failing("%pcm get bomb -s lab")
    assert shown.startswith("TransferError: The variable 'bomb' is not plain data")
    assert "boom" not in shown
    assert "bomb" not in lab.shell.user_ns


def test_what_is_not_plain_does_not_go_into_one(lab: Shell) -> None:
    lab.shell.push({"thing": object()})
    assert lab.failing("%pcm put thing -s lab").startswith("NotPlainError: ")
    assert lab.failing("%pcm run -s lab --var thing 1").startswith("NotPlainError: ")


def test_a_run_is_handed_variables(lab: Shell) -> None:
    lab.shell.push({"one": 1, "two": 2})
    for session in ("in-process", "lab"):
        assert lab.said(f"%pcm run -s {session} --var one --var two one + two") == "3"
    assert "Did you mean 'one'?" in lab.failing("%pcm run --var oen 1")


def test_nothing_is_bound_if_one_variable_is_missing(lab: Shell) -> None:
    lab.said("%pcm run -s lab there = 1")
    assert "no variable 'missing'" in lab.failing("%pcm get there missing -s lab")
    assert "there" not in lab.shell.user_ns


def test_several_variables_cannot_share_a_name(lab: Shell) -> None:
    lab.shell.push({"one": 1, "two": 2})
    assert "2 variables cannot all be called so" in lab.failing("%pcm put one two --as x")


def test_an_error_out_of_an_isolated_place_is_shown_as_a_line_without_control_characters(lab: Shell) -> None:
    said = r"'\x1b[2J\x1b]0;gotcha\x07\nx'"
    lab.said(f"%%pcm run -s lab\nclass Loud:\n    def __repr__(self):\n        return {said}\nloud = Loud()")
    shown = lab.failing("%pcm get loud -s lab")
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


@PLACES
def test_files_go_there_and_back(lab: Shell, here: Path, session: str) -> None:
    (here / "my data.csv").write_text("a,b\n")
    said = lab.said(f'%pcm upload "my data.csv" data.csv -s {session}')
    assert said == f"Copied my data.csv to data.csv in {session}."
    lab.said(f"%pcm run -s {session} from pathlib import Path")
    assert lab.said(f"%pcm run -s {session} Path('data.csv').read_text()") == r"'a,b\n'"
    lab.said(f"%pcm run -s {session} n = Path('out.txt').write_text('result')")
    said = lab.said(f"%pcm download out.txt back.txt -s {session}")
    assert said == f"Copied out.txt in {session} to back.txt."
    assert (here / "back.txt").read_text() == "result"


def test_a_file_that_is_there_is_replaced_only_on_demand(lab: Shell, here: Path) -> None:
    lab.said("%pcm run -s lab from pathlib import Path; n = Path('pcm-out.txt').write_text('new')")
    (here / "mine.txt").write_text("old")
    assert "there is such a file. Give another TO, or --overwrite." in lab.failing(
        "%pcm download pcm-out.txt mine.txt -s lab"
    )
    assert (here / "mine.txt").read_text() == "old"
    lab.said("%pcm download pcm-out.txt mine.txt --overwrite -s lab")
    assert (here / "mine.txt").read_text() == "new"

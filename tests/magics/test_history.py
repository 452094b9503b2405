"""The ledger from the notebook: what ran, as a notebook that runs again, and run again in a session."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from .conftest import Shell, until


@pytest.fixture
def own(lab: Shell) -> Shell:
    """The module's shell with an empty ledger."""
    lab.notebook.storage.runs.delete()
    return lab


def test_runs_are_listed_the_newest_first_and_searched(own: Shell) -> None:
    own.said("%pcm run -s lab first = 1")
    own.said("%%pcm run -s lab --no-raise\nsecond = 2\n1 / 0")
    own.said("%pcm run third = 3")
    lines = own.said("%pcm history").splitlines()
    assert [line.split()[-3:] for line in lines[1:]] == [
        ["third", "=", "3"],
        ["=", "2", "…"],
        ["first", "=", "1"],
    ]
    assert "error" in lines[2]
    assert "third" not in own.said("%pcm history -s lab")
    assert len(own.said("%pcm history -n 1").splitlines()) == 2
    assert "first" not in own.said("%pcm history --search second")
    assert "second" in own.said("%pcm history --status error")
    assert own.said("%pcm history --search nowhere") == "There is no run."


def test_one_run_is_shown_with_its_code_and_what_it_showed(own: Shell) -> None:
    own.said("%%pcm run -s lab\nprint('<b>\\x1b[2Jprinted')\n6 * 7")
    number = own.notebook.storage.runs.list(limit=1)[0].id
    shown = own.said(f"%pcm history --show {number}")
    for part in ("Run ", "executor", "venv", "6 * 7", "printed", "value:\n42"):
        assert part in shown
    assert "\x1b" not in shown
    assert "There is no run 999999" in own.failing("%pcm history --show 999999")


def test_an_exported_session_runs_again_to_the_same_results(own: Shell, tmp_path: Path) -> None:
    own.said("%pcm reset lab")
    own.said("%%pcm run -s lab\nnumbers = [n ** 2 for n in range(4)]\nprint(numbers)")
    own.said("%%pcm run -s lab\nsum(numbers)")
    file = tmp_path / "again.ipynb"
    assert own.said(f"%pcm history --export {file} -s lab") == f"Wrote 2 runs of lab to {file}."
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    texts = [output.get("text") or output["data"]["text/plain"] for output in outputs]
    assert texts == ["[0, 1, 4, 9]\n", "14"]
    assert "there is such a file" in own.failing(f"%pcm history --export {file} -s lab")
    own.said(f"%pcm history --export {file} --overwrite -s lab")


@pytest.mark.parametrize("name", ["/nowhere/x.ipynb", "x.txt"])
def test_a_notebook_that_cannot_be_written_is_one_line(own: Shell, name: str) -> None:
    own.said("%pcm run -s lab 1")
    shown = own.failing(f"%pcm history --export {name} -s lab")
    assert shown.startswith("ConfigurationError: export=")
    assert "\n" not in shown


def test_a_session_that_was_killed_has_its_variables_again(own: Shell) -> None:
    own.said("%pcm restart lab")
    own.said("%pcm run -s lab kept = {'a': 1}")
    own.said("%%pcm run -s lab\nimport os, time\nmoment = time.time()\nkept['b'] = 2")
    os.kill(own.notebook.background.call(own.notebook.running("lab").stats())["pid"], signal.SIGKILL)
    until(lambda: "dead" in own.said("%pcm status lab"), "the session is seen to be dead")
    shown = own.said("%pcm history --replay -s lab")
    assert "2 of 2 runs were run again." in shown
    assert "moment" not in shown
    assert "time: time.time" in shown
    assert own.said("%pcm run -s lab kept") == "{'a': 1, 'b': 2}"


def test_a_session_that_has_ended_is_made_again_as_it_was(own: Shell) -> None:
    own.said("%pcm start gone -e venv --memory-limit 1g")
    own.said("%pcm run -s gone kept = 42")
    own.said("%pcm stop gone")
    assert "1 of 1 runs were run again." in own.said("%pcm history --replay -s gone")
    assert own.said("%pcm run -s gone kept") == "42"
    assert own.notebook.running("gone").executor.config.memory_limit == 2**30
    own.said("%pcm stop gone\n%pcm run -s gone 1")
    assert own.notebook.running("gone").executor.config.memory_limit == 2**30
    own.said("%pcm stop gone")


def test_runs_of_an_isolated_place_are_not_run_here_without_consent(
    own: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.said("%pcm start was -e venv\n%pcm run -s was kept = 42\n%pcm stop was")
    monkeypatch.setattr("builtins.input", lambda _: "n")
    shown = own.failing("%pcm history --replay -s was -e in-process")
    assert "kept = 42" in shown
    assert "ReplayConsentError" in shown
    assert "was" not in own.notebook.sessions.names
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    own.said("%pcm history --replay -s was -e in-process")
    assert own.said("%pcm run -s was kept") == "42"
    own.said("%pcm stop was")


def test_sessions_of_every_process_are_listed(own: Shell) -> None:
    shown = own.said("%pcm sessions --all")
    assert str(os.getpid()) in shown
    assert [name for name in ("in-process", "lab") if name not in shown] == []

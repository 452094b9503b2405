"""One cell in several places: what differs, and panels beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from py_code_mode_jupyter.display import Comparison
from py_code_mode_jupyter.results import ExceptionInfo, ExecutionResult, RunStatus

if TYPE_CHECKING:
    import pytest

    from .conftest import Kernel, Shell


def result(value: object, **others: object) -> ExecutionResult:
    fields = {"status": RunStatus.OK, "value": value, "execution_time": 0.5, **others}
    return ExecutionResult(**fields)  # type: ignore[arg-type]


def test_equal_results_are_said_to_be_equal() -> None:
    comparison = Comparison({"in-process": result(1, stdout="a\n"), "venv": result(1, stdout="a\n")})
    assert "The same in in-process, venv." in str(comparison)
    assert "500 ms" in str(comparison)
    assert comparison.differences == {"venv": ()}


def test_differences_are_named_and_shown_line_by_line() -> None:
    first = result(1, stdout="same\nhere\n")
    other = result(2, stdout="same\nthere\n")
    broken = ExecutionResult(
        status=RunStatus.ERROR,
        exception=ExceptionInfo(name="ValueError", message="no"),
        error="ValueError: no",
    )
    comparison = Comparison({"in-process": first, "venv": other, "container": broken})
    assert comparison.differences["venv"] == ("value", "stdout")
    assert comparison.differences["container"] == ("status", "value", "stdout", "error")
    text = str(comparison)
    assert "Different from in-process: venv: value, stdout; container: " in text
    assert "-here\n+there" in text


def test_a_place_that_could_not_run_says_why_and_is_no_difference() -> None:
    comparison = Comparison({"in-process": result(1), "container": "The engine does not answer."})
    assert "not run" in str(comparison)
    assert "The engine does not answer." in str(comparison)
    assert "There is nothing to compare." in str(comparison)


def test_what_isolated_code_showed_is_text() -> None:
    hostile = "<script>alert(1)</script>\x1b[2J\u202e"
    comparison = Comparison(
        {"in-process": result(1), "venv": result(hostile, stdout=hostile, stderr=hostile)}
    )
    for shown in (str(comparison), comparison._repr_html_()):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "<script" not in comparison._repr_html_()
    assert "color:" not in comparison._repr_html_()


def test_a_cell_is_run_in_several_places(lab: Shell) -> None:
    lab.shell.push({"number": 6})
    shown = lab.said("%pcm compare -e in-process -e venv --var number number * 7")
    assert "The same in in-process, venv." in shown
    assert "42" in shown
    shown = lab.said("%%pcm compare -e in-process -e venv -o found\nimport sys\nprint('x')\nsys.prefix")
    assert "venv: value." in shown
    assert {*lab.shell.user_ns["found"]} == {"in-process", "venv"}
    lab.said("%pcm stop venv")


def test_a_place_that_is_missing_does_not_spoil_a_comparison(
    lab: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    shown = lab.said("%pcm compare -e in-process -e container 1")
    assert "not run" in shown
    assert "There is nothing to compare." in shown


def test_a_failing_cell_is_a_result_and_names_the_line_of_the_cell(lab: Shell) -> None:
    shown = lab.said("%%pcm compare -e in-process -e venv -o found\n1 / 0")
    assert "ZeroDivisionError: division by zero" in shown
    assert "The same in" in shown
    assert [r.exception.frames[-1].lineno for r in lab.shell.user_ns["found"].values()] == [2, 2]
    lab.said("%pcm stop venv")


def test_a_notebook_shows_the_results_side_by_side_unless_told_otherwise(fresh: Kernel) -> None:
    shown = fresh("%pcm compare -e in-process -e venv 1")
    assert shown.bundles("application/vnd.jupyter.widget-view+json")
    assert "The same in" in shown.bundles("text/html")[0]
    plain = fresh("%pcm compare --plain -e in-process -e venv 1")
    assert plain.bundles("application/vnd.jupyter.widget-view+json") == []
    assert "The same in" in plain.bundles("text/html")[0]


def test_panels_are_closed_when_others_are_opened_and_when_the_extension_goes(fresh: Kernel) -> None:
    count = "len([one for one in get_ipython().kernel.comm_manager.comms.values()])"
    fresh("%pcm panel storage")
    first = int(fresh(count).bundles()[0])
    fresh("%pcm panel storage")
    assert int(fresh(count).bundles()[0]) == first > 0
    assert fresh("%unload_ext py_code_mode_jupyter").ok
    assert fresh(count).bundles() == ["0"]


def test_panels_open_in_a_notebook(fresh: Kernel) -> None:
    shown = fresh("%pcm panel")
    assert shown.ok
    assert len(shown.bundles("application/vnd.jupyter.widget-view+json")) == 2
    assert len(fresh("%pcm panel storage").bundles("application/vnd.jupyter.widget-view+json")) == 1

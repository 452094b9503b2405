"""One result, and several: what they say, with widgets and without."""

from __future__ import annotations

import math

import pytest

from py_code_mode_jupyter.errors import ConfigurationError
from py_code_mode_jupyter.results import ExceptionInfo, ExecutionResult, Output, RunStatus
from py_code_mode_jupyter.widgets import CompareView, RunView

from .conftest import output, shown
from .test_harmless import active_in

EVIL = "<img src=x onerror=alert(1)>"
OK = ExecutionResult(
    status=RunStatus.OK,
    value=2,
    stdout="one\n",
    outputs=(
        Output(type="stream", name="stdout", text="one\n"),
        Output(type="execute_result", data={"text/plain": "2", "text/html": EVIL}),
    ),
    execution_time=0.25,
    execution_count=3,
)
DIED = ExecutionResult(
    status=RunStatus.DIED,
    error="It was killed: 512 MB limit.",
    exception=ExceptionInfo(name="Died", message=f"It was killed: 512 MB limit. {EVIL}"),
    state_preserved=False,
    truncated=7,
    execution_time=61,
)


def test_a_view_says_how_a_run_ended_and_shows_its_outputs() -> None:
    view = RunView(OK, title="analysis")
    assert "analysis" in shown(view) and "ok, 250 ms" in shown(view) and "run 3" in shown(view)
    assert [one["output_type"] for one in output(view)] == ["stream", "display_data"]
    assert active_in(output(view)[1]["data"]["text/html"]) == []
    view.close()


def test_a_run_that_failed_says_why_and_what_was_lost() -> None:
    view = RunView(DIED)
    notes = "".join(one["text"] for one in output(view))
    assert "512 MB limit" in notes and "7 bytes of output dropped" in notes and "are gone" in notes
    assert "its place died, 1 min 1 s" in shown(view)
    assert active_in(shown(view)) == []
    view.close()


def test_a_run_without_outputs_says_so() -> None:
    view = RunView(ExecutionResult(status=RunStatus.OK))
    assert "It showed nothing." in shown(view)
    view.close()


@pytest.mark.parametrize(
    "isolation",
    [
        {"configured": {"network_disabled": True}, "measured": {"network": f"none {EVIL}"}},
        {"network": f"none {EVIL}"},
    ],
)
def test_the_isolation_in_force_is_named(isolation: dict[str, object]) -> None:
    view = RunView(OK, title=EVIL, isolation=isolation)
    assert "Isolation in force" in shown(view) and "none &lt;img" in shown(view)
    assert active_in(shown(view)) == []
    view.close()


def test_without_widgets_a_result_is_text_and_harmless_html() -> None:
    view = RunView(OK, title=EVIL)
    bundle = view._repr_mimebundle_()
    assert bundle["text/plain"].startswith(f"{EVIL}: ok, 250 ms\none\n2")
    assert active_in(bundle["text/html"]) == [] and "<pre>one\n2</pre>" in bundle["text/html"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == view.model_id
    view.close()


def test_places_are_compared_and_each_shows_its_outputs() -> None:
    view = CompareView({"venv": OK, "container": DIED, EVIL: f"Docker is not running. {EVIL}"})
    assert "Different from venv: container: status" in shown(view)
    assert "Docker is not running." in shown(view)
    assert active_in(shown(view)) == []
    bundle = view._repr_mimebundle_()
    assert "Different from venv" in bundle["text/plain"] and "Different from venv" in bundle["text/html"]
    assert active_in(bundle["text/html"]) == []
    view.close()


@pytest.mark.parametrize("wrong", [None, 3, math.nan, "text", {"a": 3}])
def test_what_is_no_result_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="not an ExecutionResult"):
        RunView(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        CompareView(wrong)  # type: ignore[arg-type]


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Give results by place"):
        CompareView({})

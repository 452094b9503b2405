"""What a person reads of a result, in a terminal and in a notebook."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from py_code_mode_jupyter import ExecutionResult, Output, RunStatus
from py_code_mode_jupyter.results import ExceptionInfo

REPRS = [
    (Output(type="stream", name="stdout", text="one\ntwo\n"), r"<Output stream stdout 'one\ntwo\n'>"),
    (
        Output(type="display_data", data={"image/png": "iVBO" * 9999, "text/plain": "<Figure>"}),
        "<Output display_data image/png, text/plain '<Figure>'>",
    ),
    (Output(type="error", name="ValueError", text="long traceback"), "<Output error ValueError>"),
    (Output(type="clear_output", wait=True), "<Output clear_output>"),
]


@pytest.mark.parametrize(("output", "text"), REPRS, ids=lambda value: getattr(value, "type", ""))
def test_an_output_says_in_one_line_what_it_is(output: Output, text: str) -> None:
    assert repr(output) == text


class Unshowable:
    """Its ``repr`` fails, as that of an object of executed code may."""

    def __repr__(self) -> str:
        raise ValueError


RESULTS = [
    (ExecutionResult(status=RunStatus.OK, execution_time=0.00123), "<ExecutionResult ok, 0.00123 s>"),
    (ExecutionResult(status=RunStatus.OK, value="a"), "<ExecutionResult ok, 0 s, 'a'>"),
    (
        ExecutionResult(status=RunStatus.OK, value="   a\n0  1", value_is_repr=True, state_preserved=False),
        "<ExecutionResult ok, 0 s, a 0 1, earlier variables lost>",
    ),
    (
        ExecutionResult(status=RunStatus.ERROR, exception=ExceptionInfo(name="KeyError", message="one\ntwo")),
        "<ExecutionResult error, 0 s, KeyError: one two>",
    ),
    (
        ExecutionResult(status=RunStatus.ERROR, exception=ExceptionInfo(name="SystemExit", message="")),
        "<ExecutionResult error, 0 s, SystemExit>",
    ),
]


@pytest.mark.parametrize(("result", "text"), RESULTS)
def test_a_result_says_in_one_line_how_it_ended(result: ExecutionResult, text: str) -> None:
    assert repr(result) == text


def test_a_result_shows_itself_whatever_its_value_is() -> None:
    assert "Unshowable object at" in repr(ExecutionResult(status=RunStatus.OK, value=Unshowable()))
    assert len(repr(ExecutionResult(status=RunStatus.OK, value=[*range(10**5)]))) < 130


TIMED_OUT = ExecutionResult(
    status=RunStatus.TIMEOUT,
    error="KeyboardInterrupt\nTimeoutError: The run took longer than 1 s.",
    exception=ExceptionInfo(name="TimeoutError", message="The run took longer than 1 s."),
    outputs=(Output(type="error", name="KeyboardInterrupt", text="KeyboardInterrupt"),),
    truncated=5000,
)


def test_a_result_says_once_what_its_outputs_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    told = [
        "KeyboardInterrupt",
        "The run took longer than 1 s.",
        "[5,000 bytes of output dropped: max_output reached]",
    ]
    assert str(TIMED_OUT).splitlines() == told
    TIMED_OUT._ipython_display_()
    assert capsys.readouterr().err.splitlines() == told


def test_a_result_can_be_kept_and_sent_to_another_process() -> None:
    again = pickle.loads(pickle.dumps(TIMED_OUT))  # noqa: S301 - our own bytes
    assert again == TIMED_OUT
    assert copy.deepcopy(TIMED_OUT) == TIMED_OUT
    assert dataclasses.asdict(TIMED_OUT)["outputs"][0]["metadata"] == {}

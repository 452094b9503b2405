"""How sessions are listed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from py_code_mode_jupyter.display import (
    ProgressBar,
    RunDetail,
    SessionRow,
    SessionTable,
    Table,
    WorkflowView,
    format_bytes,
    format_duration,
    format_time,
    lines_of,
    one_line,
    probe_table,
    run_table,
    show_ending,
    status_table,
    value_repr,
    workflow_table,
)
from py_code_mode_jupyter.results import ExecutionResult, RunStatus
from py_code_mode_jupyter.storage.runs import RunRecord
from py_code_mode_jupyter.workflow import Workflow, WorkflowInfo, WorkflowParameter

TABLE = SessionTable(
    (
        SessionRow(
            name="in-process",
            executor="in-process",
            state="idle",
            runs=3,
            memory=2**27,
            uptime=7,
            is_current=True,
        ),
        SessionRow(
            name="<b>lab</b>",
            executor="venv",
            state="busy",
            runs=12,
            memory=212 * 2**20,
            memory_limit=2**29,
            uptime=3700,
        ),
        SessionRow(name="c", executor="venv", state="closed"),
    )
)


def test_the_columns_of_the_text_are_aligned() -> None:
    lines = str(TABLE).splitlines()
    assert (
        len({line.index(word) for line, word in zip(lines[1:], ("idle", "busy", "closed"), strict=True)}) == 1
    )
    assert len({len(line) for line in lines}) == 1  # the last column is aligned to the right
    assert repr(TABLE) == str(TABLE)


def test_the_current_session_is_marked_and_memory_stands_beside_its_limit() -> None:
    heading, first, second, third = str(TABLE).splitlines()
    assert [
        word for word in ("name", "executor", "state", "runs", "memory", "uptime") if word not in heading
    ] == []
    assert first.startswith("*")
    assert "128 MiB (this process)" in first
    assert "212 MiB / 512 MiB" in second
    assert "?" in third


def test_html_is_escaped_and_leaves_colours_to_the_theme() -> None:
    html = TABLE._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;lab&lt;/b&gt;" in html
    assert set(re.findall(r'style="([\w-]+)', html)) == {"text-align"}
    assert "color" not in html


def test_an_empty_list_says_so() -> None:
    assert str(SessionTable(())) == "No session is running."
    assert "No session is running." in SessionTable(())._repr_html_()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (2**10, "1.0 KiB"), (212 * 2**20, "212 MiB"), (1.5 * 2**30, "1.5 GiB")],
)
def test_sizes(size: float, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.9, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (90000, "25 h 0 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_what_outputs_do_not_say_is_said_after_them(capsys: pytest.CaptureFixture[str]) -> None:
    show_ending(ExecutionResult(status=RunStatus.OK, truncated=5000, state_preserved=False), "lab")
    said = capsys.readouterr().err
    assert "5,000 bytes" in said
    assert "'lab' had to start afresh" in said
    show_ending(ExecutionResult(status=RunStatus.OK), "lab")
    assert capsys.readouterr().err == ""


HOSTILE = "<script>alert(1)</script>\x1b[2J\x1b]0;title\x07\u202e\u200b\nnext & 'more' \"still\""
RUN = RunRecord(
    id=1,
    session=HOSTILE,
    session_id="0" * 32,
    executor=HOSTILE,
    started=datetime(2026, 1, 2, tzinfo=UTC),
    limits={HOSTILE: HOSTILE},
    deps=(HOSTILE,),
    code=HOSTILE,
    status=HOSTILE,
    variables=(HOSTILE,),
    value=HOSTILE,
    stdout=HOSTILE,
    error=HOSTILE,
)
WORKFLOW = WorkflowInfo(
    name=HOSTILE,
    description=HOSTILE,
    parameters=(WorkflowParameter(name=HOSTILE, annotation=HOSTILE, default=HOSTILE),),
    origin=HOSTILE,
    created=datetime(2026, 1, 2, tzinfo=UTC),
    sha256="0" * 64,
    problem=HOSTILE,
)
STATS = {"name": HOSTILE, "executor": HOSTILE, "state": HOSTILE, "container": HOSTILE}
SHOWN = {
    "table": Table(headings=(HOSTILE,), rows=((HOSTILE,),), caption=HOSTILE),
    "sessions": SessionTable((SessionRow(name=HOSTILE, executor=HOSTILE, state=HOSTILE),)),
    "status": status_table(STATS, {HOSTILE: HOSTILE}, None),
    "probe": probe_table({HOSTILE: {"measured": {HOSTILE: HOSTILE}, "configured": {HOSTILE: [HOSTILE]}}}),
    "runs": run_table([RUN]),
    "run": RunDetail(RUN),
    "workflows": workflow_table([WORKFLOW]),
    "workflow": WorkflowView(Workflow(info=WORKFLOW, source=HOSTILE)),
    "progress": ProgressBar(what=HOSTILE, step=HOSTILE),
}


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)
def test_what_isolated_code_wrote_is_escaped_and_has_no_control_characters(shown: Any) -> None:
    text, html = str(shown), shown._repr_html_()
    assert "alert(1)" in text
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert [mark for mark in ("\x1b", "\x07", "\u202e", "\u200b") if mark in text + html] == []
    assert not re.search(r"(?<!-)color\s*:|#[0-9a-f]{3,6}\b|rgb\(", html)


def test_a_giant_text_is_cut_and_says_so() -> None:
    assert len(one_line("x" * 10**6)) == 80
    assert lines_of("x" * 30_000).endswith("[10,000 more characters]")
    assert len(str(Table(headings=("a",), rows=(("y" * 10**6,),)))) < 200


def test_rows_that_are_not_shown_are_counted() -> None:
    table = Table(headings=("a",), rows=(("1",),), more=1234)
    assert str(table).endswith("1,234 more are not shown.")
    assert "1,234 more are not shown." in table._repr_html_()


def test_a_repr_that_fails_is_replaced() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert "Broken object at" in value_repr(Broken())


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.0123, "12 ms"), (1.44, "1.4 s"), (185, "3 min 5 s")]
)
def test_times_of_runs(seconds: float | None, text: str) -> None:
    assert format_time(seconds) == text

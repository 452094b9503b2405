"""How sessions are listed."""

from __future__ import annotations

import re

import pytest

from py_code_mode_jupyter.display import SessionRow, SessionTable, format_bytes, format_duration, show_ending
from py_code_mode_jupyter.results import ExecutionResult, RunStatus

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

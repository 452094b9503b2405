"""Pieces of HTML for panels. Every text in them is bounded, cleaned and escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from ..display import lines_of, one_line

if TYPE_CHECKING:
    from ..errors import CodeModeError


def words(text: object, limit: int = 200) -> str:
    """Return a text on one line, escaped."""
    return escape(one_line(text, limit))


def title(text: object, aside: object = "") -> str:
    """Return a heading, with something less important behind it."""
    behind = f' <span class="pcm-quiet">{words(aside)}</span>' if aside else ""
    return f'<h4 class="pcm-title">{words(text)}{behind}</h4>'


def note(text: str) -> str:
    """Return what happened, for the eye and for a screen reader."""
    return f'<div class="pcm-note" role="status">{words(text, 600)}</div>' if text else ""


def error(problem: CodeModeError | str) -> str:
    """Return what went wrong and what to do about it."""
    if isinstance(problem, str):
        return f'<div class="pcm-error" role="alert">{words(problem, 600)}</div>'
    remedy = f"<br>{words(problem.remedy, 600)}" if problem.remedy else ""
    return f'<div class="pcm-error" role="alert"><b>{words(problem.message, 600)}</b>{remedy}</div>'


MOST_TEXT = 70_000
"""Characters of a text of many lines."""


def pre(text: str) -> str:
    """Return a text of many lines."""
    return f'<pre class="pcm-text" tabindex="0">{escape(lines_of(text, MOST_TEXT))}</pre>'


def dot(kind: str) -> str:
    """Return a spot of colour for a word beside it: ``busy``, ``idle``, ``ok``, ``bad`` or nothing."""
    return f'<span class="pcm-dot pcm-{kind}" aria-hidden="true"></span>' if kind else ""


def table(label: str, headings: Sequence[str], rows: Iterable[str], *, numbers: Sequence[bool] = ()) -> str:
    """Return a table of rows that `row` made; `numbers` says which columns are aligned to the right."""
    sides = numbers or [False] * len(headings)
    cells = (
        f'<th scope="col"{_right(side)}>{words(name)}</th>'
        for name, side in zip(headings, sides, strict=True)
    )
    head = "".join(cells)
    return (
        f'<div class="pcm-scroll" tabindex="0"><table class="pcm-table" aria-label="{words(label)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def row(cells: Iterable[str], *, is_current: bool = False) -> str:
    """Return a row of cells that `cell` made."""
    mark = ' aria-current="true"' if is_current else ""
    return f"<tr{mark}>{''.join(cells)}</tr>"


def cell(text: object, *, is_number: bool = False, before: str = "", below: str = "") -> str:
    """Return a cell; what stands before and below its text is HTML."""
    return f"<td{_right(is_number)}>{before}{words(text)}{below}</td>"


def _right(is_number: bool) -> str:
    return ' class="pcm-number"' if is_number else ""


def meter(part: float | None) -> str:
    """Return a thin bar for a share of 1; nothing if it is unknown."""
    if part is None:
        return ""
    percent = 100 * min(1.0, max(0.0, part))
    high = " pcm-high" if percent >= 90 else ""
    return f'<div class="pcm-meter{high}" aria-hidden="true"><div style="width:{percent:.0f}%"></div></div>'

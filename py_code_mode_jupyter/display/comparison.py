"""One cell in several places: what it gave in each, and where they differ."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import final

from ..results import ExecutionResult
from .table import Table
from .text import format_time, lines_of, one_line, value_repr

_MOST_LINES = 200
_SHORT = 200


@final
@dataclass(frozen=True, slots=True)
class Comparison:
    """The results of one cell in several places; displays itself as a table with the differences below.

    Attributes
    ----------
    results
        A result for each place, or the sentence that says why there is none. The first is what the
        others are compared with.
    """

    results: Mapping[str, ExecutionResult | str]

    @property
    def differences(self) -> dict[str, tuple[str, ...]]:
        """What differs from the first place with a result, by place: ``status``, ``value`` and so on."""
        [first, *others] = self._complete or [("", None)]
        return {name: tuple(_differing(first[1], result)) for name, result in others if result and first[1]}

    @property
    def _complete(self) -> list[tuple[str, ExecutionResult | None]]:
        return [(name, r) for name, r in self.results.items() if isinstance(r, ExecutionResult)]

    def __str__(self) -> str:
        return "\n\n".join(
            [str(self._table), self._verdict, *(f"{title}\n{diff}" for title, diff in self._diffs)]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [self._table._repr_html_(), f"<p>{escape(self._verdict)}</p>"]
        for title, diff in self._diffs:
            lines = escape(diff)
            parts.append(f"<details open><summary>{escape(title)}</summary><pre>{lines}</pre></details>")
        return "".join(parts)

    @property
    def _table(self) -> Table:
        rows = tuple(_row(name, result) for name, result in self.results.items())
        headings = ("place", "status", "value", "stdout", "stderr", "time")
        return Table(headings=headings, rows=rows, numbers=("time",))

    @property
    def _verdict(self) -> str:
        complete = [name for name, _ in self._complete]
        if len(complete) < 2:
            return "There is nothing to compare."
        found = self.differences
        if not any(found.values()):
            return f"The same in {', '.join(complete)}."
        parts = [f"{name}: {', '.join(what)}" for name, what in found.items() if what]
        return f"Different from {complete[0]}: {'; '.join(parts)}."

    @property
    def _diffs(self) -> Iterator[tuple[str, str]]:
        complete = [(name, result) for name, result in self._complete if result is not None]
        for name, what in self.differences.items():
            for part in what:
                first, other = _text(complete[0][1], part), _text(dict(complete)[name], part)
                yield f"{part}: {complete[0][0]} and {name}", _diff(first, other)


def _row(name: str, result: ExecutionResult | str) -> tuple[str, ...]:
    if isinstance(result, str):
        return (name, "not run", result, "", "", "")
    value = _text(result, "error") if result.error else _text(result, "value")
    texts = (one_line(text, _SHORT) for text in (value, result.stdout, result.stderr))
    return (name, str(result.status), *texts, format_time(result.execution_time))


def _differing(first: ExecutionResult, other: ExecutionResult) -> Iterator[str]:
    for part in ("status", "value", "stdout", "stderr", "error"):
        if _text(first, part) != _text(other, part):
            yield part


def _text(result: ExecutionResult, part: str) -> str:
    if part == "value":
        if result.value is None:
            return ""
        return lines_of(result.value) if result.value_is_repr else value_repr(result.value, 20_000)
    if part == "error":
        # Tracebacks name files and frames of each place; what was raised is what can be compared.
        error = result.exception
        return "" if error is None else lines_of(f"{error.name}: {error.message}")
    return lines_of(getattr(result, part))


def _diff(first: str, other: str) -> str:
    lines = difflib.unified_diff(
        first.splitlines()[:_MOST_LINES], other.splitlines()[:_MOST_LINES], lineterm="", n=1
    )
    shown = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    return "\n".join(shown) or "They differ beyond what is shown."

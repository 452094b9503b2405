"""Results of runs: one, and several of the same cell side by side."""

# ipywidgets is not annotated for subclassing.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, final

import ipywidgets as w

from ..display import Comparison, fields_table, format_time, one_line, probe_table
from ..errors import ConfigurationError
from ..results import ExecutionResult, RunStatus
from . import markup
from .harmless import note_output, page_outputs, plain_outputs
from .panel import Panel, html

_WORDS = {
    RunStatus.OK: ("ok", "ok"),
    RunStatus.ERROR: ("bad", "error"),
    RunStatus.TIMEOUT: ("bad", "took too long"),
    RunStatus.INTERRUPTED: ("busy", "interrupted"),
    RunStatus.DIED: ("bad", "its place died"),
}


def status_words(result: ExecutionResult) -> tuple[str, str]:
    """Return the kind of dot for a result, and how it ended and what time it took."""
    kind, word = _WORDS[result.status]
    return kind, f"{word}, {format_time(result.execution_time)}"


def result_outputs(result: ExecutionResult) -> tuple[dict[str, Any], ...]:
    """Return everything that a run showed, harmless, and what its outputs do not say by themselves."""
    outputs = page_outputs(result.outputs)
    notes = tuple(note_output(f"{note}\n") for note in _notes(result))
    return outputs + notes


def _notes(result: ExecutionResult) -> list[str]:
    error = result.exception
    found = [result.truncation_note] if result.truncated else []
    if error is not None and result.status in (RunStatus.TIMEOUT, RunStatus.DIED):
        found.append(one_line(error.message, 500))
    elif result.error is not None and all(output.type != "error" for output in result.outputs):
        found.append(one_line(result.error, 500))
    if not result.state_preserved:
        found.append("Variables that the session held before this run are gone.")
    return found


def output_area(outputs: tuple[dict[str, Any], ...]) -> w.Output:
    """Return the widget that shows outputs; nothing is captured with it."""
    area = w.Output(outputs=outputs)
    area.add_class("pcm-output")
    return area


@final
class RunView(Panel):
    """One result: how it ended and how long it took, what it showed, and which isolation was in force.

    Parameters
    ----------
    result
        The result.
    title
        A heading, such as the session's name.
    isolation
        What `Session.probe` returned, or other names and values.

    Raises
    ------
    ConfigurationError
        `result` is not an `ExecutionResult`.
    """

    def __init__(
        self, result: ExecutionResult, *, title: str = "", isolation: Mapping[str, Any] | None = None
    ) -> None:
        self._result = _checked("result", result)
        self._title = one_line(title) or "Run"
        self._isolation = isolation
        outputs = result_outputs(result)
        area = [output_area(outputs)] if outputs else []
        super().__init__((html(self._head()), *area, html(self._details())), kind="run")

    def _head(self) -> str:
        kind, words = status_words(self._result)
        count = self._result.execution_count
        nothing = "" if result_outputs(self._result) else " It showed nothing."
        number = f", run {count}" if count is not None else ""
        status = f"{markup.dot(kind)}{markup.words(words)}{number}.{nothing}"
        return f"{markup.title(self._title)}<div>{status}</div>"

    def _details(self) -> str:
        table = self._isolation_table()
        if not table:
            return ""
        return f"<details><summary>Isolation in force</summary>{table}</details>"

    def _isolation_table(self) -> str:
        about = self._isolation
        if not about:
            return ""
        if isinstance(about.get("measured"), Mapping) and isinstance(about.get("configured"), Mapping):
            return probe_table({self._title: about})._repr_html_()
        return fields_table((str(name), str(value)) for name, value in about.items())._repr_html_()

    def fallback(self) -> tuple[str, str]:
        """Return text and HTML for where widgets are not shown."""
        text = plain_outputs(self._result.outputs)
        notes = "\n".join(_notes(self._result))
        words = f"{self._title}: {status_words(self._result)[1]}"
        shown = "\n".join(part for part in (words, text, notes) if part)
        body = "\n".join(part for part in (text, notes) if part)
        return shown, f"{self._head()}<pre>{escape(body)}</pre>{self._details()}"


@final
class CompareView(Panel):
    """One cell in several places: a table of how it ended and where they differ, and what each showed.

    Parameters
    ----------
    results
        A result for each place, or the sentence that says why there is none. The others are compared
        with the first.

    Raises
    ------
    ConfigurationError
        There is nothing in it, or something else than results.
    """

    def __init__(self, results: Mapping[str, ExecutionResult | str]) -> None:
        if not isinstance(results, Mapping) or not results:
            remedy = 'Give results by place, e.g. {"venv": result}.'
            raise ConfigurationError("results", results, "no results to compare.", remedy=remedy)
        for result in results.values():
            if not isinstance(result, str):
                _checked("results", result)
        self._comparison = Comparison(dict(results))
        columns = [_column(name, result) for name, result in results.items()]
        box = w.HBox(children=columns)
        box.add_class("pcm-columns")
        table = html(f'<div class="pcm-scroll" tabindex="0">{self._comparison._repr_html_()}</div>')
        super().__init__((html(markup.title("Comparison")), table, box), kind="compare")

    def fallback(self) -> tuple[str, str]:
        """Return text and HTML for where widgets are not shown."""
        return str(self._comparison), self._comparison._repr_html_()


def _column(name: str, result: ExecutionResult | str) -> w.VBox:
    if isinstance(result, str):
        return w.VBox(children=(html(markup.title(name, "not run") + markup.error(result)),))
    kind, words = status_words(result)
    head = html(f"{markup.title(name)}<div>{markup.dot(kind)}{markup.words(words)}</div>")
    return w.VBox(children=(head, output_area(result_outputs(result))))


def _checked(field: str, result: object) -> ExecutionResult:
    if not isinstance(result, ExecutionResult):
        remedy = "Give what `await session.run(...)` returned."
        raise ConfigurationError(field, result, "not an ExecutionResult.", remedy=remedy)
    return result

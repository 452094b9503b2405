"""Recorded runs as a notebook that runs again, shows what they showed, and says where it comes from.

What it holds was written by executed code. The code is that code, and whoever opens the notebook decides
whether to run it; the outputs are made harmless here as those of a container's kernel are, since a page
shows them without being asked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..environments.container.filtering import harmless_outputs
from ..storage.runs import PUT, REPLAY
from .isolation import ORDER, is_less_isolated
from .nondeterminism import Reader
from .replay import not_whole

if TYPE_CHECKING:
    from ..storage.runs import RunRecord

KEY = "pcm"
"""Where the metadata of notebook and cells say what is known of their origin."""
_KERNELS = {
    "in-process": ("pcm-in-process", "Python (in-process)"),
    "venv": ("pcm-venv", "Python (isolated venv)"),
    "container": ("pcm-container", "Python (container)"),
}
_WHOLE = frozenset({"ok", "error"})
_MARKDOWN = str.maketrans({character: f"\\{character}" for character in r"\`*_{}[]<>()#+-.!|&$~"})
# A fresh start: only what code has set goes; `artifacts` and its kind stay.
_RESET = "%reset_selective -f ."


def export_notebook(records: Sequence[RunRecord], *, title: str = "") -> dict[str, Any]:
    """Return runs, the oldest first, as a notebook (nbformat 4.5) that runs again from top to bottom.

    A run that failed is expected to fail again. One that was stopped, that died, or whose code or variables
    are not kept whole, is there to be read and does not run. The kernel is that of the place
    the runs come from, the most isolated one if they come from several.

    Parameters
    ----------
    records
        What `RunLedger.of_session` returns, or records read one by one with their outputs.
    title
        Its heading; empty: the sessions' names.
    """
    records = [record for record in records if record.kind != REPLAY]
    names = [*dict.fromkeys(record.session for record in records)]
    kernel, shown = _KERNELS.get(_origin(records), _KERNELS["container"])
    cells = [*_cells(records, title or f"Session {', '.join(names)}")]
    for index, cell in enumerate(cells):
        cell["id"] = hashlib.sha256(f"{index} {cell['source']}".encode("utf-8", "replace")).hexdigest()[:16]
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": kernel, "display_name": shown, "language": "python"},
            "language_info": {"name": "python"},
            KEY: _about(records, names),
        },
        "cells": cells,
    }


def _origin(records: Sequence[RunRecord]) -> str:
    """Return the most isolated place that any of them ran in; a place that is not known counts as such."""
    found = ORDER[0]
    for record in records:
        if is_less_isolated(found, record.executor):
            found = record.executor if record.executor in ORDER else ORDER[-1]
    return found


def _about(records: Sequence[RunRecord], names: Sequence[str]) -> dict[str, Any]:
    limits = records[-1].limits if records else {}
    return {
        "origin": _origin(records),
        "sessions": [*names],
        "session_ids": [*dict.fromkeys(record.session_id for record in records)],
        "limits": dict(limits),
        "deps": [*_deps(records)],
        "runs": len(records),
        "version": __version__,
    }


def _deps(records: Sequence[RunRecord]) -> dict[str, None]:
    return dict.fromkeys(spec for record in records for spec in record.deps)


# Cells


def _cells(records: Sequence[RunRecord], title: str) -> Iterator[dict[str, Any]]:
    reader = Reader()
    uncertain = {record.id: reader.read(record.code) for record in records}
    yield _markdown(_introduction(records, title, uncertain))
    if deps := [*_deps(records)]:
        yield _code(f"# What the session's packages were.\nfor spec in {deps!r}:\n    deps.add(spec)")
    count = 0
    for record in records:
        for cell in _cells_of(record, uncertain[record.id]):
            if cell["cell_type"] == "code":
                count += 1
                _number(cell, count)
            yield cell


def _introduction(records: Sequence[RunRecord], title: str, uncertain: Mapping[int, tuple[str, ...]]) -> str:
    lines = [f"# {_plain_text(title)}", ""]
    if not records:
        return "\n".join([*lines, "Nothing was recorded."])
    first, last = records[0].started, records[-1].started
    lines += [
        f"Exported from the run ledger: {len(records)} records, {first:%Y-%m-%d %H:%M} to "
        f"{last:%Y-%m-%d %H:%M} UTC. The code ran in the place **{_origin(records)}**; read it before you "
        "run it in a less isolated one.",
    ]
    named = [f"- run {number}: {_plain_text('; '.join(why))}" for number, why in uncertain.items() if why]
    if named:
        lines += ["", "These may show something else when they run again:", "", *named]
    return "\n".join(lines)


def _plain_text(text: str) -> str:
    """Return text as Markdown that shows it as it is."""
    return " ".join(text.split()).translate(_MARKDOWN)


def _cells_of(record: RunRecord, uncertain: Sequence[str]) -> Iterator[dict[str, Any]]:
    about = {
        "run": record.id,
        "executor": record.executor,
        "status": record.status,
        "started": record.started.isoformat(),
        "execution_time": record.execution_time,
        "nondeterministic": [*uncertain],
    }
    if record.reset:
        yield _code(_RESET, {KEY: about})
        return
    if why := not_whole(record):
        yield _not_run(record.code, why, about)
        return
    if record.given:
        yield _code("\n".join(f"{name} = {value!r}" for name, value in record.given.items()), {KEY: about})
    if record.kind == PUT:
        return
    if record.status not in _WHOLE:
        why = f"it did not come to its end ({record.status})"
        yield _not_run(record.code, why, about)
        return
    tags = {"tags": ["raises-exception"]} if record.status == "error" else {}
    yield _code(record.code, {KEY: about, **tags}, harmless_outputs(record.outputs))


def _code(
    source: str, metadata: Mapping[str, Any] | None = None, outputs: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "source": source,
        "metadata": dict(metadata or {}),
        "outputs": [dict(output) for output in outputs],
        "execution_count": None,
    }


def _number(cell: dict[str, Any], count: int) -> None:
    cell["execution_count"] = count
    for output in cell["outputs"]:
        if output["output_type"] == "execute_result":
            output["execution_count"] = count


def _markdown(source: str, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, "metadata": dict(metadata or {})}


def _not_run(source: str, why: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return code as text between fences that it cannot close. A raw cell would enter pages as it is."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", source)), default=0))
    text = f"Not run again: {_plain_text(why)}.\n\n{fence}python\n{source}\n{fence}"
    return _markdown(text, {KEY: {**about, "not_run": why}})


def notebook_text(notebook: Mapping[str, Any]) -> str:
    """Return a notebook as the text of its file."""
    return json.dumps(notebook, ensure_ascii=True, indent=1, allow_nan=False) + "\n"

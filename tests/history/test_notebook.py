"""Recorded runs as a notebook: it runs again to the same results, says where it is from, and is inert."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.execution import SubprocessExecutor
from py_code_mode_jupyter.history import export_notebook, notebook_text
from py_code_mode_jupyter.storage import RunRecord

ADDRESS = re.compile(r"0x[0-9a-f]+")
RUNS: list[tuple[str, dict[str, Any]]] = [
    ("import pandas as pd\ntable = pd.DataFrame({'a': range(3), 'b': list('xyz')})\ntable", {}),
    ("%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot(table.a)\nplt.show()", {}),
    ("1 / 0", {}),
    ("sum(numbers) + extra['x']", {"numbers": [1, 2, 3.5], "extra": {"x": 4, "text": "a'b\"c\n"}}),
    ("extra['text']", {}),
    ("artifacts.save('table', table)\nlen(artifacts.load('table'))", {}),
    ("for i in range(3):\n    print(i)", {}),
    ("import sys\nprint('oh', file=sys.stderr)", {}),
    ("import asyncio\nawait asyncio.sleep(0)\n'awaited'", {}),
    ("from IPython.display import display, Markdown\ndisplay('shown', table.head(1))", {}),
    ("class Odd:\n    def __repr__(self):\n        return 'odd ` ``` </script>'\nOdd()", {}),
    ("!echo from a shell", {}),
    ("_ ", {}),
]


def record(code: str = "x = 1", **fields: Any) -> RunRecord:
    given: dict[str, Any] = {"executor": "venv", "status": "ok", "started": datetime.now(UTC), **fields}
    return RunRecord(**{"id": 1, "session": "s", "session_id": "i", "code": code, **given})


@pytest.fixture(scope="module")
def storage() -> Iterator[FileStorage]:
    """The storage that every kernel of these tests finds as the user's own."""
    folder = Path(os.environ["PCM_STORAGE"]) / "history"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PCM_STORAGE", str(folder))
        yield FileStorage(folder)


@pytest.fixture(scope="module")
def recorded(storage: FileStorage) -> list[RunRecord]:
    """A real session, with runs that were stopped or handed something that is not kept."""
    return asyncio.run(_record(storage))


async def _record(storage: FileStorage) -> list[RunRecord]:
    async with Session(storage, name="real <b>session</b>") as session:
        await session.put("before", {"from": "outside"})
        for code, variables in RUNS:
            await session.run(code, variables=variables)
        await session.run("before['from']")
        await session.run("while True: pass", timeout=0.2)
        await session.run("odd", variables={"odd": object()})
        return storage.runs.of_session(session.name)


def ran(notebook: dict[str, Any], kernel: str = "") -> list[Any]:
    """Return the cells of a notebook after a run from top to bottom."""
    node = nbformat.from_dict(copy.deepcopy(notebook))  # type: ignore[no-untyped-call]
    nbformat.validate(node)
    NotebookClient(node, kernel_name=kernel or node.metadata.kernelspec.name, timeout=100).execute()
    return list(node.cells)


def shown(outputs: list[Mapping[str, Any]]) -> list[Any]:
    """Return what can be compared: HTML was made harmless, and addresses differ."""
    found: list[Any] = []
    for output in outputs:
        if output["output_type"] == "stream":
            found.append((output["name"], output["text"]))
        elif output["output_type"] == "error":
            found.append((output["ename"], output["evalue"]))
        else:
            bundle = {mime: item for mime, item in output["data"].items() if mime != "text/html"}
            found.append({mime: ADDRESS.sub("", str(item)) for mime, item in bundle.items()})
    return found


async def test_a_real_session_runs_again_to_the_same_results(recorded: list[RunRecord]) -> None:
    notebook = export_notebook(recorded)
    cells = ran(notebook)
    compared = 0
    for before, after in zip(notebook["cells"], cells, strict=True):
        if before["cell_type"] == "code":
            compared += 1
            assert shown(after["outputs"]) == shown(before["outputs"]), before["source"]
            assert after["execution_count"] == before["execution_count"]
    assert compared == len(RUNS) + 3
    kinds = {mime for cell in cells for output in cell.get("outputs", ()) for mime in output.get("data", ())}
    assert {"image/png", "text/html", "text/plain"} <= kinds


async def test_what_cannot_run_again_is_there_to_be_read(recorded: list[RunRecord]) -> None:
    cells = export_notebook(recorded)["cells"]
    stopped, odd = (cell for cell in cells if "not_run" in cell["metadata"].get("pcm", {}))
    assert (stopped["cell_type"], odd["cell_type"]) == ("markdown", "markdown")
    assert "```python\nwhile True: pass\n```" in stopped["source"]
    assert "did not come to its end \\(timeout\\)" in stopped["source"]
    assert "handed odd, which is not plain JSON" in odd["metadata"]["pcm"]["not_run"]


async def test_it_says_where_it_comes_from(recorded: list[RunRecord]) -> None:
    notebook = export_notebook(recorded)
    about = notebook["metadata"]["pcm"]
    assert about["origin"] == "in-process"
    assert about["sessions"] == ["real <b>session</b>"]
    assert about["session_ids"] == [recorded[0].session_id]
    assert about["limits"]["default_timeout"] == 30.0
    introduction = notebook["cells"][0]["source"]
    assert introduction.startswith("# Session real \\<b\\>session\\</b\\>\n")
    assert "**in-process**" in introduction
    assert re.search(r"- run \d+: subprocess: a shell command", introduction)
    [run] = [cell for cell in notebook["cells"] if cell["source"] == "1 / 0"]
    assert run["metadata"]["tags"] == ["raises-exception"]
    assert run["metadata"]["pcm"]["status"] == "error"
    assert json.loads(notebook_text(notebook)) == notebook


async def test_a_venvs_session_runs_again_in_a_venvs_kernel(storage: FileStorage) -> None:
    async with Session(storage, SubprocessExecutor(), name="isolated") as session:
        await session.run("import sys\nn = 41")
        await session.run("print(n + more)\nsys.prefix != sys.base_prefix", variables={"more": 1})
        await session.run("artifacts.save('kept', [n])\nartifacts.load('kept')")
        await session.run("undefined")
        records = await session.history()
    notebook = export_notebook(storage.runs.of_session("isolated"))
    assert len(records) == 4
    assert notebook["metadata"]["kernelspec"]["name"] == "pcm-venv"
    for before, after in zip(notebook["cells"], ran(notebook), strict=True):
        if before["cell_type"] == "code":
            assert shown(after["outputs"]) == shown(before["outputs"])


@pytest.mark.parametrize(
    ("places", "origin"),
    [
        (["in-process", "venv"], "venv"),
        (["container", "in-process"], "container"),
        (["in-process", "somewhere new"], "container"),
        ([], "in-process"),
    ],
)
def test_the_origin_is_the_most_isolated_place_of_all(places: list[str], origin: str) -> None:
    notebook = export_notebook([record(executor=place, id=i) for i, place in enumerate(places)])
    nbformat.validate(nbformat.from_dict(notebook))  # type: ignore[no-untyped-call]
    assert notebook["metadata"]["pcm"]["origin"] == origin
    assert notebook["metadata"]["kernelspec"]["name"] == f"pcm-{origin}"


def test_a_fresh_start_in_the_middle_clears_variables_and_keeps_the_namespaces(storage: FileStorage) -> None:
    records = [
        record("x = 1"),
        record("# reset", kind="reset"),
        record("('x' in globals(), 'artifacts' in globals())"),
    ]
    last = ran(export_notebook(records), "pcm-in-process")[-1]
    assert last["outputs"][0]["data"]["text/plain"] == "(False, True)"


def test_packages_are_asked_for_first() -> None:
    cells = export_notebook([record(deps=("pandas>=2", "six"))])["cells"]
    assert cells[1]["source"].splitlines()[1:] == ["for spec in ['pandas>=2', 'six']:", "    deps.add(spec)"]


# Hostile records


HOSTILE = [
    {"output_type": "display_data", "data": {"text/html": "<script>alert(1)</script>"}},
    {"output_type": "display_data", "data": {"text/html": "<img src=x onerror=alert(1)>"}},
    {"output_type": "display_data", "data": {"application/javascript": "alert(1)"}},
    {"output_type": "display_data", "data": {"text/markdown": "[x](javascript:alert(1))<script>1</script>"}},
    {"output_type": "display_data", "data": {"image/svg+xml": "<svg onload='alert(1)'></svg>"}},
    {"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}},
    {"output_type": "display_data", "data": {"application/vnd.evil+json": {"x": 1}}},
    {"output_type": "execute_result", "data": {"text/html": "<iframe src='https://x'></iframe>"}},
    {"output_type": "stream", "name": "<script>", "text": "\x1b]0;title\x07<script>"},
    {"output_type": "error", "ename": 5, "evalue": None, "traceback": "text"},
    {"output_type": "update_display_data", "data": {"text/html": "<script>"}},
    {"output_type": "set_next_input", "text": "x"},
    "no output at all",
    {},
]


@pytest.mark.parametrize("output", HOSTILE, ids=lambda output: str(output)[15:60])
def test_hostile_outputs_are_exported_inert(output: Any) -> None:
    notebook = export_notebook([record(outputs=(output,))])
    nbformat.validate(nbformat.from_dict(notebook))  # type: ignore[no-untyped-call]
    bundles = [shown.get("data", {}) for cell in notebook["cells"] for shown in cell.get("outputs", ())]
    assert not {mime for bundle in bundles for mime in bundle} - {"text/html", "text/plain", "image/png"}
    for bundle in bundles:
        html = bundle.get("text/html", "")
        frames = re.findall(r"<iframe[^>]*>", html)
        outside = re.sub(r"<iframe.*?</iframe>", "", html, flags=re.DOTALL)
        assert not re.search(r"<script|onerror|onload|javascript:", outside)
        assert all("allow-same-origin" not in frame and "sandbox=" in frame for frame in frames)
    assert "\x1b]" not in str(notebook)


@pytest.mark.parametrize("code", ["```\n<script>", "`````\n# Heading", "~~~\n</code>", "\n```"])
def test_code_that_is_not_run_cannot_leave_its_fence(code: str) -> None:
    import mistune

    source = export_notebook([record(code, status="died")])["cells"][1]["source"]
    html = str(mistune.html(source))
    assert html.count("<pre>") == 1
    assert "<script>" not in html
    assert "<h1>" not in html


def test_titles_and_names_are_shown_as_they_are() -> None:
    import mistune

    cells = export_notebook([record(session="[x](javascript:1)")], title="<img src=x>\n# two *three*")[
        "cells"
    ]
    html = str(mistune.html(cells[0]["source"]))
    assert "<img" not in html
    assert html.count("<h1>") == 1


def test_variables_handed_in_are_written_as_literals_only() -> None:
    values = {"a": "'''; import os  # \\", "b": [True, None, -0.0, {"k\n": "\u2028"}], "c": 2**200}
    source = export_notebook([record(variables=tuple(values), given=values)])["cells"][1]["source"]
    found: dict[str, Any] = {}
    exec(source, {"__builtins__": {}}, found)  # noqa: S102 - what is tried here is that this is harmless
    assert found == values


def test_without_the_packages_that_clean_html_none_is_exported() -> None:
    code = (
        "import datetime\n"
        "from importlib import util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'nh3' else real(name, *a)\n"
        "from py_code_mode_jupyter.history import export_notebook\n"
        "from py_code_mode_jupyter.storage import RunRecord\n"
        "output = {'output_type': 'display_data', 'data': {'text/html': '<b>x</b>', 'text/plain': 'x'}}\n"
        "one = RunRecord(id=1, session='s', session_id='i', executor='venv', status='ok', code='1',\n"
        "                started=datetime.datetime.now(),\n"
        "                outputs=(output, {**output, 'data': {'text/html': ''}}))\n"
        "print([shown['data'] for shown in export_notebook([one])['cells'][1]['outputs']])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[{'text/plain': 'x'}, {'text/plain': '[not shown: text/html]'}]"


def test_no_record_makes_a_notebook_that_says_so() -> None:
    notebook = export_notebook([])
    nbformat.validate(nbformat.from_dict(notebook))  # type: ignore[no-untyped-call]
    assert "Nothing was recorded" in notebook["cells"][0]["source"]

"""The examples run from top to bottom; cells that need a container are left out where there is none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"
Outputs = dict[str, list[dict[str, Any]]]


def run(name: str, tmp_path: Path, *, without: str = "") -> Outputs:
    """Run an example in a copy, without the cells of a tag; return the outputs of each cell by its id."""
    folder = shutil.copytree(EXAMPLES, tmp_path / "examples")
    notebook = nbformat.read(folder / name, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if without not in cell.metadata.get("tags", ())]
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, kernel_name="python3", timeout=200, resources=resources).execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


@pytest.fixture(autouse=True)
def own_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have kept is not to be seen."""
    monkeypatch.setenv("PCM_STORAGE", str(tmp_path / "storage"))


def text(outputs: list[dict[str, Any]]) -> str:
    return "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs
    )


def shown(outputs: list[dict[str, Any]]) -> set[str]:
    return {mime for output in outputs for mime in output.get("data", ())}


COUNTED = "{'Adelie': [151, 0], 'Chinstrap': [68, 0], 'Gentoo': [123, 61]}"


def test_one_notebook_moves_from_place_to_place(tmp_path: Path) -> None:
    cells = run("three_places.ipynb", tmp_path, without="container")
    for cell in ("run-here", "run-venv", "get"):
        assert COUNTED in text(cells[cell])
    assert len(text(cells["versions"]).strip().splitlines()) == 3
    assert "apart" in text(cells["history"])
    assert "Different from in-process: venv: stdout." in text(cells["compare-two"])
    assert "process isolation" in text(cells["probe"])
    assert "Stopped apart (venv)." in text(cells["stop"])


@pytest.mark.needs("docker")
@pytest.mark.usefixtures("images")
@pytest.mark.timeout(300)
def test_one_notebook_moves_into_the_container_too(tmp_path: Path) -> None:
    cells = run("three_places.ipynb", tmp_path, without="nothing")
    assert COUNTED in text(cells["run-container"])
    assert len(text(cells["versions"]).strip().splitlines()) == 4
    assert "container: stdout" in text(cells["compare-three"])
    assert "Stopped far (container)." in text(cells["stop"])


@pytest.mark.needs("docker")
@pytest.mark.usefixtures("images")
@pytest.mark.timeout(300)
def test_an_analysis_needs_no_network(tmp_path: Path) -> None:
    cells = run("locked_down_analysis.ipynb", tmp_path, without="nothing")
    assert "no way out" in text(cells["network"])
    assert "['lo']" in text(cells["network"])
    assert "RuntimeDepsDisabledError" in text(cells["packages"])
    assert "text/html" in shown(cells["table"])
    assert "image/png" in shown(cells["plot"])
    assert "penguin-fits" in text(cells["save"])
    assert "Gentoo" in text(cells["show"])
    assert text(cells["loaded"]).strip().endswith("'Gentoo'")
    assert "network isolation" in text(cells["probe"])


@pytest.mark.parametrize("name", ["three_places.ipynb", "locked_down_analysis.ipynb"])
def test_the_cells_of_an_example_are_told_apart_by_name(name: str) -> None:
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len({*ids})

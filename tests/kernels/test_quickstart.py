"""The quickstart runs from top to bottom in every kernel that a person may choose for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

# The installer inside the kernel has to know where this machine keeps its certificates.
CERTIFICATES = Config(VenvProvisioner={"env": ["SSL_CERT_FILE", "SSL_CERT_DIR"]})
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(params=["python3", "pcm-venv", "pcm-in-process"])
def cells(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the outputs of every cell of the quickstart, by the cell's id, after a run in a copy."""
    folder = shutil.copytree(EXAMPLES, tmp_path / "examples")
    notebook = nbformat.read(folder / "quickstart.ipynb", as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name=request.param,
        timeout=200,
        resources={"metadata": {"path": str(folder)}},
        config=CERTIFICATES,
    )
    client.execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def shown(outputs: list[dict[str, Any]]) -> set[str]:
    return {mime for output in outputs for mime in output.get("data", ())}


def text(outputs: list[dict[str, Any]]) -> str:
    return "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs
    )


@pytest.mark.needs("network")
@pytest.mark.timeout(300)  # installs pandas and matplotlib twice, from an index the first time
def test_the_quickstart_shows_tables_plots_and_what_was_kept(cells: dict[str, list[dict[str, Any]]]) -> None:
    for table in ("table", "venv-table"):
        assert "text/html" in shown(cells[table])
        assert "Gentoo" in text(cells[table])
    for plot in ("plot", "venv-plot"):
        assert "image/png" in shown(cells[plot])
    assert "timeout after 1" in text(cells["preserved"])
    assert "344" in text(cells["preserved"])
    assert "died" in text(cells["died"])
    assert "42" in text(cells["died"])
    assert "lab" in text(cells["sessions"])
    assert "Gentoo" in text(cells["heaviest"])

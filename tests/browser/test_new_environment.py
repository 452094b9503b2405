"""The wheel and JupyterLab in a new environment, and nothing else, as ``pip install`` leaves them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from .code_mode import badge, command, kernel_item, panel
from .lab import Lab, sharing, until

pytestmark = [pytest.mark.needs("chromium", "network"), pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]


def _run(*arguments: str | Path) -> None:
    subprocess.run(arguments, cwd=ROOT, timeout=240, check=True)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("new")
    new = folder / "environment"
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    [wheel] = folder.glob("*.whl")
    _run(uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, new)
    _run(
        uv.find_uv_bin(),
        "pip",
        "install",
        "--quiet",
        "--compile-bytecode",
        "--python",
        new,
        wheel,
        "jupyterlab",
    )
    with sharing(tmp_path_factory.mktemp("lab"), python=str(new / "bin" / "python")) as lab:
        yield lab


def test_it_shows_the_panel_and_the_places(lab: Lab) -> None:
    panel(lab.page)
    command(lab.page, "launcher:create")
    cards = lab.page.locator(".jp-LauncherCard[data-category='Code Mode']")
    until(lambda: cards.count() == 3, "there are three cards")


@pytest.mark.parametrize(
    ("kernel", "says"),
    [("pcm-in-process", "In-process · not isolated"), ("pcm-venv", "Isolated venv · own process")],
)
def test_its_kernels_run_cells(lab: Lab, kernel: str, says: str) -> None:
    notebook = lab.open(lab.write(f"{kernel}.ipynb", kernel, ["6 * 7"]))
    assert notebook.run(0) == "42"
    badge(notebook).get_by_text(says).wait_for()
    kernel_item(lab.page, notebook).get_by_text(notebook.path).wait_for()

"""A progress bar while work takes long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from IPython.utils.capture import capture_output

from py_code_mode_jupyter.display import ProgressBar
from py_code_mode_jupyter.environments.container import images
from py_code_mode_jupyter.environments.reporting import listening, report
from py_code_mode_jupyter.magics import progress

if TYPE_CHECKING:
    from .conftest import Kernel, Shell


@pytest.fixture
def pictures(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The texts of a progress bar that appears at once, one after the other."""
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(progress, "_EVERY", 0.0)

    def work() -> None:
        for step in range(3):
            report(f"step {step}\x1b[2J", step / 3)
            time.sleep(0.25)

    def run() -> list[str]:
        with capture_output() as shown:
            shell.notebook.wait_for(work, what="Working")
        assert len({output.transient["display_id"] for output in shown.outputs}) == 1
        return [output.data["text/plain"] for output in shown.outputs]

    return run


def test_long_work_shows_its_steps_in_one_display_that_ends_as_a_line(
    pictures: Callable[[], list[str]], shell: Shell
) -> None:
    shown = pictures()
    assert any("67 % · 0 s · step 2" in text for text in shown)
    assert not any("\x1b" in text for text in shown)
    assert shown[-1].startswith("Working: done in ")
    shell.notebook.close_sessions()


def test_quick_work_shows_nothing(shell: Shell) -> None:
    with capture_output() as shown:
        assert shell.notebook.wait_for(int, what="Working") == 0
    assert shown.outputs == []


def test_the_bar_is_labelled_and_coloured_by_the_theme() -> None:
    html = ProgressBar(what="Building <b>", step="<i>", fraction=0.5, elapsed=65)._repr_html_()
    assert "Building &lt;b&gt;: 50 % · 1 min 5 s · &lt;i&gt;" in html
    assert 'role="progressbar"' in html
    assert 'aria-valuenow="50"' in html
    assert "var(--jp-brand-color1" in html
    assert "#" not in html
    assert "aria-valuenow" not in ProgressBar(what="x")._repr_html_()


@pytest.mark.parametrize("elapsed", [0.0, 5.0, 9.99])
def test_the_bar_of_unmeasured_work_stays_in_its_frame(elapsed: float) -> None:
    line = str(ProgressBar(what="x", elapsed=elapsed)).splitlines()[1]
    assert len(line) == 26
    assert "█" in line


def test_the_steps_of_building_an_image_are_counted() -> None:
    heard: list[tuple[str, float | None]] = []
    with listening(lambda *said: heard.append(said)):
        for line in ("Step 1/4 : FROM x", " ---> 1234", "Step 3/4 : RUN y", "Step 0/0 : z"):
            images._report(line)
    assert heard == [("FROM x", 0.0), ("RUN y", 0.5), ("z", -1.0)]


def test_a_slow_start_is_told_in_a_notebook(fresh: Kernel) -> None:
    fresh("import py_code_mode_jupyter.magics.progress as p; p._PATIENCE = 0.0")
    cell = fresh("%pcm start lab -e venv")
    assert cell.progress
    assert any("starting the kernel" in text for text in cell.progress)
    assert cell.progress[-1].startswith("Starting lab: done in ")
    assert cell.stdout == "Started lab (venv).\n"

"""The in-process kernel as a person uses it: in JupyterLab, in a browser, several notebooks at once."""

from __future__ import annotations

import pytest

from .lab import Lab, Notebook, until

pytestmark = pytest.mark.needs("chromium")

PRINTS = """
import time
for number in range(100):
    print({name!r}, number)
    time.sleep(0.005)
"""
FIGURE = """
import matplotlib.pyplot as plt
plt.title({name!r})
plt.plot(range({points}))
len(plt.gca().lines[0].get_xdata()), len(plt.get_fignums())
"""
SLIDER = """
import ipywidgets as w
slider = w.IntSlider(value={points}, max=100, description={name!r})
slider
"""
CELLS = (PRINTS, FIGURE, SLIDER, "slider.value", "while True: pass", "slider")
PRINT, FIGURES, SLIDE, VALUE, LOOP, GONE = range(len(CELLS))
NOTEBOOKS = {"first": 10, "second": 30}


@pytest.fixture
def notebooks(lab: Lab, request: pytest.FixtureRequest) -> dict[str, Notebook]:
    """Two notebooks of this test's own side by side, each with a kernel in the server's process."""
    opened = {}
    for name, points in NOTEBOOKS.items():
        cells = [cell.format(name=name, points=points) if "{" in cell else cell for cell in CELLS]
        path = lab.write(f"{request.node.name}-{name}.ipynb", "pcm-in-process", cells)
        opened[name] = lab.open(path)
    return opened


def test_two_notebooks_print_draw_and_slide_beside_each_other(notebooks: dict[str, Notebook]) -> None:
    for one in notebooks.values():
        one.begin(PRINT)
    for name, one in notebooks.items():
        until(lambda one=one: one.has_ended(PRINT), f"{name} has printed")
        assert one.text(PRINT).splitlines() == [f"{name} {number}" for number in range(100)]
    for name, one in notebooks.items():
        one.begin(FIGURES)
        until(lambda one=one: one.has_ended(FIGURES), f"{name} has drawn")
    for name, one in notebooks.items():
        assert f"({NOTEBOOKS[name]}, 1)" in one.text(FIGURES)
        assert [output["data"]["image/png"] for output in one.outputs(FIGURES)[1:]]
        until(one.cell(FIGURES).locator("img").is_visible, f"the figure of {name} is visible")
    drawn = [one.outputs(FIGURES)[-1]["data"]["image/png"] for one in notebooks.values()]
    assert drawn[0] != drawn[1]
    for one in notebooks.values():
        one.run(SLIDE)
    for name, one in notebooks.items():
        handle = one.cell(SLIDE).locator(".noUi-handle")
        handle.focus()
        handle.press("ArrowRight")
        assert one.run(VALUE) == str(NOTEBOOKS[name] + 1)


def test_an_endless_cell_is_interrupted_and_the_other_notebook_goes_on(
    notebooks: dict[str, Notebook],
) -> None:
    first, second = notebooks.values()
    first.run(SLIDE)
    first.begin(LOOP)
    until(lambda: first.ask("return panel.sessionContext.session.kernel.status") == "busy", "it is busy")
    assert len(second.run(PRINT).splitlines()) == 100
    first.command("notebook:interrupt-kernel")
    until(lambda: first.text(LOOP) == "KeyboardInterrupt", "the loop is interrupted")
    first.wait_until_ready()
    assert first.run(VALUE) == "10"  # variables are kept


def test_a_restart_forgets_one_notebooks_variables_and_keeps_the_others(
    lab: Lab, notebooks: dict[str, Notebook]
) -> None:
    first, second = notebooks.values()
    for one in notebooks.values():
        one.run(SLIDE)
    before = first.kernel()
    first.command("notebook:restart-kernel")
    lab.page.locator(".jp-Dialog .jp-mod-accept").click()
    lab.page.locator(".jp-Dialog").wait_for(state="detached")
    first.wait_until_ready()
    assert first.kernel() == before
    assert first.run(GONE) == "NameError"
    assert second.run(VALUE) == "30"
    assert {kernel["name"] for kernel in lab.kernels()} == {"pcm-in-process"}

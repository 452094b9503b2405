"""The container kernel as a person uses it: without a network, in JupyterLab, in a browser."""

from __future__ import annotations

import re

import pytest

from .code_mode import badge, kernel_item
from .lab import Lab, Notebook, keep, until

pytestmark = [pytest.mark.needs("chromium", "docker"), pytest.mark.usefixtures("images")]
OPTIONS = ("--ContainerProvisioner.network_disabled=True", "--ContainerProvisioner.image=py-code-mode:tools")

CELLS = {
    "plot": "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.title('from a container')\nplt.show()",
    "table": "import pandas as pd\npd.DataFrame({'island': ['Biscoe', 'Dream'], 'penguins': [168, 124]})",
    "slider": "import ipywidgets as w\nslider = w.IntSlider(value=10, max=100)\nslider",
    "value": "slider.value",
    "loop": "while True: pass",
    "network": "open('/proc/net/route').read().splitlines()[1:], open('/proc/net/dev').read().count(':')",
    "kill": "import os\nos._exit(1)",
    "memory": "hoard = b'x' * (2 * 2**30)",
    "after": "'slider' in globals()",
    "place": "%load_ext py_code_mode_jupyter\n%pcm run -e venv 1",
    "active": (
        "from IPython.display import HTML, display\n"
        "HTML('<div id=plot>plain</div><script>document.all.plot.textContent = String(6 * 7)</script>')"
    ),
}
NUMBERS = {name: number for number, name in enumerate(CELLS)}


@pytest.fixture
def notebook(lab: Lab, request: pytest.FixtureRequest) -> Notebook:
    """A notebook of this test's own, in a container."""
    return lab.open(lab.write(f"{request.node.name}.ipynb", "pcm-container", [*CELLS.values()]))


def run(notebook: Notebook, name: str) -> str:
    return notebook.run(NUMBERS[name])


def test_a_plot_a_table_and_a_slider_without_a_network(notebook: Notebook) -> None:
    assert run(notebook, "network") == "([], 1)"
    run(notebook, "plot")
    until(notebook.cell(NUMBERS["plot"]).locator("img").is_visible, "the plot is visible")
    assert "Biscoe" in run(notebook, "table")
    until(notebook.cell(NUMBERS["table"]).locator("table.dataframe").is_visible, "the table is visible")
    run(notebook, "slider")
    handle = notebook.cell(NUMBERS["slider"]).locator(".noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    assert run(notebook, "value") == "11"


def test_the_badge_and_the_panel_tell_the_isolation_and_the_limit(lab: Lab, notebook: Notebook) -> None:
    run(notebook, "plot")
    until(lambda: badge(notebook).inner_text() == "Container \u00b7 verified", "the probe has measured it")
    item = kernel_item(lab.page, notebook)
    item.get_by_text(re.compile(r"^[\d.]+ MiB of 512 MiB$")).wait_for()
    item.get_by_text("256 processes \u00b7 no network").wait_for()
    keep(lab.page, "jupyterlab-container")


def test_code_that_takes_too_much_memory_is_said_to_have_been_killed_for_it(
    lab: Lab, notebook: Notebook
) -> None:
    run(notebook, "slider")
    notebook.begin(NUMBERS["memory"])
    until(lambda: "512 MiB" in notebook.text(NUMBERS["memory"]), "the cell names the limit")
    lab.page.locator(".jp-Dialog .jp-mod-accept").click()
    notebook.wait_until_ready()
    assert run(notebook, "after") == "False"


def test_an_endless_loop_is_interrupted_and_variables_are_kept(notebook: Notebook) -> None:
    run(notebook, "slider")
    notebook.begin(NUMBERS["loop"])
    until(
        lambda: notebook.ask("return panel.sessionContext.session.kernel.status") == "busy",
        "the kernel is busy",
    )
    notebook.command("notebook:interrupt-kernel")
    until(lambda: notebook.text(NUMBERS["loop"]) == "KeyboardInterrupt", "the loop is interrupted")
    assert run(notebook, "value") == "10"


def test_a_kernel_killed_from_inside_is_restarted_and_the_notebook_goes_on(notebook: Notebook) -> None:
    run(notebook, "slider")
    before = notebook.kernel()
    notebook.begin(NUMBERS["kill"])
    said = "The kernel ended by itself with status 1"
    until(lambda: said in notebook.text(NUMBERS["kill"]), "the cell shows why its kernel has gone")
    notebook.page.locator(".jp-Dialog").get_by_text("restart automatically").wait_for()
    notebook.page.locator(".jp-Dialog .jp-mod-accept").click()
    notebook.wait_until_ready()
    assert notebook.kernel() == before
    assert run(notebook, "after") == "False"


def test_inside_of_a_container_only_the_place_in_process_is_offered(notebook: Notebook) -> None:
    assert "ConfigurationError" in run(notebook, "place")


def test_active_html_works_in_a_frame_of_its_own(notebook: Notebook) -> None:
    run(notebook, "active")
    inner = notebook.cell(NUMBERS["active"]).frame_locator("iframe").frame_locator("iframe")
    inner.locator("#plot").get_by_text("42").wait_for()

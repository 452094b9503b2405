"""Panels in a real kernel: while a cell runs, in a page without a kernel, and after many openings."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from ..magics.conftest import WAIT, Kernel, client_loop
from .test_harmless import active_in

__all__ = ["client_loop"]

SETUP = """
from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.magics.loop import Background
from py_code_mode_jupyter.results import ExecutionResult, Output, RunStatus
from py_code_mode_jupyter.widgets import *
storage = FileStorage({folder!r})
storage.artifacts.save('penguins', [1, 2, 3], description='<img src=x onerror=alert(1)>')
background = Background('sessions')
session = Session(storage, name='analysis')
background.call(session.start())
result = background.call(session.run("from IPython.display import HTML\\nHTML('<script>evil()</script>')"))
"""
OPEN = """
panel = SessionPanel(lambda: [session], submit=background.submit)
panel._code.value = "print('from the panel')"
panel._run.model_id, panel._view_count
"""
BUSY = """
import time
end = time.monotonic() + 20
while not panel._output.outputs or 'panel' not in str(panel._output.outputs):
    assert time.monotonic() < end, 'the button was not heard while this cell ran'
    time.sleep(0.01)
print(panel._output.outputs[0]['text'])
"""
ROOM = 500
"""Objects that may be more: one opening makes some 130 widgets, and panels that stayed, 100,000 objects."""
SOAK = """
import gc, os, psutil, threading, time
from comm import get_comm_manager
from IPython.display import display
from ipywidgets.widgets.widget import _instances

def once():
    panels = [SessionPanel(lambda: [session], submit=background.submit), StoragePanel(storage),
              RunView(result, isolation={'a': 1}), CompareView({'a': result, 'b': 'not run'})]
    for panel in panels:
        panel._view_count = 1
        panel._repr_mimebundle_()
    for panel in panels:
        panel.close()

def held():
    gc.collect()
    return (psutil.Process().memory_info().rss / 2**20, len(_instances), len(get_comm_manager().comms),
            sum(one.name == 'pcm-widgets' for one in threading.enumerate()), threading.active_count(),
            len(gc.get_objects()))

for _ in range(20):
    once()
first = held()
for _ in range(100):
    once()
last, end = held(), time.monotonic() + 10
# A closed panel's last look may be on its way.
while last[5] - first[5] >= ROOM and time.monotonic() < end:
    time.sleep(0.05)
    last = held()
print(*first, *last)
"""


@pytest.fixture(scope="module")
def kernel(client_loop: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    made = Kernel("python3")
    assert made(SETUP.format(folder=str(tmp_path_factory.mktemp("storage")))).ok
    yield made
    made.close()


def subshell(kernel: Kernel) -> str:
    """Make a subshell, as JupyterLab does for the messages of widgets."""
    session = kernel.client.session
    kernel.client.control_channel.send(session.msg("create_subshell_request"))
    return str(kernel.client.get_control_msg(timeout=WAIT)["content"]["subshell_id"])


def test_a_button_is_heard_while_a_cell_runs(kernel: Kernel) -> None:
    opened = kernel(OPEN)
    button, count = re.findall(r"'(\w+)', (\d)", opened.bundles()[0])[0]
    assert count == "0"
    click = {"comm_id": button, "data": {"method": "custom", "content": {"event": "click"}}}
    message = kernel.client.session.msg("comm_msg", click)
    message["header"]["subshell_id"] = subshell(kernel)
    sent = []

    def when_it_runs(_kind: str, _content: dict[str, Any]) -> None:
        if not sent:
            sent.append(kernel.client.shell_channel.send(message))

    cell = kernel("print('busy', flush=True)" + BUSY, seen=when_it_runs)
    assert cell.ok, cell.error
    assert cell.stdout == "busy\nfrom the panel\n\n"
    assert kernel("panel.close()").ok


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """A notebook with each panel, run without a front end; its widgets' state is in its metadata."""
    folder: Path = tmp_path_factory.mktemp("notebook")
    cells = [
        SETUP.format(folder=str(folder / "storage")),
        "SessionPanel(lambda: [session], submit=background.submit)",
        "StoragePanel(storage)",
        "RunView(result, title='one run')",
        "CompareView({'venv': result, 'container': 'Docker is not running.'})",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    return notebook


SAID = ("analysis", "penguins", "one run: ok", "Docker is not running.")


def test_a_page_with_the_state_of_widgets_holds_every_panel(executed: nbformat.NotebookNode) -> None:
    states = executed.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    for cell in executed.cells[1:]:
        [output] = cell.outputs
        assert output.data["application/vnd.jupyter.widget-view+json"]["model_id"] in states
    for state in states.values():
        if state["model_name"] == "HTMLModel" and "<style>" not in state["state"]["value"]:
            assert active_in(state["state"]["value"]) == []
        for shown in state["state"].get("outputs", ()):
            assert active_in(shown.get("data", {}).get("text/html", "")) == []
    page, _ = HTMLExporter().from_notebook_node(executed)
    assert page.count("application/vnd.jupyter.widget-view+json") >= 4


def test_a_page_without_the_state_of_widgets_says_what_they_showed(executed: nbformat.NotebookNode) -> None:
    bare = copy.deepcopy(executed)
    del bare.metadata["widgets"]
    page, _ = HTMLExporter().from_notebook_node(bare)
    assert "widget-view+json" not in page
    for said in ("analysis", "penguins", '<h4 class="pcm-title">one run</h4>', "Docker is not running."):
        assert said in page
    assert "<script>evil()" not in page and "<img src=x" not in page
    for cell, said in zip(executed.cells[1:], SAID, strict=True):
        assert said in cell.outputs[0].data["text/plain"]


@pytest.mark.alone
@pytest.mark.soak
def test_a_hundred_openings_and_closings_leave_the_kernels_memory_as_it_was(kernel: Kernel) -> None:
    before = kernel("from ipywidgets.widgets.widget import _instances; len(_instances)").bundles()[0]
    assert before == "0"
    cell = kernel(SOAK.replace("ROOM", str(ROOM)))
    assert cell.ok, cell.error
    figures = [float(figure) for figure in cell.stdout.split()]
    first, last = figures[:6], figures[6:]
    print(f"MiB, widgets, comms, panel threads, threads, objects: after 20 {first}, after 120 {last}")
    assert last[1:4] == [0, 0, 0]
    assert last[4] <= first[4]
    assert last[5] - first[5] < ROOM
    assert last[0] - first[0] < 4

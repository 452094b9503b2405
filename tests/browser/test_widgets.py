"""The panels as a person uses them: in JupyterLab and Notebook 7, in a browser, in light and dark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .lab import Lab, Notebook, keep, running, until
from .test_hostile_output import ATTEMPTS, SHOW, START

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page

pytestmark = pytest.mark.needs("chromium")

SETUP = """
import threading, time
from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.execution import SubprocessConfig, SubprocessExecutor
from py_code_mode_jupyter.magics.loop import Background
from py_code_mode_jupyter.widgets import *
storage = FileStorage('storage')
background = Background('sessions')
venv = SubprocessExecutor(SubprocessConfig(memory_limit='512m'))
sessions = [Session(storage, venv, name='analysis'), Session(storage, name='scratch')]
for one in sessions: background.call(one.start())
"""
CODE = """import time
artifacts.save('penguins', {'island': 'Biscoe', 'count': 168}, description='<b onclick=x>bold</b>')
for step in range(10_000):
    print('step', step, flush=True); time.sleep(0.1)"""
TABLE = """
import pandas as pd, numpy as np
storage.artifacts.save('measurements', pd.DataFrame({
    'island': np.resize(['Biscoe', 'Dream', 'Torgersen'], 344), 'bill_mm': np.linspace(32.1, 59.6, 344).round(1),
    'note': '<img src=x onerror=alert(1)>'}), description='Bills of 344 penguins')
import matplotlib.pyplot as plt
figure, axes = plt.subplots(figsize=(5, 2.4))
axes.plot(np.cumsum(np.sin(np.arange(80) / 7)))
storage.artifacts.save('bills', figure, description='Bill length over time')
plt.close(figure)
"""
CELLS = {
    "setup": SETUP,
    "sessions": "panel = SessionPanel(lambda: sessions, submit=background.submit); panel",
    "busy": "end = time.monotonic() + 60\nwhile time.monotonic() < end: time.sleep(0.01)",
    "table": TABLE,
    "storage": "kept = StoragePanel(storage); kept",
    "result": "RunView(sessions[0].last_result, title='analysis', isolation=background.call(sessions[0].probe()))",
    "compare": (
        "code = 'import sys; print(\"pandas\" in sys.modules)\\n6 * 7'\n"
        "CompareView({one.name: background.call(one.run(code)) for one in sessions})"
    ),
    "threads": "[one.name for one in threading.enumerate() if one.name == 'pcm-widgets']",
    "attempts": "results = {name: background.call(sessions[0].run(code)) for name, code in ATTEMPTS.items()}",
    "failed": "[name for name, one in results.items() if not one.is_ok]",
    "views": "for name, one in results.items(): display(RunView(one, title=name))",
    "side": "CompareView(results)",
    "texts": (
        "for number, code in enumerate(ATTEMPTS.values()):\n"
        "    storage.artifacts.save(f'evil{number}', code, description=code[-4000:])\n"
        "hostile = StoragePanel(storage); hostile"
    ),
    "close": "panel.close(); kept.close(); hostile.close()\n"
    "[one.name for one in threading.enumerate() if one.name == 'pcm-widgets']",
    "end": "for one in sessions: background.call(one.close())",
}
CELLS["attempts"] = (
    f"ATTEMPTS = { {name: SHOW.format(start=START) + code for name, code in ATTEMPTS.items()}!r}\n{CELLS['attempts']}"
)
NUMBERS = {name: number for number, name in enumerate(CELLS)}


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> Notebook:
    """One notebook for all tests of this module, in the order they are written."""
    lab.page.evaluate("() => { window.jupyterapp.commands.execute('application:toggle-left-area'); }")
    lab.write("panels.ipynb", "python3", [*CELLS.values()])
    opened = lab.open("panels.ipynb")
    assert "Traceback" not in run(opened, "setup")
    run(opened, "sessions")
    return opened


def run(notebook: Notebook, name: str) -> str:
    return notebook.run(NUMBERS[name])


def panel(notebook: Notebook, name: str) -> Any:
    return notebook.cell(NUMBERS[name]).locator(".pcm-panel")


def row(notebook: Notebook, session: str) -> Any:
    return panel(notebook, "sessions").locator("tbody tr", has_text=session)


def choose(kept: Any, name: str) -> None:
    """Choose a line of the list by how it begins."""
    option = kept.locator("option", has_text=re.compile(rf"^{name}\s"))
    option.wait_for(state="attached")
    lines = kept.locator("option").all_inner_texts()
    kept.get_by_label("Names").select_option(index=[line.split()[0] for line in lines].index(name))


def test_a_run_is_started_from_the_panel_and_interrupted_while_a_cell_runs(
    lab: Lab, notebook: Notebook
) -> None:
    one = panel(notebook, "sessions")
    one.locator("tbody tr", has_text="/ 512 MiB").wait_for()
    notebook.begin(NUMBERS["busy"])
    one.get_by_label("Code to run in the chosen session").fill(CODE)
    one.get_by_role("button", name="Run").click()
    one.get_by_text("step 3").wait_for()
    row(notebook, "analysis").get_by_text("busy").wait_for()
    keep(one, "panel-running-light")
    one.get_by_role("button", name="Interrupt").click()
    row(notebook, "analysis").get_by_text("interrupted").wait_for()
    one.locator(".pcm-output").get_by_text("KeyboardInterrupt").first.wait_for()
    assert not notebook.has_ended(NUMBERS["busy"]), "all this happened while the cell ran"
    notebook.command("notebook:interrupt-kernel")
    until(lambda: notebook.has_ended(NUMBERS["busy"]), "the cell has ended")
    assert "step" not in notebook.text(NUMBERS["busy"])


def test_what_the_run_saved_is_listed_filtered_and_shown(lab: Lab, notebook: Notebook) -> None:
    run(notebook, "storage")
    kept = panel(notebook, "storage")
    choose(kept, "penguins")
    kept.get_by_text("Biscoe").wait_for()
    assert kept.locator("b[onclick]").count() == 0
    run(notebook, "table")
    # It appears by itself: nothing of the panel was touched.
    option = kept.locator("option", has_text="measurements")
    option.wait_for(state="attached")
    kept.get_by_label("Filter").fill("bill length")
    until(lambda: kept.locator("option").count() == 1, "the filter leaves one")
    kept.get_by_label("Names").select_option(index=0)
    until(kept.get_by_alt_text("bills, 500 x 240 pixels").is_visible, "the picture is visible")
    kept.get_by_label("Filter").fill("")
    choose(kept, "measurements")
    kept.get_by_text("20 of 344 rows, 3 of 3 columns").wait_for()


def wait_for_focus(lab: Lab, label: str) -> None:
    until(lambda: lab.page.evaluate("document.activeElement.textContent") == label, f"{label} has the focus")


def test_a_file_is_saved_and_deleted_after_a_question(lab: Lab, notebook: Notebook) -> None:
    kept = panel(notebook, "storage")
    choose(kept, "penguins")
    kept.get_by_role("button", name="Download").click()
    with lab.page.expect_download() as download:
        kept.get_by_role("link", name="Save penguins.json").click()
    assert download.value.suggested_filename == "penguins.json"
    assert "Biscoe" in Path(download.value.path()).read_text("utf-8")
    kept.get_by_role("button", name="Delete").click()
    # The answer that changes nothing has the focus: Enter alone deletes nothing.
    wait_for_focus(lab, "Cancel")
    lab.page.keyboard.press("Enter")
    until(lambda: not kept.get_by_text("Delete penguins?").is_visible(), "the question is gone")
    kept.get_by_role("button", name="Delete").click()
    kept.get_by_text("1 version goes with it").wait_for()
    wait_for_focus(lab, "Cancel")
    lab.page.keyboard.press("Shift+Tab")
    lab.page.keyboard.press("Enter")
    kept.get_by_text("Deleted penguins.").wait_for()
    assert kept.locator("option", has_text="penguins").count() == 0


def test_the_keyboard_reaches_everything_in_the_order_of_reading(lab: Lab, notebook: Notebook) -> None:
    one = panel(notebook, "sessions")
    one.get_by_role("button", name="analysis").focus()
    lab.page.keyboard.press("Tab")
    lab.page.keyboard.press("Enter")
    row(notebook, "scratch").and_(one.locator("[aria-current]")).wait_for()
    passed = []
    while "Run" not in passed:
        lab.page.keyboard.press("Tab")
        passed.append(
            lab.page.evaluate("(document.activeElement.textContent || document.activeElement.tagName)")
        )
        if passed[-1] == "TEXTAREA":
            lab.page.keyboard.press("Control+a")
            lab.page.keyboard.type("print('typed')")
        assert len(passed) < 10, passed
    assert passed == ["Reset", "Restart", "Stop", "TEXTAREA", "Run"]
    lab.page.keyboard.press("Enter")
    one.locator(".pcm-output").get_by_text("typed", exact=True).wait_for()


CONTRAST = """element => {
  if (!element.isConnected) return 21;  // it was drawn anew meanwhile
  const luminance = colour => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  let behind = element;
  while (/(, 0\\)|transparent)$/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
  const [one, two] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(luminance);
  return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
}"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_text_can_be_read_in_every_theme(lab: Lab, notebook: Notebook, theme: str) -> None:
    lab.page.evaluate(
        "async theme => { await window.jupyterapp.commands.execute('apputils:change-theme', {theme}); }",
        theme,
    )
    notebook.activate()
    word = theme.split()[1].lower()
    for name in ("result", "compare"):
        run(notebook, name)
    for name in ("sessions", "storage", "result", "compare"):
        one = panel(notebook, name)
        one.wait_for()
        if name == "storage":
            choose(one, "measurements")
            one.get_by_text("20 of 344 rows").wait_for()
        for selector in ("h4", ".pcm-quiet", "th", "td", "button:enabled", "option", "label", "summary"):
            for element in one.locator(selector).all()[:6]:
                assert element.evaluate(CONTRAST) >= 4.5, (theme, name, selector)
        keep(one, f"panel-{name}-{word}")


def test_a_panel_that_left_the_page_asks_nothing_more(notebook: Notebook) -> None:
    assert run(notebook, "threads") == "['pcm-widgets']"
    for name in ("sessions", "storage"):
        notebook.ask("panel.content.widgets[given[0]].model.outputs.clear(); return null", NUMBERS[name])
    until(lambda: run(notebook, "threads") == "[]", "the thread has ended")


def test_no_output_that_a_view_shows_starts_anything(lab: Lab, notebook: Notebook) -> None:
    before = len(lab.kernels())
    dialogs: list[object] = []

    def refuse(dialog: Dialog) -> None:
        if dialog.type == "beforeunload":
            dialog.accept()
        else:
            dialogs.append(dialog.message)
            dialog.dismiss()

    lab.page.on("dialog", refuse)
    run(notebook, "attempts")
    assert run(notebook, "failed") == "[]"
    for name in ("views", "side", "texts"):
        run(notebook, name)
        panel(notebook, name).first.wait_for()
    for number in range(len(ATTEMPTS)):
        choose(panel(notebook, "texts"), f"evil{number}")
        panel(notebook, "texts").locator("h4", has_text=f"evil{number}").wait_for()
    assert lab.page.locator(".pcm-panel script").count() == 0
    frames = lab.page.locator(".pcm-panel iframe")
    assert frames.count() == lab.page.locator(".pcm-panel iframe[sandbox='allow-scripts']").count() > 5
    for link in notebook.cell(NUMBERS["views"]).locator(".pcm-output a").all():
        link.click(force=True, no_wait_after=True, timeout=2000)
    # The same attempt from an ordinary cell: it works there, and has had no more time.
    lab.write("control.ipynb", "python3", [SHOW.format(start=START) + ATTEMPTS["image"]])
    lab.open("control.ipynb").run(0)
    until(lambda: len(lab.kernels()) > before + 1, "the control has started a kernel")
    assert len(lab.kernels()) == before + 2
    assert dialogs == []
    lab.page.remove_listener("dialog", refuse)


def test_a_page_that_is_loaded_anew_shows_the_panel_and_can_use_it(lab: Lab, notebook: Notebook) -> None:
    run(notebook, "sessions")
    notebook.command("docmanager:save")
    until(lambda: "pcm-fallback" in (lab.folder / "panels.ipynb").read_text("utf-8"), "it is saved")
    lab.show()
    again = lab.open("panels.ipynb")
    one = panel(again, "sessions")
    one.get_by_label("Code to run in the chosen session").fill("print('after loading')")
    one.get_by_role("button", name="Run").click()
    one.locator(".pcm-output").get_by_text("after loading", exact=True).wait_for()
    assert run(again, "close") == "[]"
    until(lambda: one.count() == 0, "a closed panel leaves the page")
    run(again, "end")


NOTEBOOK_7 = (
    "from py_code_mode_jupyter import FileStorage, Session\n"
    "from py_code_mode_jupyter.magics.loop import Background\n"
    "from py_code_mode_jupyter.widgets import *\n"
    "import time\n"
    "background = Background('sessions')\n"
    "session = Session(FileStorage('storage'), name='here')\n"
    "background.call(session.start())",
    "SessionPanel(lambda: [session], submit=background.submit)",
    "end = time.monotonic() + 60\nwhile time.monotonic() < end: time.sleep(0.01)",
    "background.call(session.close())",
)


def _another(lab: Lab) -> Page:
    """Open a second page in the same browser."""
    browser = lab.page.context.browser
    assert browser is not None
    return browser.new_page()


def test_the_panel_is_used_in_notebook_7_while_a_cell_runs(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("notebook7")
    log = tmp_path_factory.mktemp("log") / "notebook.log"
    option = "--JupyterNotebookApp.expose_app_in_browser=True"
    with running(folder, log, option, program="notebook") as port, _another(lab) as page:
        other = Lab(folder, port, page)
        page.goto(other.address(f"notebooks/{other.write('a.ipynb', 'python3', NOTEBOOK_7)}"))
        page.wait_for_function("() => window.jupyterapp?.restored !== undefined")
        opened = Notebook(page, "a.ipynb")
        opened.wait_until_ready()
        for number in (0, 1):
            opened.run(number)
        one = opened.cell(1).locator(".pcm-panel")
        one.wait_for()
        opened.begin(2)
        one.get_by_label("Code to run in the chosen session").fill("print('in Notebook 7')")
        one.get_by_role("button", name="Run").click()
        one.locator(".pcm-output").get_by_text("in Notebook 7", exact=True).wait_for()
        assert not opened.has_ended(2)
        opened.command("notebook:interrupt-kernel")
        until(lambda: opened.has_ended(2), "the cell has ended")
        opened.run(3)

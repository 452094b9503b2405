"""Sessions, storage and run history in JupyterLab, with a real session that lives in another program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .code_mode import answer, command, dialog, panel, press, told, violations
from .lab import Lab, Notebook, until

pytestmark = pytest.mark.needs("chromium")
ENVIRON = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}

MARKUP = "<img src=x onerror='window.attacked = true'>"
PROGRAM = """
import asyncio, sys
from py_code_mode_jupyter import FileStorage, Session
async def main():
    async with Session(FileStorage(sys.argv[1]), name="analyst") as session:
        await session.run("answer = 6 * 7; answer")
        await session.run(f"'''{sys.argv[2]}'''")
        await session.save_artifact("table", {"first": 1}, description=sys.argv[2])
        await session.save_artifact("table", {"second": 2}, description=sys.argv[2])
        await session.save_artifact("note", sys.argv[2])
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Path:
    return lab.folder.parent / "storage"


@pytest.fixture(scope="module", autouse=True)
def session(lab: Lab, storage: Path) -> Iterator[None]:
    """A session in a program of its own, in the storage that JupyterLab shows."""
    command = [sys.executable, "-c", PROGRAM, str(storage), MARKUP]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()
        process.wait(30)


@pytest.fixture
def notebook(lab: Lab, request: pytest.FixtureRequest) -> Notebook:
    return lab.open(lab.write(f"{request.node.name}.ipynb", "pcm-in-process", ["1 + 1"]))


def sources(notebook: Notebook) -> list[str]:
    return list(notebook.ask("return panel.content.widgets.map(one => one.model.sharedModel.source)"))


def test_a_session_is_listed_by_its_place_and_once_among_what_runs(lab: Lab) -> None:
    item = panel(lab.page).locator("[data-place='in-process'] [data-session]", has_text="analyst")
    item.get_by_text("2 runs").wait_for()
    press(item, "Show its isolation")
    dialog(lab.page).locator("tr[data-fact='process_isolation']").wait_for()
    answer(lab.page, "Close")
    command(lab.page, "running:show-panel")
    running = lab.page.locator("#jp-running-sessions .pcm-Running", has_text="analyst")
    running.wait_for()
    assert running.count() == 1
    assert "In-process" in running.inner_text()


def test_what_the_panel_shows_is_text_and_can_be_used_by_everybody(lab: Lab) -> None:
    told(lab, "window.attacked")
    press(panel(lab.page).locator("[data-artifact='note']"), "Preview")
    preview = lab.page.locator(".pcm-Preview:visible")
    preview.get_by_text("window.attacked").wait_for()
    assert violations(lab.page, "#pcm-panel") == []
    assert violations(lab.page, ".pcm-Main") == []
    assert lab.page.evaluate("() => window.attacked === undefined")
    assert lab.page.locator(".pcm-Panel img, .pcm-Main img").count() == 0


def test_versions_of_an_artifact_are_shown_and_downloaded(lab: Lab) -> None:
    item = panel(lab.page).locator("[data-artifact='table']")
    press(item, "Versions")
    item.locator(".pcm-Versions > li").nth(1).wait_for()
    for label, content in (("Download: table, version 1", "first"), ("Download: table", "second")):
        with lab.page.expect_download() as download:
            item.get_by_role("button", name=label, exact=True).click()
        assert download.value.suggested_filename == "table.json"
        assert content in Path(download.value.path()).read_text("utf-8")


def test_an_artifact_is_inserted_and_dragged_into_a_notebook_as_code(lab: Lab, notebook: Notebook) -> None:
    item = panel(lab.page).locator("[data-artifact='table']")
    press(item, "Insert into the notebook")
    until(lambda: sources(notebook) == ["1 + 1", 'artifacts.load("table")'], "a cell is inserted")
    name, target = item.locator(".pcm-mod-draggable").bounding_box(), notebook.cell(0).bounding_box()
    assert name is not None and target is not None
    mouse = lab.page.mouse
    mouse.move(name["x"] + 5, name["y"] + 5)
    mouse.down()
    mouse.move(name["x"] + 40, name["y"] + 20, steps=3)
    lab.page.locator(".pcm-Drag").wait_for()
    mouse.move(target["x"] + 100, target["y"] + 15, steps=8)
    lab.page.locator(".jp-mod-dropTarget").wait_for()
    mouse.up()
    until(lambda: len(sources(notebook)) == 3, "a cell is dropped")
    assert sources(notebook)[0] == 'artifacts.load("table")'
    assert "second" in notebook.run(0)


def test_the_history_is_searched_and_a_run_opened_as_a_notebook(lab: Lab) -> None:
    runs = panel(lab.page).locator("[data-run]")
    until(lambda: runs.count() == 2, "two runs are listed")
    lab.page.get_by_label("Search runs").fill("answer")
    until(lambda: runs.count() == 1, "one run matches")
    before = {path.name for path in lab.folder.iterdir()}
    press(runs, "Open as notebook")
    until(lambda: {path.name for path in lab.folder.iterdir()} - before, "there is a notebook")
    [path] = {path.name for path in lab.folder.glob("*.ipynb")} - before
    notebook = Notebook(lab.page, path)
    until(lambda: notebook.ask("return panel?.context.isReady === true"), "it is open")
    assert any("answer = 6 * 7" in source for source in sources(notebook))
    lab.page.get_by_label("Search runs").fill("")
    until(lambda: runs.count() == 2, "all runs are listed again")


def test_an_artifact_is_deleted_after_a_question(lab: Lab) -> None:
    item = panel(lab.page).locator("[data-artifact='note']")
    press(item, "Delete")
    answer(lab.page, "Cancel")
    assert item.is_visible()
    press(item, "Delete")
    answer(lab.page, "Delete")
    item.wait_for(state="detached")


def test_a_session_is_stopped_from_the_panel(lab: Lab) -> None:
    item = panel(lab.page).locator("[data-session]", has_text="analyst")
    press(item, "Stop")
    answer(lab.page, "Stop")
    item.wait_for(state="detached")

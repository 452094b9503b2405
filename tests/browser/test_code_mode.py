"""Kernels by place, what the badge says of them, and moving between them: as a person does it."""

from __future__ import annotations

import contextlib

import pytest

from .code_mode import answer, badge, command, dialog, kernel_item, panel, press, told, violations
from .lab import Lab, Notebook, until

pytestmark = pytest.mark.needs("chromium")
ENVIRON = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.fixture
def venv(lab: Lab, request: pytest.FixtureRequest) -> Notebook:
    """A notebook of this test's own, in a venv."""
    cells = ("here = 6 * 7", "here", "while True: pass", "import os; os._exit(3)", "1 + 1")
    return lab.open(lab.write(f"{request.node.name}.ipynb", "pcm-venv", cells))


def test_the_launcher_has_a_card_for_each_place_and_starts_a_notebook_there(lab: Lab) -> None:
    command(lab.page, "launcher:create")
    cards = lab.page.locator(".jp-LauncherCard[data-category='Code Mode']")
    until(lambda: cards.count() == 3, "there are three cards")
    assert cards.locator("svg").count() == 3
    cards.filter(has_text="In-process").click()
    until(lambda: "Untitled.ipynb" in {path.name for path in lab.folder.iterdir()}, "there is a notebook")
    notebook = Notebook(lab.page, "Untitled.ipynb")
    notebook.wait_until_ready()
    badge(notebook).get_by_text("In-process · not isolated").wait_for()


def test_a_place_that_is_not_available_says_so_and_offers_the_remedy(lab: Lab) -> None:
    command(lab.page, "launcher:create")
    card = lab.page.locator(".jp-LauncherCard[data-category='Code Mode']", has_text="Container")
    card.get_by_text("Container (not available)").wait_for()
    card.click()
    dialog(lab.page).get_by_text("is not available").wait_for()
    assert "engine" in dialog(lab.page).inner_text().lower()
    answer(lab.page, "Look again")
    dialog(lab.page).get_by_text("is not available").wait_for()
    answer(lab.page, "Cancel")


def test_the_badge_tells_place_and_measured_isolation_and_shows_the_details(venv: Notebook) -> None:
    page = venv.page
    badge(venv).get_by_text("Isolated venv · own process").wait_for()
    page.locator("#jp-main-statusbar .pcm-Badge", has_text="Isolated venv · own process").wait_for()
    badge(venv).click()
    fact = dialog(page).locator("tr[data-fact='process_isolation']")
    fact.wait_for()
    assert fact.locator("td").all_inner_texts() == ["yes", "yes", "holds"]
    assert "with your rights" in dialog(page).inner_text()
    assert violations(page, ".jp-Dialog") == []
    dialog(page).get_by_role("button", name="Measure again").click()
    dialog(page).locator("tr[data-fact='process_isolation']").wait_for()
    answer(page, "Close")


def test_a_kernel_of_others_is_not_called_isolated(lab: Lab) -> None:
    stock = lab.open(lab.write("stock.ipynb", "python3", ["1"]))
    badge(stock).get_by_text("Not isolated").wait_for()


def test_the_panel_shows_a_kernel_with_its_place_state_and_memory(lab: Lab, venv: Notebook) -> None:
    item = kernel_item(lab.page, venv)
    item.get_by_text(venv.path).wait_for()
    assert item.locator("xpath=ancestor::section").get_attribute("data-place") == "venv"
    until(lambda: "MiB" in item.inner_text(), "memory is shown")
    assert "Isolated venv · own process" in item.inner_text()
    venv.begin(2)
    item.locator("[data-state='busy']").wait_for()
    press(item, "Interrupt")
    until(lambda: venv.text(2) == "KeyboardInterrupt", "the loop is interrupted")
    item.locator("[data-state='idle']").wait_for()


def test_the_panel_opens_a_console_and_the_notebook_of_a_kernel(lab: Lab, venv: Notebook) -> None:
    venv.run(0)
    press(kernel_item(lab.page, venv), "Open a console")
    console = lab.page.locator(".jp-ConsolePanel:visible")
    console.wait_for()
    until(
        lambda: (
            lab.page.evaluate(
                "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.id"
            )
            == venv.kernel()
        ),
        "the console has the kernel of the notebook",
    )
    press(kernel_item(lab.page, venv), "Open its notebook")
    until(lambda: venv.ask("return window.jupyterapp.shell.currentWidget === panel"), "it is shown")


def test_the_panel_restarts_and_stops_a_kernel_after_asking(lab: Lab, venv: Notebook) -> None:
    venv.run(0)
    press(kernel_item(lab.page, venv), "Restart")
    answer(lab.page, "Cancel")
    assert venv.run(1) == "42"
    venv.ask(
        "window.seen = []; panel.sessionContext.statusChanged.connect((_, one) => window.seen.push(one));"
        "return null"
    )
    press(kernel_item(lab.page, venv), "Restart")
    answer(lab.page, "Restart")
    until(lambda: "restarting" in venv.ask("return window.seen"), "it restarts")
    venv.wait_until_ready()
    assert venv.run(1) == "NameError"
    kernel = venv.kernel()
    press(kernel_item(lab.page, venv), "Stop")
    answer(lab.page, "Stop")
    until(lambda: kernel not in {one["id"] for one in lab.kernels()}, "the server has it no more")
    panel(lab.page).locator(f"[data-kernel='{kernel}']").wait_for(state="detached")


def test_why_a_kernel_died_is_said_in_the_notebook_and_the_panel(lab: Lab, venv: Notebook) -> None:
    panel(lab.page)
    venv.begin(3)
    said = lab.page.locator(".pcm-Banner-line[data-kind='died']:visible")
    said.wait_for()
    reason = said.locator("span").inner_text()
    assert "status 3" in reason
    told(lab, reason)
    lab.page.locator(".jp-Dialog .jp-mod-accept").click()
    said.get_by_role("button", name="Dismiss").click()
    said.wait_for(state="detached")


def test_a_notebook_moves_to_another_place_and_runs_again_what_was_run(lab: Lab, venv: Notebook) -> None:
    venv.run(0)
    venv.run(1)
    lab.page.locator(f"#{venv.ask('return panel.id')} .jp-Toolbar").get_by_text("Run in…").click()
    shown = dialog(lab.page)
    shown.get_by_label("Isolated venv (here now)").wait_for()
    assert shown.get_by_label("Isolated venv (here now)").is_disabled()
    assert "not available" in shown.inner_text()
    shown.get_by_label("In-process").check()
    shown.get_by_label("Run the 2 executed cells again").check()
    assert violations(lab.page, ".jp-Dialog") == []
    answer(lab.page, "Move")
    badge(venv).get_by_text("In-process · not isolated").wait_for()
    until(lambda: venv.is_ready and venv.has_ended(1) and venv.text(1) == "42", "the cells were run again")
    assert [kernel["name"] for kernel in lab.kernels() if kernel["id"] == venv.kernel()] == ["pcm-in-process"]


def test_moving_runs_nothing_unless_asked(lab: Lab, venv: Notebook) -> None:
    venv.run(0)
    command(lab.page, "pcm:run-in")
    dialog(lab.page).get_by_label("In-process").check()
    answer(lab.page, "Move")
    badge(venv).get_by_text("In-process · not isolated").wait_for()
    venv.wait_until_ready()
    assert venv.run(1) == "NameError"


def test_settings_of_a_notebook_are_checked_as_they_change(lab: Lab, venv: Notebook) -> None:
    venv.ask("panel.model.setMetadata('pcm', {memory: 'plenty'}); return null")
    problem = lab.page.locator(".pcm-Banner-line[data-kind='problem']:visible")
    problem.get_by_text("memory").wait_for()
    assert violations(lab.page, f"#{venv.ask('return panel.id')} .pcm-Banner") == []
    venv.ask("panel.model.setMetadata('pcm', {timeout: 20}); return null")
    lab.page.locator(".pcm-Banner-line[data-kind='applies']:visible").get_by_text("20 s").wait_for()
    problem.wait_for(state="detached")
    lab.page.get_by_role("button", name="Restart now").click()
    dialog(lab.page).locator(".jp-mod-accept").click()
    lab.page.locator(".pcm-Banner-line[data-kind='applies']").wait_for(state="detached")
    told(lab, "20 s each cell")


def test_settings_of_a_notebook_are_edited_in_a_form(lab: Lab, venv: Notebook) -> None:
    venv.activate()
    command(lab.page, "property-inspector:show-panel")
    lab.page.get_by_text("Code Mode: from the next start of the kernel").click()
    field = lab.page.locator("input[id$='/pcm/timeout']")
    field.fill("30")
    field.blur()
    until(lambda: venv.ask("return panel.model.getMetadata('pcm')?.timeout") == 30, "the metadata has it")
    lab.page.locator(".pcm-Banner-line[data-kind='applies']:visible").get_by_text("30 s").wait_for()
    command(lab.page, "application:toggle-right-area")


def test_everything_is_reached_by_keyboard_and_palette(lab: Lab, venv: Notebook) -> None:
    page = lab.page
    if page.locator("#pcm-panel").is_visible():
        command(page, "application:toggle-left-area")
        page.locator("#pcm-panel").wait_for(state="hidden")
    venv.activate()
    page.locator("body").press("Control+Alt+P")
    page.locator("#pcm-panel").wait_for()
    badge(venv).press("Enter")
    dialog(page).locator("tr[data-fact]").first.wait_for()
    dialog(page).locator(":focus").wait_for()
    page.keyboard.press("Escape")
    dialog(page).wait_for(state="detached")
    labels = page.evaluate(
        "() => window.jupyterapp.commands.listCommands().filter(name => name.startsWith('pcm:'))"
    )
    assert len(labels) == 6


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_panel_and_the_badge_can_be_used_by_everybody(lab: Lab, venv: Notebook, theme: str) -> None:
    command(lab.page, "apputils:change-theme", theme=theme)
    light = "true" if "Light" in theme else "false"
    lab.page.locator(f"body[data-jp-theme-light='{light}']").wait_for(state="attached")
    kernel_item(lab.page, venv).wait_for()
    assert violations(lab.page, "#pcm-panel") == []
    badge(venv).wait_for()
    assert violations(lab.page, ".pcm-BadgeWidget") == []


def test_the_badge_is_there_in_notebook_7(lab: Lab) -> None:
    path = lab.write("seven.ipynb", "pcm-venv", ["1"])
    browser = lab.page.context.browser
    assert browser is not None
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(lab.address(f"notebooks/{path}"))
        page.locator(".jp-Toolbar .pcm-Badge", has_text="Isolated venv · own process").wait_for()

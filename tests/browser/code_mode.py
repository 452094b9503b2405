"""The extension as a person sees it: where things are on the page, and whether everybody can use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .lab import Lab, Notebook, until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

AXE = Path(__file__).parents[2] / "labextension" / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = ("serious", "critical")


def command(page: Page, name: str, **arguments: Any) -> None:
    """Execute a command of JupyterLab's without waiting for its end: it may ask something first."""
    call = "([name, args]) => { window.jupyterapp.commands.execute(name, args); }"
    page.evaluate(call, [name, arguments])


def panel(page: Page) -> Locator:
    """Return the side panel, shown."""
    found = page.locator("#pcm-panel")
    if not found.is_visible():
        command(page, "pcm:show-panel")
        found.wait_for()
    return found


def badge(notebook: Notebook) -> Locator:
    """Return the badge in the toolbar of a notebook."""
    notebook.activate()
    return notebook.page.locator(f"#{notebook.ask('return panel.id')} .jp-Toolbar .pcm-Badge")


def dialog(page: Page) -> Locator:
    return page.locator(".jp-Dialog")


def answer(page: Page, label: str) -> None:
    """Press a button of the dialog that is open, and wait until that is gone."""
    shown = dialog(page).element_handle()
    dialog(page).get_by_role("button", name=label, exact=True).click()
    shown.wait_for_element_state("hidden")  # this one: another may be there at once


def kernel_item(page: Page, notebook: Notebook) -> Locator:
    """Return a kernel in the side panel."""
    return panel(page).locator(f"[data-kernel='{notebook.kernel()}']")


def press(item: Locator, label: str) -> None:
    """Press a button of an item, by the beginning of its name."""
    item.locator(f"button[aria-label^='{label}:']").first.click()


def violations(page: Page, selector: str) -> list[str]:
    """Return what axe-core finds serious in a part of the page."""
    if not page.evaluate("() => window.axe !== undefined"):
        page.add_script_tag(path=AXE)
    found = page.evaluate("selector => window.axe.run(selector)", selector)
    assert found["passes"], f"nothing was looked at: {selector}"
    return [
        json.dumps([one["id"], one["help"], [node["html"] for node in one["nodes"]]])
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]


def told(lab: Lab, text: str) -> None:
    """Wait until the panel says something."""
    until(lambda: text in panel(lab.page).inner_text(), f"the panel says {text!r}")

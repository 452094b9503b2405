"""JupyterLab in a process of its own, and one of its notebooks in a real browser."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import nbformat
from playwright.sync_api import Page, sync_playwright

WAIT = 60.0
TOKEN = uuid.uuid4().hex
WIDTH, HEIGHT = 1280, 900
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}
PANEL = """
const panel = [...window.jupyterapp.shell.widgets('main')].find(one => one.context?.path === path);
"""
"""JavaScript: the notebook `path`, if it is open."""


def until(holds: Callable[[], object], what: str, seconds: float = WAIT) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(0.02)


def keep(one: Any, name: str) -> None:
    """Keep a picture of a page or a part of it, where the environment says that pictures are wanted."""
    if folder := os.environ.get("PCM_PICTURES"):
        one.screenshot(path=Path(folder) / f"{name}.png")


class Notebook:
    """A notebook that is open in a browser, driven by JupyterLab's own commands."""

    def __init__(self, page: Page, path: str) -> None:
        self.page, self.path = page, path

    def ask(self, body: str, *arguments: Any) -> Any:
        """Return what a JavaScript function returns; it sees the panel, and its arguments as `given`."""
        return self.page.evaluate(f"([path, given]) => {{{PANEL}{body}}}", [self.path, list(arguments)])

    @property
    def is_ready(self) -> bool:
        # A cell that is run before the kernel is connected would be dropped without a word.
        return bool(
            self.ask(
                "const kernel = panel?.sessionContext?.session?.kernel;"
                "return panel?.context.isReady && panel.sessionContext.isReady"
                " && kernel?.connectionStatus === 'connected' && kernel.status === 'idle'"
            )
        )

    def wait_until_ready(self) -> None:
        until(lambda: self.is_ready, f"the kernel of {self.path} is idle")

    def kernel(self) -> str:
        """Return the id of the kernel that is connected."""
        return str(self.ask("return panel.sessionContext.session.kernel.id"))

    def command(self, name: str) -> None:
        """Execute a command of JupyterLab's on this notebook, without waiting for its end."""
        self.activate()
        self.ask("window.jupyterapp.commands.execute(given[0]); return null", name)

    def activate(self) -> None:
        """Be the notebook that is shown, and that commands go to."""
        self.ask("window.jupyterapp.shell.activateById(panel.id); return null")
        until(lambda: self.ask("return window.jupyterapp.shell.currentWidget === panel"), "it is active")

    def begin(self, number: int) -> None:
        """Run a cell, without waiting for its end."""
        self.activate()
        self.ask("panel.content.deselectAll(); panel.content.activeCellIndex = given[0]; return null", number)
        self.command("notebook:run-cell")

    def run(self, number: int) -> str:
        """Run a cell and return the text that it shows."""
        self.begin(number)
        until(lambda: self.has_ended(number), f"cell {number} of {self.path} ends")
        return self.text(number)

    def has_ended(self, number: int) -> bool:
        return bool(
            self.ask("return panel.content.widgets[given[0]].model.executionState === 'idle'", number)
            and self.ask("return panel.content.widgets[given[0]].model.executionCount !== null", number)
        )

    def outputs(self, number: int) -> list[dict[str, Any]]:
        return list(self.ask("return panel.content.widgets[given[0]].model.outputs.toJSON()", number))

    def text(self, number: int) -> str:
        return "".join(_text(one) for one in self.outputs(number))

    def cell(self, number: int) -> Any:
        """Return the cell as an element of the page, where it can be seen."""
        self.activate()
        self.ask("panel.content.scrollToItem(given[0]); return null", number)
        name = self.ask("return panel.id")
        return self.page.locator(f"#{name} .jp-Cell[data-windowed-list-index='{number}']")


def _text(output: dict[str, Any]) -> str:
    text = output.get("text", output.get("data", {}).get("text/plain", output.get("ename", "")))
    return "".join(text)


class Lab:
    """A running JupyterLab with a folder, and a page that shows it."""

    def __init__(self, folder: Path, port: int, page: Page) -> None:
        self.folder, self.port, self.page = folder, port, page

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}?token={TOKEN}"

    def kernels(self) -> list[dict[str, Any]]:
        """Return what the server says of its kernels."""
        found: list[list[dict[str, Any]]] = []
        until(lambda: self._list_kernels(found), "the server lists its kernels")
        return found[0]

    def _list_kernels(self, found: list[list[dict[str, Any]]]) -> bool:
        try:
            with urllib.request.urlopen(self.address("api/kernels"), timeout=WAIT) as reply:  # noqa: S310
                found.append(json.load(reply))
        except HTTPError as error:
            # Jupyter Server lists a kernel an instant before it can say when that was last active.
            if error.code != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
        return bool(found)

    def write(self, name: str, kernel: str, cells: Sequence[str]) -> str:
        """Write a notebook of code cells; return its path for JupyterLab."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": kernel, "display_name": kernel, "language": "python"}
        nbformat.write(notebook, self.folder / name)
        return name

    def show(self) -> None:
        """Go to JupyterLab, in a workspace of its own."""
        self.page.goto(self.address(f"lab/workspaces/{uuid.uuid4().hex}"))
        self.page.wait_for_function("() => window.jupyterapp?.restored !== undefined")
        self.page.wait_for_selector(".jp-FileBrowser")

    def open(self, name: str) -> Notebook:
        """Open a notebook and wait until its kernel can take cells."""
        self.page.evaluate(
            "path => { window.jupyterapp.commands.execute('docmanager:open', {path}); }",
            name,
        )
        notebook = Notebook(self.page, name)
        notebook.wait_until_ready()
        return notebook


@contextlib.contextmanager
def sharing(
    root: Path, *options: str, dark: bool = False, python: str = sys.executable, **environ: str
) -> Iterator[Lab]:
    """Show a JupyterLab that several tests share, with a storage of its own in `root`."""
    folder = root / "notebooks"
    folder.mkdir()
    environ = {"PCM_STORAGE": str(root / "storage"), **environ}
    with (
        running(folder, root / "lab.log", *options, python=python, **environ) as port,
        browsing(shutil.which("chromium") or shutil.which("google-chrome"), dark=dark) as page,
    ):
        lab = Lab(folder, port, page)
        lab.show()
        yield lab


@contextlib.contextmanager
def running(
    folder: Path,
    log: Path,
    *options: str,
    python: str = sys.executable,
    program: str = "jupyterlab",
    **more: str,
) -> Iterator[int]:
    """Run JupyterLab, or a program that is like it, with `more` in its environment; yields its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | more
    for name in ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"):
        environ[name] = str(log.parent / name.lower())
    settings = Path(environ["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(NO_NEWS))
    command = [python, "-m", program, "--allow-root", "--no-browser"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *command,
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--ServerApp.root_dir={folder}",
                f"--IdentityProvider.token={TOKEN}",
                "--LabApp.expose_app_in_browser=True",
                *options,
            ],
            stdout=output,
            stderr=output,
            env=environ,
            cwd=folder,
        )
    try:
        until(lambda: _answers(port, process, log), "JupyterLab answers")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _answers(port: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=WAIT):
        return True
    return False


@contextlib.contextmanager
def browsing(chromium: str | None, *, dark: bool = False) -> Iterator[Page]:
    """Open a page in the browser `chromium`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
                *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
                "--disable-sync",
            ],
        )
        try:
            page = browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark" if dark else "light"
            )
            page.set_default_timeout(WAIT * 1000)
            yield page
        finally:
            browser.close()

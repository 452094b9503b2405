"""A cell's way from the browser to the kernel and back: this package's JupyterLab beside stock's.

Each side is a JupyterLab of its own with a page in Chromium, so each has its own websockets: ours without
Nagle's delay, stock's as Jupyter Server makes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from measures import Measure, Pair, Take

if TYPE_CHECKING:
    from playwright.async_api import Page

PATIENCE = 60  # seconds
WITHOUT = "--ServerApp.jpserver_extensions={'py_code_mode_jupyter': False}"
START = """async name => {
    await window.jupyterapp.restored;
    window.kernel = await window.jupyterapp.serviceManager.kernels.startNew({name});
    await window.kernel.info;
    await window.kernel.requestExecute({code: '1+1'}).done;
}"""
RUN = """async () => {
    const started = performance.now();
    await window.kernel.requestExecute({code: '1+1'}).done;
    return performance.now() - started;
}"""


def chromium() -> str | None:
    """Return where Chromium is, if it is installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@asynccontextmanager
async def lab(*options: str) -> AsyncIterator[str]:
    """Run JupyterLab over an empty folder; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = uuid.uuid4().hex
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", f"--ServerApp.port={port}"),
            *(
                "--ServerApp.port_retries=0",
                f"--ServerApp.root_dir={folder}",
                "--LabApp.expose_app_in_browser=True",
            ),
            *(f"--IdentityProvider.token={token}", *options),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | {"PCM_STORAGE": str(Path(folder) / "storage")},
        )
        try:
            await asyncio.wait_for(_listening(port), PATIENCE)
            yield f"http://127.0.0.1:{port}/lab?token={token}"
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def _listening(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)


async def _taking(page: Page, address: str, kernel: str) -> Take:
    await page.goto(address)
    await page.wait_for_function("() => window.jupyterapp?.restored !== undefined")
    await page.evaluate(START, kernel)

    async def take() -> float:
        return float(await page.evaluate(RUN)) / 1000

    return take


@asynccontextmanager
async def browser_run() -> AsyncIterator[Pair]:
    """Run a little from a page, until the reply and the state idle are there."""
    from playwright.async_api import async_playwright

    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(lab())
        stock = await stack.enter_async_context(lab(WITHOUT))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        stack.push_async_callback(browser.close)
        yield (
            await _taking(await browser.new_page(), ours, "pcm-in-process"),
            await _taking(await browser.new_page(), stock, "python3"),
        )


MEASURES = (
    Measure(
        name="browser-run",
        ours="1+1 from a browser, in-process",
        stock="in stock JupyterLab",
        pair=browser_run,
        values=200,
        workers=1,
        bound=0.2,
    ),
)

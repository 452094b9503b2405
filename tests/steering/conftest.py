"""A session that lives in a process of its own, and what the registry says of it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from py_code_mode_jupyter import FileStorage

if TYPE_CHECKING:
    from py_code_mode_jupyter.storage import SessionEntry

WAIT = 60
HOST = """
    import asyncio, sys
    from py_code_mode_jupyter import FileStorage, Session

    async def main():
        async with Session(FileStorage(sys.argv[1]), name="far") as session:
            print("ready", flush=True)
            for code in sys.argv[2:]:
                result = await session.run(code, timeout=600)
                print(result.status, flush=True)
            while (await session.describe())["state"] != "closed":
                await asyncio.sleep(0.01)
        print("closed", flush=True)

    asyncio.run(main())
"""


@contextlib.contextmanager
def process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `code`, from the moment it is ready."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert said(started) == "ready"
            yield started
        finally:
            started.kill()


def said(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


@pytest.fixture
def storage() -> Iterator[FileStorage]:
    with tempfile.TemporaryDirectory(prefix="pcm-t-") as folder:
        yield FileStorage(base_path=Path(folder) / "storage")


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def only(storage: FileStorage) -> SessionEntry:
    [entry] = storage.sessions.entries()
    return entry

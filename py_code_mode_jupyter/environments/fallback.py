"""The place of a kernel that only explains why the wanted one is not there."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from .process import MARK, KernelProcess

_START_TIMEOUT = 60.0


class ExplainingEnvironment:
    """A process of this Python that answers with `reason` and runs no code.

    Parameters
    ----------
    connection
        Where it is to listen.
    reason
        What it says; the first line is the headline.
    """

    def __init__(self, connection: dict[str, Any], reason: str) -> None:
        self.connection = connection
        self.reason = reason
        self._process: KernelProcess | None = None

    async def start(self) -> None:
        """Start the process and wait until it answers."""
        log = Path(self.connection["ip"]).parent / "start.log"
        process = self._process = KernelProcess(
            # -P: the folder it starts in is everybody's, and nothing may be imported from there.
            [sys.executable, "-P", "-m", "py_code_mode_jupyter.sandbox.fallback"],
            {
                "connection": {**self.connection, "key": self.connection["key"].decode()},
                "no_drop": False,
                "is_session": False,
                "replaces": False,
                "banner": "",
                "reason": self.reason,
            },
            env={**os.environ, MARK: secrets.token_hex(16)},
            cwd=Path(tempfile.gettempdir()),
            serve=lambda header, _: ({"id": header.get("id", 0)}, b""),
            log=log,
        )
        process.start()
        await asyncio.wait_for(asyncio.wrap_future(process.ready), _START_TIMEOUT)

    @property
    def pid(self) -> int:
        """The process id, 0 if there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def process(self) -> KernelProcess | None:
        """The process, None before the start and after the end."""
        return self._process

    @property
    def died(self) -> concurrent.futures.Future[str]:
        """Resolves when the process has ended."""
        assert self._process is not None
        return self._process.died

    @property
    def returncode(self) -> int | None:
        """How the process ended, None while it runs."""
        return self._process.returncode if self._process is not None and self.died.done() else None

    async def end(self, grace: float = 0.0) -> None:
        """End the process, after `grace` seconds that it has to end by itself."""
        if self._process is not None:
            await asyncio.to_thread(self._process.end, grace=grace)

    async def relaunch(self) -> None:
        """Explain once more."""
        await self.close()
        await self.start()

    def send_signal(self, number: int) -> None:
        """Send a signal; an interrupt is ignored, for there is nothing to interrupt."""
        if self._process is not None and number != signal.SIGINT:
            self._process.signal(number)

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(process.end)

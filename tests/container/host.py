"""A host process that a test kills: it opens sessions in containers, says how far it has come, and waits.

Run as ``python host.py FOLDER NUMBER STAGE``; STAGE is ``start``, ``idle``, ``busy`` or ``close``.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.execution import ContainerConfig, ContainerExecutor


def session(folder: Path) -> Session:
    config = ContainerConfig(auth_token=secrets.token_urlsafe(), network_disabled=True)
    return Session(FileStorage(base_path=folder), ContainerExecutor(config))


def say(what: str) -> None:
    print(what, flush=True)


async def main(folder: Path, number: int, stage: str) -> None:
    sessions = [session(folder) for _ in range(number)]
    say("start")
    await asyncio.gather(*(one.start() for one in sessions))
    say("idle")
    if stage == "close":
        say("close")
        await asyncio.gather(*(one.close() for one in sessions))
        return
    code = "while True: pass" if stage == "busy" else "import time; time.sleep(600)"
    running = [asyncio.ensure_future(one.run(code, timeout=600)) for one in sessions]
    await asyncio.sleep(0.5)
    say("busy")
    await asyncio.gather(*running)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))

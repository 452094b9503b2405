"""Sessions that are killed, and what is needed to rebuild them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator

WAIT = 60
HOST = """
    import asyncio, sys
    from py_code_mode_jupyter import FileStorage, Session
    from py_code_mode_jupyter.execution import SubprocessExecutor

    async def main():
        storage, place = FileStorage(sys.argv[1]), sys.argv[2]
        executor = SubprocessExecutor() if place == "venv" else None
        async with Session(storage, executor, name="lost") as session:
            await session.put("config", {"rate": 0.5})
            await session.run("import random, time")
            await session.run("x = [1, 2, 3]")
            await session.run("undefined")
            await session.run("y = sum(x) * config['rate'] + extra", variables={"extra": 4})
            await session.run("dice = random.random()")
            await session.run("throws = [dice] * 2")
            await session.run("z = thing", variables={"thing": 5 if place == "venv" else object()})
            await session.run("while True: pass", timeout=0.2)
            await session.run("print(y)\\ny")
            await asyncio.to_thread(storage.runs.flush)
            print("ready", flush=True)
            await session.run("kept_running = 1\\nwhile True: pass")

    asyncio.run(main())
"""


@contextlib.contextmanager
def host(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process with a session that has run a few things, and is busy."""
    command = [sys.executable, "-c", textwrap.dedent(HOST), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "ready\n"
            yield started
        finally:
            started.kill()

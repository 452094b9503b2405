"""The promised Pythons that do not run these tests: an installation with each runs code, and stops it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv

ROOT = Path(__file__).parents[2]
SCRIPT = """
import asyncio, sys
from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.execution import InProcessExecutor, SubprocessExecutor

async def main(folder):
    for executor in (InProcessExecutor(), SubprocessExecutor()):
        async with Session(FileStorage(base_path=folder), executor) as session:
            assert (await session.run("import sys; x = 6; sys.version_info[1]")).value == sys.version_info[1]
            stopped = await session.run("while True: pass", timeout=0.5)
            assert (stopped.status, stopped.state_preserved) == ("timeout", True), stopped
            assert (await session.run("x * 7")).value == 42
    deaf = "while True:\\n    try: sum(range(100_000))\\n    except BaseException: pass"
    async with Session(FileStorage(base_path=folder), InProcessExecutor()) as session:
        stopped = await session.run(deaf, timeout=0.2)
        assert stopped.status == "timeout", stopped
        assert (await session.run("1 + 1")).value == 2
        assert "abandoned" not in str(stopped.error), stopped

asyncio.run(main(sys.argv[1]))
"""


def uv_run(*arguments: str) -> None:
    done = subprocess.run(
        [uv.find_uv_bin(), *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(version, marks=pytest.mark.needs(f"python{version}", "network"))
        for version in ("3.11", "3.12", "3.13")
        if version != f"3.{sys.version_info.minor}"
    ],
)
def test_an_installation_with_python_runs_and_stops_code(version: str, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    python = venv / "bin" / "python"
    uv_run("venv", "--no-project", "--no-python-downloads", "--python", version, str(venv))
    uv_run("pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), str(ROOT))
    done = subprocess.run(
        [python, "-c", SCRIPT, str(tmp_path / "storage")],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr

"""Finds the interpreter of a Python version."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from ...errors import PythonNotFoundError
from ..uv import run_uv


def own_interpreter() -> Path:
    """Return the interpreter that runs this, below any virtual environment it is in."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable)


def find_interpreter(version: str | None, *, timeout: float) -> Path:
    """Return the interpreter of `version` (``"3.12"``, ``"3.12.1"``), None meaning our own.

    Raises
    ------
    PythonNotFoundError
        None is installed. Nothing is downloaded.
    """
    if version is None or _is_own(version):
        return own_interpreter()
    found = run_uv(
        ["python", "find", "--system", "--no-project", "--no-python-downloads", version], timeout=timeout
    )
    if not found.ok:
        raise PythonNotFoundError(
            version,
            remedy=f"Install it (for example: uv python install {version}), or leave python_version out.",
        )
    return Path(found.stdout.strip())


def _is_own(version: str) -> bool:
    own = platform.python_version_tuple()
    return version.split(".") == list(own[: version.count(".") + 1])

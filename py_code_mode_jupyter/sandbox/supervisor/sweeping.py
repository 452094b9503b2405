"""Ending all processes of a container but the first, and clearing what they left in the way. It blocks."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

_SECONDS = 5.0


def end_all_others(kept: int) -> None:
    """Kill every process but the first and the one `kept`, wherever it has moved itself to. It blocks.

    All are stopped before any is killed: else a fork bomb would refill what is taken from it.
    """
    deadline = time.monotonic() + _SECONDS
    stopped: set[int] = set()
    while (found := _others(kept) - stopped) and time.monotonic() < deadline:
        _signal(found, signal.SIGSTOP)
        stopped |= found
    while (found := _others(kept)) and time.monotonic() < deadline:
        _signal(found, signal.SIGKILL)
        time.sleep(0.001)


def _others(kept: int) -> set[int]:
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and (pid := int(entry.name)) not in (1, kept) and not _is_gone(pid):
            found.add(pid)
    return found


def _is_gone(pid: int) -> bool:
    """Whether a process has ended, and only waits for its parent to take note."""
    try:
        # The name, in parentheses, may hold anything.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return True


def clear(folder: Path) -> None:
    """Empty a folder that code can fill, so that there is room for the next kernel's sockets."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)

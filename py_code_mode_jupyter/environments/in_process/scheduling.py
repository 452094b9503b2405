"""How threads that run user code share the process with the host's."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from _thread import allocate_lock
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_FS = 0x200
_BRISK = 0.001  # seconds; the interpreter's default of 5 ms lets the host wait for a busy cell


def private_working_directory() -> bool:
    """Give the calling thread, and those it starts, a working directory of their own.

    True where that is possible (Linux, without privileges). Elsewhere ``os.chdir`` in user code
    moves the whole process.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None, use_errno=True).unshare(_CLONE_FS) == 0)
    except (AttributeError, OSError):
        return False


@final
class ThreadClock:
    """CPU time of the thread that makes it, readable from others and after its end."""

    def __init__(self) -> None:
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        self._clock: int | None = clock_of(get_ident()) if clock_of is not None else None
        self._last = 0.0

    def seconds(self) -> float:
        """Return the seconds used; of a thread that has ended, those of the last reading."""
        try:
            if self._clock is not None:
                self._last = time.clock_gettime(self._clock)
        except OSError:
            return self._last
        return self._last


_lock = allocate_lock()
_busy = 0
_usual = 0.0


@contextmanager
def brisk_switching() -> Iterator[None]:
    """Let threads take turns faster while user code runs; restored when the last run has ended."""
    global _busy, _usual
    with _lock:
        if _busy == 0:
            _usual = sys.getswitchinterval()
            sys.setswitchinterval(min(_usual, _BRISK))
        _busy += 1
    try:
        yield
    finally:
        with _lock:
            _busy -= 1
            if _busy == 0:
                sys.setswitchinterval(_usual)


def change_directory(path: str) -> None:
    """Go to `path` if it still exists."""
    try:
        os.chdir(path)
    except OSError:
        return

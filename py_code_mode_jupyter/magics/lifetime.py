"""Closing sessions when the process ends, in whatever way it lets us know."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, final


@final
class Lifetime:
    """Calls `close` once the interpreter exits, or SIGTERM asks the process to end.

    Jupyter sends SIGTERM to a kernel that is slow to end, and process supervisors send nothing else;
    by itself Python would end at once and leave folders behind. Processes need no care: the system
    ends them with this one.

    Parameters
    ----------
    close
        What to call; it may be called more than once.
    """

    def __init__(self, close: Callable[[], object]) -> None:
        self._close = close
        self._process = 0
        self._handles_signal = False

    def begin(self) -> None:
        """Watch from now on. Calling it again does nothing."""
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        atexit.register(self._at_exit)
        # A handler of somebody else's stays: it will let the interpreter exit, or not, as it likes.
        free = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if free and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_signal)
            self._handles_signal = True

    def end(self) -> None:
        """Watch no longer."""
        atexit.unregister(self._at_exit)
        if self._handles_signal and threading.current_thread() is threading.main_thread():
            self._handles_signal = False
            # Compared as equal: each look at a bound method makes a new one.
            if signal.getsignal(signal.SIGTERM) == self._on_signal:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _at_exit(self) -> None:
        # A forked child inherits this, but neither the loop nor the right to close anything.
        if os.getpid() == self._process:
            self._close()

    def _on_signal(self, number: int, frame: FrameType | None) -> Any:
        signal.signal(number, signal.SIG_DFL)
        self._at_exit()
        os.kill(os.getpid(), number)

"""A progress bar for work that takes longer than a moment, in a notebook or a terminal."""

from __future__ import annotations

import secrets
import sys
import time
from types import TracebackType
from typing import Any, Self, final

from IPython.core.displaypub import DisplayPublisher
from IPython.core.getipython import get_ipython
from IPython.display import display

from ..display import ProgressBar

_PATIENCE = 1.5
"""Seconds before the bar appears: quick work shows nothing."""
DISPLAY = "pcm-progress-"
"""What the ids of these displays begin with."""
_EVERY = 0.3
"""Seconds between two pictures, which are messages to the notebook."""
_ERASE = "\r\x1b[2K"


@final
class Progress:
    """Shows that work goes on, from the thread that waits for it.

    It needs nothing but IPython's displays. When the work ends the bar gives way to a line on how long
    that took.

    Parameters
    ----------
    what
        The work, such as ``Starting venv``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._step = ""
        self._fraction: float | None = None
        self._began = self._pictured = time.monotonic()
        self._handle: Any = None
        self._is_shown = False

    def report(self, step: str, fraction: float | None = None) -> None:
        """Say what the work is about now; any thread may call it."""
        self._step, self._fraction = step, fraction

    def tick(self) -> None:
        """Show the bar if it is time for that."""
        now = time.monotonic()
        if now - self._began >= _PATIENCE and (not self._is_shown or now - self._pictured >= _EVERY):
            self._pictured = now
            self._show(self._bar(now))

    def end(self) -> None:
        """Show how long it took, if the bar was shown. Calling it again does nothing."""
        if self._is_shown:
            self._is_shown = False
            took = time.monotonic() - self._began
            self._last(f"{self._what}: done in {took:.1f} s.")

    def fail(self) -> None:
        """Take the bar away: what went wrong is said elsewhere."""
        if self._is_shown:
            self._is_shown = False
            self._last(f"{self._what}: not done.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end() if kind is None else self.fail()

    def _bar(self, now: float) -> ProgressBar:
        return ProgressBar(
            what=self._what, step=self._step, fraction=self._fraction, elapsed=now - self._began
        )

    def _show(self, bar: ProgressBar) -> None:
        self._is_shown = True
        if not _can_update():
            if not sys.stderr.isatty():
                return
            sys.stderr.write(f"{_ERASE}{str(bar).partition(chr(10))[0]}")
            sys.stderr.flush()
        elif self._handle is None:
            self._handle = display(bar, display_id=f"{DISPLAY}{secrets.token_hex(8)}")
        else:
            self._handle.update(bar)

    def _last(self, line: str) -> None:
        if self._handle is not None:
            self._handle.update(_Line(line))
        elif sys.stderr.isatty():
            sys.stderr.write(_ERASE)
            sys.stderr.flush()


@final
class _Line:
    """A line of text that replaces the bar."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _can_update() -> bool:
    """Whether displays can be updated: IPython's own publisher only prints them."""
    shell = get_ipython()
    return shell is not None and type(shell.display_pub) is not DisplayPublisher

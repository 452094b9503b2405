"""Saying how far long work has come, to whoever listens: building environments and images, installing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

Listener = Callable[[str, float | None], None]
"""Takes the step that begins, and how much of the whole is done, 0 to 1; None: nobody can say."""
_listener: ContextVar[Listener | None] = ContextVar("pcm_listener", default=None)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hand what work in this context reports to `listener`, which may be called from any thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(step: str, fraction: float | None = None) -> None:
    """Say which step of long work begins; nothing happens where nobody listens."""
    listener = _listener.get()
    if listener is not None:
        listener(step, fraction)

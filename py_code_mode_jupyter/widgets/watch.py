"""One thread that lets every panel that is displayed look at what it shows, once a second."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import final

_log = logging.getLogger(__name__)
Look = Callable[[], object]


class _Thread(threading.Thread):
    # The in-process place lets threads belong to the code that starts them; this one serves all panels.
    ownerless = True


@final
class Watch:
    """Calls what was added until it is removed. Its thread is there only while there is something to call.

    Parameters
    ----------
    interval
        Seconds between two calls.
    """

    def __init__(self, interval: float = 1.0) -> None:
        self._interval = interval
        self._changed = threading.Condition()
        self._looks: list[Look] = []
        self._thread: threading.Thread | None = None

    def add(self, look: Look) -> None:
        """Call `look` from now on; adding it twice is adding it once."""
        with self._changed:
            if look not in self._looks:
                self._looks.append(look)
            if self._thread is None:
                self._thread = _Thread(target=self._serve, name="pcm-widgets", daemon=True)
                self._thread.start()

    def remove(self, look: Look) -> None:
        """Call `look` no more; one call that has begun may still end."""
        with self._changed:
            if look in self._looks:
                self._looks.remove(look)
                self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            for look in self._next():
                try:
                    look()
                except Exception:  # noqa: BLE001 - one panel's defect must not stop the others
                    _log.exception("A panel could not be brought up to date, and stays as it is")
                    self.remove(look)
            with self._changed:
                self._changed.wait_for(lambda: not self._looks, timeout=self._interval)
                if not self._looks:
                    self._thread = None
                    return

    def _next(self) -> list[Look]:
        with self._changed:
            return [*self._looks]


WATCH = Watch()
"""The one of this process."""

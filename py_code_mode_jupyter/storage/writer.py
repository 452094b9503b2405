"""Writes to the run ledger in a thread of its own, in order, so that no run waits for the disk."""

from __future__ import annotations

import atexit
import contextvars
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, final

from ..errors import LedgerFormatError, StorageError
from . import database

REST = 0.05
"""Seconds from the first thing to write to the writing: a short run has ended by then, and nothing is in
its way. Of many runs, all within that time are written at a stroke."""
_RETRY = 2.0
"""Seconds after which a write that failed is tried again."""
_MOST_WAITING = 64 * 2**20
"""Bytes that wait for a file which cannot be written; what is older is given up."""
_log = logging.getLogger(__name__)


class Entry(Protocol):
    """Something to write."""

    size: int
    """About how many bytes it holds, once it is prepared."""

    def prepare(self) -> None:
        """Make what is to be written out of what was seen. Called once, before the first attempt."""

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it. Called again where the transaction that it was in has failed."""


_abandoned: list[sqlite3.Connection | None] = []
Tidy: TypeAlias = Callable[[sqlite3.Connection, Sequence[Entry]], None]


class _Thread(threading.Thread):
    # The in-process place lets threads belong to the code that starts them; this one serves all code.
    ownerless = True


@final
class Writer:
    """The one that writes the ledger of a storage folder in this process.

    Its thread lives as long as somebody holds it: a process may have many sessions over one storage, and
    when the last is closed nothing is left.

    Parameters
    ----------
    base
        The storage folder.
    tidy
        Called within each transaction with what was just written in it.
    """

    def __init__(self, base: Path, tidy: Tidy) -> None:
        self._base = base
        self._tidy = tidy
        self._process = 0
        self._connection: sqlite3.Connection | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Have nothing: at the beginning, and in the child of a fork, which has not got the thread."""
        if self._process:
            _abandoned.append(self._connection)  # closing it here would not do the parent's any good
        self._process = os.getpid()
        self._condition = threading.Condition()
        self._waiting: deque[Entry] = deque()
        self._thread: threading.Thread | None = None
        self._holders = 0
        self._hurry = False
        self._connection = None
        self._file: tuple[int, int] | None = None  # which file the connection writes
        self._backlog: list[Entry] = []  # prepared, and not written because the file could not be
        self._taken = 0  # entries that were put, and of them those that were dealt with
        self._done = 0
        self._has_warned = False

    def hold(self) -> None:
        """Let the thread live until `release`."""
        if self._process != os.getpid():
            self._begin_anew()
        with self._condition:
            self._holders += 1
            if self._holders == 1:
                atexit.register(self.flush)

    def release(self) -> None:
        """Write what waits and, if nobody else holds it, end the thread. It blocks."""
        if self._process != os.getpid():
            return
        with self._condition:
            self._holders -= 1
            is_last, thread = self._holders == 0, self._thread
            if is_last:
                atexit.unregister(self.flush)
            self._condition.notify_all()
        if not is_last:
            self.flush()
        elif thread is not None:
            thread.join(2 * database.BUSY_SECONDS)

    def put(self, entry: Entry) -> None:
        """Write `entry` soon. It never blocks."""
        if self._process != os.getpid():
            self._begin_anew()
        with self._condition:
            self._waiting.append(entry)
            self._taken += 1
            if self._thread is None:
                self._start()
            elif len(self._waiting) == 1:
                self._condition.notify_all()

    def flush(self, timeout: float = 2 * database.BUSY_SECONDS) -> None:
        """Wait until all that was put by now is written, or cannot be."""
        if self._process != os.getpid():
            return
        with self._condition:
            wanted = self._taken
            if self._thread is None:
                return
            self._hurry = True
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._done >= wanted or self._thread is None, timeout)

    # The thread

    def _start(self) -> None:
        # A fresh context: what is logged here must not count as the calling run's.
        thread = _Thread(
            target=contextvars.Context().run, args=(self._serve,), name="pcm-ledger", daemon=True
        )
        self._thread = thread
        thread.start()

    def _serve(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._deal_with(batch)
                with self._condition:
                    self._done += len(batch)
                    self._condition.notify_all()
        finally:
            with self._condition:
                if self._thread is threading.current_thread():  # something unforeseen ended it
                    self._end()

    def _end(self) -> None:
        """Leave nothing behind. Under the lock: whoever puts something now needs another thread."""
        self._disconnect()
        self._thread = None
        self._condition.notify_all()

    def _next(self) -> list[Entry] | None:
        """Wait for work, and then for more of it; None means that the thread is to end."""
        with self._condition:
            timeout = _RETRY if self._backlog else None
            self._condition.wait_for(lambda: self._waiting or self._is_urgent, timeout)
            self._condition.wait_for(lambda: self._is_urgent, REST)
            self._hurry = False
            batch = [*self._waiting]
            self._waiting.clear()
            if not batch and self._holders == 0:
                self._end()
                return None
            return batch

    @property
    def _is_urgent(self) -> bool:
        return self._hurry or self._holders == 0

    def _deal_with(self, batch: list[Entry]) -> None:
        for entry in batch:
            entry.prepare()
        self._backlog += batch
        if not self._backlog:
            return
        try:
            self._write(self._backlog)
            self._backlog = []
        except StorageError as error:
            self._disconnect()
            self._put_up_with(error)

    def _write(self, entries: list[Entry]) -> None:
        if self._connection is None or self._file != database.identity(self._base):
            self._disconnect()
            self._connection = database.open_for_writing(self._base)
            self._file = database.identity(self._base)
        with database.errors(self._base / database.FILE), database.transaction(self._connection):
            for entry in entries:
                entry.write(self._connection)
            self._tidy(self._connection, entries)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _put_up_with(self, error: StorageError) -> None:
        """Let runs go on unrecorded, and say so once."""
        if isinstance(error, LedgerFormatError):
            self._backlog = []  # it will not become better by itself
        while sum(entry.size for entry in self._backlog) > _MOST_WAITING:
            self._backlog = self._backlog[len(self._backlog) // 2 + 1 :]
        if not self._has_warned:
            self._has_warned = True
            _log.warning("Runs go on, but are not recorded now. %s", error)

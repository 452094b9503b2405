"""The run ledger's SQLite file: opened safely, brought to the present schema, its failures in our words.

The schema has a number (``user_version``). A file with a smaller one is brought up to date, one step of
`_STEPS` after the other in one transaction, by whoever opens it first for writing; so steps are only ever
added. A file with a larger one was made by a newer version of this package, and is left alone.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import LedgerFormatError, StorageUnavailableError
from .folder import Folder, storage_errors

FILE = "runs.sqlite"
BUSY_SECONDS = 5.0
"""Seconds to wait for another process that is just writing."""
_APPLICATION = 0x50434D52  # "PCMR" in the file's header says whose it is
_DISK = "See whether the disk is full or failing; what was kept before is untouched."
_RIGHTS = "Give this user read and write permission for the file and its folder."
_WAIT = "Another process is using it; try again."
# Whatever else SQLite complains of is the content.
_REMEDIES = {
    **dict.fromkeys(("BUSY", "LOCKED", "PROTOCOL"), _WAIT),
    **dict.fromkeys(("FULL", "IOERR", "NOMEM"), _DISK),
    **dict.fromkeys(("CANTOPEN", "PERM", "READONLY", "AUTH"), _RIGHTS),
}
_MOVE = "Move the file away (with -wal and -shm beside it); a new one is made by the next run."
# At a stroke: another process may just be making the file.
_HEADER = """
    SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
           (SELECT count(*) FROM sqlite_master)
"""
_STEPS = (
    """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, executor TEXT NOT NULL, limits TEXT NOT NULL,
        owner TEXT NOT NULL, started REAL NOT NULL
    ) STRICT;
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, kind TEXT NOT NULL,
        number INTEGER NOT NULL, status TEXT NOT NULL, started REAL NOT NULL, execution_time REAL,
        size INTEGER NOT NULL, state_preserved INTEGER NOT NULL DEFAULT 1,
        truncated INTEGER NOT NULL DEFAULT 0, replay_of INTEGER, code_is_whole INTEGER NOT NULL DEFAULT 1,
        deps TEXT NOT NULL, variables TEXT NOT NULL, given TEXT NOT NULL, code TEXT NOT NULL,
        value TEXT NOT NULL DEFAULT '', error TEXT, stdout TEXT NOT NULL DEFAULT '',
        stderr TEXT NOT NULL DEFAULT '', outputs TEXT NOT NULL DEFAULT '[]'
    ) STRICT;
    CREATE INDEX runs_of_sessions ON runs (session_id, id);
    CREATE INDEX runs_at_work ON runs (id) WHERE status = 'running';
    """,
)


def open_for_writing(base: Path) -> sqlite3.Connection:
    """Open the ledger of a storage folder, made if it is missing; for one thread at a time.

    Raises
    ------
    LedgerFormatError
        The file is damaged, another program's or a newer version's.
    StorageUnavailableError
        It cannot be written.
    """
    path = base / FILE
    with errors(path), contextlib.ExitStack() as stack:
        with storage_errors(base):
            if not _is_there(path):
                _make(path)
        connection = stack.enter_context(contextlib.closing(_connect(path)))
        _bring_up_to_date(connection, path)
        connection.execute("PRAGMA synchronous = NORMAL")
        stack.pop_all()
        return connection


@contextlib.contextmanager
def opened_for_reading(base: Path) -> Iterator[sqlite3.Connection | None]:
    """Open the ledger of a storage folder; None if there is none yet. Raises as `open_for_writing` does."""
    path = base / FILE
    if not _is_there(path):
        yield None
        return
    with errors(path), contextlib.closing(_connect(path)) as connection:
        _bring_up_to_date(connection, path)
        connection.row_factory = sqlite3.Row
        yield connection


@contextlib.contextmanager
def errors(path: Path) -> Iterator[None]:
    """Turn an error of SQLite about the file `path` into one of ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_").partition("_")[0]
        if name not in _REMEDIES:
            raise LedgerFormatError(str(path), f"it is damaged ({error})", remedy=_MOVE) from error
        problem = f"The run ledger {str(path)!r} cannot be used: {error}."
        raise StorageUnavailableError(str(path), problem, remedy=_REMEDIES[name]) from error


def identity(base: Path) -> tuple[int, int] | None:
    """Return which file the ledger of a storage folder is, that one put in its place is noticed."""
    try:
        found = (base / FILE).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _make(path: Path) -> None:
    """Make an empty file that only this user can read; SQLite gives its companions the same mode."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(path, flags, 0o600))


def _is_there(path: Path) -> bool:
    """Whether there is a regular file. Anything else, a link above all, is nothing that we have made."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise LedgerFormatError(str(path), "it is a link, or no file at all", remedy="Remove it.")
    return True


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    # What a schema that somebody else wrote asks for is not done.
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    application, version, tables = connection.execute(_HEADER).fetchone()
    if application != _APPLICATION and (tables or version or application):
        raise LedgerFormatError(str(path), "it is another program's database", remedy=_MOVE)
    if version > len(_STEPS):
        problem = f"it has the format {version}, and this version knows formats up to {len(_STEPS)}"
        raise LedgerFormatError(str(path), problem, remedy="Upgrade py_code_mode_jupyter.")
    return int(version)


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) == len(_STEPS):
        return
    with storage_errors(path.parent), Folder.open(path.parent) as folder, folder.locked():
        version = _version(connection, path)  # another process may have been first
        if version == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # possible only before the first table
            connection.execute("PRAGMA journal_mode = WAL")
        _take_steps(connection, version)


def _take_steps(connection: sqlite3.Connection, version: int) -> None:
    with transaction(connection):
        for step in _STEPS[version:]:
            for statement in filter(str.strip, step.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(_STEPS)}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do all that is written within, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise

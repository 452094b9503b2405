"""The session registry: which sessions live now over a storage folder, in whichever process.

On disk::

    sessions/               for this user alone, mode 0700
        ID.json             what a session says about itself, mode 0600
        ID.sock             the socket at which it can be steered, mode 0600

Where a session is steered follows from its id, not from what an entry says: a forged entry leads to no
other socket. An entry whose process has ended is removed by whoever reads it next.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from ..errors import ConfigurationError, SessionGoneError, StorageUnavailableError
from ..owner import is_here, is_orphan, owner, pid_of
from .folder import Folder, storage_errors
from .kept import clean, plain

SESSIONS = "sessions"
_ENTRY = re.compile(r"([0-9a-f]{32})\.json", re.ASCII)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_LARGEST = 2**16
_LONGEST = 200
_FIELDS = ("name", "executor", "owner", "owner_what", "started")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SessionEntry:
    """A session that lives in some process of this machine.

    Attributes
    ----------
    id, name, executor
        The incarnation's id, the session's name, and where its code runs.
    limits
        Its configuration without secrets.
    owner, owner_pid
        The process it lives in: told apart from every other, and its number.
    owner_what
        What that process is, such as ``kernel 3f2a...`` or a program's name.
    started
        When the session was started (UTC).
    endpoint
        Path of the Unix socket at which it can be steered.
    """

    id: str
    name: str
    executor: str
    limits: Mapping[str, Any]
    owner: str
    owner_what: str
    started: datetime
    endpoint: Path

    @property
    def owner_pid(self) -> int:
        """The number of the process it lives in."""
        return pid_of(self.owner)

    @contextlib.contextmanager
    def reaching(self) -> Iterator[str]:
        """Within, return a path of the socket that is short enough for the system's calls.

        Raises
        ------
        SessionGoneError
            There is no folder of sessions any more.
        StorageUnavailableError
            Others than this user can reach into it.
        """
        base = self.endpoint.parent.parent
        with contextlib.ExitStack() as stack:
            with storage_errors(base):
                folder = stack.enter_context(_opened(base))
            if folder is None:
                raise SessionGoneError(f"The session {self.name!r} has ended.")
            yield _short_path(folder, f"{self.id}.sock")

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; `started` in ISO 8601."""
        return {
            "id": self.id,
            "name": self.name,
            "executor": self.executor,
            "limits": dict(self.limits),
            "owner_pid": self.owner_pid,
            "owner_what": self.owner_what,
            "started": self.started.isoformat(),
            "endpoint": str(self.endpoint),
        }


@final
class SessionRegistry:
    """The sessions that live over one storage folder. Safe to use from several threads and processes."""

    def __init__(self, base_path: Path) -> None:
        self._base = base_path

    @property
    def path(self) -> Path:
        """The folder with one entry for each session."""
        return self._base / SESSIONS

    def entries(self) -> list[SessionEntry]:
        """Return the sessions that live on this machine, the oldest first; remove what dead ones have left.

        Entries that are broken are passed over.

        Raises
        ------
        StorageUnavailableError
            The folder cannot be read.
        """
        with storage_errors(self._base), _opened(self._base) as folder:
            found = [] if folder is None else [self._look(folder, name) for name in sorted(folder.names())]
        return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.started)

    def get(self, id: str) -> SessionEntry:
        """Return the session of this id.

        Raises
        ------
        SessionGoneError
            There is none, or no longer.
        """
        if isinstance(id, str) and _ID.fullmatch(id):
            with storage_errors(self._base), _opened(self._base) as folder:
                if folder is not None and (entry := self._look(folder, f"{id}.json")) is not None:
                    return entry
        raise SessionGoneError(f"There is no running session {str(id)[:_LONGEST]!r}.")

    def register(
        self, *, id: str, name: str, executor: str, limits: Mapping[str, Any], owner_what: str
    ) -> SessionEntry:
        """Make a session of this process known. Its socket is made by whoever serves it.

        Raises
        ------
        StorageUnavailableError
            The folder cannot be written.
        """
        if not isinstance(id, str) or not _ID.fullmatch(id):
            raise ConfigurationError("id", id, "not 32 hexadecimal digits.")
        entry = SessionEntry(
            id=id,
            name=clean(name)[:_LONGEST],
            executor=executor,
            limits=plain(limits),
            owner=owner(),
            owner_what=clean(owner_what)[:_LONGEST],
            started=datetime.now(UTC),
            endpoint=self.path / f"{id}.sock",
        )
        with storage_errors(self._base), Folder.open(self._base) as base:
            base.make(SESSIONS)
            with base.folder(SESSIONS) as folder:
                _write(folder, entry)
        return entry

    def remove(self, id: str) -> None:
        """Remove a session's entry and socket; fine if they are gone."""
        with contextlib.suppress(OSError), _opened(self._base) as folder:
            if folder is not None:
                _remove(folder, id)

    def _look(self, folder: Folder, name: str) -> SessionEntry | None:
        """Return an entry; None for a broken one, another machine's, or one whose process has ended."""
        if (match := _ENTRY.fullmatch(name)) is None:
            return None
        try:
            found = json.loads(folder.read(name, _LARGEST))
            entry = _entry(match[1], found, folder.file(f"{match[1]}.sock"))
        except (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError):
            return None
        if is_orphan(entry.owner):
            with contextlib.suppress(OSError):
                _remove(folder, entry.id)
            return None
        return entry if is_here(entry.owner) and entry.owner_pid else None


@contextlib.contextmanager
def _opened(base: Path) -> Iterator[Folder | None]:
    """Open the folder of the entries; None where no session was ever started."""
    with Folder.open(base) as outer:
        try:
            folder = outer.folder(SESSIONS)
        except FileNotFoundError:
            yield None
            return
        with folder:
            found = os.fstat(folder.fd)
            if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
                raise PermissionError(errno.EACCES, "others can reach it", SESSIONS)
            yield folder


def _entry(id: str, found: Mapping[str, Any], endpoint: Path) -> SessionEntry:
    texts = {name: found[name] for name in _FIELDS}
    if not all(isinstance(text, str) and len(text) <= _LONGEST for text in texts.values()):
        raise TypeError
    if not isinstance(found["limits"], dict):
        raise TypeError
    started = datetime.fromisoformat(texts.pop("started")).astimezone(UTC)
    return SessionEntry(id=id, limits=found["limits"], started=started, endpoint=endpoint, **texts)


def _write(folder: Folder, entry: SessionEntry) -> None:
    said = {name: getattr(entry, name) for name in ("name", "executor", "owner", "owner_what")}
    data = json.dumps({**said, "limits": entry.limits, "started": entry.started.isoformat()}).encode()
    if len(data) > _LARGEST:
        raise StorageUnavailableError(
            str(folder.path), "The session's configuration is too large to be shown."
        )
    # Not brought to the disk: after a power cut no session lives.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(f"{entry.id}.new", flags, 0o600, dir_fd=folder.fd), "wb") as file:
        file.write(data)
    folder.move(f"{entry.id}.new", folder, f"{entry.id}.json")


def _remove(folder: Folder, id: str) -> None:
    folder.remove(f"{id}.sock")
    folder.remove(f"{id}.json")


def _short_path(folder: Folder, name: str) -> str:
    """Return a path that leads over the open folder: a socket's may have 107 bytes."""
    through = Path(f"/proc/self/fd/{folder.fd}")
    return str((through if through.exists() else folder.path) / name)

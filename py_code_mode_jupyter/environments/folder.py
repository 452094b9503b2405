"""An environment's own folder: made for one owner, removed with it, swept when the owner was killed."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO

from ..errors import VenvError
from .process import end_marked

_PREFIX = "pcm-venv-"
_LOCK = "owner"
_UNOWNED_AFTER = 3600
"""Seconds after which a folder without a lock is one whose maker was killed while making it."""
_LONGEST_SOCKET_FOLDER = 80
"""A socket's path may have 107 bytes; the rest is for the socket's name."""


class OwnedFolder:
    """A private folder whose owner holds a lock in it for as long as it lives.

    The lock goes with the process, however that ends, so a later start can tell an orphan from a
    folder in use, without a process id that may have been given away again. A host that ends without
    closing what it opened removes the folder as its last act.

    Attributes
    ----------
    path
        The folder, after `create`.
    mark
        What the processes of this folder carry in their environment variable `MARK`; the lock's
        content, so that whoever finds an orphan can end them.
    """

    def __init__(self, parent: Path | None) -> None:
        self._parent = parent if parent is not None else Path(tempfile.gettempdir())
        self._lock: IO[str] | None = None
        self._elsewhere: OwnedFolder | None = None
        self._maker = os.getpid()
        self.path = self._parent
        self.mark = secrets.token_hex(16)

    def create(self) -> None:
        """Make the folder and its lock, and remove what killed owners left beside it.

        Raises
        ------
        VenvError
            The parent is missing, not a folder, or not writable.
        """
        try:
            self._parent.mkdir(parents=True, exist_ok=True)
            sweep(self._parent)
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
            self._take()
            atexit.register(self._at_exit)
        except OSError as error:
            self.remove()
            raise VenvError(
                f"No environment can be made in {self._parent}: {error.strerror or error}.",
                remedy="Give a venv_dir that exists or can be made, and that you can write to.",
            ) from error

    def _take(self) -> None:
        # Under its final name the file is locked from the first moment on.
        making = self.path / f"{_LOCK}.new"
        self._lock = making.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._lock.write(self.mark)
        self._lock.flush()
        making.rename(self.path / _LOCK)

    def sub(self, name: str) -> Path:
        """Return the sub-folder `name`, made if it is missing."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def sockets(self) -> Path:
        """Return a private folder whose path is short enough for sockets."""
        if self._elsewhere is not None:
            return self._elsewhere.path
        here = self.sub("run")
        if len(os.fsencode(here)) <= _LONGEST_SOCKET_FOLDER:
            return here
        self._elsewhere = OwnedFolder(Path("/tmp"))  # noqa: S108 - the folder made in it is private
        self._elsewhere.create()
        return self._elsewhere.path

    def remove(self) -> None:
        """Remove everything. Calling it again does nothing."""
        if self._elsewhere is not None:
            self._elsewhere.remove()
            self._elsewhere = None
        if self.path != self._parent:
            _remove(self.path)
            self.path = self._parent
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        if os.getpid() == self._maker:  # and not a fork of it
            self.remove()


def sweep(parent: Path) -> list[Path]:
    """Remove the folders in `parent` whose owners are gone, with their processes, and return them."""
    gone = [path for path in parent.glob(f"{_PREFIX}*") if _is_orphan(path)]
    for path in gone:
        _end_processes(path)
        _remove(path)
    return gone


def _end_processes(orphan: Path) -> None:
    # The kernel died with its host. What it had started did not.
    with contextlib.suppress(OSError):
        if mark := (orphan / _LOCK).read_text(errors="replace"):
            end_marked(mark)


def _is_orphan(path: Path) -> bool:
    try:
        about = path.lstat()
        if about.st_uid != os.getuid():
            return False
        if not (path / _LOCK).exists():
            return time.time() - about.st_mtime > _UNOWNED_AFTER
        with (path / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False


def _remove(path: Path) -> None:
    # Code may have taken its own rights away; walking does not follow links.
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)

"""An environment's own folder: made for one owner, removed with it, swept when the owner was killed."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import secrets
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import VenvError
from .process import end_marked

_PREFIX = "pcm-venv-"
_LOCK = "owner"
_UNOWNED_AFTER = 3600
"""Seconds after which a folder without a lock is one whose maker was killed while making it."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
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
    """Remove a folder that executed code could write in; what cannot be removed stays.

    It may hold links, folders without any rights, and folders in each other by the thousand. So no
    link is followed, and a folder that is found in one is moved up to the top instead of descended
    to: nothing here recurses or needs a long path.
    """
    with contextlib.suppress(OSError), _opened(path) as top:
        waiting = os.listdir(top)  # noqa: PTH208 - pathlib cannot list a descriptor
        while waiting:
            with contextlib.suppress(OSError):
                waiting += _remove_level(waiting.pop(), top)
        path.rmdir()


def _remove_level(name: str, top: int) -> list[str]:
    """Remove a file or folder in `top`, and return under which names its own folders now are there."""
    if _unlink(name, top):
        return []
    moved = []
    with _opened(name, top) as folder:
        for inner in os.listdir(folder):  # noqa: PTH208 - as above
            with contextlib.suppress(OSError):
                if not _unlink(inner, folder):
                    _take_over(inner, folder)
                    moved.append(secrets.token_hex(16))
                    os.rename(inner, moved[-1], src_dir_fd=folder, dst_dir_fd=top)
    os.rmdir(name, dir_fd=top)
    return moved


def _unlink(name: str, parent: int) -> bool:
    """Remove what is not a folder, and return whether that was so."""
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        return False
    os.unlink(name, dir_fd=parent)
    return True


@contextlib.contextmanager
def _opened(name: str | Path, parent: int | None = None) -> Iterator[int]:
    """Open a folder, whatever rights it has, but no link."""
    _take_over(name, parent)
    fd = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def _take_over(name: str | Path, parent: int | None) -> None:
    """Give its owner all rights to a folder, and to nothing else that may be there instead."""
    if sys.platform != "linux":
        os.chmod(name, 0o700, dir_fd=parent, follow_symlinks=False)
        return
    fd = os.open(name, os.O_PATH | _FOLDER, dir_fd=parent)
    try:
        Path(f"/proc/self/fd/{fd}").chmod(0o700)
    finally:
        os.close(fd)

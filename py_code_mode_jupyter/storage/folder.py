"""Folders whose files are opened without ever following a link.

Everything is relative to the descriptor of an open folder (``openat`` and its kin), and nothing below
the storage's own folder is opened through a symbolic link: whoever plants one there can make an
operation fail, but not reach outside.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, final

from ..errors import StorageUnavailableError

if TYPE_CHECKING:
    from types import TracebackType

    from ..formats import Buffer

INCOMING = ".incoming"
"""Folder of the files being written, beside their targets, so that a rename completes them."""
LOCK_TIMEOUT = 30.0
"""Seconds to wait for another process that is just saving."""
LITTER_AGE = 3600.0
"""Seconds after which a file that is still being written belongs to a process that died."""
SETTLED = 2.0
"""Seconds within which two changes of a folder may bear the same time."""

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a planted named pipe would wait for ever.
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_FULL = ("there is no room for it", "Make room on the disk; what was saved before is untouched.")
_DENIED = ("it is not permitted", "Give this user read and write permission, or choose another folder.")
_LINK = (
    "a link, or something else than a folder, is in the way",
    "Remove it: nothing in a storage folder may be a link.",
)
_PROBLEMS: dict[int | None, tuple[str, str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: ("the file system is read-only", "Choose a folder that can be written."),
    errno.ELOOP: _LINK,
    errno.ENOTDIR: _LINK,
    errno.EEXIST: ("a file has its name", "Remove the file, or choose another folder."),
    errno.EISDIR: ("a folder is in the way", "Remove it."),
    errno.ENOENT: ("it is missing", "Make a new FileStorage to create it again."),
    errno.EMFILE: ("too many files are open", "Close some, or raise the limit (ulimit -n)."),
}


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` about something in `path` into a `StorageUnavailableError`."""
    try:
        yield
    except OSError as error:
        problem, remedy = _PROBLEMS.get(error.errno, (error.strerror or str(error), ""))
        raise StorageUnavailableError(
            str(path), f"The storage folder {str(path)!r} cannot be used: {problem}.", remedy=remedy
        ) from error


@final
class Folder:
    """An open folder; a context manager that closes it."""

    __slots__ = ("_place", "fd")

    def __init__(self, fd: int, place: str) -> None:
        self.fd = fd
        self._place = place  # text, because a listing opens a thousand folders and joining paths is slow

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self._place)

    def file(self, name: str) -> Path:
        """Return the path of something in this folder."""
        return Path(f"{self._place}/{name}")

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Open the folder that the user named; the way to it may lead over links."""
        return cls(os.open(path, _FOLDER_FLAGS), str(path))

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)

    def make(self, name: str) -> None:
        """Make a private folder in this one, if nothing has its name."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self.fd)
            self.sync()

    def folder(self, name: str) -> Folder:
        """Open a folder in this one."""
        fd = os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=self.fd)
        return Folder(fd, f"{self._place}/{name}")

    def names(self) -> list[str]:
        """Return the names in this folder, in no order."""
        return os.listdir(self.fd)  # noqa: PTH208 - pathlib cannot list a descriptor

    def read(self, name: str, limit: int) -> bytes:
        """Return the bytes of a regular file.

        Raises
        ------
        OSError
            It is missing, a link (``ELOOP``), no regular file, or larger than `limit` bytes.
        """
        fd = os.open(name, _READ_FLAGS, dir_fd=self.fd)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", name)
            if found.st_size > limit:
                raise OSError(errno.EFBIG, "larger than expected", name)
            return _read_all(fd, found.st_size)
        finally:
            os.close(fd)

    def write(self, data: Buffer) -> str:
        """Write a new file to the end and to the disk, and return the name that it got."""
        name = f"{os.getpid()}-{secrets.token_hex(8)}"
        fd = os.open(name, _WRITE_FLAGS, 0o600, dir_fd=self.fd)
        try:
            with os.fdopen(fd, "wb", buffering=0) as file:
                rest = memoryview(data).cast("B")
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(fd)
        except BaseException:
            self.remove(name)
            raise
        return name

    def move(self, name: str, to: Folder, new_name: str) -> None:
        """Move a file or folder; what `new_name` was, link or file, is replaced and not followed."""
        os.rename(name, new_name, src_dir_fd=self.fd, dst_dir_fd=to.fd)

    def remove(self, name: str) -> None:
        """Remove a file, or what a link is and not what it leads to; fine if it is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def remove_tree(self, name: str) -> None:
        """Remove a folder and all in it without following links; fine if something stays behind."""
        shutil.rmtree(name, ignore_errors=True, dir_fd=self.fd)

    def sync(self) -> None:
        """Bring the names in this folder to the disk."""
        os.fsync(self.fd)

    def sweep(self) -> None:
        """Remove what processes left here that died while they were writing or deleting."""
        for name in self.names():
            with contextlib.suppress(OSError):
                found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    self.remove_tree(name)
                elif time.time() - found.st_mtime > LITTER_AGE:
                    self.remove(name)

    def is_same(self, name: str, other: Folder) -> bool:
        """Whether `name` in this folder still is the open folder `other`."""
        try:
            here = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(here, os.fstat(other.fd))

    def stamp(self, name: str) -> tuple[int, ...] | None:
        """Return what changes whenever a folder's entries do; None if it is gone or changed just now."""
        try:
            found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if time.time() - found.st_ctime < SETTLED:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns

    @contextlib.contextmanager
    def locked(self, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
        """Hold this folder's lock against other processes and threads; it dies with its holder."""
        deadline = time.monotonic() + timeout
        while not self._try_lock():
            if time.monotonic() > deadline:
                raise StorageUnavailableError(
                    str(self.path),
                    f"Another process has held the lock of {str(self.path)!r} for {timeout:g} s.",
                    remedy="End that process, or try again.",
                )
            time.sleep(0.002)
        try:
            yield
        finally:
            fcntl.flock(self.fd, fcntl.LOCK_UN)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _read_all(fd: int, size: int) -> bytes:
    """Read a file of `size` bytes at a stroke, a large one in as many as the system needs."""
    data = os.read(fd, size + 1)  # one more than it should have is enough to notice that it grows
    if len(data) >= size:
        return data
    parts = [data]
    while part := os.read(fd, 2**24):
        parts.append(part)
    return b"".join(parts)

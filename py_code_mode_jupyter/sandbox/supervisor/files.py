"""Files of the working folder, read and written in slices for the host. It blocks.

Whatever is there, executed code has put there: links are not followed, and what would block when
it is opened is not opened.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Sequence

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FileError(Exception):
    """The path leads elsewhere, or the file cannot be read or written."""


def read(root: str, path: str, offset: int, size: int) -> tuple[int, bytes]:
    """Return how large a file is, and up to `size` bytes of it, from `offset` on."""
    folder, name = _parent(root, path)
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise _failed(path, error) from error
    finally:
        os.close(folder)
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise FileError(f"{path!r} is not a file")
        return about.st_size, os.pread(fd, size, offset)
    finally:
        os.close(fd)


def write(root: str, path: str, unfinished: str, data: Sequence[memoryview], *, is_last: bool) -> str:
    """Append to a file that gets its name with the last slice; return its name until then."""
    folder, name = _parent(root, path)
    making = unfinished or f".pcm-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    flags |= 0 if unfinished else os.O_CREAT | os.O_EXCL
    try:
        fd = os.open(making, flags, 0o644, dir_fd=folder)
        try:
            for piece in data:
                _write_all(fd, piece)
        finally:
            os.close(fd)
        if is_last:
            _refuse_link(name, folder)
            os.rename(making, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        _forget(making, folder)
        raise _failed(path, error) from error
    finally:
        os.close(folder)
    return making


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _refuse_link(name: str, folder: int) -> None:
    try:
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(about.st_mode):
        raise OSError(errno.ELOOP, "it is a link")


def _failed(path: str, error: OSError) -> FileError:
    return FileError(f"the path {path!r} in the working folder: {error.strerror}")


def _forget(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        return


def _parent(root: str, path: str) -> tuple[int, str]:
    """Open the folder that a relative path is in, one part after the other, and return the last part."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or "\0" in path or not parts:
        raise FileError(f"{path!r} is not a relative path inside of the working folder")
    folder = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
    except OSError as error:
        os.close(folder)
        raise _failed(path, error) from error
    return folder, parts[-1]

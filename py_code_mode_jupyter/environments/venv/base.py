"""The bases below every fresh environment: what each kernel contains, compiled, read-only, shared.

Installing ipykernel afresh would take half a second and starting it uncompiled another half. So
there is one base with ipykernel and what it needs per interpreter and set of versions, and one with
this package per content. Both are built once; an environment is an empty one whose path leads on to
them, so what is installed in a session lands in the session's own folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import py_code_mode_jupyter

from ...errors import VenvError
from ..reporting import report
from ..uv import run_uv

_log = logging.getLogger(__name__)
PACKAGES = ("ipykernel", "ipywidgets", "matplotlib-inline", "packaging", "psutil")
"""What every kernel contains beside this package."""
_PINNED = ("ipykernel", "ipython", "jupyter-client", "pyzmq", "tornado", "traitlets", "matplotlib-inline")
_COMPLETE = "complete"
_UNUSED_AFTER = 60 * 86400


class Base(NamedTuple):
    """Bases that are ready.

    Attributes
    ----------
    packages, own
        The folders to import from: third parties', and this package's.
    installer
        A folder with pip alone, on the path only where packages may be added.
    """

    packages: Path
    own: Path
    installer: Path

    @property
    def search_path(self) -> tuple[Path, ...]:
        """What is on the path of every environment."""
        return (self.packages, self.own)


def ensure_base(cache: Path, interpreter: Path, *, timeout: float) -> Base:
    """Return the bases for `interpreter` below `cache`, building what is missing or was changed.

    It blocks; many processes may call it at once, one of them builds.

    Raises
    ------
    VenvError
        They could not be built. Nothing half-made is ever used.
    """
    python = [str(interpreter.resolve()), str(interpreter.stat().st_mtime_ns)]
    packages = cache / f"base-{_key(*python, *_requirements())}"
    own = cache / f"own-{_key(*python, *_own_files())}"
    try:
        _ensure(packages, lambda: _build_packages(packages, interpreter, timeout))
        _ensure(own, lambda: _build_own(own, interpreter, timeout))
    except OSError as error:
        raise VenvError(
            f"The base environment could not be built in {cache}: {error.strerror or error}.",
            remedy="Make the folder writable.",
        ) from error
    return Base(packages / "packages", own / "packages", packages / "installer")


def discard_if_changed(base: Base) -> bool:
    """Remove bases that somebody has written to, so that no later session runs what they wrote.

    A process of the same user can write there unless it is confined; the change times tell. They also change
    with a mode, which confined code can set: then the content decides, for other sessions may use the base.
    """
    touched = [
        f.parent for f in base.search_path if (f.parent / _COMPLETE).exists() and not _is_untouched(f.parent)
    ]
    return any([_discard_unless_whole(folder) for folder in touched])


def _discard_unless_whole(folder: Path) -> bool:
    with _locked(folder):
        if _is_whole(folder):
            return False
        _remove(folder)
        return True


def _key(*parts: str) -> str:
    """Name a base by all that decides its content."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _requirements() -> list[str]:
    """Return the requirements, at the versions that run here: both sides then speak alike."""
    wanted = list(PACKAGES)
    for name in _PINNED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            wanted.append(f"{name}=={metadata.version(name)}")
    return wanted


def _own_package() -> Path:
    return Path(py_code_mode_jupyter.__file__).parent


def _own_files() -> list[str]:
    package = _own_package()
    files = sorted(package.rglob("*.py"))
    return [f"{path.relative_to(package)}:{path.stat().st_mtime_ns}" for path in files]


def _ensure(folder: Path, build: Callable[[], None]) -> None:
    """Build `folder` unless it is there; whoever comes meanwhile waits."""
    marker = folder / _COMPLETE
    if not marker.exists():
        with _locked(folder):
            if not marker.exists():
                _build(folder, build)
    os.utime(marker)


def _build(folder: Path, build: Callable[[], None]) -> None:
    _log.warning("Building %s; this is done once.", folder)
    report("building what environments share, which is done once")
    started = time.monotonic()
    _remove(folder)
    try:
        build()
        _seal(folder)
    except BaseException:
        _remove(folder)
        raise
    _prune(folder.parent)
    _log.warning("It was built in %.1f s.", time.monotonic() - started)


def _prune(cache: Path) -> None:
    """Remove bases that nothing has been started on for a long time."""
    for marker in cache.glob(f"*/{_COMPLETE}"):
        if time.time() - marker.stat().st_mtime > _UNUSED_AFTER:
            with _locked(marker.parent):
                _remove(marker.parent)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_packages(folder: Path, interpreter: Path, timeout: float) -> None:
    _install(folder / "packages", interpreter, _requirements(), timeout)
    _install(folder / "installer", interpreter, ["pip"], timeout)
    _compile(folder, interpreter, timeout)


def _build_own(folder: Path, interpreter: Path, timeout: float) -> None:
    ignore = shutil.ignore_patterns("__pycache__", "labextension")
    shutil.copytree(_own_package(), folder / "packages" / _own_package().name, ignore=ignore)
    _compile(folder, interpreter, timeout)


def _install(target: Path, interpreter: Path, packages: list[str], timeout: float) -> None:
    # Copies, not links: what a session does to a file must not reach uv's cache and other users of it.
    options: list[str | Path] = [
        "--target",
        target,
        "--python",
        interpreter,
        "--link-mode",
        "copy",
        "--quiet",
    ]
    outcome = run_uv(["pip", "install", *options, "--", *packages], timeout=timeout)
    if not outcome.ok:
        remedy = (
            "Connect to the package index once; afterwards the base is kept." if outcome.unreachable else ""
        )
        raise VenvError("The base environment could not be installed.", log=outcome.log, remedy=remedy)


def _compile(folder: Path, interpreter: Path, timeout: float) -> None:
    # Unchecked: the files never change, and a stat per import is saved.
    command = [str(interpreter), "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    subprocess.run(
        [*command, str(folder)], check=False, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True
    )


def _make_read_only(folder: Path) -> None:
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


def _remove(folder: Path) -> None:
    if folder.exists():
        folder.chmod(0o700)
        (folder / _COMPLETE).unlink(missing_ok=True)  # first: whoever starts now waits for a new one
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)


def _seal(folder: Path, expected: str | None = None) -> None:
    """Make a base read-only and mark it as complete; `ValueError` if it holds anything but what is expected."""
    _make_read_only(folder)
    # In this order: what is written while we read has a later change time than the mark says.
    touched = _last_touch(folder)
    content = _content(folder)
    if expected not in (None, content):
        raise ValueError(f"{folder} holds something else")
    (folder / _COMPLETE).write_text(f"{touched}\n{content}")


def _mark(folder: Path) -> list[str]:
    """Return what the mark of a base says: its last touch, and what tells its content."""
    try:
        return (folder / _COMPLETE).read_text().splitlines()
    except OSError:
        return []


def _is_untouched(folder: Path) -> bool:
    try:
        return _mark(folder)[:1] == [_last_touch(folder)]
    except OSError:
        return False


def _is_whole(folder: Path) -> bool:
    """Whether a base that was touched holds what it held, and nothing else; it is sealed again then."""
    try:
        # The size first: what has become large is not read.
        _, content = _mark(folder)
        if not content.startswith(f"{_size(folder)} "):
            return False
        _seal(folder, content)
    except (OSError, ValueError):
        return False
    return True


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in _entries(folder) if path.is_symlink() or not path.is_dir())


def _content(folder: Path) -> str:
    """Return the size of all files of a base, and a digest of all that is in it."""
    digest = hashlib.sha256()
    for path in _entries(folder):
        digest.update(f"{path.relative_to(folder)}\0".encode(errors="surrogateescape"))
        digest.update(hashlib.sha256(_read(path)).digest())
    return f"{_size(folder)} {digest.hexdigest()}"


def _entries(folder: Path) -> list[Path]:
    """Return all that is in a base but its mark, in order."""
    return sorted(path for path in folder.rglob("*") if path != folder / _COMPLETE)


def _read(path: Path) -> bytes:
    """Return the bytes of a file, or where a link leads; what is neither, nor a folder, has no place in a base."""
    if path.is_symlink():
        return b"link " + os.fsencode(path.readlink())
    if path.is_dir():
        return b"folder"
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return b"file " + file.read(about.st_size)


def _last_touch(folder: Path) -> str:
    """Return the number of files and the latest change of any; change times cannot be set back."""
    latest, count = 0, 0
    folder = folder.resolve()  # fwalk() would not enter a link
    # Names relative to an open folder take a fifth less than paths: 12,000 files, at every close.
    for top, _, names, opened in os.fwalk(folder):
        if top == str(folder):
            continue
        for name in (".", *names):
            count += 1
            latest = max(latest, os.stat(name, dir_fd=opened, follow_symlinks=False).st_ctime_ns)
    return f"{count} {latest}"

"""The base below every fresh environment: ipykernel and what it needs, compiled, read-only, shared.

Installing ipykernel afresh would take half a second and starting it uncompiled another half. The
base is built once per interpreter and set of packages; an environment is an empty one whose path
leads on to it, so what is installed in a session lands in the session's own folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import py_code_mode_jupyter

from ...errors import VenvError
from ..uv import run_uv

_log = logging.getLogger(__name__)
PACKAGES = ("ipykernel", "ipywidgets", "matplotlib-inline", "packaging", "psutil")
"""What every kernel contains beside this package."""
_PINNED = ("ipykernel", "ipython", "jupyter-client", "pyzmq", "tornado", "traitlets", "matplotlib-inline")
_COMPLETE = "complete"


class Base(NamedTuple):
    """A base that is ready.

    Attributes
    ----------
    packages
        The folder to import from.
    installer
        A folder with pip alone, on the path only where packages may be added.
    built_in
        Seconds that building took just now, 0.0 if it was there.
    """

    packages: Path
    installer: Path
    built_in: float = 0.0


def ensure_base(cache: Path, interpreter: Path, *, timeout: float) -> Base:
    """Return the base for `interpreter` below `cache`, building it if it is missing or was changed.

    It blocks; many processes may call it at once, one of them builds.

    Raises
    ------
    VenvError
        It could not be built. Nothing half-made is ever used.
    """
    folder = cache / _key(interpreter)
    if _is_intact(folder):
        return _base(folder, 0.0)
    try:
        with _locked(cache, folder.name):
            started = time.monotonic()
            if not _is_intact(folder):
                _log.warning("Building the base environment for %s; this is done once.", interpreter)
                _build(folder, interpreter, timeout)
                _log.warning("The base environment was built in %.1f s.", time.monotonic() - started)
                return _base(folder, time.monotonic() - started)
    except OSError as error:
        raise VenvError(
            f"The base environment could not be built in {cache}: {error.strerror or error}.",
            remedy="Make the folder writable, or set XDG_CACHE_HOME to one that is.",
        ) from error
    return _base(folder, 0.0)


def discard_if_changed(base: Base) -> bool:
    """Remove a base that somebody has written to, so that no later session runs what they wrote.

    A process of the same user can write there unless it is confined; the change times tell.
    """
    folder = base.packages.parent
    if not (folder / _COMPLETE).exists() or _is_intact(folder, thorough=True):
        return False
    with _locked(folder.parent, folder.name):
        _remove(folder)
    return True


def _base(folder: Path, built_in: float) -> Base:
    return Base(folder / "packages", folder / "installer", built_in)


def _key(interpreter: Path) -> str:
    """Name the base by all that decides its content."""
    parts = [str(interpreter.resolve()), *_requirements(), *_own_files()]
    with contextlib.suppress(OSError):
        parts.append(str(interpreter.stat().st_mtime_ns))
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


@contextlib.contextmanager
def _locked(cache: Path, name: str) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(folder: Path, interpreter: Path, timeout: float) -> None:
    _remove(folder)
    base = _base(folder, 0.0)
    try:
        _install(base.packages, interpreter, _requirements(), timeout)
        _install(base.installer, interpreter, ["pip"], timeout)
        shutil.copytree(
            _own_package(),
            base.packages / _own_package().name,
            ignore=shutil.ignore_patterns("__pycache__", "labextension"),
        )
        _compile(folder, interpreter, timeout)
        _make_read_only(folder)
        (folder / _COMPLETE).write_text(_fingerprint(folder))
    except BaseException:
        _remove(folder)
        raise


def _install(target: Path, interpreter: Path, packages: list[str], timeout: float) -> None:
    # Copies, not links: what a session does to a file must not reach uv's cache and other users of it.
    options = ["--target", target, "--python", interpreter, "--link-mode", "copy", "--quiet"]
    outcome = run_uv(["pip", "install", *options, "--", *packages], timeout=timeout)
    if not outcome.ok:
        remedy = "Connect to the package index once; afterwards the base is kept." if outcome.unreachable else ""
        raise VenvError("The base environment could not be installed.", log=outcome.log, remedy=remedy)


def _compile(folder: Path, interpreter: Path, timeout: float) -> None:
    # Unchecked: the files never change, and a stat per import is saved.
    command = [str(interpreter), "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    subprocess.run(  # noqa: S603 - our interpreter on our folder
        [*command, str(folder)], check=False, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True
    )


def _make_read_only(folder: Path) -> None:
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


def _remove(folder: Path) -> None:
    if folder.exists():
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)


def _is_intact(folder: Path, *, thorough: bool = False) -> bool:
    try:
        recorded = (folder / _COMPLETE).read_text()
    except OSError:
        return False
    return not thorough or recorded == _fingerprint(folder)


def _fingerprint(folder: Path) -> str:
    """Return the number of files and the latest change of any; change times cannot be set back."""
    latest, count = 0, 0
    for top, _, names in os.walk(folder):
        if top == str(folder):
            continue
        for path in (top, *(os.path.join(top, name) for name in names)):  # noqa: PTH118 - thousands of them
            count += 1
            latest = max(latest, os.lstat(path).st_ctime_ns)
    return f"{count} {latest}"

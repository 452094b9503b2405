"""Packages that were added to a container: which there are, unpacking more, removing them. It blocks.

They arrive as an archive that the host has filled, for the container may have no network. They go
to a file system in memory that exists only where packages may be added.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sysconfig
import tarfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import IO

FOLDER = Path("/deps")
"""Where added packages are, first on the path of kernels."""


def installed() -> dict[str, str]:
    """Return names and versions of all packages, those that were added first."""
    found: dict[str, str] = {}
    for one in metadata.distributions(path=[str(FOLDER), sysconfig.get_path("purelib")]):
        name = one.metadata["Name"]
        if name:
            found.setdefault(name, one.version)
    return found


def unpack(archive: IO[bytes], folder: Path) -> None:
    """Unpack an archive into `folder`, replacing what is there.

    Raises
    ------
    OSError, tarfile.TarError
        There is no room, or it is no archive of plain files.
    """
    with tarfile.open(fileobj=archive, mode="r|") as packed:
        packed.extractall(folder, filter=_replacing)  # noqa: S202 - it asks the filter "data" first


def _replacing(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Let a member of an archive through, and take away the file that it replaces.

    Written over, a library that the kernel has loaded would crash it.
    """
    # Code may have put links there; the filter lets none lead out, and what is outside is not ours to change.
    harmless = tarfile.data_filter(member, folder)
    if harmless is not None and harmless.isreg():
        with contextlib.suppress(FileNotFoundError):
            Path(folder, harmless.name).unlink()
    return harmless


def remove(name: str) -> bool:
    """Remove an added package, and return whether there was one."""
    for one in metadata.distributions(name=name, path=[str(FOLDER)]):
        for path in _files(one):
            with contextlib.suppress(OSError):
                path.unlink()
        shutil.rmtree(getattr(one, "_path", FOLDER / "none"), ignore_errors=True)
        return True
    return False


def _files(package: metadata.Distribution) -> Iterator[Path]:
    top = os.path.realpath(FOLDER)
    for file in package.files or ():
        path = Path(os.path.normpath(FOLDER / file))
        if os.path.realpath(path.parent).startswith(f"{top}{os.sep}") or str(path.parent) == top:
            yield path

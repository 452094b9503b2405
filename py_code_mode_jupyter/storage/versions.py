"""One artifact's folder: which versions are in it, what is known about them, and their data."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import ArtifactFormatError, StorageUnavailableError
from ..formats import Encoded, kind_of
from ..formats.info import ArtifactInfo

if TYPE_CHECKING:
    from .folder import Folder

MAX_INFO = 2**20
"""Bytes of one ``.info.json``: metadata and description fit with all their escapes."""
MAX_NUMBER = 10**10
"""A version's number has at most ten digits."""
_INFO = re.compile(r"([1-9][0-9]{0,9})\.info\.json", re.ASCII)
_NUMBERED = re.compile(r"([1-9][0-9]{0,9})\..*", re.ASCII | re.DOTALL)
# What a link, a pipe, a folder or a giant in the place of a file fails with, and one deleted meanwhile.
_FOREIGN = {
    errno.EACCES,
    errno.EFBIG,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
}
# How often to look again where a folder was replaced, or a version pruned, between two calls.
ATTEMPTS = 20


def data_name(version: int, format: str) -> str:
    """Return the name of a version's data file."""
    return f"{version}{kind_of(format)[0]}"


def info_text(fields: dict[str, Any]) -> bytes:
    """Return the content of a version's ``.info.json``."""
    return json.dumps(fields, ensure_ascii=False, indent=2).encode() + b"\n"


def next_number(folder: Folder) -> int:
    """Return a number above all in use, that of a version being made or half removed included."""
    matches = (_NUMBERED.fullmatch(name) for name in folder.names())
    number = 1 + max((int(match[1]) for match in matches if match), default=0)
    if number >= MAX_NUMBER:
        raise StorageUnavailableError(
            str(folder.path),
            f"There is no version number left in {str(folder.path)!r}.",
            remedy="Remove the files with the highest numbers, which no save has made.",
        )
    return number


def present(folder: Folder) -> list[int]:
    """Return the numbers of the complete versions, the newest first."""
    found = (int(match[1]) for name in folder.names() if (match := _INFO.fullmatch(name)))
    return sorted(found, reverse=True)


def _pass_over(error: OSError) -> None:
    """Pass over what is not (or no longer) an artifact's; other failures are not hidden."""
    if error.errno not in _FOREIGN:
        raise error


def _info(folder: Folder, name: str, version: int) -> ArtifactInfo | None:
    """Return what is known about a version; None if that was damaged from outside.

    Raises
    ------
    FileNotFoundError
        It was just pruned, so that newer ones have come.
    """
    try:
        fields = json.loads(folder.read(f"{version}.info.json", MAX_INFO))
        path = folder.file(data_name(version, fields["format"]))
        # The names on the disk count: a person may have renamed or copied the folder.
        return ArtifactInfo.from_dict({**fields, "name": name, "version": version}, path=path)
    except FileNotFoundError:
        raise
    except OSError as error:
        _pass_over(error)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass  # the newest version that is whole is the one to show
    return None


def folder_of(artifacts: Folder, name: str) -> Folder | None:
    """Open an artifact's folder; None if there is none, or something else has its name."""
    try:
        return artifacts.folder(name)
    except OSError as error:
        _pass_over(error)
    return None


def newest(artifacts: Folder, name: str, version: int | None = None) -> ArtifactInfo | None:
    """Return what is known about the newest version that is whole, or about the one asked for."""
    if (opened := folder_of(artifacts, name)) is None:
        return None
    with opened as folder:
        for _ in range(ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                wanted = (number for number in present(folder) if version in (None, number))
                infos = (_info(folder, name, number) for number in wanted)
                return next((info for info in infos if info is not None), None)
    return None


def all_versions(folder: Folder, name: str) -> list[ArtifactInfo]:
    """Return what is known about every version that is whole, the newest first."""
    found: list[ArtifactInfo] = []
    for _ in range(ATTEMPTS):
        known = present(folder)
        for number in known:
            with contextlib.suppress(FileNotFoundError):
                found += [info] if (info := _info(folder, name, number)) is not None else []
        if found or not known:
            break
    return found


def load(artifacts: Folder, name: str, version: int | None) -> tuple[Encoded, ArtifactInfo] | None:
    """Return the bytes of a version and what is known about it; None if it does not exist."""
    if (info := newest(artifacts, name, version)) is None:
        return None
    with artifacts.folder(name) as folder:
        data = _read_data(folder, info)
    return Encoded(format=info.format, data=data, summary=info.summary), info


def _read_data(folder: Folder, info: ArtifactInfo) -> bytes:
    try:
        data = folder.read(data_name(info.version, info.format), info.size)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _changed(info) from error
    if len(data) != info.size or hashlib.sha256(data).hexdigest() != info.sha256:
        raise _changed(info)
    return data


def _changed(info: ArtifactInfo) -> ArtifactFormatError:
    return ArtifactFormatError(
        f"The file of artifact {info.name!r}, version {info.version}, was changed since it was saved.",
        remedy="Load an older version, or save it again.",
    )


@contextlib.contextmanager
def locked(artifacts: Folder, name: str, *, create: bool = False) -> Iterator[Folder]:
    """Open an artifact's folder and hold its lock; somebody may delete it while we wait."""
    for _ in range(ATTEMPTS):
        if create:
            artifacts.make(name)
        try:
            opened = artifacts.folder(name)
        except FileNotFoundError:
            if not create:
                raise
            continue
        with opened as folder, folder.locked():
            if artifacts.is_same(name, folder):
                yield folder
                return
    raise StorageUnavailableError(
        str(artifacts.path), f"Artifact {name!r} is deleted as fast as it is saved.", remedy="Try again."
    )


def prune(folder: Folder, keep: int) -> None:
    """Remove the oldest versions, and data that a process left which died before it was done."""
    kept = set(present(folder)[:keep])
    # The descriptions first: a version without one does not exist.
    for name in sorted(folder.names(), key=lambda name: _INFO.fullmatch(name) is None):
        match = _NUMBERED.fullmatch(name)
        if match and int(match[1]) not in kept:
            with contextlib.suppress(OSError):
                folder.remove(name)

"""One workflow's files: its source, which a person may edit, and what is known about it beside that."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, final

from ..errors import InvalidWorkflowError, StorageError
from ..workflow import MAX_SOURCE, ORIGINS, Workflow, WorkflowInfo, isolation, read_source
from ..workflow.info import MAX_DESCRIPTION
from ..workflow.names import is_workflow_name
from ..workflow.source import visible

if TYPE_CHECKING:
    from pathlib import Path

    from .folder import Folder

ABOUT = ".about"
SUFFIX = ".py"
MAX_ABOUT = 2**18
"""Bytes of a description: its text and parameters fit with all their escapes."""
Stamps: TypeAlias = tuple[tuple[int, ...] | None, tuple[int, ...] | None]
_NO_SOURCE = "0" * 64
"""The digest of what is no source."""
_MOST_ISOLATED = max(ORIGINS, key=lambda place: ORIGINS[place])
_PROBLEMS = {
    errno.EACCES: "its file cannot be read",
    errno.EFBIG: f"its source is larger than {MAX_SOURCE // 1024} KiB",
    errno.EINVAL: "its file is no regular file",
    errno.EISDIR: "its file is a folder",
    errno.ELOOP: "its file is a link, and nothing in a storage folder may be one",
    errno.ENXIO: "its file is no regular file",
}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What is kept beside a source.

    Attributes
    ----------
    info
        The workflow as it was when it was written.
    has_description
        Whether its description was given, and not taken from its docstring.
    approvals
        The digests of the sources that a person has approved, by the place in which they may run.
    """

    info: WorkflowInfo
    has_description: bool = False
    approvals: Mapping[str, str] = field(default_factory=dict, hash=False)

    def needs_consent(self, info: WorkflowInfo, place: str) -> bool:
        """Whether nobody has allowed the source that `info` is about to run in `place`."""
        if isolation(info.origin) <= isolation(place):
            return False
        fitting = (sha256 for where, sha256 in self.approvals.items() if isolation(where) <= isolation(place))
        return info.sha256 not in fitting

    def approved(self, place: str, sha256: str) -> About:
        """Return it with one approval more."""
        return replace(self, approvals={**self.approvals, place: sha256})

    def text(self) -> bytes:
        """Return it as the content of its file."""
        more = {"has_description": self.has_description, "approvals": dict(self.approvals)}
        return json.dumps(self.info.to_dict() | more, ensure_ascii=False, indent=2).encode() + b"\n"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A workflow, and what is kept beside it."""

    workflow: Workflow
    about: About


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """The open folders of all workflows.

    Attributes
    ----------
    sources, about
        The folder of the sources, and the one of what is kept beside them.
    incoming
        The folder of files being written.
    """

    sources: Folder
    about: Folder
    incoming: Folder


def source_name(name: str) -> str:
    """Return the name of a workflow's file."""
    return f"{name}{SUFFIX}"


def names(shelf: Shelf) -> list[str]:
    """Return the names of the workflows, in no order."""
    stems = (entry.removesuffix(SUFFIX) for entry in shelf.sources.names() if entry.endswith(SUFFIX))
    return [stem for stem in stems if is_workflow_name(stem)]


def stamps(shelf: Shelf, name: str) -> Stamps:
    """Return what changes whenever one of a workflow's files does."""
    return shelf.sources.stamp(source_name(name)), shelf.about.stamp(_about_name(name))


def read(shelf: Shelf, name: str) -> Found | None:
    """Return a workflow as its files now are; None if there is none."""
    found = read_locked(shelf, name)
    if found is None or found.about.info.sha256 == found.workflow.info.sha256:
        return found
    # Somebody has edited the source, or both are being replaced, and then the origin may be another's.
    with shelf.sources.locked():
        return read_locked(shelf, name)


def read_locked(shelf: Shelf, name: str) -> Found | None:
    """Return a workflow as its files now are, while the lock of the sources is held."""
    data, problem = _read_source(shelf, name)
    if data is None and not problem:
        return None
    about = _read_about(shelf, name) or _by_hand(shelf, name)
    return _found(about, shelf.sources.file(source_name(name)), data or b"", problem)


def write(shelf: Shelf, source: str, about: About) -> None:
    """Write a workflow, in an order in which it never seems less isolated than it is."""
    name = about.info.name
    before = _read_about(shelf, name)
    was = isolation(before.info.origin) if before is not None else 0
    if isolation(about.info.origin) >= was:
        write_about(shelf, name, about)
        _replace(shelf, shelf.sources, source_name(name), source.encode())
    else:
        _replace(shelf, shelf.sources, source_name(name), source.encode())
        write_about(shelf, name, about)


def write_about(shelf: Shelf, name: str, about: About) -> None:
    """Write what is kept beside a source."""
    _replace(shelf, shelf.about, _about_name(name), about.text())


def remove(shelf: Shelf, name: str) -> bool:
    """Remove a workflow, its source first; return whether there was one."""
    was_there = source_name(name) in shelf.sources.names()
    if was_there:
        shelf.sources.remove(source_name(name))
        shelf.sources.sync()
    shelf.about.remove(_about_name(name))
    return was_there


def valid_description(name: str, description: object) -> str:
    """Return `description` as text that can be seen; raise `InvalidWorkflowError` if it is too long."""
    if not isinstance(description, str) or len(description) > MAX_DESCRIPTION:
        problem = f"its description is not text of at most {MAX_DESCRIPTION:,} characters"
        raise InvalidWorkflowError(name, problem)
    return visible(description)


def _about_name(name: str) -> str:
    return f"{name}.json"


def _replace(shelf: Shelf, folder: Folder, name: str, data: bytes) -> None:
    written = shelf.incoming.write(data)
    try:
        shelf.incoming.move(written, folder, name)
    finally:
        shelf.incoming.remove(written)
    folder.sync()


def _read_source(shelf: Shelf, name: str) -> tuple[bytes | None, str]:
    try:
        return shelf.sources.read(source_name(name), MAX_SOURCE), ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        if error.errno not in _PROBLEMS:
            raise
        return None, _PROBLEMS[error.errno]


def _found(about: About, path: Path, data: bytes, problem: str) -> Found:
    sha256 = hashlib.sha256(data).hexdigest()
    source = data.decode("utf-8-sig", "replace")
    if about.info.sha256 == sha256 and not problem:
        return Found(workflow=Workflow(info=replace(about.info, path=path), source=source), about=about)
    info = replace(about.info, sha256=sha256, path=path, problem=problem, parameters=(), is_async=False)
    if not problem:
        info = _read_again(info, data, source, keep_description=about.has_description)
    return Found(workflow=Workflow(info=info, source=source), about=about)


def _read_again(info: WorkflowInfo, data: bytes, source: str, *, keep_description: bool) -> WorkflowInfo:
    """Return what a source says that somebody has edited."""
    try:
        data.decode("utf-8-sig")
        reading = read_source(info.name, source)
    except UnicodeDecodeError:
        return replace(info, problem="its file is not UTF-8")
    except InvalidWorkflowError as error:
        line = "" if error.line is None else f"line {error.line}: "
        return replace(info, problem=f"{line}{error.problem}")
    description = info.description if keep_description else reading.description
    return replace(info, description=description, parameters=reading.parameters, is_async=reading.is_async)


def _by_hand(shelf: Shelf, name: str) -> About:
    """Return what is known about a file that a person has put there."""
    try:
        status = os.stat(source_name(name), dir_fd=shelf.sources.fd, follow_symlinks=False)
        created = datetime.fromtimestamp(status.st_mtime, UTC)
    except (FileNotFoundError, OverflowError, ValueError):
        created = datetime.now(UTC)
    return About(info=WorkflowInfo(name=name, origin="host", created=created, sha256=_NO_SOURCE))


def _read_about(shelf: Shelf, name: str) -> About | None:
    """Return what is kept beside a source; None if nothing is."""
    try:
        return _about(name, json.loads(shelf.about.read(_about_name(name), MAX_ABOUT)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, StorageError):
        # Damaged from outside. Who wrote the source is not known, so the worst is assumed.
        created = datetime.fromtimestamp(0, UTC)
        info = WorkflowInfo(name=name, origin=_MOST_ISOLATED, created=created, sha256=_NO_SOURCE)
        return About(info=info)


def _about(name: str, fields: dict[str, Any]) -> About:
    info = WorkflowInfo.from_dict(fields | {"name": name})
    approvals = {place: str(sha256) for place, sha256 in fields["approvals"].items() if place in ORIGINS}
    return About(info=info, has_description=fields["has_description"] is True, approvals=approvals)

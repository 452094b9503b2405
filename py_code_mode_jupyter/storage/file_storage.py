"""The storage of sessions: the protocol, and the folder that implements it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, final, runtime_checkable

from ..errors import ConfigurationError
from .artifacts import ARTIFACTS, ArtifactStore
from .dependencies import DependencyList
from .folder import INCOMING, Folder, storage_errors
from .ledger import RunLedger
from .registry import SessionRegistry
from .workflows import WORKFLOWS, WorkflowStore

if TYPE_CHECKING:
    from .search import Embedder


@runtime_checkable
class Storage(Protocol):
    """What a session keeps beyond its end."""

    @property
    def base_path(self) -> Path:
        """The folder it lives in."""

    @property
    def artifacts(self) -> ArtifactStore:
        """Named, versioned objects."""

    @property
    def deps(self) -> DependencyList:
        """The packages that its sessions need."""

    @property
    def runs(self) -> RunLedger:
        """What its sessions ran."""

    @property
    def sessions(self) -> SessionRegistry:
        """The sessions that live over it now."""

    @property
    def workflows(self) -> WorkflowStore:
        """Recipes in Python."""


@final
class FileStorage:
    """A storage in a folder, in files that other tools can read.

    Parameters
    ----------
    base_path
        The folder; it is made, for this user alone, if it is missing.
    keep_versions
        How many versions of each artifact are kept; older ones are deleted.
    keep_runs, keep_run_bytes
        How many runs the ledger keeps, and how many bytes they may take; the oldest go first.
    embedder
        What the search for workflows compares meanings with; None: that of an installed package, if there
        is one.

    Raises
    ------
    StorageUnavailableError
        The folder cannot be made, read or written.
    """

    def __init__(
        self,
        base_path: Path | str,
        *,
        keep_versions: int = 10,
        keep_runs: int = 10_000,
        keep_run_bytes: int = 256 * 2**20,
        embedder: Embedder | None = None,
    ) -> None:
        if not isinstance(base_path, str | Path) or not str(base_path) or "\0" in str(base_path):
            raise ConfigurationError("base_path", base_path, "not a path.", remedy="Give a folder's path.")
        self._base = Path(base_path).expanduser().absolute()
        self._artifacts = ArtifactStore(self._base, keep_versions=keep_versions)
        self._deps = DependencyList(self._base)
        self._runs = RunLedger(self._base, keep_runs=keep_runs, keep_bytes=keep_run_bytes)
        self._sessions = SessionRegistry(self._base)
        self._workflows = WorkflowStore(self._base, embedder=embedder)
        _make_usable(self._base)

    @property
    def base_path(self) -> Path:
        """The folder it lives in."""
        return self._base

    @property
    def artifacts(self) -> ArtifactStore:
        """Named, versioned objects."""
        return self._artifacts

    @property
    def deps(self) -> DependencyList:
        """The packages that its sessions need."""
        return self._deps

    @property
    def runs(self) -> RunLedger:
        """What its sessions ran."""
        return self._runs

    @property
    def sessions(self) -> SessionRegistry:
        """The sessions that live over it now."""
        return self._sessions

    @property
    def workflows(self) -> WorkflowStore:
        """Recipes in Python."""
        return self._workflows

    def __repr__(self) -> str:
        return f"FileStorage({str(self._base)!r})"


def _make_usable(base: Path) -> None:
    with storage_errors(base):
        base.parent.mkdir(parents=True, exist_ok=True)
        if not base.is_dir():
            base.mkdir(mode=0o700)
        with Folder.open(base) as folder:
            _require_access(folder, ".")
            for name in (ARTIFACTS, WORKFLOWS, INCOMING):
                folder.make(name)
                with folder.folder(name):
                    _require_access(folder, name)


def _require_access(folder: Folder, name: str) -> None:
    if not os.access(name, os.R_OK | os.W_OK | os.X_OK, dir_fd=folder.fd, effective_ids=True):
        code = errno.EROFS if os.fstatvfs(folder.fd).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(code, os.strerror(code))

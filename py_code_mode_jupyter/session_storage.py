"""The part of a session that is about its storage: artifacts, packages, and the history of its runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .execution.protocol import Executor
    from .results import DepsChange
    from .storage import ArtifactInfo, RunRecord, Storage


class StorageAccess:
    """What `Session` offers for its storage. It blocks nobody: files are read and written off the loop."""

    storage: Storage
    executor: Executor
    name: str

    # Artifacts

    async def save_artifact(
        self, name: str, data: Any, *, description: str = "", metadata: Mapping[str, Any] | None = None
    ) -> ArtifactInfo:
        """Keep `data` under `name` as a new version."""
        save = self.storage.artifacts.save
        return await asyncio.to_thread(save, name, data, description=description, metadata=metadata)

    async def load_artifact(self, name: str, version: int | None = None) -> Any:
        """Return the data kept under `name`, of the newest version unless told otherwise.

        Raises
        ------
        ArtifactNotFoundError
            There is no such artifact or version.
        """
        return await asyncio.to_thread(self.storage.artifacts.load, name, version)

    async def list_artifacts(self) -> list[ArtifactInfo]:
        """Return what is kept, newest first."""
        return await asyncio.to_thread(self.storage.artifacts.list)

    async def delete_artifact(self, name: str) -> None:
        """Remove an artifact with all its versions; raises `ArtifactNotFoundError` if there is none."""
        await asyncio.to_thread(self.storage.artifacts.delete, name)

    # Dependencies

    async def list_deps(self) -> list[str]:
        """Return the packages that the storage records."""
        return await asyncio.to_thread(self.storage.deps.list)

    async def add_dep(self, spec: str) -> DepsChange:
        """Install a package and record it.

        Raises
        ------
        RuntimeDepsDisabledError
            The session was configured with ``allow_runtime_deps=False``.
        InvalidDependencyError
            `spec` is not a name with version specifiers.
        DependencyInstallError
            The installer failed; nothing was recorded.
        """
        return await self.executor.add_dep(spec)

    async def remove_dep(self, spec: str) -> DepsChange:
        """Uninstall a package and forget it; raises as `add_dep` does."""
        return await self.executor.remove_dep(spec)

    async def sync_deps(self) -> DepsChange:
        """Install every package that the storage records; those that could not be are in ``failed``.

        It is the host's own wish, so ``allow_runtime_deps=False`` does not forbid it.
        """
        return await self.executor.sync_deps()

    # History

    async def history(self, *, limit: int = 100, search: str = "") -> list[RunRecord]:
        """Return what sessions of this name have run, the newest first; see `RunLedger.list`."""
        runs = self.storage.runs
        return await asyncio.to_thread(runs.list, session=self.name, limit=limit, search=search)

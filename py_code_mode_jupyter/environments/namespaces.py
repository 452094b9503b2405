"""What code in this process sees of storage and installer: the real objects, and nothing of the host's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, final

from ..workflow.namespace import Workflows
from .deps import Deps, DepsNamespace

if TYPE_CHECKING:
    from ..storage import Storage, Workflow, WorkflowInfo, WorkflowStore

_Infos: TypeAlias = list["WorkflowInfo"]  # inside the class, `list` is its method
PLACE = "in-process"


def own_namespaces(storage: Storage | None, deps: Deps) -> dict[str, Any]:
    """Return what code in this process sees: ``deps``, and with a storage ``artifacts`` and ``workflows``."""
    found: dict[str, Any] = {"deps": DepsNamespace(deps)}
    if storage is not None:
        found["artifacts"] = storage.artifacts
        # Workflows see the same; a dictionary of their own, because cells may change theirs.
        seen = dict(found)
        found["workflows"] = seen["workflows"] = Workflows(StoreLibrary(storage.workflows), seen)
    return found


@final
class StoreLibrary:
    """The workflows of a storage, as code in this process may use them.

    Parameters
    ----------
    store
        Where they are kept.
    """

    def __init__(self, store: WorkflowStore) -> None:
        self._store = store

    def create(self, name: str, source: str, *, description: str, overwrite: bool) -> WorkflowInfo:
        """Keep a source as written here."""
        return self._store.create(name, source, description=description, origin=PLACE, overwrite=overwrite)

    def get(self, name: str) -> Workflow:
        """Return a workflow to look at."""
        return self._store.get(name)

    def load(self, name: str) -> Workflow:
        """Return a workflow to run here, if it may."""
        return self._store.load(name, PLACE)

    def list(self) -> _Infos:
        """Return all, by name."""
        return self._store.list()

    def search(self, query: str, *, limit: int) -> _Infos:
        """Return those that fit, the best first."""
        return self._store.search(query, limit=limit)

    def delete(self, name: str) -> None:
        """Remove one."""
        self._store.delete(name, origin=PLACE)

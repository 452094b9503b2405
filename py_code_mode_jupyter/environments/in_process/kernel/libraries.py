"""Libraries that keep one of something per process, where each kernel needs its own."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import comm

from ..ownership import Owner, current_owner
from .comms import Comm, CommManager

if TYPE_CHECKING:
    from ..patches import Patches


def install(patches: Patches) -> None:
    """Let owned code find what belongs to its kernel."""
    _comms(patches)
    sys.meta_path.append(_BESIDE)


def remove(patches: Patches) -> None:
    """Take everything back."""
    sys.meta_path.remove(_BESIDE)
    patches.undo()


@final
class _Beside(MetaPathFinder):
    """Finds modules in the working directory of owned code, behind all that is installed."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Find a module, for owned code alone."""
        if path is not None or current_owner() is None:
            return None
        try:
            return PathFinder.find_spec(name, [str(Path.cwd())], target)
        except OSError:  # the folder is gone
            return None


_BESIDE = _Beside()


def _comms(patches: Patches) -> None:
    create, manager = comm.create_comm, comm.get_comm_manager

    def create_comm(*args: object, **options: object) -> object:
        owner = current_owner()
        own = None if owner is None else _manager_of(owner)
        return create(*args, **options) if own is None else Comm(own, *args, **options)

    def get_comm_manager() -> object:
        owner = current_owner()
        own = None if owner is None else _manager_of(owner)
        return manager() if own is None else own

    patches.set(comm, "create_comm", create_comm)
    patches.set(comm, "get_comm_manager", get_comm_manager)


def _manager_of(owner: Owner) -> CommManager | None:
    return getattr(owner, "comms", None)

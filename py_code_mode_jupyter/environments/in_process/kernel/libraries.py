"""Libraries that keep one of something per process, where each kernel needs its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import comm

from ..ownership import Owner, current_owner
from .comms import Comm, CommManager

if TYPE_CHECKING:
    from ..patches import Patches


def install(patches: Patches) -> None:
    """Let owned code find what belongs to its kernel."""
    _comms(patches)


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

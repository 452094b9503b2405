"""Comms of one kernel: messages between objects of its code and of its frontends."""

# comm.base_comm is not annotated for subclassing.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from comm.base_comm import BaseComm
from comm.base_comm import CommManager as BaseManager

from ..interrupts import shielded
from ..ownership import current, current_owner

if TYPE_CHECKING:
    from .life import Life

# Handlers of libraries, which register once per process and mean every kernel.
_everybodys: dict[str, Callable[..., Any]] = {}
_CONTROL = "jupyter.widget.control"


class Comm(BaseComm):
    """One end of a comm; the other is in a frontend."""

    def __init__(self, manager: CommManager, *args: Any, **options: Any) -> None:
        # Libraries keep comms for longer than the kernel lives.
        self._life_of: Callable[[], Life | None] = ref(manager.life)
        super().__init__(*args, **options)

    @property
    def kernel(self) -> Any:
        """The kernel of the code that made it, as libraries look for it; None: it has ended."""
        life = self._life_of()
        return None if life is None else life.view

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: list[Any] | None = None,
        **keys: Any,
    ) -> None:
        """Send a comm message, behind all text that the code has printed before."""
        meant = self._meant()
        if meant is not None:
            meant.publish_msg(msg_type, data, metadata, buffers, **keys)
            return
        content = {"data": data or {}, "comm_id": self.comm_id, **keys}
        shielded(self._publish, msg_type, content, metadata or {}, buffers)

    def _meant(self) -> Comm | None:
        # ipywidgets keeps the comm of whichever kernel's frontend opened one last, and means ours.
        own = getattr(current_owner(), "comms", None)
        if self.target_name != _CONTROL or own is None or own.life is self._life_of():
            return None
        found = [one for one in own.comms.values() if one.target_name == _CONTROL]
        return found[-1] if found else None

    def forget(self) -> None:
        """Let go of the kernel, which has ended; what is sent from now on is dropped."""
        self._closed = True
        self._life_of = _nobody
        self.on_msg(None)
        self.on_close(None)

    def _publish(self, kind: str, content: dict[str, Any], metadata: dict[str, Any], buffers: Any) -> None:
        life, channel = self._life_of(), current()
        if life is None:
            return
        if channel is not None:
            channel.flush()
        life.publish(kind, content, metadata=metadata, buffers=buffers, ident=self.topic)


def _nobody() -> None:
    """Stand for a kernel that has ended."""


class CommManager(BaseManager):
    """The comms of one life of a kernel."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self.life = life
        self.targets = _Targets()

    def forget(self) -> None:
        """Let go of all comms, at the end of the life."""
        for one in list(self.comms.values()):
            if isinstance(one, Comm):
                one.forget()
        self.comms.clear()
        self.targets.clear()


class _Targets(dict[str, Callable[..., Any]]):
    """Handlers by target: those of this kernel's code, then those of libraries."""

    def __setitem__(self, name: str, handler: Callable[..., Any]) -> None:
        super().__setitem__(name, handler)
        if _is_of_a_library(handler):
            _everybodys[name] = handler

    def get(self, name: str, default: Any = None) -> Any:
        """Return the handler of a target."""
        return super().get(name) or _everybodys.get(name, default)


def share_target(name: str, handler: Callable[..., Any]) -> None:
    """Let every kernel have a library's handler."""
    _everybodys.setdefault(name, handler)


def _is_of_a_library(handler: Callable[..., Any]) -> bool:
    module = sys.modules.get(getattr(handler, "__module__", None) or "")
    owner = getattr(handler, "__self__", None)
    return getattr(module, "__spec__", None) is not None and (owner is None or isinstance(owner, type))

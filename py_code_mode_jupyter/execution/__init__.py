"""Executors: they run code in one place each, and all behave alike."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..config import ContainerConfig, InProcessConfig, SubprocessConfig
    from .container import ContainerExecutor
    from .in_process import InProcessExecutor
    from .protocol import Capability, Executor
    from .subprocess import SubprocessExecutor

__all__ = [
    "Capability",
    "ContainerConfig",
    "ContainerExecutor",
    "Executor",
    "InProcessConfig",
    "InProcessExecutor",
    "SubprocessConfig",
    "SubprocessExecutor",
]

_HOMES = {
    "Capability": ".protocol",
    "ContainerConfig": "..config",
    "ContainerExecutor": ".container",
    "Executor": ".protocol",
    "InProcessConfig": "..config",
    "InProcessExecutor": ".in_process",
    "SubprocessConfig": "..config",
    "SubprocessExecutor": ".subprocess",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""What a notebook may ask of the container it runs in: less, and never more, than an administrator allows.

Beside what a notebook may ask of every place (`environments.notebook`) it may set the container's own limits
in its metadata, under ``pcm.container``. It cannot choose image, engine, variables, or a looser limit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...config import size_in_bytes
from ...errors import ConfigurationError
from ..notebook import KEY, REMEDY, looser, packages_for, tighter_memory

if TYPE_CHECKING:
    from ...config import ContainerConfig
    from ..notebook import NotebookSettings

_FLAGS = {"network_disabled": True, "allow_runtime_deps": False, "filter_output": True}
"""The tighter value of each."""
_SIZES = frozenset({"memory_limit", "disk_limit"})
_NUMBERS = frozenset({"cpu_quota", "pids_limit"})


def fitted(config: ContainerConfig, settings: NotebookSettings, allowed: Iterable[str]) -> ContainerConfig:
    """Return the configuration with all that a notebook asks for.

    Parameters
    ----------
    config
        What an administrator allows.
    settings
        What the notebook asks for.
    allowed
        Names of packages that it may ask for.

    Raises
    ------
    ConfigurationError
        It asks for something that only an administrator may set, or for more than is allowed.
    """
    finer = tightened(config, settings.container)
    if settings.network and config.network_disabled:
        raise looser(f"{KEY}.network", True, False)
    tighter_memory(int(config.memory_limit), settings.memory)
    return dataclasses.replace(
        finer,
        memory_limit=min(int(finer.memory_limit), settings.memory or int(finer.memory_limit)),
        network_disabled=finer.network_disabled or settings.network is False,
        deps=packages_for(config.deps, settings.dependencies, allowed),
    )


def tightened(config: ContainerConfig, wishes: Mapping[str, Any]) -> ContainerConfig:
    """Return the configuration with what a notebook asks for under ``pcm.container``.

    Raises
    ------
    ConfigurationError
        It asks for something that only an administrator may set, or for more than is allowed.
    """
    return dataclasses.replace(config, **{name: _wish(config, name, wishes[name]) for name in wishes})


def _wish(config: ContainerConfig, name: str, value: Any) -> Any:
    allowed = getattr(config, name, None)
    if name in _FLAGS:
        if value is not _FLAGS[name] and value is not allowed:
            raise looser(name, value, allowed)
        return value
    if name not in _SIZES | _NUMBERS:
        settable = ", ".join(sorted({*_FLAGS, *_SIZES, *_NUMBERS}))
        problem = f"a notebook may set {settable} only."
        raise ConfigurationError(name, value, problem, remedy=REMEDY)
    number = size_in_bytes(name, value) if name in _SIZES else value
    if not isinstance(number, int) or isinstance(number, bool) or (allowed is not None and number > allowed):
        raise looser(name, value, allowed)
    return number

"""What a notebook may ask of the container it runs in: less, and never more, than an administrator allows.

Notebooks come from strangers. One may say in its metadata, under ``pcm.container``, that it needs no
network or little memory; it cannot choose image, engine, variables, or a looser limit.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config import size_in_bytes
from ...errors import ConfigurationError

if TYPE_CHECKING:
    from ...config import ContainerConfig

_FLAGS = {"network_disabled": True, "allow_runtime_deps": False, "filter_output": True}
"""The tighter value of each."""
_SIZES = frozenset({"memory_limit", "disk_limit"})
_NUMBERS = frozenset({"cpu_quota", "pids_limit"})
_LARGEST_NOTEBOOK = 256 * 2**20
_REMEDY = "Correct the notebook's metadata, under pcm.container, or ask whoever runs this Jupyter."


def wishes_of(path: Path) -> dict[str, Any]:
    """Return what the notebook at `path` asks for; nothing if it is none, or asks for nothing. It blocks.

    Raises
    ------
    ConfigurationError
        It asks in a way that is not understood.
    """
    try:
        if path.suffix != ".ipynb" or path.stat().st_size > _LARGEST_NOTEBOOK:
            return {}
        notebook = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    found: Any = notebook
    for key in ("metadata", "pcm", "container"):
        found = found.get(key, {}) if isinstance(found, dict) else {}
    if not isinstance(found, dict):
        raise ConfigurationError("pcm.container", found, "not a JSON object.", remedy=_REMEDY)
    return found


def tightened(config: ContainerConfig, wishes: Mapping[str, Any]) -> ContainerConfig:
    """Return the configuration with what a notebook asks for.

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
            raise _too_much(name, value, allowed)
        return value
    if name not in _SIZES | _NUMBERS:
        settable = ", ".join(sorted({*_FLAGS, *_SIZES, *_NUMBERS}))
        problem = f"a notebook may set {settable} only."
        raise ConfigurationError(name, value, problem, remedy=_REMEDY)
    number = size_in_bytes(name, value) if name in _SIZES else value
    if not isinstance(number, int) or isinstance(number, bool) or (allowed is not None and number > allowed):
        raise _too_much(name, value, allowed)
    return number


def _too_much(name: str, value: Any, allowed: Any) -> ConfigurationError:
    return ConfigurationError(name, value, f"a notebook may not loosen it from {allowed}.", remedy=_REMEDY)

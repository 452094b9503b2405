"""Configurations of the executors: frozen, keyword-only, validated when they are made.

Fields and defaults are those of the specification; what is added here is said in each docstring.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, final

from .errors import ConfigurationError

_VERSION = re.compile(r"3\.\d{1,2}(\.\d{1,2})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(=.*)?", re.DOTALL)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_MIB = 2**20


def seconds(field: str, value: object) -> float:
    """Return `value` as a number of seconds above zero; infinity means no limit.

    Raises
    ------
    ConfigurationError
        It is not a number, or not above zero.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ConfigurationError(field, value, "not a number of seconds.", remedy="Give e.g. 30.0.")
    if value <= 0:
        raise ConfigurationError(
            field, value, "must be above zero.", remedy="Give seconds, or math.inf for no limit."
        )
    return float(value)


def size_in_bytes(field: str, value: object) -> int:
    """Return `value` (bytes, or text such as ``"512m"`` in Docker's notation) as bytes.

    Raises
    ------
    ConfigurationError
        It cannot be read as a size, or is not above zero.
    """
    size = 0
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        size = int(float(match[1]) * _UNITS[match[2].lower()])
    if size <= 0:
        raise ConfigurationError(
            field, value, "not a size above zero.", remedy='Give bytes, or text such as "512m" or "2g".'
        )
    return size


def _flag(field: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(field, value, "not a bool.", remedy="Give True or False.")


def _strings(field: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise ConfigurationError(field, value, "not a sequence of texts.", remedy='Give e.g. ("a", "b").')
    items = tuple(value)
    for item in items:
        if not isinstance(item, str):
            raise ConfigurationError(field, item, "not text.", remedy='Give e.g. ("a", "b").')
    return items


def _folder(field: str, value: object) -> Path:
    if not isinstance(value, str | Path) or "\0" in str(value) or not str(value):
        raise ConfigurationError(field, value, "not a path.", remedy="Give a folder's path.")
    return Path(value).expanduser().absolute()


def _folders(field: str, value: object) -> tuple[Path, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(field, value, "not a sequence of paths.", remedy='Give e.g. ("out",).')
    return tuple(_folder(field, path) for path in value)


class _Base:
    """Validation that every configuration shares, and a way to normalise a frozen field."""

    __slots__ = ()

    def _set(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)

    def _check_common(self, timeout_field: str) -> None:
        if getattr(self, timeout_field) is None:
            self._set(timeout_field, math.inf)
        for name in (timeout_field, "startup_timeout", "interrupt_grace"):
            self._set(name, seconds(name, getattr(self, name)))
        _flag("allow_runtime_deps", self.allow_runtime_deps)  # type: ignore[attr-defined]
        self._set("deps", _strings("deps", self.deps))  # type: ignore[attr-defined]
        self._set("max_output", size_in_bytes("max_output", self.max_output))  # type: ignore[attr-defined]

    def public(self) -> dict[str, Any]:
        """Return the fields as a dict for display and records, without the values of `env`."""
        shown = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        if "env" in shown:
            shown["env"] = tuple(entry.partition("=")[0] for entry in shown["env"])
        return shown


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class InProcessConfig(_Base):
    """Configuration of the in-process executor.

    Attributes
    ----------
    default_timeout
        Seconds that a run may take where it is not told otherwise; None or ``math.inf``: no limit.
    allow_runtime_deps
        Whether executed code may install packages through ``deps``. There is no way to hold it
        below that namespace in the host's own process.
    deps
        Packages to install (name and version specifiers) when the session starts.
    startup_timeout
        Seconds that starting may take, installation of `deps` not counted.
    interrupt_grace
        Seconds between asking code to stop and abandoning its thread.
    max_output
        Bytes of output that one result keeps; the rest is counted in ``truncated``.
    """

    default_timeout: float | None = 30.0
    allow_runtime_deps: bool = True
    deps: tuple[str, ...] = ()
    startup_timeout: float = 10.0
    interrupt_grace: float = 1.0
    max_output: int | str = 10 * _MIB

    def __post_init__(self) -> None:
        self._check_common("default_timeout")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SubprocessConfig(_Base):
    """Configuration of the subprocess executor (a kernel in a fresh virtual environment).

    Attributes
    ----------
    python_version
        ``"3.12"`` or ``"3.12.1"``; None: the version that runs this.
    default_timeout
        Seconds that a run may take where it is not told otherwise; None or ``math.inf``: no limit.
    allow_runtime_deps
        Whether packages may be added while it runs. False also confines writing (see
        `confine_writes`) where the platform can, so that the lock holds below ``deps``.
    venv_dir
        Parent folder in which the executor makes, and removes, a folder of its own; None: the
        system's folder for temporary files.
    deps
        Packages to install (name and version specifiers) when the session starts.
    env
        Environment variables the code may see beside a short list of harmless ones:
        ``"NAME"`` passes the host's value on, ``"NAME=value"`` sets it.
    working_dir
        Folder the code starts in. None: the host's current folder, or a private folder where
        writing is confined.
    memory_limit
        Bytes, or text such as ``"512m"``, that each process of the session may allocate; None: no limit.
    confine_writes
        True: the code can write only in its private folders and `writable_paths`, and cannot
        signal processes outside; needs Landlock (Linux 5.13), else starting raises. False: never.
        None: confined exactly if `allow_runtime_deps` is False and the platform can.
    writable_paths
        Folders that confined code may write besides its own.
    startup_timeout
        Seconds that building the environment and starting the kernel may take.
    interrupt_grace
        Seconds between interrupting code and killing its process.
    max_output
        Bytes of output that one result keeps; the rest is counted in ``truncated``.
    """

    python_version: str | None = None
    default_timeout: float | None = 120.0
    allow_runtime_deps: bool = True
    venv_dir: Path | str | None = None
    deps: tuple[str, ...] = ()
    env: tuple[str, ...] = field(default=(), repr=False)
    working_dir: Path | str | None = None
    memory_limit: int | str | None = None
    confine_writes: bool | None = None
    writable_paths: tuple[Path | str, ...] = ()
    startup_timeout: float = 120.0
    interrupt_grace: float = 1.0
    max_output: int | str = 10 * _MIB

    def __post_init__(self) -> None:
        self._check_common("default_timeout")
        self._check_python()
        self._check_env()
        for name in ("venv_dir", "working_dir"):
            if getattr(self, name) is not None:
                self._set(name, _folder(name, getattr(self, name)))
        self._set("writable_paths", _folders("writable_paths", self.writable_paths))
        if self.memory_limit is not None:
            self._set("memory_limit", size_in_bytes("memory_limit", self.memory_limit))
        if self.confine_writes is not None:
            _flag("confine_writes", self.confine_writes)

    def _check_python(self) -> None:
        version = self.python_version
        if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version)):
            raise ConfigurationError(
                "python_version", version, "not a Python version.", remedy='Give text such as "3.12".'
            )

    def _check_env(self) -> None:
        self._set("env", _strings("env", self.env))
        for entry in self.env:
            if not _VARIABLE.fullmatch(entry) or "\0" in entry:
                name = entry.partition("=")[0]
                raise ConfigurationError(
                    "env", name, "not an environment variable.", remedy='Give "NAME" or "NAME=value".'
                )

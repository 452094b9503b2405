"""What a notebook may ask of its kernel: less, and never more, than an administrator allows.

Notebooks come from strangers. One may say in its metadata, under ``pcm``, that its kernel needs little
memory, no network, or little time. It cannot choose image, engine, variables, or a looser limit; packages
it gets only where an administrator named them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from ..config import seconds, size_in_bytes
from ..dependency import parse_dependency
from ..errors import ConfigurationError, InvalidDependencyError

KEY = "pcm"
"""Where the settings stand in a notebook's metadata."""
_NAMED = "JPY_SESSION_NAME"
ANY_PACKAGE = "*"
_ORIGIN = frozenset({"origin", "sessions", "session_ids", "limits", "deps", "runs", "version"})
"""What an exported notebook says there of where it comes from; it asks for nothing."""
_LARGEST_NOTEBOOK = 256 * 2**20
_MOST_PACKAGES = 100
_LONGEST_TIMEOUT = 7 * 86_400.0
REMEDY = "Correct the notebook's metadata, under pcm, or ask whoever runs this Jupyter."


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class NotebookSettings:
    """What one notebook asks for; None and empty: nothing.

    Attributes
    ----------
    memory
        Bytes that the kernel may use.
    network
        False: no network.
    dependencies
        Packages to install when the kernel starts.
    timeout
        Seconds that a cell may take.
    container
        Finer limits, for a container only: fields of `ContainerConfig`.
    """

    memory: int | None = None
    network: bool | None = None
    dependencies: tuple[str, ...] = ()
    timeout: float | None = None
    container: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what was asked for, as a notebook's metadata says it."""
        shown: dict[str, Any] = {
            "memory": self.memory,
            "network": self.network,
            "dependencies": list(self.dependencies) or None,
            "timeout": self.timeout,
            "container": dict(self.container) or None,
        }
        return {name: value for name, value in shown.items() if value is not None}


async def notebook_settings(environ: Mapping[str, str], folder: Path) -> NotebookSettings:
    """Return what the notebook asks for that a kernel is started for.

    Parameters
    ----------
    environ
        The kernel's environment variables, in which Jupyter Server names the notebook.
    folder
        The folder that the kernel starts in.

    Raises
    ------
    ConfigurationError
        As `settings_of`.
    """
    named = Path(environ.get(_NAMED, "none"))
    path = named if named.is_absolute() else folder / named.name
    return await asyncio.to_thread(settings_of, path)


def settings_of(path: Path) -> NotebookSettings:
    """Return what the notebook at `path` asks for; nothing if it is none, or asks for nothing. It blocks.

    Raises
    ------
    ConfigurationError
        It asks in a way that is not understood.
    """
    try:
        if path.suffix != ".ipynb" or path.stat().st_size > _LARGEST_NOTEBOOK:
            return NotebookSettings()
        notebook: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return NotebookSettings()
    for key in ("metadata", KEY):
        notebook = notebook.get(key) if isinstance(notebook, dict) else None
    return parse_settings(notebook) if isinstance(notebook, dict) else NotebookSettings()


def parse_settings(found: object) -> NotebookSettings:
    """Return what was found under ``pcm`` in a notebook's metadata.

    Raises
    ------
    ConfigurationError
        It is not understood. The error names the first field that is not.
    """
    fields: dict[str, Any] = {}
    for name, value in _object(KEY, found).items():
        if name in _ORIGIN:
            continue
        if (read := _READERS.get(name)) is None:
            known = ", ".join(sorted(_READERS))
            raise ConfigurationError(
                f"{KEY}.{name}", value, f"a notebook may set {known} only.", remedy=REMEDY
            )
        fields[name] = read(f"{KEY}.{name}", value)
    return NotebookSettings(**fields)


def _object(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(name, value, "not a JSON object.", remedy=REMEDY)
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(name, value, "neither true nor false.", remedy=REMEDY)
    return value


def _packages(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MOST_PACKAGES:
        raise ConfigurationError(
            name, value, f"not a list of at most {_MOST_PACKAGES} packages.", remedy=REMEDY
        )
    try:
        return tuple(str(parse_dependency(spec)) for spec in value)
    except InvalidDependencyError as error:
        raise ConfigurationError(name, value, error.message, remedy=error.remedy) from error


def _timeout(name: str, value: object) -> float:
    number = seconds(name, value)
    if number > _LONGEST_TIMEOUT:
        problem = f"more than {_LONGEST_TIMEOUT:,.0f} seconds (a week)."
        raise ConfigurationError(name, value, problem, remedy="Leave it out for no limit.")
    return number


_READERS: dict[str, Callable[[str, object], Any]] = {
    "memory": size_in_bytes,
    "network": _flag,
    "dependencies": _packages,
    "timeout": _timeout,
    "container": _object,
}


def tighter_memory(allowed: int | None, asked: int | None) -> int | None:
    """Return the limit that holds, in bytes.

    Raises
    ------
    ConfigurationError
        More was asked for than is allowed.
    """
    if asked is None:
        return allowed
    if allowed is not None and asked > allowed:
        raise looser(f"{KEY}.memory", asked, allowed)
    return asked


def looser(name: str, value: object, allowed: object) -> ConfigurationError:
    """Return the error that says that a notebook may not loosen a limit."""
    return ConfigurationError(name, value, f"a notebook may not loosen it from {allowed}.", remedy=REMEDY)


def not_here(name: str, value: object, where: str) -> ConfigurationError:
    """Return the error that says that a place cannot keep a limit."""
    problem = f"{where} cannot keep this limit."
    return ConfigurationError(
        f"{KEY}.{name}", value, problem, remedy="Leave it out, or choose the container's kernel."
    )


def packages_for(configured: Iterable[str], asked: Iterable[str], allowed: Iterable[str]) -> tuple[str, ...]:
    """Return all packages to install: those configured, and those asked for.

    Parameters
    ----------
    configured
        What an administrator has installed into every kernel.
    asked
        What a notebook wants.
    allowed
        Names that it may ask for beside; ``"*"``: any.

    Raises
    ------
    ConfigurationError
        It asks for others.
    """
    given = tuple(configured)
    known = {*map(_name, given), *(name if name == ANY_PACKAGE else _name(name) for name in allowed)}
    extra = tuple(spec for spec in asked if spec not in {str(parse_dependency(one)) for one in given})
    if ANY_PACKAGE not in known and (refused := [spec for spec in extra if _name(spec) not in known]):
        raise ConfigurationError(
            f"{KEY}.dependencies",
            refused,
            "a notebook may not ask for these packages.",
            remedy="Install them in the notebook, or ask whoever runs this Jupyter to set notebook_deps.",
        )
    return (*given, *extra)


def _name(spec: str) -> str:
    return parse_dependency(spec).name

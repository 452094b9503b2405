"""Configurations of executors from what is typed and configured; every field of them is an option."""

from __future__ import annotations

import inspect
import math
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..config import ContainerConfig, InProcessConfig, SubprocessConfig
from ..errors import ConfigurationError
from .names import did_you_mean

if TYPE_CHECKING:
    from ..execution import Executor

CONFIGURATIONS: Mapping[str, Any] = MappingProxyType(
    {"in-process": InProcessConfig, "venv": SubprocessConfig, "container": ContainerConfig}
)
"""The configuration of each executor, by its word for ``-e``."""
SECRETS = frozenset({"auth_token"})
"""Fields that may not stand in a notebook. The token comes from PCM_AUTH_TOKEN, or is made."""
_TIMEOUTS = ("timeout", "default_timeout")
_ENTRY = re.compile(r"^(\w+(?:, \w+)*)\n((?:    .*\n?)+)", re.MULTILINE)


class Field(NamedTuple):
    """One field of a configuration.

    Attributes
    ----------
    name
        Its name.
    kind
        ``flag``, ``many``, ``number``, ``count`` or ``text``: what its value is made of.
    default, about
        Its default, and the first sentence about it.
    """

    name: str
    kind: str
    default: Any
    about: str


def fields_of(executor: str) -> dict[str, Field]:
    """Return the fields of an executor's configuration by name, secrets excepted."""
    kind = CONFIGURATIONS[executor]
    texts = dict(_texts(inspect.getdoc(kind) or ""))
    return {
        item.name: Field(
            item.name,
            _kind(str(item.type)),
            None if item.default is MISSING else item.default,
            texts.get(item.name, ""),
        )
        for item in fields(kind)
        if item.name not in SECRETS
    }


def _kind(annotation: str) -> str:
    if "bool" in annotation:
        return "flag"
    if annotation.startswith("tuple"):
        return "many"
    if "float" in annotation:
        return "number"
    return "count" if annotation in ("int", "int | None") else "text"


def _texts(doc: str) -> Iterator[tuple[str, str]]:
    """Yield each attribute that a docstring describes, with the first sentence about it."""
    for match in _ENTRY.finditer(doc.partition("Attributes\n----------\n")[2]):
        text = " ".join(match[2].split()).replace("``", "").replace("`", "")
        for name in match[1].split(", "):
            yield name, re.split(r"(?<=[.;]) ", text)[0].rstrip(".:;")


def read_field(executor: str, name: str, given: Any) -> Any:
    """Return a field's value from the text that was typed.

    Raises
    ------
    ConfigurationError
        The executor's configuration has no such field, or the text is no number where one is due.
    """
    known = fields_of(executor)
    if name in _TIMEOUTS and name not in known:
        name = next(other for other in _TIMEOUTS if other in known)
    if name not in known:
        raise _unknown(executor, name)
    kind = known[name].kind
    if kind == "many":
        return tuple(given)
    return {"number": _number, "count": _count}.get(kind, _as_is)(name, given)


def _as_is(name: str, given: Any) -> Any:
    return given


def _number(name: str, text: str) -> float:
    try:
        return math.inf if text == "inf" else float(text)
    except ValueError:
        raise ConfigurationError(
            name, text, "not a number of seconds.", remedy="Give e.g. 30, or inf."
        ) from None


def _count(name: str, text: str) -> int:
    try:
        return int(text.replace("_", ""))
    except ValueError:
        raise ConfigurationError(name, text, "not a whole number.", remedy="Give e.g. 100000.") from None


def _unknown(executor: str, name: str) -> ConfigurationError:
    option = f"--{name.replace('_', '-')}"
    options = [f"--{known.replace('_', '-')}" for known in fields_of(executor)]
    remedy = did_you_mean(option, options, f"It takes: {', '.join(options)}.")
    return ConfigurationError("option", option, f"-e {executor} does not take it.", remedy=remedy)


def settings_of(executor: Executor) -> dict[str, Any]:
    """Return the fields of an executor's configuration, from which another like it can be made."""
    return {name: getattr(executor.config, name) for name in fields_of(executor.name)}


def make_executor(kind: str, settings: Mapping[str, Any]) -> Executor:
    """Return an executor, not started.

    Parameters
    ----------
    kind
        Its word for ``-e``.
    settings
        Fields of its configuration.

    Raises
    ------
    ConfigurationError
        There is no such field, or a value cannot be used.
    """
    for name in settings:
        if name in SECRETS:
            problem = "a secret may not stand in a notebook."
            raise ConfigurationError(name, "***", problem, remedy="Set the variable PCM_AUTH_TOKEN.")
        if name not in fields_of(kind):
            raise _unknown(kind, name)
    token = _token() if kind == "container" and not settings.get("auth_disabled") else {}
    made: Executor = _executor(kind)(CONFIGURATIONS[kind](**settings, **token))
    return made


def _token() -> dict[str, str]:
    return {"auth_token": os.environ.get("PCM_AUTH_TOKEN") or secrets.token_urlsafe(32)}


def _executor(kind: str) -> Any:
    # One module each: what an executor needs is loaded when it is asked for.
    if kind == "in-process":
        from ..execution.in_process import InProcessExecutor

        return InProcessExecutor
    if kind == "venv":
        from ..execution.subprocess import SubprocessExecutor

        return SubprocessExecutor
    from ..execution.container import ContainerExecutor

    return ContainerExecutor

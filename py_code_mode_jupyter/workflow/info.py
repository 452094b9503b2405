"""What is known about a workflow without running it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, final

from ..errors import ConfigurationError, StorageError

ORIGINS = {"host": 0, "in-process": 0, "venv": 1, "container": 2}
"""Places that write and run workflows, and how isolated each is."""
KINDS = ("positional or keyword", "keyword-only", "variadic keyword")
MAX_DESCRIPTION = 4_000
"""Characters of a description."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS: dict[str, type] = {
    "name": str,
    "description": str,
    "parameters": list,
    "is_async": bool,
    "origin": str,
    "created": str,
    "sha256": str,
    "problem": str,
}


def isolation(place: str) -> int:
    """Return how isolated a place is; a higher number is more.

    Raises
    ------
    ConfigurationError
        There is no place of this kind.
    """
    if place not in ORIGINS:
        raise ConfigurationError(
            "place", place, "not a kind of place.", remedy=f"Give one of {', '.join(ORIGINS)}."
        )
    return ORIGINS[place]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WorkflowParameter:
    """One parameter of a workflow's ``run``.

    Attributes
    ----------
    name
        Its name.
    annotation
        Its annotation as it is written, perhaps cut; empty if it has none.
    default
        Its default as it is written, perhaps cut; None if a value has to be given.
    kind
        ``positional or keyword``, ``keyword-only`` or ``variadic keyword``, as in `inspect`.
    """

    name: str
    annotation: str = ""
    default: str | None = None
    kind: str = KINDS[0]

    def __str__(self) -> str:
        star = "**" if self.kind == KINDS[2] else ""
        annotation = f": {self.annotation}" if self.annotation else ""
        around = " = " if self.annotation else "="
        default = "" if self.default is None else f"{around}{self.default}"
        return f"{star}{self.name}{annotation}{default}"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WorkflowInfo:
    """What is known about a workflow.

    Attributes
    ----------
    name
        The name by which it is called.
    description
        What whoever wrote it said, else the beginning of its docstring.
    parameters
        What ``run`` takes, in order.
    is_async
        Whether ``run`` is a coroutine function, so that a call has to be awaited.
    origin
        The place that wrote it: ``host``, ``in-process``, ``venv`` or ``container``.
    created
        When it was written, with its time zone (UTC).
    sha256
        The digest of its source in hexadecimal digits.
    problem
        Why it cannot be run, empty if it can: somebody may have edited its file.
    path
        Its file; None in isolated code, which does not see the host's folders.
    """

    name: str
    description: str = ""
    parameters: tuple[WorkflowParameter, ...] = ()
    is_async: bool = False
    origin: str
    created: datetime
    sha256: str
    problem: str = ""
    path: Path | None = None

    @property
    def signature(self) -> str:
        """How it is called: ``forecast(city: str, days: int = 3)``."""
        shown = [str(parameter) for parameter in self.parameters]
        keyword_only = [i for i, one in enumerate(self.parameters) if one.kind == KINDS[1]]
        if keyword_only:
            shown.insert(keyword_only[0], "*")
        return f"{self.name}({', '.join(shown)})"

    def __repr__(self) -> str:
        text = self.problem or self.description.partition("\n")[0]
        call = f"await {self.signature}" if self.is_async else self.signature
        return f"<Workflow {call}{': ' if text else ''}{text if len(text) <= 80 else text[:77] + '...'}>"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON types, for other processes and the file beside the source.

        `path` stays behind: it concerns the host alone.
        """
        shown = {name: getattr(self, name) for name in _FIELDS}
        parameters = [
            {"name": p.name, "annotation": p.annotation, "default": p.default, "kind": p.kind}
            for p in self.parameters
        ]
        return shown | {"created": self.created.isoformat(), "parameters": parameters}

    @classmethod
    def from_dict(cls, data: object, *, path: Path | None = None) -> WorkflowInfo:
        """Return what `to_dict` described; fields that it does not know are left out.

        Raises
        ------
        StorageError
            A field is missing or of another type.
        """
        try:
            fields = {name: _typed(data, name, kind) for name, kind in _FIELDS.items()}
            fields["created"] = _moment(fields["created"])
            fields["parameters"] = tuple(map(_parameter, fields["parameters"]))
            if fields["origin"] not in ORIGINS or not _SHA256.fullmatch(fields["sha256"]):
                raise ValueError("origin or sha256 is not one")
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(f"The description of a workflow is damaged: {error}.") from error
        return cls(**fields, path=path)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Workflow:
    """A workflow with its source.

    Attributes
    ----------
    info
        What is known about it.
    source
        Its Python code.
    """

    info: WorkflowInfo
    source: str


def _parameter(data: Any) -> WorkflowParameter:
    default = data["default"]
    if default is not None and type(default) is not str:
        raise TypeError("default is not text")
    texts = {name: _typed(data, name, str) for name in ("name", "annotation", "kind")}
    if texts["kind"] not in KINDS:
        raise ValueError("kind is not one")
    return WorkflowParameter(default=default, **texts)


def _typed(data: Any, name: str, kind: type) -> Any:
    value = data[name]
    if type(value) is not kind:
        raise TypeError(f"{name} is not {kind.__name__}")
    return value


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("created has no time zone")
    return moment

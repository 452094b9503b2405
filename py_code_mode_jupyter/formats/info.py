"""What is known about an artifact without reading it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, final

from ..errors import ArtifactFormatError
from .encoded import kind_of
from .plain import json_bytes

MAX_DESCRIPTION = 4_000
"""Characters of a description."""
MAX_METADATA = 65_536
"""Bytes of an artifact's metadata as JSON."""
MAX_DEPTH = 64
"""Levels of an artifact's metadata: whoever lists artifacts copies it, level by level."""
MAX_SUMMARY = 200

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = {
    "name": str,
    "version": int,
    "format": str,
    "size": int,
    "created": str,
    "description": str,
    "metadata": dict,
    "sha256": str,
    "summary": str,
}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ArtifactInfo:
    """One version of an artifact.

    Attributes
    ----------
    name, version
        Its name, and its version from 1.
    format
        One of the formats of `py_code_mode_jupyter.formats`.
    size, sha256
        Bytes of its file and their digest in hexadecimal digits.
    created
        When it was saved, with its time zone (UTC).
    description, metadata
        What whoever saved it said about it; `metadata` holds JSON types only.
    summary
        What it is, for people: ``DataFrame 344 x 8``.
    path
        Its file; None in isolated code, which does not see the host's folders.
    """

    name: str
    version: int
    format: str
    size: int
    created: datetime
    sha256: str
    description: str = ""
    metadata: dict[str, Any] = field(default_factory=dict, hash=False)
    summary: str = ""
    path: Path | None = None

    @property
    def media_type(self) -> str:
        """The MIME type of its file."""
        return kind_of(self.format)[1]

    def __repr__(self) -> str:
        parts = [f"{self.name!r} v{self.version}", self.summary or self.format, f"{self.size:,} bytes"]
        if self.description:
            text = self.description
            parts.append(text if len(text) <= 60 else text[:57] + "...")
        return f"<Artifact {', '.join(parts)}>"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON types, for other processes and the file beside the data.

        `path` stays behind: it concerns the host alone.
        """
        shown = {name: getattr(self, name) for name in _FIELDS}
        shown |= {"created": self.created.isoformat(), "metadata": self.metadata}
        return shown | {"media_type": self.media_type}

    @classmethod
    def from_dict(cls, data: object, *, path: Path | None = None) -> ArtifactInfo:
        """Return what `to_dict` described; fields that it does not know are left out.

        Raises
        ------
        ArtifactFormatError
            A field is missing or of another type.
        """
        try:
            fields = {name: _typed(data, name, kind) for name, kind in _FIELDS.items()}
            fields["created"] = _moment(fields["created"])
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(str(error)) from error
        kind_of(fields["format"])
        if fields["version"] < 1 or fields["size"] < 0 or not _SHA256.fullmatch(fields["sha256"]):
            raise _damaged("version, size or sha256 is out of range")
        return cls(**fields, path=path)


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


def _damaged(problem: str) -> ArtifactFormatError:
    return ArtifactFormatError(
        f"The description of an artifact is damaged: {problem}.", remedy="Save the artifact again."
    )


def valid_description(description: object) -> str:
    """Return `description` if it is text of a bearable length, else raise `ArtifactFormatError`."""
    if not isinstance(description, str) or len(description) > MAX_DESCRIPTION:
        raise ArtifactFormatError(
            f"The description is not text of at most {MAX_DESCRIPTION:,} characters.",
            remedy="Save long text as an artifact of its own.",
        )
    try:
        description.encode()
    except UnicodeEncodeError:
        raise ArtifactFormatError("The description holds half a character.", remedy="Leave it out.") from None
    return description


def valid_metadata(metadata: object) -> dict[str, Any]:
    """Return a copy of `metadata` as plain JSON types, else raise `ArtifactFormatError`."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise ArtifactFormatError(
            f"Metadata is a dict, and this is {type(metadata).__name__}.", remedy='Give e.g. {"source": "x"}.'
        )
    text = json_bytes(dict(metadata))
    if len(text) > MAX_METADATA:
        raise ArtifactFormatError(
            f"The metadata takes {len(text):,} bytes, and {MAX_METADATA:,} are allowed.",
            remedy="Save large data as an artifact of its own.",
        )
    copy: dict[str, Any] = json.loads(text)
    if _is_deep(copy):
        raise ArtifactFormatError(
            f"The metadata is nested more than {MAX_DEPTH} levels deep.", remedy="Flatten it."
        )
    return copy


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
    return bool(level)


def valid_summary(summary: object) -> str:
    """Return a summary, which isolated code may have written, as one printable line."""
    text = summary if isinstance(summary, str) else ""
    return "".join(c for c in text[:MAX_SUMMARY] if c.isprintable())

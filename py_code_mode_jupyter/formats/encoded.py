"""The bytes of a file with what they are, and how the formats report what goes wrong."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, final, get_args

from ..errors import ArtifactFormatError

FormatName = Literal["json", "text", "bytes", "npy", "parquet", "png"]
Buffer: TypeAlias = bytes | memoryview

HEAD_SIZE = 16_384
"""Bytes of a file's start that `check` wants to see (all of a shorter file)."""


class _Kind(NamedTuple):
    suffix: str
    media_type: str


_KINDS: dict[str, _Kind] = {
    "json": _Kind(".json", "application/json"),
    "text": _Kind(".txt", "text/plain"),
    "bytes": _Kind(".bin", "application/octet-stream"),
    "npy": _Kind(".npy", "application/x-npy"),
    "parquet": _Kind(".parquet", "application/vnd.apache.parquet"),
    "png": _Kind(".png", "image/png"),
}
FORMATS: tuple[str, ...] = get_args(FormatName)
"""The names of all formats."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """An object as the bytes of a file.

    Attributes
    ----------
    format
        One of `FORMATS`.
    data
        The file's bytes.
    summary
        What it is, for people: ``DataFrame 344 x 8``.

    Raises
    ------
    ArtifactFormatError
        There is no such format.
    """

    format: str
    data: Buffer = field(repr=False)
    summary: str = ""

    def __post_init__(self) -> None:
        kind_of(self.format)

    @property
    def suffix(self) -> str:
        """The file name suffix that goes with the format, with its dot."""
        return _KINDS[self.format].suffix

    @property
    def media_type(self) -> str:
        """The MIME type that goes with the format."""
        return _KINDS[self.format].media_type

    @property
    def size(self) -> int:
        """The number of bytes."""
        return memoryview(self.data).nbytes


def kind_of(format: str) -> tuple[str, str]:
    """Return suffix and media type of a format.

    Raises
    ------
    ArtifactFormatError
        There is no such format.
    """
    kind = _KINDS.get(format) if isinstance(format, str) else None
    if kind is None:
        raise ArtifactFormatError(
            f"{str(format)[:40]!r} is not a file format of artifacts.",
            remedy=f"Use one of {', '.join(FORMATS)}.",
        )
    return kind


def owned_by(obj: object, module: str, *classes: str) -> bool:
    """Whether `obj` is of one of these classes; false without importing anything if not loaded."""
    loaded = sys.modules.get(module)
    found = (getattr(loaded, name, None) for name in classes)
    return any(isinstance(cls, type) and isinstance(obj, cls) for cls in found)


def library(name: str, purpose: str) -> Any:
    """Import a package that may be missing; `purpose` says what needs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = {"PIL": "pillow"}.get(name.partition(".")[0], name.partition(".")[0])
        raise ArtifactFormatError(
            f"{purpose} needs the package {package}, which is not installed.",
            remedy=f"Install it, in a session with deps.add({package!r}).",
        ) from error


@contextlib.contextmanager
def reading(format: str) -> Iterator[None]:
    """Turn whatever goes wrong while reading bytes into an `ArtifactFormatError`."""
    try:
        yield
    except ArtifactFormatError:
        raise
    # Decoders of other packages meet hostile bytes here, and each has its own set of exceptions.
    except Exception as error:
        raise ArtifactFormatError(
            f"These bytes cannot be read as {format}: {type(error).__name__}: {str(error)[:200]}.",
            remedy="The file is damaged or is of another format; save it again.",
        ) from error


@contextlib.contextmanager
def writing(obj: object, remedy: str) -> Iterator[None]:
    """Turn whatever goes wrong while writing `obj` into an `ArtifactFormatError`."""
    try:
        yield
    except ArtifactFormatError:
        raise
    # The libraries run code of the object's own (extension types, artists), which may raise anything.
    except Exception as error:
        what = f"This {type(obj).__name__} has no safe file format"
        problem = str(error)[:300].rstrip(".")
        raise ArtifactFormatError(f"{what}: {problem}.", remedy=remedy) from error

"""How an object becomes a file that other tools can read, and an object again.

Nothing here unpickles or executes anything: `decode` treats its bytes as hostile, and `check`
judges the start of a file without decoding it. Only the standard library is imported; numpy,
pandas, polars, pyarrow, Pillow and matplotlib are touched where an object is theirs, and on load.

=========  ==========  ===============================================================
format     suffix      objects
=========  ==========  ===============================================================
json       .json       None, bool, int, float, dict, list (a tuple comes back as a list)
text       .txt        str, as UTF-8
bytes      .bin        bytes, bytearray, memoryview (come back as bytes)
npy        .npy        numpy arrays without Python objects in them
parquet    .parquet    pandas DataFrame and Series, polars DataFrame, pyarrow Table
png        .png        Pillow images, matplotlib figures (come back as a Pillow image)
=========  ==========  ===============================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ArtifactFormatError
from . import arrays, images, plain, tables
from .encoded import FORMATS, HEAD_SIZE, Buffer, Encoded, FormatName, kind_of, reading
from .images import MAX_PIXELS
from .plain import json_bytes
from .tables import MAX_DECODED

__all__ = [
    "FORMATS",
    "HEAD_SIZE",
    "MAX_DECODED",
    "MAX_PIXELS",
    "Buffer",
    "Encoded",
    "FormatName",
    "check",
    "decode",
    "encode",
    "json_bytes",
    "kind_of",
]

_ENCODERS: tuple[Callable[[object], Encoded | None], ...] = (
    plain.from_text,
    plain.from_bytes,
    plain.from_json,
    arrays.from_array,
    tables.from_table,
    images.from_image,
)
_DECODERS: dict[str, Callable[[Buffer], Any]] = {
    "json": plain.to_json,
    "text": plain.to_text,
    "bytes": bytes,
    "npy": arrays.to_array,
    "parquet": tables.to_table,
    "png": images.to_image,
}
_CHECKS: dict[str, Callable[[bytes], object]] = {
    "json": plain.check_json,
    "text": plain.check_text,
    "bytes": bytes,  # any bytes are bytes
    "npy": arrays.check_npy,
    "parquet": tables.check_parquet,
    "png": images.check_png,
}


def encode(obj: object) -> Encoded:
    """Return `obj` as the bytes of a file that other tools can read.

    Raises
    ------
    ArtifactFormatError
        No safe format can hold it; the message says what to convert it to.
    """
    for encoder in _ENCODERS:
        if (encoded := encoder(obj)) is not None:
            return encoded
    raise _no_format(obj)


def decode(encoded: Encoded) -> Any:
    """Return the object that `encoded` holds.

    The bytes may come from isolated code: they are checked, bounded, and never executed.

    Raises
    ------
    ArtifactFormatError
        They are damaged or not what they claim to be, unfold to more than the bounds of this
        module, or need a package that is not installed.
    """
    check(encoded.format, memoryview(encoded.data)[:HEAD_SIZE])
    with reading(encoded.format):
        return _DECODERS[encoded.format](encoded.data)


def check(format: str, head: Buffer) -> None:
    """Judge by its first bytes whether a file can be of a format, without decoding it.

    Parameters
    ----------
    format
        The format it claims to be.
    head
        Its first `HEAD_SIZE` bytes, or all if it is shorter.

    Raises
    ------
    ArtifactFormatError
        It is of another format, holds Python objects (npy), or too many pixels (png).
    """
    kind_of(format)
    with reading(format):
        _CHECKS[format](bytes(head[:HEAD_SIZE]))


_REMEDIES = {
    "matplotlib.axes._axes.Axes": "Save the figure it is part of: axes.figure.",
    "polars.lazyframe.frame.LazyFrame": "Save what collect() returns.",
    "polars.series.series.Series": "Save what to_frame() returns.",
    "pyarrow.lib.RecordBatch": "Save pyarrow.Table.from_batches([batch]).",
}


def _no_format(obj: object) -> ArtifactFormatError:
    kind = type(obj)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    remedy = (
        "Convert it to a dict, list, text or bytes, a numpy array, a DataFrame or an image; "
        "nothing is ever pickled."
    )
    return ArtifactFormatError(
        f"An object of type {name} has no safe file format.", remedy=_REMEDIES.get(name, remedy)
    )

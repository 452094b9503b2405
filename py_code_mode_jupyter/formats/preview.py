"""A bounded view of a file whose bytes are hostile: some rows, some text, a small picture.

What is returned is data and never markup; whoever shows it escapes it. Work and memory are bounded by
`MAX_PREVIEWED` bytes of the file, whatever those claim to unfold to.
"""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from ..errors import ArtifactFormatError
from . import check
from .arrays import to_array
from .encoded import HEAD_SIZE, Encoded, reading
from .images import png_size
from .tables import TableHead, table_head

MAX_PREVIEWED = 32 * 2**20
"""Bytes of a file that is previewed; text is cut instead."""
MAX_TEXT = 64 * 1024
"""Characters of a text."""
MAX_PREVIEWED_PIXELS = 2**24
"""Pixels of a picture that is previewed: decoded, each takes four bytes."""
MAX_SIDE = 640
"""Pixels of a picture's longer side."""
MAX_UNREAD_PICTURE = 2**20
"""Bytes of a PNG file that is handed on as it is, where Pillow is not installed."""
_HEX_BYTES = 256
_LONGEST_ELEMENT = 1_000
_ROWS, _COLUMNS, _CELL = 20, 20, 200


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A raster image as a PNG file.

    Attributes
    ----------
    png
        The file's bytes.
    width, height
        Pixels of it.
    original_width, original_height
        Pixels of what it was made from.
    """

    png: bytes
    width: int
    height: int
    original_width: int
    original_height: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What can be shown of a file.

    Attributes
    ----------
    kind
        ``table``, ``text``, ``json``, ``image`` or ``none``: which of the fields is filled.
    text, table, image
        The view.
    truncated
        Whether there is more than is shown.
    note
        Why there is none, or what was left out.
    """

    kind: str
    text: str = ""
    table: TableHead | None = None
    image: Picture | None = None
    truncated: bool = False
    note: str = ""


def preview(encoded: Encoded) -> Preview:
    """Return a bounded view of a file; one that is too large or damaged has a note that says so."""
    if encoded.size > MAX_PREVIEWED and encoded.format not in ("text", "json", "bytes"):
        limit = f"{MAX_PREVIEWED // 2**20} MiB"
        return Preview(kind="none", truncated=True, note=f"It is larger than {limit}: load it to see it.")
    try:
        check(encoded.format, memoryview(encoded.data)[:HEAD_SIZE])
        with reading(encoded.format):
            return _VIEWS[encoded.format](encoded)
    except ArtifactFormatError as error:
        return Preview(kind="none", note=str(error))


def _text(encoded: Encoded, kind: str = "text") -> Preview:
    head = bytes(memoryview(encoded.data)[: 4 * MAX_TEXT])
    text = head.decode("utf-8", "replace")
    cut = len(text) > MAX_TEXT or encoded.size > len(head)
    return Preview(kind=kind, text=text[:MAX_TEXT], truncated=cut)


def _json(encoded: Encoded) -> Preview:
    if encoded.size > MAX_TEXT:  # indented, it could become a thousand times as long
        return _text(encoded, "json")
    text = json.dumps(json.loads(bytes(encoded.data)), indent=2, ensure_ascii=False)
    return Preview(kind="json", text=text[:MAX_TEXT], truncated=len(text) > MAX_TEXT)


def _bytes(encoded: Encoded) -> Preview:
    head = bytes(memoryview(encoded.data)[:_HEX_BYTES])
    lines = [_hex_line(offset, head[offset : offset + 16]) for offset in range(0, len(head), 16)]
    return Preview(kind="text", text="\n".join(lines), truncated=encoded.size > _HEX_BYTES)


def _hex_line(offset: int, part: bytes) -> str:
    seen = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
    return f"{offset:06x}  {part.hex(' '):<47}  {seen}"


def _array(encoded: Encoded) -> Preview:
    array = to_array(encoded.data)
    if array.dtype.itemsize > _LONGEST_ELEMENT:
        return Preview(kind="none", note="Its elements are too large to be shown.")
    text = importlib.import_module("numpy").array2string(array, threshold=200, edgeitems=5)
    return Preview(kind="text", text=text[:MAX_TEXT], truncated=array.size > 200)


def _table(encoded: Encoded) -> Preview:
    head = table_head(encoded.data, rows=_ROWS, columns=_COLUMNS, longest=_CELL)
    cut = head.total_rows > len(head.rows) or head.total_columns > len(head.names)
    return Preview(kind="table", table=head, truncated=cut)


def _image(encoded: Encoded) -> Preview:
    width, height = png_size(bytes(memoryview(encoded.data)[:HEAD_SIZE]))
    if width * height > MAX_PREVIEWED_PIXELS:
        note = f"Its {width:,} x {height:,} pixels are too many to be shown: load it to see it."
        return Preview(kind="none", truncated=True, note=note)
    try:
        images: Any = importlib.import_module("PIL.Image")
    except ImportError:
        if encoded.size > MAX_UNREAD_PICTURE:
            return Preview(kind="none", note="A picture of this size is shown where Pillow is installed.")
        png = bytes(encoded.data)
        picture = Picture(png=png, width=width, height=height, original_width=width, original_height=height)
        return Preview(kind="image", image=picture)
    small = _smaller(images, encoded, (width, height))
    return Preview(kind="image", image=small, truncated=small.width < width)


def _smaller(images: Any, encoded: Encoded, original: tuple[int, int]) -> Picture:
    """Return the picture drawn anew: nothing but its pixels is handed on."""
    sink = io.BytesIO()
    with images.open(io.BytesIO(encoded.data), formats=["PNG"]) as image:
        image = image.convert("RGBA")
        image.thumbnail((MAX_SIDE, MAX_SIDE))
        image.save(sink, "PNG")
    width, height = image.size
    sizes = {"original_width": original[0], "original_height": original[1]}
    return Picture(png=sink.getvalue(), width=width, height=height, **sizes)


_VIEWS: dict[str, Callable[[Encoded], Preview]] = {
    "text": _text,
    "json": _json,
    "bytes": _bytes,
    "npy": _array,
    "parquet": _table,
    "png": _image,
}

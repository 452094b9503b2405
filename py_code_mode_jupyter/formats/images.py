"""Images of Pillow and figures of matplotlib, as PNG files."""

from __future__ import annotations

import importlib
import io
import struct
from typing import Any

from ..errors import ArtifactFormatError
from .encoded import HEAD_SIZE, Buffer, Encoded, owned_by, writing

MAX_PIXELS = 2**26
"""Pixels of an image, 8192 x 8192: below the bound at which Pillow begins to warn."""

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}


def from_image(obj: object) -> Encoded | None:
    """Return an image or a figure as a PNG file, None for other objects."""
    image: Any = obj
    sink = io.BytesIO()
    if owned_by(obj, "matplotlib.figure", "Figure"):
        with writing(obj, "Check that the figure can be drawn: figure.savefig('x.png')."):
            image.savefig(sink, format="png")
        what = "figure"
    elif owned_by(obj, "PIL.Image", "Image"):
        with writing(obj, 'Convert it: image.convert("RGBA").'):
            if image.mode not in _PNG_MODES:
                raise ValueError(f"a PNG file cannot hold mode {image.mode}")
            image.save(sink, format="PNG")
        what = "image"
    else:
        return None
    data = sink.getbuffer()
    width, height = png_size(bytes(data[:HEAD_SIZE]))
    return Encoded(format="png", data=data, summary=f"{what} {width} x {height}")


def png_size(head: bytes) -> tuple[int, int]:
    """Return width and height in pixels, as the header (PNG specification, 11.2.1) states them."""
    if head[:8] != _PNG_MAGIC or head[8:16] != b"\0\0\0\rIHDR" or len(head) < 33:
        raise ArtifactFormatError("These bytes do not begin as a PNG file does.")
    width, height = struct.unpack(">II", head[16:24])
    if not 0 < width * height <= MAX_PIXELS:
        raise ArtifactFormatError(
            f"An image of {width} x {height} pixels is out of bounds.",
            remedy="Make it smaller: 8192 x 8192 fit.",
        )
    return width, height


def check_png(head: bytes) -> None:
    """Refuse what is no PNG file, or one with too many pixels."""
    png_size(head)


def to_image(data: Buffer) -> Any:
    """Return a Pillow image; the bytes where Pillow is not installed."""
    try:
        image_module = importlib.import_module("PIL.Image")
    except ImportError:
        return bytes(data)
    image = image_module.open(io.BytesIO(data), formats=["PNG"])
    image.load()
    return image

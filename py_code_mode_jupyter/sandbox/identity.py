"""Which code an image holds: the version, and a hash of every file of this package.

Host and container speak a protocol of their own, so an image made from other code is refused with a
clear word instead of failing somewhere. The hash is written into the image when it is built.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_STAMP = _PACKAGE.parent / "content"


@functools.cache
def content() -> str:
    """Return a hash of this package's modules and data, by name and text, as they were when first asked."""
    found = hashlib.sha256()
    for path in sorted([*_PACKAGE.rglob("*.py"), *_PACKAGE.rglob("*.json")]):
        # The built JupyterLab extension is for browsers, and in no image.
        if path.is_relative_to(_PACKAGE / "labextension"):
            continue
        found.update(f"{path.relative_to(_PACKAGE)}\0".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def write_stamp() -> None:
    """Keep the hash beside the package; called when an image is built."""
    _STAMP.write_text(content())


def read_stamp() -> str:
    """Return the hash that was kept, or nothing."""
    return _STAMP.read_text() if _STAMP.exists() else ""

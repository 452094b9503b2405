"""Text, bytes and JSON."""

from __future__ import annotations

import codecs
import json
import re

from ..errors import ArtifactFormatError
from .encoded import Buffer, Encoded, owned_by, writing


def json_bytes(obj: object) -> bytes:
    """Return `obj` as JSON that every tool reads the same way.

    Tuples become lists, and numpy's numbers plain ones.

    Raises
    ------
    ArtifactFormatError
        It holds NaN or infinity, keys that are not text, or other types than JSON's.
    """
    what = f"This {type(obj).__name__} cannot be written as JSON"
    try:
        text = json.dumps(obj, ensure_ascii=False, allow_nan=False, default=_plain_scalar)
        _refuse_odd_keys(obj)
        return text.encode()
    except RecursionError as error:
        raise ArtifactFormatError(f"{what}: it is nested too deeply.", remedy="Flatten it.") from error
    except (TypeError, ValueError) as error:
        remedy = (
            "Use None instead of NaN, text as keys, lists instead of sets, isoformat() for dates, "
            "or save arrays and tables under names of their own."
        )
        raise ArtifactFormatError(f"{what}: {error}.", remedy=remedy) from error


def from_text(obj: object) -> Encoded | None:
    """Return a str as UTF-8, None for other objects."""
    if not isinstance(obj, str):
        return None
    with writing(obj, "Take the lone surrogates out, or save bytes."):
        return Encoded(format="text", data=obj.encode(), summary=f"text, {len(obj):,} characters")


def from_bytes(obj: object) -> Encoded | None:
    """Return bytes as they are, None for other objects."""
    if not isinstance(obj, bytes | bytearray | memoryview):
        return None
    data = obj if type(obj) is bytes else bytes(obj)
    return Encoded(format="bytes", data=data, summary=f"{len(data):,} bytes")


def from_json(obj: object) -> Encoded | None:
    """Return plain data as JSON, None for other objects."""
    if isinstance(obj, dict | list | tuple):
        unit = "keys" if isinstance(obj, dict) else "items"
        return Encoded(
            format="json", data=json_bytes(obj), summary=f"{type(obj).__name__}, {len(obj):,} {unit}"
        )
    if obj is None or isinstance(obj, bool | int | float) or owned_by(obj, "numpy", "generic"):
        data = json_bytes(obj)
        return Encoded(format="json", data=data, summary=data[:80].decode())
    return None


def _plain_scalar(obj: object) -> object:
    value = obj.item() if owned_by(obj, "numpy", "generic") else None  # type: ignore[attr-defined]
    if isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"JSON has no {type(obj).__name__}")


def _refuse_odd_keys(obj: object) -> None:
    """Refuse keys that json would quietly turn into text: 1 and "1" would become one key."""
    stack = [obj]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            for key in item:
                if not isinstance(key, str):
                    raise TypeError(f"the key {key!r} is not text")
            stack.extend(item.values())
        elif isinstance(item, list | tuple):
            stack.extend(item)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def to_json(data: Buffer) -> object:
    """Return the data of a JSON file."""
    return json.loads(str(data, "utf-8"), parse_constant=_refuse_constant)


def to_text(data: Buffer) -> str:
    """Return the text of a UTF-8 file."""
    return str(data, "utf-8")


def check_text(head: bytes) -> None:
    """Refuse what is not UTF-8."""
    codecs.getincrementaldecoder("utf-8")().decode(head)


def check_json(head: bytes) -> None:
    """Refuse what does not begin as JSON does."""
    check_text(head)
    if not re.match(rb"[ \t\r\n]*[\[{\"\-0-9tfn]", head) or b"\0" in head:
        raise ValueError("it does not begin as JSON does")

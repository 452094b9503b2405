"""Looks through an Arrow IPC stream before a library unfolds it: it has to be as large as it looks.

Source: Arrow columnar format, "Serialization and Interprocess Communication (IPC)", with the tables of
``Message.fbs``; FlatBuffers, "Internals". A table begins with the distance back to its vtable, which
holds the table's fields' offsets, 0 for a field that is not there.
"""

from __future__ import annotations

import struct

_CONTINUATION = 0xFFFFFFFF
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3  # of a Message
_DATA = 1  # of a DictionaryBatch: a RecordBatch
_LENGTH, _COMPRESSION = 0, 3  # of a RecordBatch
_ROWS_FOR_NOTHING = 2**20
"""Rows that may be there without a bit that holds them, as in a column of nulls."""


class ArrowStreamError(ValueError):
    """The stream is damaged, compressed, or counts rows that its bytes cannot hold."""


def check_stream(data: memoryview) -> None:
    """Raise `ArrowStreamError` unless the stream, unfolded, takes about the room that it takes now."""
    try:
        _check(data)
    except struct.error:
        raise ArrowStreamError("An Arrow stream ends early.") from None


def _check(data: memoryview) -> None:
    rows = at = 0
    while at < len(data):
        mark, size = struct.unpack_from("<Ii", data, at)
        if mark != _CONTINUATION or size < 0:
            raise ArrowStreamError("An Arrow stream has a message that does not begin as one.")
        if not size:
            break
        start, at = at + 8, at + 8 + size
        found, body = _rows(data[start:at])
        rows, at = rows + found, at + body
    if at > len(data):
        raise ArrowStreamError("An Arrow stream ends early.")
    if rows > 8 * len(data) + _ROWS_FOR_NOTHING:
        raise ArrowStreamError(f"An Arrow stream of {len(data):,} bytes counts {rows:,} rows.")


def _rows(message: memoryview) -> tuple[int, int]:
    """Return a message's rows, and the size of its body in bytes."""
    (root,) = struct.unpack_from("<I", message, 0)
    kind_at, body_at = _field(message, root, _HEADER_TYPE), _field(message, root, _BODY_LENGTH)
    kind = struct.unpack_from("<B", message, kind_at)[0] if kind_at else 0
    body = struct.unpack_from("<q", message, body_at)[0] if body_at else 0
    if kind not in (_SCHEMA, _DICTIONARY, _BATCH) or body < 0:
        raise ArrowStreamError("An Arrow stream holds something else than tables.")
    if kind == _SCHEMA:
        return 0, body
    batch = _table(message, root, _HEADER)
    if kind == _DICTIONARY:
        batch = _table(message, batch, _DATA)
    if _field(message, batch, _COMPRESSION):
        raise ArrowStreamError("An Arrow stream is compressed.")
    length_at = _field(message, batch, _LENGTH)
    length = struct.unpack_from("<q", message, length_at)[0] if length_at else 0
    if length < 0:
        raise ArrowStreamError("An Arrow stream counts below zero.")
    return length, body


def _table(message: memoryview, table: int, number: int) -> int:
    """Return where the table is that a field refers to."""
    at = _field(message, table, number)
    if not at:
        raise ArrowStreamError("An Arrow stream has a message without its content.")
    return at + int(struct.unpack_from("<I", message, at)[0])


def _field(message: memoryview, table: int, number: int) -> int:
    """Return where a table's field is, 0 if it is not there."""
    vtable = table - struct.unpack_from("<i", message, table)[0]
    if vtable < 0:
        raise ArrowStreamError("An Arrow stream is damaged.")
    (size,) = struct.unpack_from("<H", message, vtable)
    if 4 + 2 * number >= size:
        return 0
    (offset,) = struct.unpack_from("<H", message, vtable + 4 + 2 * number)
    return table + offset if offset else 0

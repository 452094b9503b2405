"""What the footer of a parquet file says of its size, read without trusting it.

pyarrow's own accessors of a footer end the process on values that they do not know: an exception of C++
crosses Python there. So the footer is read here, as Thrift's compact protocol lays it out, before pyarrow
sees the file. Whatever no writer makes is refused: two readers must not understand it differently.

Sources: the Parquet format's ``parquet.thrift``, and Thrift's "Compact Protocol" specification.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from .encoded import Buffer

MAGIC = b"PAR1"
_DEEPEST = 16
"""Structures and lists within one another; a footer without encryption needs some ten."""
_LARGEST = 2**23
"""Bytes of a footer that is read; ten thousand columns take some two million."""
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_VARINTS = (4, 5, 6)  # of 16, 32 and 64 bits
# What `encode` writes. Others shrink repetition by more than a thousand, a gift to whoever builds bombs.
_CODECS = {0: "UNCOMPRESSED", 1: "SNAPPY"}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A column of a row group: its codec (None: one that is not read here), values, and bytes unfolded."""

    codec: str | None
    num_values: int
    uncompressed: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Footer:
    """The sizes in a footer: rows of the file; bytes and columns of each of its row groups."""

    num_rows: int
    group_sizes: tuple[int, ...]
    chunks: tuple[Chunk, ...]


def read_footer(data: Buffer) -> Footer:
    """Read a file's footer; ValueError for what is not one, or counts below zero."""
    view = memoryview(data)
    if len(view) < 12 or bytes(view[:4]) != MAGIC or bytes(view[-4:]) != MAGIC:
        raise ValueError("it does not begin and end as a parquet file does")
    [length] = struct.unpack("<I", view[-8:-4])
    if length > len(view) - 12:
        raise ValueError("its footer is cut off")
    if length > _LARGEST:
        raise ValueError("its footer is too large")
    reader = _Reader(bytes(view[-8 - length : -8]))
    try:
        found = reader.structure()
    except (IndexError, struct.error):
        raise ValueError("its footer is cut off") from None
    if reader.position != length:
        raise ValueError("bytes follow its footer")
    groups = _structures(found, 4)
    chunks = [_structure(chunk, 3) for group in groups for chunk in _structures(group, 1)]
    return Footer(
        num_rows=_count(found, 3),
        group_sizes=tuple(_count(group, 2) for group in groups),
        chunks=tuple(
            Chunk(codec=_CODECS.get(_count(one, 4)), num_values=_count(one, 5), uncompressed=_count(one, 6))
            for one in chunks
        ),
    )


def _count(found: dict[int, Any], field: int) -> int:
    value = found.get(field)
    if type(value) is not int or value < 0:
        raise ValueError("its footer counts below zero, or not at all")
    return value


def _structure(found: dict[int, Any], field: int) -> dict[int, Any]:
    value = found.get(field)
    if type(value) is not dict:
        raise ValueError("its footer lacks a part")
    return value


def _structures(found: dict[int, Any], field: int) -> list[dict[int, Any]]:
    value = found.get(field)
    if type(value) is not list or not all(type(one) is dict for one in value):
        raise ValueError("its footer lacks a part")
    return value


class _Reader:
    """Reads values of the compact protocol: structures as dictionaries by field, texts as bytes."""

    def __init__(self, data: bytes) -> None:
        self._data, self.position, self._depth = data, 0, 0

    def structure(self) -> dict[int, Any]:
        self._enter()
        found: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._integer()
            if field in found:
                raise ValueError("its footer says something twice")
            kind = head & 15
            found[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)
        self._depth -= 1
        return found

    def _value(self, kind: int) -> Any:
        if kind in _VARINTS:
            return self._integer()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind in (_LIST, _SET):
            head = self._byte()
            size = head >> 4 if head >> 4 < 15 else self._varint()
            self._enter()
            found = [self._value(head & 15) for _ in range(self._possible(size))]
            self._depth -= 1
            return found
        if kind == _STRUCT:
            return self.structure()
        if kind in (_TRUE, _FALSE, _BYTE):  # of a list; as a field, a truth has no value of its own
            return self._byte()
        if kind == _DOUBLE:
            return struct.unpack("<d", self._take(8))[0]
        raise ValueError("its footer holds a value of an unknown kind")  # among them maps: it has none

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("its footer is nested too deeply")

    def _byte(self) -> int:
        self.position += 1
        return self._data[self.position - 1]

    def _take(self, size: int) -> bytes:
        start, self.position = self.position, self.position + self._possible(size)
        return self._data[start : self.position]

    def _possible(self, size: int) -> int:
        """Return a size that is followed by as many bytes: nothing takes less than one."""
        if size > len(self._data) - self.position:
            raise IndexError
        return size

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("its footer holds a number that is too long")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

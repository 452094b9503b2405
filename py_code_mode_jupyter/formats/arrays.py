"""numpy arrays, in numpy's own file format without its pickles."""

from __future__ import annotations

import ast
import importlib
import io
import math
import re
import struct
import sys
from typing import Any, Literal, NamedTuple

from ..errors import ArtifactFormatError
from .encoded import HEAD_SIZE, Buffer, Encoded, library, owned_by, writing

_NPY_MAGIC = b"\x93NUMPY"
# numpy reads no longer headers from files it does not trust: parsing them could exhaust the C stack.
_NPY_HEADER = 10_000
_NPY_TYPE = re.compile(r"[<>|=]?(?:b1|[iufc]\d{1,2}|[SUV]\d{1,10}|[mM]8(?:\[\w{1,20}\])?)")


class _NpyHeader(NamedTuple):
    descr: Any
    fortran: bool
    shape: tuple[int, ...]
    offset: int


def _npy_header(head: bytes) -> _NpyHeader:
    """Read the header as NEP 1 describes it, without numpy: the host may not have it."""
    if head[:6] != _NPY_MAGIC or head[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("it does not begin as an npy file does")
    width, code = (2, "<H") if head[6] == 1 else (4, "<I")
    (length,) = struct.unpack(code, head[8 : 8 + width])
    offset = 8 + width + length
    if length > _NPY_HEADER or offset > len(head):
        raise ValueError("its header is too long or cut off")
    try:
        header = ast.literal_eval(
            head[8 + width : offset].decode("utf-8" if head[6] == 3 else "latin-1").strip()
        )
    except (MemoryError, RecursionError, SyntaxError) as error:
        raise ValueError("its header is not a dict") from error
    return _NpyHeader(*_npy_fields(header), offset)


def _npy_fields(header: Any) -> tuple[Any, bool, tuple[int, ...]]:
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header has other fields than it should")
    fortran, shape = header["fortran_order"], header["shape"]
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("its shape is not a tuple of sizes")
    if not isinstance(fortran, bool) or not _is_plain_type(header["descr"]):
        raise ValueError("its elements are not plain numbers or text; object arrays are pickles")
    return header["descr"], fortran, shape


def _is_plain_type(descr: Any) -> bool:
    """Whether a type description leads to numbers, text and raw bytes only."""
    if isinstance(descr, str):
        return _NPY_TYPE.fullmatch(descr) is not None
    if isinstance(descr, tuple):  # an array within each element: (type, shape)
        return len(descr) == 2 and _is_plain_type(descr[0])
    return isinstance(descr, list) and all(
        isinstance(part, tuple) and len(part) in (2, 3) and _is_plain_type(part[1]) for part in descr
    )


def check_npy(head: bytes) -> None:
    """Refuse what is no npy file, or one that holds Python objects."""
    _npy_header(head)


def from_array(obj: object) -> Encoded | None:
    """Return a numpy array as an npy file, None for other objects."""
    if not owned_by(obj, "numpy", "ndarray"):
        return None
    array: Any = obj
    remedy = "Convert it with astype() to numbers or text, or save a list."
    with writing(obj, remedy):
        if owned_by(obj, "numpy.ma", "MaskedArray"):
            raise ArtifactFormatError(
                "A masked array would lose its mask.", remedy="Save what filled() returns."
            )
        numpy = sys.modules["numpy"]
        if array.dtype.hasobject or not array.dtype.itemsize:
            raise TypeError(f"its dtype {array.dtype} is not plain numbers or text")
        sink = io.BytesIO()
        numpy.lib.format.write_array(sink, numpy.asarray(array), allow_pickle=False)
        if _npy_type(_npy_header(bytes(sink.getbuffer()[:HEAD_SIZE]))) != array.dtype:
            raise TypeError(f"its dtype {array.dtype} has no name in the npy format")
    shape = " x ".join(map(str, array.shape)) or "scalar"
    return Encoded(format="npy", data=sink.getbuffer(), summary=f"array {shape} {array.dtype}"[:200])


def _npy_type(header: _NpyHeader) -> Any:
    return importlib.import_module("numpy.lib.format").descr_to_dtype(header.descr)


def to_array(data: Buffer) -> Any:
    """Return the array, having compared its size with what the header says."""
    numpy = library("numpy", "An npy file")
    header = _npy_header(bytes(data[:HEAD_SIZE]))
    dtype = _npy_type(header)
    present = len(data) - header.offset
    if dtype.hasobject or not dtype.itemsize or math.prod(header.shape) * dtype.itemsize != present:
        raise ValueError("its size is not what its header says")
    order: Literal["C", "F"] = "F" if header.fortran else "C"
    view = numpy.ndarray(header.shape, dtype, buffer=data, offset=header.offset, order=order)
    return view.copy(order=order)  # the caller may write to it, and the file's bytes can go

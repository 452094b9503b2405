"""Values on the wire: plain data, arrays and tables as JSON and raw buffers, never as pickles.

An encoded value is a list of buffers. The first is a JSON tree; the others are raw bytes that it
refers to by number. JSON types stand for themselves; everything else is a tagged object
``{"$": kind, ...}``. Many buffers are put together in one, and the tree says their sizes. Decoding
rebuilds data and never imports, calls or executes what the sender names, so it may be used on bytes
that hostile code wrote.
"""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import json
import re
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..errors import NotPlainError, TransferError
from .arrow_stream import check_stream

MAX_TREE = 64 * 2**20
"""Bytes of JSON in a value: as objects they take up to twenty times the room. Raw buffers do not count."""
_MOST_BUFFERS = 100
"""Buffers that cross one by one: a message has parts, and not any number of them."""
_MOST_TABLES = 1000
"""Tables and columns in one value: even an empty one takes a while to build."""
_TABLES = frozenset({"DataFrame", "Series", "polars", "arrow"})
Buffer = bytes | bytearray | memoryview
_SCALARS = (str, int, float, bool, type(None))
_ARRAY_KINDS = "biufcmMSU"
_SAME_HASH = 64
"""Values of one hash that a set, or the keys of a dict, may hold: each is compared with the others."""
_COLUMN_DTYPE = re.compile(
    r"u?int\d+|U?Int\d+|float\d+|Float\d+|bool|boolean|str|string|object|category"
    r"|datetime64\[(s|ms|us|ns), [\w/+:-]{1,64}\]"
)


def encode(value: object) -> list[Buffer]:
    """Return `value` as buffers.

    Raises
    ------
    NotPlainError
        It, or something inside it, has no safe encoding.
    """
    buffers: list[Buffer] = [b""]
    try:
        tree = _Encoder(buffers).tree(value)
        if len(buffers) > _MOST_BUFFERS:
            sizes = [memoryview(buffer).nbytes for buffer in buffers[1:]]
            tree = {"$": "joined", "sizes": sizes, "value": tree}
            buffers[1:] = [b"".join(buffers[1:])]
        buffers[0] = json.dumps(tree, separators=(",", ":")).encode("utf-8", "surrogatepass")
    except RecursionError:
        raise NotPlainError("The value is nested too deeply, or contains itself.") from None
    if len(buffers[0]) > MAX_TREE:
        size = f"{len(buffers[0]) / 2**20:,.0f} MiB"
        raise NotPlainError(f"The value is {size} of plain data; {MAX_TREE // 2**20} MiB may cross.")
    return buffers


def decode(buffers: Sequence[Buffer]) -> Any:
    """Return the value that `buffers` encode.

    Raises
    ------
    TransferError
        They are damaged or forged, or the library of the value's kind is not installed here.
    """
    try:
        if len(buffers[0]) > MAX_TREE:
            raise TransferError("The encoded value is larger than a value may be.")
        tree = json.loads(bytes(buffers[0]).decode("utf-8", "surrogatepass"))
        if isinstance(tree, dict) and tree.get("$") == "joined":
            buffers, tree = _parted(buffers, tree["sizes"]), tree["value"]
        return _Decoder(buffers).value(tree)
    except TransferError:
        raise
    except ImportError as error:
        raise TransferError(
            f"The value needs {error.name}, which is not installed here.",
            remedy=f"Install it; in a session with add_dep({error.name!r}).",
        ) from error
    except Exception as error:
        raise TransferError(f"The encoded value is damaged: {type(error).__name__}: {error}") from error


def _parted(buffers: Sequence[Buffer], sizes: list[int]) -> list[Buffer]:
    """Take apart what was joined."""
    joined = memoryview(buffers[1])
    if any(not isinstance(size, int) or size < 0 for size in sizes) or sum(sizes) != joined.nbytes:
        raise TransferError("The encoded value names sizes that its bytes do not have.")
    ends = [*itertools.accumulate(sizes, initial=0)]
    return [buffers[0], *(joined[start:end] for start, end in itertools.pairwise(ends))]


class _Encoder:
    """One value's way into a tree; large parts go to `buffers`."""

    def __init__(self, buffers: list[Buffer]) -> None:
        self._buffers = buffers

    def tree(self, value: Any) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return value
        if kind is list:
            return self._items(value)
        if kind is dict:
            return self._dict(value)
        encoder = _SIMPLE.get(kind) or self._foreign(kind)
        if encoder is None:
            raise NotPlainError(f"An object of type {kind.__name__} cannot cross as plain data.")
        return encoder(self, value)

    def _items(self, items: Any) -> list[Any]:
        if all(type(item) in _SCALARS for item in items):
            return list(items)
        return [self.tree(item) for item in items]

    def _dict(self, value: dict[Any, Any]) -> dict[str, Any]:
        if all(type(key) is str for key in value) and "$" not in value:
            return {key: self.tree(item) for key, item in value.items()}
        return {"$": "dict", "items": [[self.tree(k), self.tree(v)] for k, v in value.items()]}

    def raw(self, data: Buffer) -> int:
        self._buffers.append(data)
        return len(self._buffers) - 1

    def sequence(self, value: Any) -> dict[str, Any]:
        return {"$": type(value).__name__, "items": self._items(tuple(value))}

    def bytes(self, value: Any) -> dict[str, Any]:
        return {"$": type(value).__name__, "buffer": self.raw(bytes(value))}

    def text(self, value: Any) -> dict[str, Any]:
        return {"$": type(value).__name__, "text": str(value)}

    def moment(self, value: Any) -> dict[str, Any]:
        return {"$": type(value).__name__, "text": value.isoformat()}

    def timedelta(self, value: dt.timedelta) -> dict[str, Any]:
        return {"$": "timedelta", "parts": [value.days, value.seconds, value.microseconds]}

    def complex(self, value: complex) -> dict[str, Any]:
        return {"$": "complex", "parts": [value.real, value.imag]}

    def _foreign(self, kind: type) -> Callable[[_Encoder, Any], Any] | None:
        """Find the encoder of a third-party type without importing its library."""
        root = kind.__module__.partition(".")[0]
        module = sys.modules.get(root)
        for name, encoder in _FOREIGN.get(root, ()):
            foreign = getattr(module, name, None)
            if isinstance(foreign, type) and issubclass(kind, foreign):
                return encoder
        return None

    def ndarray(self, array: Any) -> dict[str, Any]:
        if array.dtype.kind not in _ARRAY_KINDS or array.dtype.names:
            raise NotPlainError(f"An array of dtype {array.dtype} cannot cross as plain data.")
        data = sys.modules["numpy"].ascontiguousarray(array)
        raw = self.raw(memoryview(data.reshape(-1).view("u1")) if data.nbytes else b"")
        return {"$": "ndarray", "dtype": array.dtype.str, "shape": list(array.shape), "buffer": raw}

    def numpy_scalar(self, scalar: Any) -> dict[str, Any]:
        return {"$": "scalar", "array": self.ndarray(sys.modules["numpy"].asarray(scalar))}

    def timestamp(self, value: Any) -> Any:
        if value is sys.modules["pandas"].NaT:
            return None
        return {"$": "datetime", "text": value.to_pydatetime(warn=False).isoformat()}

    def column(self, column: Any) -> dict[str, Any]:
        numpy = sys.modules["numpy"]
        if isinstance(column.dtype, numpy.dtype) and column.dtype.kind in _ARRAY_KINDS:
            return {"dtype": str(column.dtype), "values": self.ndarray(column.to_numpy())}
        missing = zip(column, column.isna(), strict=True)
        values = [None if gone and not isinstance(v, float) else v for v, gone in missing]
        return {"dtype": str(column.dtype), "values": self._items(values)}

    def index(self, index: Any) -> dict[str, Any]:
        names = [self.tree(name) for name in index.names]
        if type(index).__name__ == "RangeIndex":
            return {"range": [index.start, index.stop, index.step], "names": names}
        if index.nlevels > 1:
            return {"tuples": [[self.tree(v) for v in row] for row in index], "names": names}
        return {"column": self.column(index.to_series()), "names": names}

    def dataframe(self, frame: Any) -> dict[str, Any]:
        columns = [self.column(frame.iloc[:, i]) for i in range(frame.shape[1])]
        labels = self.index(frame.columns)
        return {"$": "DataFrame", "columns": columns, "labels": labels, "index": self.index(frame.index)}

    def series(self, series: Any) -> dict[str, Any]:
        name = self.tree(series.name)
        return {"$": "Series", "column": self.column(series), "name": name, "index": self.index(series.index)}

    def polars(self, frame: Any) -> dict[str, Any]:
        stream = frame.write_ipc_stream(None, compression="uncompressed")
        return {"$": "polars", "buffer": self.raw(stream.getbuffer())}

    def arrow(self, table: Any) -> dict[str, Any]:
        import pyarrow as pa

        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
        return {"$": "arrow", "buffer": self.raw(memoryview(stream.getvalue()))}


_SIMPLE: dict[type, Callable[[_Encoder, Any], Any]] = {
    tuple: _Encoder.sequence,
    set: _Encoder.sequence,
    frozenset: _Encoder.sequence,
    bytes: _Encoder.bytes,
    bytearray: _Encoder.bytes,
    complex: _Encoder.complex,
    decimal.Decimal: _Encoder.text,
    uuid.UUID: _Encoder.text,
    dt.datetime: _Encoder.moment,
    dt.date: _Encoder.moment,
    dt.time: _Encoder.moment,
    dt.timedelta: _Encoder.timedelta,
}
_FOREIGN: dict[str, tuple[tuple[str, Callable[[_Encoder, Any], Any]], ...]] = {
    "numpy": (("ndarray", _Encoder.ndarray), ("generic", _Encoder.numpy_scalar)),
    "pandas": (
        ("DataFrame", _Encoder.dataframe),
        ("Series", _Encoder.series),
        ("Timestamp", _Encoder.timestamp),
    ),
    "polars": (("DataFrame", _Encoder.polars),),
    "pyarrow": (("Table", _Encoder.arrow),),
}


class _Decoder:
    """The way back. Every method treats its node as hostile."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._buffers = buffers
        self._unused = set(range(1, len(buffers)))
        self._tables = 0

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.value(item) if isinstance(item, list | dict) else item for item in node]
        if not isinstance(node, dict):
            return node
        if "$" not in node:
            return {key: self.value(item) for key, item in node.items()}
        decoder = _DECODERS.get(node["$"])
        if decoder is None:
            raise TransferError(f"The encoded value holds an unknown kind: {str(node['$'])[:80]!r}.")
        self._tables += node["$"] in _TABLES
        if self._tables > _MOST_TABLES:
            raise TransferError(f"The encoded value holds more than {_MOST_TABLES} tables.")
        return decoder(self, node)

    def raw(self, node: dict[str, Any]) -> Buffer:
        number = node["buffer"]
        # Each once: a small tree that refers to one buffer again and again would unfold without end.
        if not isinstance(number, int) or number not in self._unused:
            raise TransferError("The encoded value refers to a buffer that is not there, or used already.")
        self._unused.discard(number)
        return self._buffers[number]

    def array(self, node: dict[str, Any]) -> Any:
        import numpy as np

        dtype = np.dtype(str(node["dtype"]))
        if dtype.kind not in _ARRAY_KINDS or dtype.names:
            raise TransferError(f"Arrays of dtype {dtype} are not accepted.")
        flat = np.frombuffer(bytearray(self.raw(node)), dtype=dtype)
        return flat.reshape([int(n) for n in node["shape"]])

    def column(self, node: dict[str, Any]) -> Any:
        import pandas as pd

        values, dtype = self.value(node["values"]), str(node["dtype"])
        if not isinstance(values, list):
            return pd.Series(values)
        if not _COLUMN_DTYPE.fullmatch(dtype):
            dtype = "object"
        if dtype == "category":
            _refuse_collisions(values)
        elif dtype != "object" and any(isinstance(item, decimal.Decimal) for item in values):
            # int(Decimal("1e999999999")) would not end, and nothing could stop it.
            raise TransferError(f"A column of {dtype} holds a Decimal.")
        return pd.Series(values, dtype="object").astype(dtype)

    def index(self, node: dict[str, Any]) -> Any:
        import pandas as pd

        names = [self.value(name) for name in node["names"]]
        if "range" in node:
            return pd.RangeIndex(*map(int, node["range"]), name=names[0])
        if "tuples" in node:
            rows = [tuple(map(self.value, row)) for row in node["tuples"]]
            for level in zip(*rows, strict=True):
                _refuse_collisions(level)
            return pd.MultiIndex.from_tuples(rows, names=names)
        return pd.Index(self.column(node["column"]), name=names[0])

    def dataframe(self, node: dict[str, Any]) -> Any:
        import pandas as pd

        index = self.index(node["index"])
        columns = {i: self.column(column).set_axis(index) for i, column in enumerate(node["columns"])}
        frame = pd.DataFrame(columns, index=index)
        frame.columns = self.index(node["labels"])
        return frame

    def series(self, node: dict[str, Any]) -> Any:
        return (
            self.column(node["column"]).set_axis(self.index(node["index"])).rename(self.value(node["name"]))
        )

    def polars(self, node: dict[str, Any]) -> Any:
        import polars as pl

        table = self.arrow(node)
        _refuse_repetition(table.schema.types)
        try:
            return pl.from_arrow(table)
        except pl.exceptions.PanicException as error:  # no Exception: nobody above would catch it
            raise TransferError(f"The encoded table is damaged: {error}") from None

    def arrow(self, node: dict[str, Any]) -> Any:
        import pyarrow as pa

        data = bytes(self.raw(node))
        check_stream(memoryview(data))
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            table = reader.read_all()
        # Reading believes what the stream says of itself, offsets into memory too.
        table.validate(full=True)
        _read_names(table.schema)  # raises for what is no text, which `validate` does not look at
        return table

    def items(self, node: dict[str, Any]) -> list[Any]:
        return [self.value(item) for item in node["items"]]

    def keys(self, node: dict[str, Any]) -> list[Any]:
        keys = self.items(node)
        _refuse_collisions(keys)
        return keys

    def dict(self, node: dict[str, Any]) -> dict[Any, Any]:
        pairs = [(self.value(key), self.value(item)) for key, item in node["items"]]
        _refuse_collisions(key for key, _ in pairs)
        return dict(pairs)


def _refuse_repetition(types: Iterable[Any]) -> None:
    """Refuse what polars would write out in full: long values that are referred to by number."""
    import pyarrow as pa

    for kind in types:
        if pa.types.is_dictionary(kind) and not str(kind.value_type).endswith(("string", "string_view")):
            raise TransferError("The encoded table refers by number to something else than text.")
        if pa.types.is_run_end_encoded(kind):
            raise TransferError("The encoded table holds runs.")
        _refuse_repetition(kind.field(i).type for i in range(kind.num_fields))


def _read_names(fields: Iterable[Any]) -> None:
    """Read the name of every field of an Arrow schema or type."""
    for field in fields:
        str(field.name)
        _read_names(field.type.field(i) for i in range(field.type.num_fields))


def _refuse_collisions(keys: Iterable[Any]) -> None:
    """Refuse numbers chosen so that comparing them with each other would take hours."""
    # Nobody can foresee the hashes of text, and by its text a key that is repeated counts once.
    different = {repr(key): key for key in keys if not isinstance(key, str)}
    hashes = Counter(map(hash, different.values()))
    if max(hashes.values(), default=0) > _SAME_HASH:
        raise TransferError("The encoded value holds keys whose hashes collide.")


_DECODERS: dict[str, Callable[[_Decoder, dict[str, Any]], Any]] = {
    "tuple": lambda d, n: tuple(d.items(n)),
    "set": lambda d, n: set(d.keys(n)),
    "frozenset": lambda d, n: frozenset(d.keys(n)),
    "dict": _Decoder.dict,
    "bytes": lambda d, n: bytes(d.raw(n)),
    "bytearray": lambda d, n: bytearray(d.raw(n)),
    "complex": lambda _, n: complex(*map(float, n["parts"])),
    "Decimal": lambda _, n: decimal.Decimal(n["text"]),
    "UUID": lambda _, n: uuid.UUID(n["text"]),
    "datetime": lambda _, n: dt.datetime.fromisoformat(n["text"]),
    "date": lambda _, n: dt.date.fromisoformat(n["text"]),
    "time": lambda _, n: dt.time.fromisoformat(n["text"]),
    "timedelta": lambda _, n: dt.timedelta(*map(int, n["parts"])),
    "ndarray": _Decoder.array,
    "scalar": lambda d, n: d.array(n["array"])[()],
    "DataFrame": _Decoder.dataframe,
    "Series": _Decoder.series,
    "polars": _Decoder.polars,
    "arrow": _Decoder.arrow,
}

"""Values on the wire: what crosses comes back the same, and hostile bytes only raise."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from py_code_mode_jupyter import codec
from py_code_mode_jupyter.codec import decode, encode
from py_code_mode_jupyter.errors import NotPlainError, TransferError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
HASHABLE = st.integers() | st.text() | st.tuples(st.integers(), st.text())
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner) | st.dictionaries(HASHABLE, inner) | st.tuples(inner, inner) | st.sets(HASHABLE)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(PLAIN)
def test_plain_data_comes_back_the_same(value: Any) -> None:
    again = decode(encode(value))
    assert again == value
    assert type(again) is type(value)


MORE: list[Any] = [
    dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
    dt.date(2026, 1, 2),
    dt.time(1, 2, 3),
    dt.timedelta(1, 2, 3),
    decimal.Decimal("1.10"),
    uuid.UUID(int=7),
    frozenset({1}),
    bytearray(b"x"),
    1 + 2j,
    {"$": "dict"},
    {"$": {"$": 1}},
    "\ud800",
]


@pytest.mark.parametrize("value", MORE, ids=repr)
def test_common_types_come_back_the_same(value: Any) -> None:
    again = decode(encode(value))
    assert again == value
    assert type(again) is type(value)


ARRAYS = [
    np.arange(6).reshape(2, 3),
    np.array([]),
    np.array(3.5),
    np.zeros((0, 3)),
    np.array(["a", "bc"]),
    np.array(["2020-01-01"], dtype="M8[D]"),
    np.arange(10)[::2].astype(">i4"),
    np.asfortranarray(np.ones((3, 4), dtype="f4")),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}-{a.shape}")
def test_arrays_come_back_writable_and_the_same(array: Any) -> None:
    again = decode(encode({"inside": [array]}))["inside"][0]
    np.testing.assert_array_equal(again, array)
    assert again.dtype == array.dtype
    assert again.flags.writeable


FRAME = pd.DataFrame(
    {
        "n": [1, 2],
        "text": ["x", None],
        "kind": pd.Categorical(["u", "v"]),
        "day": pd.to_datetime(["2020-01-01", None]),
        "moment": pd.to_datetime(["2020-01-01", "2021-01-01"], utc=True),
        "maybe": pd.array([1, None], dtype="Int64"),
        "flag": [True, False],
        "mixed": pd.Series([{"a": 1}, 2], dtype=object).to_numpy(),
    },
    index=["r1", "r2"],
)


def test_tables_come_back_the_same() -> None:
    pd.testing.assert_frame_equal(decode(encode(FRAME)), FRAME, check_categorical=False)
    grouped = FRAME.groupby(["n", "flag"]).size()
    pd.testing.assert_series_equal(decode(encode(grouped)), grouped)
    doubled = pd.DataFrame([[1, 2]], columns=["x", "x"])
    pd.testing.assert_frame_equal(decode(encode(doubled)), doubled)
    polars = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert decode(encode(polars)).equals(polars)
    arrow = pa.table({"a": [1, 2]})
    assert decode(encode(arrow)).equals(arrow)


class Sneaky(dict):  # type: ignore[type-arg]
    """A subclass is not plain: its methods would run."""


@pytest.mark.parametrize("value", [object(), len, np.array([object()]), Sneaky(), [Sneaky()], {1: object()}])
def test_what_is_not_plain_is_refused(value: Any) -> None:
    with pytest.raises(NotPlainError):
        encode(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(NotPlainError, match="contains itself"):
        encode(loop)


HOSTILE: list[Any] = [
    {"$": "ndarray", "dtype": "O", "shape": [1], "buffer": 1},
    {"$": "ndarray", "dtype": "i8", "shape": [10**12], "buffer": 1},
    {"$": "ndarray", "dtype": "i8,O", "shape": [1], "buffer": 1},
    {"$": "ndarray", "dtype": "i8", "shape": [1], "buffer": 0},
    {"$": "ndarray", "dtype": "i8", "shape": [1], "buffer": 99},
    {"$": "ndarray", "dtype": "i8", "shape": [1], "buffer": "1"},
    {"$": "bytes", "buffer": -1},
    {"$": "__import__"},
    {"$": ["list"]},
    {"$": "set", "items": [[1]]},
    {"$": "dict", "items": [[[1], 2]]},
    {"$": "polars", "buffer": 1},
    {"$": "arrow", "buffer": 1},
    {"$": "DataFrame", "columns": [], "labels": {}, "index": {}},
    {"$": "datetime", "text": "now"},
    {"$": "timedelta", "parts": [10**12]},
    {"$": "Decimal", "text": "x"},
]


@pytest.mark.parametrize("tree", HOSTILE, ids=lambda t: str(t)[:60])
def test_forged_values_only_raise_the_typed_error(tree: Any) -> None:
    with pytest.raises(TransferError):
        decode([json.dumps(tree).encode(), b"\x80\x04\x95 not a pickle"])


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=3))
def test_random_bytes_only_raise_the_typed_error(buffers: list[bytes]) -> None:
    try:
        decode(buffers)
    except TransferError:
        pass


def _stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as to:
        to.write_table(table)
    return bytes(sink.getvalue())


def _table(stream: bytes, kind: str = "arrow") -> Any:
    return decode([json.dumps({"$": kind, "buffer": 1}).encode(), stream])


ZEROS = pa.table({"a": pa.array(np.zeros(10**6))})
WORDS = pa.table({"a": ["x"] * 10**6}).combine_chunks()
WORDS = WORDS.set_column(0, "a", WORDS["a"].dictionary_encode())


@pytest.mark.parametrize("kind", ["arrow", "polars"])
@pytest.mark.parametrize("compression", ["zstd", "lz4"])
@pytest.mark.parametrize("table", [ZEROS, WORDS], ids=["numbers", "words"])
def test_a_table_that_would_unfold_is_refused(table: pa.Table, compression: str, kind: str) -> None:
    assert _table(_stream(table)).equals(table)
    with pytest.raises(TransferError, match="is compressed"):
        _table(_stream(table, compression), kind)


def test_rows_that_take_no_room_are_counted() -> None:
    assert _table(_stream(pa.table({"a": pa.nulls(1000)}))).num_rows == 1000
    with pytest.raises(TransferError, match="counts 1,000,000,000 rows"):
        _table(_stream(pa.table({"a": pa.nulls(10**9)})))


def test_a_table_that_refers_to_memory_beyond_itself_is_refused() -> None:
    stream = _stream(pa.table({"a": list(range(1000))}))
    more = (10**6).to_bytes(8, "little")
    forged = stream.replace((1000).to_bytes(8, "little"), more)
    assert forged.count(more) == 2
    with pytest.raises(TransferError, match="too small"):
        _table(forged)


MIXED = pa.table(
    {
        "number": [1, 2, None],
        "text": ["x", None, "yy"],
        "kind": pa.array(["q", "r", "q"]).dictionary_encode(),
        "list": [[1], None, [2, 3]],
        "struct": [{"z": 1}] * 3,
        "view": pa.array(["a" * 30, "b", "c"]).cast(pa.string_view()),
        "none": pa.nulls(3),
    }
)
STREAM = _stream(MIXED)
CHANGE = st.tuples(st.integers(0, len(STREAM) - 1), st.integers(0, 255))


@settings(deadline=None, max_examples=500)
@given(st.lists(CHANGE, min_size=1, max_size=4), st.sampled_from(["arrow", "polars"]))
def test_a_table_with_changed_bytes_is_whole_or_refused(changes: list[tuple[int, int]], kind: str) -> None:
    stream = bytearray(STREAM)
    for at, byte in changes:
        stream[at] = byte
    try:
        table = _table(bytes(stream), kind)
    except TransferError:
        return
    str(table.to_pylist() if kind == "arrow" else table.to_dicts())


def test_many_buffers_cross_as_one() -> None:
    for value in ([b"x" * (i % 7) for i in range(20_000)], list(np.arange(20_000))):
        buffers = encode(value)
        assert len(buffers) == 2
        assert decode(buffers) == value


@pytest.mark.parametrize("sizes", [[3], [-1, 3], ["2"], [1, 1, 1], 7])
def test_forged_sizes_of_joined_buffers_are_refused(sizes: Any) -> None:
    tree = {"$": "joined", "sizes": sizes, "value": {"$": "bytes", "buffer": 1}}
    with pytest.raises(TransferError):
        decode([json.dumps(tree).encode(), b"ab"])


def test_what_polars_would_write_out_in_full_is_refused() -> None:
    lists = pa.array([[1] * 1000], pa.list_(pa.int64()))
    numbers = pa.array([0] * 1000, pa.int32())
    repeated = pa.table({"a": pa.DictionaryArray.from_arrays(numbers, lists)})
    with pytest.raises(TransferError, match="refers by number"):
        _table(_stream(repeated), "polars")
    inside = pa.table({"s": pa.StructArray.from_arrays([repeated["a"].combine_chunks()], names=["a"])})
    with pytest.raises(TransferError, match="refers by number"):
        _table(_stream(inside), "polars")


def test_tables_without_end_are_refused() -> None:
    empty = json.loads(bytes(encode(pd.DataFrame())[0]))
    assert len(decode([json.dumps([empty] * 1000).encode()])) == 1000
    with pytest.raises(TransferError, match="more than 1000 tables"):
        decode([json.dumps([empty] * 1001).encode()])


def test_plain_data_is_bounded_because_objects_take_twenty_times_the_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "MAX_TREE", 2**20)
    fitting = encode([[]] * (2**20 // 3 - 1))
    assert len(decode(fitting)) == 2**20 // 3 - 1
    with pytest.raises(NotPlainError, match="1 MiB may cross"):
        encode([[]] * (2**20 // 3 + 1))
    with pytest.raises(TransferError, match="larger than a value may be"):
        decode([b"[" + b"[]," * (2**20 // 3) + b"0]"])
    assert len(decode(encode(b"x" * 2**21))) == 2**21


def test_a_forged_column_type_executes_nothing() -> None:
    tree = json.loads(bytes(encode(pd.DataFrame({"a": ["x"]}))[0]))
    tree["columns"][0]["dtype"] = "period[__import__('os').system('true')]"
    assert decode([json.dumps(tree).encode()])["a"].dtype == object

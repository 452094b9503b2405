"""Bytes that isolated code made up: each attack ends in an ArtifactFormatError, and quickly."""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from py_code_mode_jupyter.errors import ArtifactFormatError
from py_code_mode_jupyter.formats import FORMATS, MAX_DECODED, Encoded, check, decode, encode


class Boom:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickle was loaded",))


def npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def refused(format: str, data: bytes, why: str = "") -> None:
    with pytest.raises(ArtifactFormatError, match=why or None):
        decode(Encoded(format=format, data=data))


def pickled_npy() -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.array([Boom()], dtype=object), allow_pickle=True)
    return sink.getvalue()


HEADER = "{{'descr': {}, 'fortran_order': False, 'shape': {}}}"


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Boom()),
        pickled_npy(),
        npy(HEADER.format("'|O'", "(1,)"), b"\0" * 8),
        npy(HEADER.format("[('a', 'O')]", "(1,)"), b"\0" * 8),
        npy(HEADER.format("[('a', [('b', '|O8')])]", "(1,)"), b"\0" * 8),
        npy(HEADER.format("('|O', (2,))", "(1,)"), b"\0" * 8),
        npy(HEADER.format("'<f8'", "(-1,)")),
        npy(HEADER.format("'<f8'", "(True,)"), b"\0" * 8),
        npy(HEADER.format("'<f8'", "3"), b"\0" * 24),
        npy(HEADER.format("__import__('os').abort()", "(1,)")),
        npy("[" * 9_000),
        npy("-" * 9_000 + "1"),
        npy("(" * 200 + ")" * 200),
        npy("{'descr': '<f8'}"),
        npy("x" * 60_000),
        npy(""),
        b"\x93NUMPY\x09\0",
        b"\x93NUMPY\x01\0\xff",
        b"\x93NUMPY\x01\0",
        b"",
    ],
    ids=range(20),
)
def test_npy_files_with_objects_or_odd_headers_are_refused_by_their_head(data: bytes) -> None:
    with pytest.raises(ArtifactFormatError):
        check("npy", data)
    refused("npy", data)


@pytest.mark.parametrize(
    "data",
    [
        npy(HEADER.format("'<f8'", "(10**12,)".replace("10**12", str(10**12)))),
        npy(HEADER.format("'<f8'", "(2, 2)"), b"\0" * 24),
        npy(HEADER.format("'<f8'", "(1,)"), b"\0" * 9),
        npy(HEADER.format("'|V0'", f"({10**15},)")),
        npy(HEADER.format("'|S0'", f"({10**15},)")),
        npy(HEADER.format("'<U2000000000'", "(1,)")),
        npy(HEADER.format("('<f8', (1000000, 1000000))", "(0,)")),
        npy(HEADER.format("[('a', '<f8'), ('a', '<f8')]", "(0,)")),
        npy(HEADER.format("'<f7'", "(0,)")),
        npy(HEADER.format("'<f8'", "(" + "1, " * 200 + ")"), b"\0" * 8),
    ],
    ids=range(10),
)
def test_npy_files_whose_size_is_a_lie_are_refused(data: bytes) -> None:
    refused("npy", data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"NaN",
        b"[1, Infinity]",
        b"{'a': 1}",
        b"[1",
        b"\xff\xfe[\0]\0",
        b"[\xff]",
        b"cos\nsystem\n",
        b"[1]\0",
    ],
)
def test_json_that_other_tools_would_not_read_is_refused(data: bytes) -> None:
    refused("json", data)


def test_json_bombs_are_refused() -> None:
    refused("json", b"[" * 1_000_000)
    refused("json", b'{"a":' * 1_000_000)
    refused("json", b"9" * 1_000_000)


def test_text_that_is_not_utf_8_is_refused() -> None:
    refused("text", b"abc\xff")
    with pytest.raises(ArtifactFormatError):
        check("text", b"\xff")
    check("text", "ä".encode()[:1])  # cut off in the midst of a character: the rest may follow


def test_a_head_of_another_format_is_refused() -> None:
    objects = {"npy": np.arange(2), "parquet": pd.DataFrame({"a": [1]}), "png": Image.new("L", (1, 1))}
    heads = {format: bytes(encode(obj).data) for format, obj in objects.items()}
    for format in FORMATS:
        for actual, head in heads.items():
            if format in (actual, "bytes"):
                continue
            with pytest.raises(ArtifactFormatError):
                check(format, head)


def test_an_image_with_too_many_pixels_is_refused_by_its_head() -> None:
    row = zlib.compress(b"\0" * 13_000)
    for width, height in ((100_000, 100_000), (2**31 - 1, 1), (0, 5), (2**32 - 1, 2**32 - 1)):
        with pytest.raises(ArtifactFormatError, match="out of bounds"):
            check("png", png(width, height, chunk(b"IDAT", row)))
        refused("png", png(width, height, chunk(b"IDAT", row)), "out of bounds")


def test_image_text_that_unfolds_to_gigabytes_is_refused() -> None:
    bomb = b"Comment\0\0" + zlib.compress(b"x" * 100_000_000)
    refused("png", png(1, 1, chunk(b"zTXt", bomb), chunk(b"IDAT", zlib.compress(b"\0\0"))))


def test_a_file_of_another_image_format_is_not_opened() -> None:
    sink = io.BytesIO()
    Image.new("L", (1, 1)).save(sink, "GIF")
    refused("png", sink.getvalue(), "PNG")
    refused("png", png(4, 4), "cannot be read")


def test_a_table_with_absurdly_many_values_is_refused_by_its_footer() -> None:
    bomb = parquet(pa.table({"a": pa.nulls(600_000_000)}))
    assert len(bomb) < 2_000_000
    refused("parquet", bomb, "unfolds")


def long_text_a_million_times() -> bytes:
    index = pa.array(np.zeros(1_000_000, np.int32))
    text = pa.DictionaryArray.from_arrays(index, pa.array(["x" * 10_000_000]))
    # Without Arrow's schema the reader unfolds the dictionary to 10 TB of plain text.
    return parquet(pa.table({"a": text}), store_schema=False)


def peak_of_refusing(path: Path, bound: int = MAX_DECODED) -> int:
    """Return how many bytes Arrow needed at once for finding out, in a fresh process."""
    code = f"""
import pyarrow
from pathlib import Path
from py_code_mode_jupyter.errors import ArtifactFormatError
from py_code_mode_jupyter.formats import Encoded, decode, tables
tables.MAX_DECODED = {bound}
try:
    decode(Encoded(format="parquet", data=Path({str(path)!r}).read_bytes()))
except ArtifactFormatError as error:
    print(error)
    print(pyarrow.default_memory_pool().max_memory())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    message, peak = done.stdout.splitlines()
    assert "unfolds" in message
    return int(peak)


def test_a_table_that_repeats_one_long_text_is_refused_before_it_is_unfolded(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(long_text_a_million_times())
    assert peak_of_refusing(tmp_path / "bomb") < 200_000_000


def test_a_nested_text_bomb_is_read_in_slices_and_stopped_at_the_bound(tmp_path: Path) -> None:
    inner = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100, np.int32)), pa.array(["x" * 10_000_000]))
    table = pa.table({"a": pa.StructArray.from_arrays([inner], ["k"])})
    (tmp_path / "bomb").write_bytes(parquet(table, store_schema=False))
    assert peak_of_refusing(tmp_path / "bomb", bound=300_000_000) < 900_000_000


def test_tables_of_other_compressions_are_refused() -> None:
    zeros = pa.table({"a": np.zeros(10)})
    for codec in ("zstd", "gzip", "brotli"):
        refused("parquet", parquet(zeros, compression=codec), "compressed with another")


@pytest.mark.parametrize("part", range(4))
def test_a_footer_with_any_byte_changed_does_not_end_the_process(part: int) -> None:
    """pyarrow's accessors end it on codecs, column counts and histograms that they do not know."""
    good = parquet(pa.table({"a": [1, 2], "b": ["x", None]}))
    code = f"""
from py_code_mode_jupyter.errors import ArtifactFormatError
from py_code_mode_jupyter.formats import Encoded, decode
from py_code_mode_jupyter.formats.preview import preview
good = bytes.fromhex({good.hex()!r})
begin = good.index(b"schema") - 20
seen = set()
for place in range(begin + {part}, len(good), 4):
    for value in {{0, 1, 24, 127, 128, 255, good[place] ^ 2, good[place] + 2 & 255}}:
        data = good[:place] + bytes([value]) + good[place + 1:]
        try:
            decode(Encoded(format="parquet", data=data))
            seen.add("read")
        except ArtifactFormatError:
            seen.add("refused")
        seen.add(preview(Encoded(format="parquet", data=data)).kind)
print(*sorted(seen))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "none read refused table\n"), done.stderr[-2000:]


def test_a_footer_that_is_nested_or_large_without_end_is_refused() -> None:
    for footer, why in (
        (b"\x19" * 100_000, "too deeply"),
        (b"\x1c" * 100, "too deeply"),
        (bytes(2**24), "large"),
    ):
        refused("parquet", b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1", why)


ODD_NOTES = [
    b"",
    b"null",
    b"[1]",
    b"\xff",
    b"[" * 100_000,
    b'{"library": "os"}',
    b'{"library": ["pandas"], "series": 1}',
    b'{"library": "pandas", "series": true, "named": {}}',
]


@pytest.mark.parametrize("note", ODD_NOTES, ids=range(len(ODD_NOTES)))
def test_a_note_on_the_library_is_only_a_hint(note: bytes) -> None:
    table = pa.table({"a": [1], "b": [2]}, metadata={b"py_code_mode_jupyter": note})
    back = decode(Encoded(format="parquet", data=parquet(table)))
    assert back.shape == (1, 2)


ODD_PANDAS = [
    "{",
    "[]",
    '{"index_columns": ["missing"], "columns": []}',
    '{"index_columns": [{"kind": "range", "start": 0, "stop": 1000000000000, "step": 0}], "columns": []}',
    json.dumps(
        {
            "index_columns": [],
            "column_indexes": [
                {"name": None, "pandas_type": "object", "numpy_type": "__import__('os').abort()"}
            ],
            "columns": [{"name": "a", "pandas_type": "object", "numpy_type": "O", "metadata": None}],
        }
    ),
]


@pytest.mark.parametrize("note", ODD_PANDAS, ids=range(len(ODD_PANDAS)))
def test_odd_metadata_of_pandas_gives_a_table_or_a_typed_error(note: str) -> None:
    table = pa.table({"a": [1]}, metadata={b"pandas": note.encode()})
    try:
        assert decode(Encoded(format="parquet", data=parquet(table))).shape[0] in (0, 1)
    except ArtifactFormatError:
        pass


def test_a_pickled_extension_type_in_a_table_is_not_loaded() -> None:
    field = pa.field(
        "a",
        pa.int64(),
        metadata={
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": pickle.dumps(Boom()),
        },
    )
    table = pa.Table.from_arrays([pa.array([1])], schema=pa.schema([field]))
    assert decode(Encoded(format="parquet", data=parquet(table))).shape == (1, 1)


GOOD = {
    "npy": bytes(encode(np.arange(50)).data),
    "parquet": bytes(encode(pd.DataFrame({"a": range(50), "b": ["x", None] * 25})).data),
    "png": bytes(encode(Image.new("RGB", (20, 20), "red")).data),
    "json": bytes(encode({"a": [1, {"b": None}]}).data),
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_damaged_files_never_raise_anything_else(format: str, data: st.DataObject) -> None:
    content = bytearray(GOOD[format])
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    try:
        decode(Encoded(format=format, data=bytes(content[:cut])))
    except ArtifactFormatError:
        pass


@settings(max_examples=200)
@given(st.sampled_from(FORMATS), st.binary(max_size=300))
def test_random_bytes_never_raise_anything_else(format: str, data: bytes) -> None:
    try:
        decode(Encoded(format=format, data=data))
    except ArtifactFormatError:
        pass

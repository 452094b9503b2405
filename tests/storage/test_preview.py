"""Previews show a bounded part of files that may be hostile, as data and never as markup."""

from __future__ import annotations

import io
import json
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from py_code_mode_jupyter.formats import Encoded, encode
from py_code_mode_jupyter.formats.preview import MAX_PREVIEWED, MAX_SIDE, MAX_TEXT, Preview, preview


def of(format: str, data: bytes) -> Preview:
    return preview(Encoded(format=format, data=data))


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def test_a_table_shows_its_first_rows_and_columns_and_says_how_many_there_are() -> None:
    frame = pd.DataFrame({f"c{n}": range(50) for n in range(30)}, index=[f"row {n}" for n in range(50)])
    seen = preview(encode(frame))
    assert seen.kind == "table" and seen.truncated and seen.table is not None
    assert (seen.table.total_rows, seen.table.total_columns) == (50, 30)
    assert seen.table.names == tuple(f"c{n}" for n in range(20))
    assert seen.table.rows[19] == ("19",) * 20 and len(seen.table.rows) == 20


def test_cells_are_text_cut_short_and_nested_columns_stay_unread() -> None:
    table = pa.table(
        {
            "long": ["x" * 500],
            "list": [[1, 2]],
            "none": pa.array([None], pa.int8()),
            "raw": [b"\0a"],
            "a.b": [1],
        }
    )
    head = of("parquet", parquet(table)).table
    assert head is not None
    assert head.rows == (("x" * 199 + "…", "...", None, "b'\\x00a'", "..."),)


def test_a_table_without_columns_or_rows_has_an_empty_preview() -> None:
    assert preview(encode(pd.DataFrame())).table is not None
    head = of("parquet", parquet(pa.table({"a": pa.array([], pa.int64())}))).table
    assert head is not None and head.rows == () and head.names == ("a",)


def test_a_long_text_that_is_repeated_is_not_unfolded_for_a_preview() -> None:
    data = parquet(pa.table({"bomb": ["x" * 8_000_000] * 40}))
    assert len(data) < 10_000_000
    tracemalloc.start()
    head = of("parquet", data).table
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert head is not None and {len(row[0] or "") for row in head.rows} == {200}
    assert peak < 4 * 8_000_000


def test_text_and_json_are_cut_and_json_is_indented() -> None:
    assert of("text", "ä".encode() * (MAX_TEXT + 1)) == Preview(
        kind="text", text="ä" * MAX_TEXT, truncated=True
    )
    assert of("json", b'{"a":[1]}').text == '{\n  "a": [\n    1\n  ]\n}'
    deep = b"[" * 900 + b",".join([b"1"] * 20_000) + b"]" * 900
    seen = of("json", deep)
    assert seen.truncated and len(seen.text) == MAX_TEXT


def test_text_larger_than_what_is_previewed_of_other_files_shows_its_beginning() -> None:
    seen = of("text", b"a" * (MAX_PREVIEWED + 1))
    assert seen.text == "a" * MAX_TEXT and seen.truncated


def test_bytes_are_shown_in_hexadecimal_digits() -> None:
    seen = of("bytes", b"\0PNG" + bytes(300))
    assert seen.text.startswith("000000  00 50 4e 47 00") and ".PNG." in seen.text and seen.truncated


def test_an_array_is_summarised_and_one_of_huge_elements_is_not_shown() -> None:
    seen = preview(encode(np.arange(100_000)))
    assert seen.kind == "text" and "..." in seen.text and seen.truncated
    assert preview(encode(np.array(["x" * 1000]))).kind == "none"


def test_a_picture_is_drawn_anew_small_and_without_what_its_file_carries() -> None:
    sink = io.BytesIO()
    about = __import__("PIL.PngImagePlugin", fromlist=["x"]).PngInfo()
    about.add_text("Comment", "<script>hidden</script>")
    Image.new("RGB", (2000, 1000), "red").save(sink, "PNG", pnginfo=about)
    picture = of("png", sink.getvalue() + b"<script>behind</script>").image
    assert picture is not None
    assert (picture.width, picture.height) == (MAX_SIDE, MAX_SIDE // 2)
    assert (picture.original_width, picture.original_height) == (2000, 1000)
    assert b"script" not in picture.png
    assert Image.open(io.BytesIO(picture.png)).getpixel((5, 5)) == (255, 0, 0, 255)


def test_what_is_damaged_or_too_large_says_so_instead() -> None:
    assert "cannot be read" in of("json", b"{").note
    assert "parquet" in of("parquet", b"PAR1 and no more").note
    assert of("png", b"<svg onload=alert(1)>").kind == "none"
    assert "larger than 32 MiB" in of("png", bytes(MAX_PREVIEWED + 1)).note
    sink = io.BytesIO()
    Image.new("1", (8000, 4000)).save(sink, "PNG")
    assert "too many" in of("png", sink.getvalue()).note
    assert of("json", json.dumps("a").encode()).text == '"a"'

"""Objects become files that other tools read, and objects again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from py_code_mode_jupyter.errors import ArtifactFormatError
from py_code_mode_jupyter.formats import FORMATS, Encoded, check, decode, encode, json_bytes

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)
SIMPLE_TYPES = (
    npst.integer_dtypes(endianness="?")
    | npst.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | npst.complex_number_dtypes()
    | npst.boolean_dtypes()
    | npst.datetime64_dtypes()
    | npst.unicode_string_dtypes()
    | npst.byte_string_dtypes()
)


@given(PLAIN)
def test_plain_data_comes_back_as_it_was(data: Any) -> None:
    encoded = encode(data)
    assert decode(encoded) == data
    assert encoded.format == ("text" if isinstance(data, str) else "json")


@given(PLAIN.filter(lambda data: not isinstance(data, str)))
def test_json_files_are_strict_json_in_utf_8(data: Any) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert json.loads(bytes(encode(data).data).decode(), parse_constant=refuse) == data


@given(TEXT)
def test_text_comes_back_with_its_line_ends(text: str) -> None:
    assert decode(encode(text)) == text


@given(st.binary())
def test_bytes_come_back(data: bytes) -> None:
    for form in (data, bytearray(data), memoryview(data)):
        assert decode(encode(form)) == data


@given(npst.arrays(SIMPLE_TYPES, npst.array_shapes(min_dims=0, min_side=0)), st.booleans())
def test_arrays_come_back_with_type_shape_and_order(array: Any, fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    back = decode(encode(array))
    assert back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


def test_structured_arrays_come_back() -> None:
    kind = np.dtype([("größe", "<f8"), ("at", "<i4", (2, 3)), ("in", [("a", "S3")])], align=True)
    array = np.zeros(4, kind)
    assert decode(encode(array)).dtype == kind


def test_other_tools_read_an_array(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(encode(np.arange(3)).data)
    assert np.load(path).tolist() == [0, 1, 2]


def test_tuples_become_lists_and_numpy_numbers_plain_ones() -> None:
    data = {"pair": (1, 2), "n": np.int64(5), "mean": np.float32(0.5), "yes": np.bool_(True)}
    assert decode(encode(data)) == {"pair": [1, 2], "n": 5, "mean": 0.5, "yes": True}
    assert decode(encode(np.int64(5))) == 5


FRAMES = [
    pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.Categorical(["u", "v"], ["v", "u", "w"])}),
    pd.DataFrame({"t": pd.to_datetime(["2020-01-01"]).tz_localize("Europe/Berlin")}, index=["p"]),
    pd.DataFrame({"d": pd.to_timedelta([1]), "p": pd.period_range("2020", periods=1)}),
    pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, "x")], names=["i", None])),
    pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
    pd.DataFrame([[1, 2]], columns=[3, 4]),
    pd.DataFrame({"a": [1.0, None]}).convert_dtypes(),
    pd.DataFrame({"x.y": ["dot"]}),
    pd.DataFrame(),
]


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
def test_pandas_frames_come_back_with_index_and_types(frame: pd.DataFrame) -> None:
    back = decode(encode(frame))
    assert back.equals(frame)
    assert back.dtypes.equals(frame.dtypes) and back.columns.equals(frame.columns)
    assert back.index.equals(frame.index) and back.index.names == frame.index.names


@pytest.mark.parametrize("name", [None, "n", 5])
def test_pandas_series_come_back_with_their_names(name: object) -> None:
    series = pd.Series([1.5, 2.5], index=["a", "b"], name=name)
    back = decode(encode(series))
    pd.testing.assert_series_equal(back, series)
    assert back.name == name


def test_polars_frames_come_back_as_polars() -> None:
    frame = pl.DataFrame(
        {
            "text": ["x", None, "y"],
            "list": [["q"], [], None],
            "raw": [b"1", None, b"2"],
            "enum": pl.Series(["u", "v", "u"], dtype=pl.Enum(["u", "v"])),
            "struct": [{"k": "v"}] * 3,
        }
    )
    back = decode(encode(frame))
    assert back.equals(frame) and back.schema == frame.schema


def test_arrow_tables_come_back_with_their_metadata() -> None:
    table = pa.table(
        {
            "a.b": ["x"],
            "large": pa.array(["q"], pa.large_string()),
            "view": pa.array(["q"], pa.string_view()),
            "fixed": pa.array([b"abc"], pa.binary(3)),
            "nothing": pa.nulls(1),
        },
        metadata={"mine": "kept"},
    )
    back = decode(encode(table))
    assert back.equals(table) and back.schema.metadata == {b"mine": b"kept"}


@given(
    st.lists(
        st.tuples(st.none() | TEXT, st.none() | st.binary(), st.integers(-(2**63), 2**63 - 1)), max_size=30
    )
)
def test_any_text_survives_in_a_table(rows: list[tuple[str | None, bytes | None, int]]) -> None:
    kinds = {"text": pa.string(), "raw": pa.binary(), "n": pa.int64()}
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    table = pa.table(
        {name: pa.array(c, kind) for (name, kind), c in zip(kinds.items(), columns, strict=True)}
    )
    assert decode(encode(table)).equals(table)


def test_images_come_back_pixel_for_pixel() -> None:
    for mode in ("1", "L", "LA", "RGB", "RGBA", "I;16"):
        image = Image.new(mode, (5, 3))
        back = decode(encode(image))
        assert (back.mode, back.size, back.tobytes()) == (mode, (5, 3), image.tobytes())


def test_a_figure_comes_back_as_an_image() -> None:
    figure = matplotlib.figure.Figure(figsize=(2, 1), dpi=100)
    figure.subplots().plot([1, 2])
    encoded = encode(figure)
    assert encoded.summary == "figure 200 x 100"
    assert decode(encoded).size == (200, 100)


@pytest.mark.parametrize(
    ("obj", "hint"),
    [
        ({1, 2}, "list"),
        (object(), "nothing is ever pickled"),
        (float("nan"), "None instead of NaN"),
        ([float("inf")], "None instead of NaN"),
        ({"x": np.float64("nan")}, "None instead of NaN"),
        ({1: "a", "1": "b"}, "the key 1 is not text"),
        ({"a": {(1,): 2}}, "keys"),
        ({"a": {1}}, "JSON has no set"),
        ({"when": pd.Timestamp("2020")}, "isoformat"),
        ({"deep": np.arange(3)}, "names of their own"),
        (10**5000, "cannot be written"),
        ("\ud800", "lone surrogates"),
        (["\ud800"], "cannot be written"),
        (np.array([None]), "astype"),
        (np.array(["a"], dtype=np.dtypes.StringDType()), "astype"),
        (np.zeros(3, "V0"), "astype"),
        (np.ma.masked_array([1], [True]), "filled()"),
        (np.datetime64("2020"), "isoformat"),
        (pd.DataFrame({"a": [1, "x"]}), "one type"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "text as its label"),
        (pd.DataFrame([[1, 2]], columns=["a", pd.Timestamp("2020")]), ""),
        (pd.DataFrame(index=range(4)), "no columns"),
        (pl.Series([1]), "to_frame()"),
        (pl.LazyFrame({"a": [1]}), "collect()"),
        (pa.RecordBatch.from_pydict({"a": [1]}), "from_batches"),
        (matplotlib.figure.Figure().subplots(), "axes.figure"),
        (Image.new("CMYK", (1, 1)), "convert"),
        (Image.new("1", (2**14, 2**13)), "smaller"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_safe_format_is_refused_with_a_way_out(obj: object, hint: str) -> None:
    with pytest.raises(ArtifactFormatError) as caught:
        encode(obj)
    assert caught.value.remedy
    assert hint in str(caught.value)


def test_data_within_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for obj in (loop, deep):
        with pytest.raises(ArtifactFormatError):
            json_bytes(obj)


def test_dict_subclasses_come_back_as_dicts_in_order() -> None:
    back = decode(encode(OrderedDict(b=1, a=2)))
    assert type(back) is dict and list(back) == ["b", "a"]


def test_the_description_of_a_format_belongs_to_it_and_not_to_whoever_encoded() -> None:
    assert {Encoded(format=name, data=b"").suffix for name in FORMATS} == {
        ".json",
        ".txt",
        ".bin",
        ".npy",
        ".parquet",
        ".png",
    }
    for bad in ("pickle", "", "../x", None, ["json"]):
        with pytest.raises(ArtifactFormatError, match="not a file format"):
            Encoded(format=bad, data=b"")  # type: ignore[arg-type]
        with pytest.raises(ArtifactFormatError, match="not a file format"):
            check(bad, b"")  # type: ignore[arg-type]


def test_what_is_encoded_passes_its_own_check() -> None:
    for obj in (1, "x", b"y", np.arange(3), FRAMES[0], Image.new("L", (1, 1))):
        encoded = encode(obj)
        check(encoded.format, encoded.data)


def in_fresh_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_and_encoding_plain_data_loads_no_library() -> None:
    head = bytes(encode(np.arange(3)).data)
    code = f"""
import sys
from py_code_mode_jupyter import formats, storage
formats.decode(formats.encode({{"a": [1, "x"]}}))
formats.check("npy", {head!r})
print([n for n in ("numpy", "pandas", "polars", "pyarrow", "PIL", "matplotlib") if n in sys.modules])
"""
    assert in_fresh_python(code) == "[]"


@pytest.mark.parametrize("blocked", ["pyarrow", "pandas", "numpy", "PIL"])
def test_a_missing_package_is_named_or_another_takes_its_place(blocked: str, tmp_path: Path) -> None:
    for name, obj in (("t", FRAMES[0]), ("a", np.arange(3)), ("i", Image.new("L", (1, 1)))):
        (tmp_path / name).write_bytes(encode(obj).data)
    code = f"""
import sys
sys.modules[{blocked!r}] = None  # what the import system itself takes for "not installed"
from pathlib import Path
from py_code_mode_jupyter.errors import ArtifactFormatError
from py_code_mode_jupyter.formats import Encoded, decode
for name, format in (("t", "parquet"), ("a", "npy"), ("i", "png")):
    try:
        print(type(decode(Encoded(format=format, data=Path({str(tmp_path)!r}, name).read_bytes()))).__name__)
    except ArtifactFormatError as error:
        print(error)
"""
    lines = in_fresh_python(code).splitlines()
    missing = {
        "pyarrow": "A parquet file needs the package pyarrow, which is not installed. "
        "Install it, in a session with deps.add('pyarrow').",
        "pandas": "DataFrame",  # of polars
        "numpy": "An npy file needs the package numpy, which is not installed. "
        "Install it, in a session with deps.add('numpy').",
        "PIL": "bytes",
    }
    assert missing[blocked] in lines


def test_saving_a_frame_without_pyarrow_names_the_package() -> None:
    code = """
import sys
sys.modules["pyarrow"] = None
import polars
from py_code_mode_jupyter.errors import ArtifactFormatError
from py_code_mode_jupyter.formats import encode
try:
    encode(polars.DataFrame({"a": [1]}))
except ArtifactFormatError as error:
    print(error)
"""
    assert "package pyarrow" in in_fresh_python(code)


def test_large_tables_with_many_texts_are_not_taken_for_bombs() -> None:
    texts = pa.array([f"{number:040}" for number in range(300_000)])
    table = pa.table({f"c{index}": texts for index in range(8)})
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, row_group_size=50_000)
    assert decode(Encoded(format="parquet", data=sink.getvalue().to_pybytes())).shape == (300_000, 8)

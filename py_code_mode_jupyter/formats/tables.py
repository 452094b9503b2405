"""Tables of pandas, polars and pyarrow, as parquet files."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from ..errors import ArtifactFormatError
from .encoded import Buffer, Encoded, library, owned_by, writing
from .footer import MAGIC, Footer, read_footer

MAX_DECODED = 2**32
"""Bytes that a compressed table may grow to in memory. `encode` refuses what `decode` would."""

_BATCH_ROWS, _BATCH_BYTES = 2**20, 2**28
_OURS = b"py_code_mode_jupyter"
_LONGEST_FIXED = 1_000
"""Bytes of a cell, in a column whose cells are all of one length, that a glance still reads."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TableHead:
    """The first rows and columns of a table, as text.

    Attributes
    ----------
    names, types
        Of the columns.
    rows
        The cells; None where a value is missing.
    total_rows, total_columns
        How many there are.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    total_rows: int
    total_columns: int


def from_table(obj: object) -> Encoded | None:
    """Return a table as a parquet file, None for other objects."""
    maker = _table_maker(obj)
    if maker is None:
        return None
    pa = library("pyarrow", f"Saving a {type(obj).__name__}")
    parquet = library("pyarrow.parquet", f"Saving a {type(obj).__name__}")
    with writing(obj, "Give each column one type and text as its label, with astype() for example."):
        table, about = maker(obj)
        if table.num_rows and not table.num_columns:
            raise ValueError("it has rows but no columns")
        if table.nbytes > MAX_DECODED:
            raise ValueError(f"it is larger than {MAX_DECODED:,} bytes")
        metadata = {**(table.schema.metadata or {}), _OURS: json.dumps(about).encode()}
        sink = pa.BufferOutputStream()
        parquet.write_table(table.replace_schema_metadata(metadata), sink)
        _refuse_bomb(read_footer(sink.getvalue()))
    sizes = " x ".join(map(str, obj.shape))  # type: ignore[attr-defined]
    data = memoryview(sink.getvalue())
    return Encoded(format="parquet", data=data, summary=f"{type(obj).__name__} {sizes}")


def _table_maker(obj: object) -> Callable[[Any], tuple[Any, dict[str, Any]]] | None:
    if owned_by(obj, "pandas", "DataFrame", "Series"):
        return _arrow_from_pandas
    if owned_by(obj, "polars", "DataFrame"):
        return lambda frame: (frame.to_arrow(), {"library": "polars"})
    if owned_by(obj, "pyarrow", "Table"):
        return lambda table: (table, {"library": "pyarrow"})
    return None


def _arrow_from_pandas(obj: Any) -> tuple[Any, dict[str, Any]]:
    about: dict[str, Any] = {"library": "pandas"}
    if obj.ndim == 1:
        about |= {"series": True, "named": obj.name is not None}
        obj = obj.to_frame()
    table = library("pyarrow", "Saving a DataFrame").Table.from_pandas(obj)
    if not table.schema.empty_table().to_pandas().columns.equals(obj.columns):
        raise ArtifactFormatError(
            "The column labels of this DataFrame would not survive in a parquet file.",
            remedy="Make them text: frame.columns = frame.columns.map(str).",
        )
    return table, about


def to_table(data: Buffer) -> Any:
    """Return a table of the library that it was saved from, if that is installed."""
    pa = library("pyarrow", "A parquet file")
    if int(pa.__version__.partition(".")[0]) < 15:
        # Before 14.0.1, reading a file could unpickle what it carried (CVE-2023-47248).
        raise ArtifactFormatError("This pyarrow unpickles files.", remedy="Install pyarrow 15 or newer.")
    table = _read_parquet(pa, library("pyarrow.parquet", "A parquet file"), data)
    metadata = dict(table.schema.metadata or {})
    about = _about(metadata.pop(_OURS, b"{}"))
    return _in_kind(table.replace_schema_metadata(metadata or None), about)


def _read_parquet(pa: Any, parquet: Any, data: Buffer) -> Any:
    """Read slice by slice, so that a small file which unfolds to terabytes is stopped early.

    Text columns are read as dictionaries, in which a value that is repeated takes no room, and only
    unfolded once it is known how large they become.
    """
    footer = read_footer(data)
    _refuse_bomb(footer)
    source = pa.py_buffer(data)
    with parquet.ParquetFile(pa.BufferReader(source)) as file:
        schema = file.schema_arrow
        if not len(schema):
            return file.read()  # rows without columns
        compact, rows = _slicing(pa, file.metadata.schema, schema, max(footer.group_sizes, default=0))
    with parquet.ParquetFile(pa.BufferReader(source), read_dictionary=compact) as file:
        batches, size = [], 0
        for batch in file.iter_batches(batch_size=rows):
            size += sum(map(_unfolded_size, batch.columns, schema.types))
            if size > MAX_DECODED:
                raise ValueError(f"it unfolds to more than {MAX_DECODED:,} bytes")
            batches.append(batch)
        table = pa.Table.from_batches(batches, schema=file.schema_arrow)
    columns = [_unfold(pa, table.column(index), field.type) for index, field in enumerate(schema)]
    return pa.Table.from_arrays(columns, schema=schema)


def _refuse_bomb(footer: Footer) -> None:
    """Judge a table by what its footer says it unfolds to, before anything is unfolded."""
    if any(chunk.codec is None for chunk in footer.chunks):
        raise ValueError("it is compressed with another method than SNAPPY")
    unfolded = sum(max(chunk.num_values * 8, chunk.uncompressed) for chunk in footer.chunks)
    if max(footer.num_rows, unfolded) > MAX_DECODED:
        raise ValueError(f"it unfolds to more than {MAX_DECODED:,} bytes")


def _slicing(pa: Any, leaves: Any, schema: Any, largest: int) -> tuple[list[str], int]:
    """Return the columns to read as dictionaries, and how many rows to read at a time."""
    kinds = {field.name: field.type for field in schema}
    compact, width = [], 1
    for leaf in (leaves.column(index) for index in range(len(leaves))):
        # pyarrow would read a dot as the way into a nested column.
        kind = kinds.get(leaf.path) if "." not in leaf.path else None
        if leaf.physical_type != "BYTE_ARRAY":
            width += max(8, leaf.length)
        elif kind is not None and (_is_text(kind) or pa.types.is_dictionary(kind)):
            width += 8
            compact += [leaf.path] if _is_text(kind) else []
        else:
            width += largest  # each value may be as large as all that the file holds
    return compact, max(1, min(_BATCH_ROWS, _BATCH_BYTES // width))


def _is_text(kind: Any) -> bool:
    return str(kind) in ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")


def _unfolded_size(column: Any, wanted: Any) -> int:
    """Return the bytes that a column takes once its texts are plain ones again."""
    if column.type == wanted:
        return int(column.nbytes)
    compute = importlib.import_module("pyarrow.compute")
    lengths = compute.binary_length(column.dictionary).take(column.indices)
    return 8 * len(column) + (compute.sum(lengths).as_py() or 0)


def _unfold(pa: Any, column: Any, wanted: Any) -> Any:
    if column.type == wanted:
        return column
    plain = [chunk.dictionary_decode() for chunk in column.chunks]
    return pa.chunked_array(plain, type=column.type.value_type).cast(wanted)


def _about(text: bytes) -> dict[str, Any]:
    """Read our note on where a table came from. It is only a hint, and may be anything."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _in_kind(table: Any, about: dict[str, Any]) -> Any:
    wanted = about.get("library")
    order = sorted(_TABLE_READERS, key=lambda name: name != wanted)
    for name in order:
        with contextlib.suppress(ImportError):
            return _TABLE_READERS[name](importlib.import_module(name), table, about)
    return table


def _pandas_from_arrow(_: Any, table: Any, about: dict[str, Any]) -> Any:
    frame = table.to_pandas()
    if not about.get("series") or frame.shape[1] != 1:
        return frame
    series = frame.iloc[:, 0]
    return series if about.get("named") else series.rename(None)


_TABLE_READERS: dict[str, Callable[[Any, Any, dict[str, Any]], Any]] = {
    "pandas": _pandas_from_arrow,
    "polars": lambda polars, table, _: polars.from_arrow(table),
    "pyarrow": lambda _, table, __: table,
}


def check_parquet(head: bytes) -> None:
    """Refuse what does not begin as a parquet file does."""
    if head[:4] != MAGIC:
        raise ValueError("it does not begin as a parquet file does")


def table_head(data: Buffer, *, rows: int, columns: int, longest: int) -> TableHead:
    """Return a table's first rows and columns, their cells cut to `longest` characters.

    Only as much is unfolded as a page of the file holds; nested columns stay unread.
    """
    pa = library("pyarrow", "A parquet file")
    parquet = library("pyarrow.parquet", "A parquet file")
    footer = read_footer(data)
    _refuse_bomb(footer)
    source = pa.py_buffer(data)
    with parquet.ParquetFile(pa.BufferReader(source)) as file:
        total, schema = footer.num_rows, file.schema_arrow
    whole = [field for field in schema if not field.name.startswith("__index_level_")]
    shown = whole[:columns]
    flat = [field.name for field in shown if _is_flat(pa, field)]
    texts = [field.name for field in shown if field.name in flat and _is_text(field.type)]
    found: dict[str, list[str | None]] = {}
    with parquet.ParquetFile(pa.BufferReader(source), read_dictionary=texts) as file:
        batch = next(file.iter_batches(batch_size=rows, columns=flat), None) if flat else None
        if batch is not None:
            found = {name: _texts(pa, batch.column(name), longest) for name in flat}
    height = min(rows, total)
    cells = [found.get(field.name, ["..."] * height) for field in shown]
    return TableHead(
        names=tuple(field.name for field in shown),
        types=tuple(str(field.type)[:longest] for field in shown),
        rows=tuple(zip(*cells, strict=True)),
        total_rows=total,
        total_columns=len(whole),
    )


def _is_flat(pa: Any, field: Any) -> bool:
    """Whether a few cells of a column can be read without much being unfolded."""
    kind = field.type
    is_long = pa.types.is_fixed_size_binary(kind) and kind.byte_width > _LONGEST_FIXED
    # pyarrow would read a dot as the way into a nested column.
    return "." not in field.name and not pa.types.is_nested(kind) and not is_long


def _texts(pa: Any, column: Any, longest: int) -> list[str | None]:
    """Return cells as text. Long ones are cut where they are kept once, before they are repeated."""
    if pa.types.is_dictionary(column.type):
        values = [_cut(value.as_py(), longest) for value in column.dictionary]
        return [None if index is None else values[index] for index in column.indices.to_pylist()]
    return [_cut(value, longest) for value in column.to_pylist()]


def _cut(value: object, longest: int) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        value = repr(value[:longest])
    text = str(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}\u2026"

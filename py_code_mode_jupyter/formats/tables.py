"""Tables of pandas, polars and pyarrow, as parquet files."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Callable
from typing import Any

from ..errors import ArtifactFormatError
from .encoded import Buffer, Encoded, library, owned_by, writing

MAX_DECODED = 2**32
"""Bytes that a compressed table may grow to in memory. `encode` refuses what `decode` would."""

_PARQUET_MAGIC = b"PAR1"
# Reading a table in slices lets a small file that unfolds to terabytes be stopped early.
_BATCH_ROWS = 16_384
_OURS = b"py_code_mode_jupyter"


def from_table(obj: object) -> Encoded | None:
    """Return a table as a parquet file, None for other objects."""
    maker = _table_maker(obj)
    if maker is None:
        return None
    pa = library("pyarrow", f"Saving a {type(obj).__name__}")
    parquet = library("pyarrow.parquet", f"Saving a {type(obj).__name__}")
    with writing(obj, "Give each column one type and text as its label, with astype() for example."):
        table, about = maker(obj)
        if table.nbytes > MAX_DECODED:
            raise ValueError(f"it is larger than {MAX_DECODED:,} bytes")
        metadata = {**(table.schema.metadata or {}), _OURS: json.dumps(about).encode()}
        sink = pa.BufferOutputStream()
        parquet.write_table(table.replace_schema_metadata(metadata), sink)
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
    with parquet.ParquetFile(pa.BufferReader(pa.py_buffer(data))) as file:
        _refuse_bomb(file.metadata)
        batches, size = [], 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            size += batch.nbytes
            if size > MAX_DECODED:
                raise ValueError(f"it unfolds to more than {MAX_DECODED:,} bytes")
            batches.append(batch)
        return pa.Table.from_batches(batches, schema=file.schema_arrow)


def _refuse_bomb(metadata: Any) -> None:
    """Judge a table by what its footer says it unfolds to, before anything is unfolded."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    columns = (group.column(index) for group in groups for index in range(group.num_columns))
    sizes = [(column.num_values * 8, column.total_uncompressed_size) for column in columns]
    if metadata.num_rows < 0 or any(min(pair) < 0 for pair in sizes):
        raise ValueError("its footer counts below zero")
    if max(metadata.num_rows, sum(map(max, sizes))) > MAX_DECODED:
        raise ValueError(f"it unfolds to more than {MAX_DECODED:,} bytes")


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
    if head[:4] != _PARQUET_MAGIC:
        raise ValueError("it does not begin as a parquet file does")

"""How artifacts are shown, whose names, descriptions and data isolated code may have written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, final

from .table import Table, fields_table
from .text import format_bytes, lines_of, one_line, value_repr

if TYPE_CHECKING:
    from ..formats.info import ArtifactInfo

_HEADINGS = ("name", "version", "what", "size", "saved", "description")
_NUMBERS = ("version", "size")
_ROWS, _COLUMNS = 10, 20
MOMENT = "%Y-%m-%d %H:%M:%S"


def artifact_table(infos: Sequence[ArtifactInfo], *, limit: int = 50) -> Table:
    """Return artifacts, or versions of one, as a table with at most `limit` rows."""
    rows = tuple(
        (
            info.name,
            str(info.version),
            info.summary or info.format,
            format_bytes(info.size),
            f"{info.created.astimezone():{MOMENT}}",
            info.description,
        )
        for info in infos[:limit]
    )
    more = max(0, len(infos) - limit)
    return Table(headings=_HEADINGS, rows=rows, numbers=_NUMBERS, empty="There is no artifact.", more=more)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ArtifactView:
    """One artifact: what is known about it, and a preview of its data.

    Attributes
    ----------
    info
        What is known.
    value
        The data, decoded without executing anything.
    """

    info: ArtifactInfo
    value: Any

    def __str__(self) -> str:
        return f"{self._about}\n\n{self._text}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"{self._about._repr_html_()}{self._html}"

    @property
    def _about(self) -> Table:
        info = self.info
        fields = (
            ("what", info.summary or info.format),
            ("media type", info.media_type),
            ("version", str(info.version)),
            ("size", f"{info.size:,} bytes"),
            ("saved", f"{info.created.astimezone():{MOMENT}}"),
            ("description", info.description),
            ("metadata", value_repr(info.metadata, 500) if info.metadata else ""),
            ("sha256", info.sha256),
        )
        return fields_table(fields, caption=f"Artifact {info.name}", widest=500)

    @property
    def _text(self) -> str:
        if self.info.format == "parquet":
            return str(table_preview(self.value))
        return lines_of(self.value) if self.info.format == "text" else value_repr(self.value)

    @property
    def _html(self) -> str:
        if self.info.format == "parquet":
            return table_preview(self.value)._repr_html_()
        if self.info.format == "png":
            return _picture(self.value, one_line(self.info.description or self.info.name))
        return f"<pre>{escape(self._text)}</pre>"


def table_preview(frame: Any) -> Table:
    """Return the upper left part of a table of pandas, polars or pyarrow, its texts cleaned and cut."""
    names, rows = _part_of(frame)
    return Table(
        # A blank apart: a column may not have the name of another, or of one that holds numbers.
        headings=tuple(f"{one_line(name, 30)} " for name in names),
        rows=tuple(tuple(v if isinstance(v, str) else value_repr(v, 200) for v in row) for row in rows),
        empty="The table has no row.",
        more=max(0, len(frame) - _ROWS),
        widest=30,
    )


def _part_of(frame: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return names and rows of a table's upper left part."""
    if hasattr(frame, "iloc"):
        part = (frame.to_frame() if frame.ndim == 1 else frame).iloc[:_ROWS, :_COLUMNS]
        return ["", *map(str, part.columns)], list(part.itertuples(index=True, name=None))
    if hasattr(frame, "column_names"):
        names = frame.column_names[:_COLUMNS]
        columns = (frame.column(index).slice(0, _ROWS).to_pylist() for index in range(len(names)))
        return names, list(zip(*columns, strict=True))
    part = frame[:_ROWS, :_COLUMNS]
    return part.columns, part.rows()


def _picture(image: Any, title: str) -> str:
    import base64
    import io

    if isinstance(image, bytes):  # there is no Pillow here; the browser reads them
        data = image
    else:
        sink = io.BytesIO()
        image.save(sink, "png")  # encoded anew: nothing but pixels is handed on
        data = sink.getvalue()
    source = base64.b64encode(data).decode("ascii")
    return f'<img src="data:image/png;base64,{source}" alt="{escape(title)}" style="max-width: 100%">'

"""How artifacts are shown, whose names, descriptions and data isolated code may have written."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, final

from .table import Table, fields_table
from .text import format_bytes, lines_of, one_line, value_repr

if TYPE_CHECKING:
    from ..formats.info import ArtifactInfo
    from ..formats.preview import Picture, Preview
    from ..formats.tables import TableHead

_HEADINGS = ("name", "version", "what", "size", "saved", "description")
_NUMBERS = ("version", "size")
_WIDEST = 30
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
    preview
        A bounded view of its file.
    """

    info: ArtifactInfo
    preview: Preview

    def __str__(self) -> str:
        parts = (str(self._about), self._text, *self._notes)
        return "\n\n".join(part for part in parts if part)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self._notes)
        return f"{self._about._repr_html_()}{self._html}{notes}"

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
    def _notes(self) -> tuple[str, ...]:
        rest = "There is more than is shown." if self.preview.truncated and not self.preview.note else ""
        return tuple(filter(None, (one_line(self.preview.note, 300), rest)))

    @property
    def _text(self) -> str:
        if self.preview.table is not None:
            return str(_table(self.preview.table))
        if self.preview.image is not None:
            picture = self.preview.image
            return f"A picture of {picture.original_width:,} x {picture.original_height:,} pixels."
        return lines_of(self.preview.text)

    @property
    def _html(self) -> str:
        if self.preview.table is not None:
            return _table(self.preview.table)._repr_html_()
        if self.preview.image is not None:
            return _image(self.preview.image, one_line(self.info.description or self.info.name))
        return f"<pre>{escape(self._text)}</pre>" if self._text else ""


def _table(head: TableHead) -> Table:
    rows = tuple(tuple("" if cell is None else cell for cell in row) for row in head.rows)
    return Table(headings=head.names, rows=rows, empty="The table has no row.", widest=_WIDEST)


def _image(picture: Picture, title: str) -> str:
    source = base64.b64encode(picture.png).decode("ascii")
    return f'<img src="data:image/png;base64,{source}" alt="{escape(title)}" style="max-width: 100%">'

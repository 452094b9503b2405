"""A table that shows itself: in a notebook as HTML, elsewhere as aligned text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import final

from .text import one_line

WIDEST = 60
"""Characters of a cell."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of short texts under headings. Whoever wrote the texts, they are cleaned, cut and escaped here.

    Attributes
    ----------
    headings
        One for each column; empty ones are allowed.
    rows
        The texts, as many as headings.
    numbers
        Headings whose columns are aligned to the right.
    empty
        What is said where there is no row.
    caption
        A line above the table; empty: none.
    more
        How many rows exist that are not shown.
    widest
        Characters that are shown of a cell.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Collection[str] = ()
    empty: str = "Nothing to show."
    caption: str = ""
    more: int = 0
    widest: int = WIDEST

    def __str__(self) -> str:
        if not self.rows:
            return self.empty
        cells = [self._names, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [self._aligned(line, widths) for line in cells if any(line)]
        return "\n".join([*filter(None, [one_line(self.caption, 200)]), *lines, *self._rest()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<p>{escape(self.empty)}</p>"
        head = self._html_row("th", self._names) if any(self._names) else ""
        body = "".join(self._html_row("td", row) for row in self._cells())
        caption = f"<caption>{escape(one_line(self.caption, 200))}</caption>" if self.caption else ""
        rest = "".join(f"<p>{escape(line)}</p>" for line in self._rest())
        thead = f"<thead>{head}</thead>" if head else ""
        return f"<table>{caption}{thead}<tbody>{body}</tbody></table>{rest}"

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(one_line(heading, self.widest) for heading in self.headings)

    def _cells(self) -> list[tuple[str, ...]]:
        return [tuple(one_line(cell, self.widest) for cell in row) for row in self.rows]

    def _rest(self) -> list[str]:
        return [f"{self.more:,} more are not shown."] if self.more else []

    def _aligned(self, cells: Iterable[str], widths: Sequence[int]) -> str:
        padded = (
            cell.rjust(width) if heading in self.numbers else cell.ljust(width)
            for cell, width, heading in zip(cells, widths, self.headings, strict=True)
        )
        return "  ".join(padded).rstrip()

    def _html_row(self, tag: str, cells: Iterable[str]) -> str:
        return f"<tr>{''.join(map(self._html_cell, [tag] * len(self.headings), cells, self.headings))}</tr>"

    def _html_cell(self, tag: str, text: str, heading: str) -> str:
        # Alignment only: colours are the theme's.
        side = "right" if heading in self.numbers else "left"
        return f'<{tag} style="text-align: {side}">{escape(text)}</{tag}>'


def fields_table(fields: Iterable[tuple[str, str]], *, caption: str = "", widest: int = 200) -> Table:
    """Return a table of names and values, a row for each; those without a value are left out."""
    rows = tuple((name, value) for name, value in fields if value)
    return Table(headings=("", " "), rows=rows, caption=caption, widest=widest)

"""How workflows are shown, whose names, descriptions and sources isolated code may have written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, final

from .artifacts import MOMENT
from .table import Table, fields_table
from .text import lines_of

if TYPE_CHECKING:
    from ..workflow import Workflow, WorkflowInfo

_HEADINGS = ("call", "description", "written in", "when", "problem")


def workflow_table(infos: Sequence[WorkflowInfo], *, limit: int = 50) -> Table:
    """Return workflows as a table in the order they come, with at most `limit` rows."""
    rows = tuple(
        (info.signature, info.description, info.origin, f"{info.created.astimezone():{MOMENT}}", info.problem)
        for info in infos[:limit]
    )
    more = max(0, len(infos) - limit)
    return Table(headings=_HEADINGS, rows=rows, empty="There is no workflow.", more=more, widest=80)


@final
@dataclass(frozen=True, slots=True)
class WorkflowView:
    """One workflow: what is known about it, and its source.

    Attributes
    ----------
    workflow
        The workflow.
    """

    workflow: Workflow

    def __str__(self) -> str:
        return f"{self._about}\n\n{self._source}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"{self._about._repr_html_()}<pre>{escape(self._source)}</pre>"

    @property
    def _source(self) -> str:
        return lines_of(self.workflow.source).rstrip()

    @property
    def _about(self) -> Table:
        info = self.workflow.info
        fields = (
            ("call", f"{'await ' if info.is_async else ''}workflows.{info.signature}"),
            ("description", info.description),
            ("written in", info.origin),
            ("when", f"{info.created.astimezone():{MOMENT}}"),
            ("problem", info.problem),
            ("file", str(info.path or "")),
            ("sha256", info.sha256),
        )
        return fields_table(fields, caption=f"Workflow {info.name}", widest=500)

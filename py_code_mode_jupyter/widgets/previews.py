"""What is shown of an artifact or a workflow. Isolated code may have written every part of them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from ..display import format_bytes, one_line
from ..formats.preview import MAX_PREVIEWED, Picture, Preview, preview
from . import markup

if TYPE_CHECKING:
    from ..formats.info import ArtifactInfo
    from ..formats.tables import TableHead
    from ..storage import ArtifactStore
    from ..workflow import Workflow

MOST_DOWNLOADED = 8 * 2**20
"""Bytes of a file that goes through the page."""
_NUMERIC = ("int", "uint", "float", "double", "half", "decimal")
MOMENT = "%Y-%m-%d %H:%M"


def artifact_preview(store: ArtifactStore, info: ArtifactInfo) -> str:
    """Return the newest version of an artifact as HTML."""
    if info.size > MAX_PREVIEWED:
        shown = Preview(
            kind="none", note=f"Larger than {MAX_PREVIEWED // 2**20} MiB: {_how_to_load(info.name)}"
        )
    else:
        shown = preview(store.load_encoded(info.name, info.version)[0])
    return f"{_about(info)}{_body(shown, info.name)}"


def _about(info: ArtifactInfo) -> str:
    what = info.summary or info.format
    saved = f"{info.created.astimezone():{MOMENT}}"
    aside = f"version {info.version} · {what} · {format_bytes(info.size)} · {saved}"
    description = f"<div>{markup.words(info.description, 500)}</div>" if info.description else ""
    return f"{markup.title(info.name, aside)}{description}"


def _body(shown: Preview, name: str) -> str:
    note = f'<div class="pcm-quiet">{markup.words(shown.note, 400)}</div>' if shown.note else ""
    if shown.table is not None:
        return _table(shown.table) + note
    if shown.image is not None:
        return _picture(shown.image, name) + note
    cut = '<div class="pcm-quiet">There is more than is shown.</div>' if shown.truncated else ""
    return (markup.pre(shown.text) + cut if shown.kind != "none" else "") + note


def _table(head: TableHead) -> str:
    numbers = [kind.startswith(_NUMERIC) for kind in head.types]
    rows = [markup.row(map(_cell, row, numbers)) for row in head.rows]
    sizes = (
        f"{len(head.rows):,} of {head.total_rows:,} rows, {len(head.names)} of {head.total_columns:,} columns"
    )
    table = markup.table("First rows", [one_line(name, 60) for name in head.names], rows, numbers=numbers)
    return f'{table}<div class="pcm-quiet">{sizes}</div>'


def _cell(item: str | None, is_number: bool) -> str:
    return markup.cell("" if item is None else item, is_number=is_number)


def _picture(picture: Picture, name: str) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    sizes = f"{picture.original_width} x {picture.original_height} pixels"
    alt = f"{markup.words(name)}, {sizes}"
    return (
        f'<img class="pcm-picture" alt="{alt}" src="data:image/png;base64,{data}">'
        f'<div class="pcm-quiet">{sizes}</div>'
    )


def download(store: ArtifactStore, info: ArtifactInfo) -> str:
    """Return a link that saves an artifact's file, or how to have a large one."""
    if info.size > MOST_DOWNLOADED:
        return markup.note(
            f"{info.name} takes {format_bytes(info.size)}, too much for the page: {_how_to_load(info.name)}"
            f" Its file is {info.path}."
        )
    encoded, _ = store.load_encoded(info.name, info.version)
    # Never a type that the browser would show: it is saved, whatever it is.
    data = base64.b64encode(encoded.data).decode("ascii")
    file = markup.words(f"{info.name}{encoded.suffix}")
    link = f'<a class="pcm-link" download="{file}" href="data:application/octet-stream;base64,{data}">'
    return f'<div class="pcm-note" role="status">{link}Save {file} ({format_bytes(info.size)})</a></div>'


def _how_to_load(name: str) -> str:
    return f"use %pcm artifacts load {name}."


def workflow_preview(workflow: Workflow) -> str:
    """Return a workflow as HTML: what it is, and its source."""
    info = workflow.info
    aside = f"written in {info.origin} · {info.created.astimezone():{MOMENT}}"
    description = f"<div>{markup.words(info.description, 500)}</div>" if info.description else ""
    call = f"workflows.{info.name}({', '.join(one.name for one in info.parameters)})"
    problem = markup.error(f"It cannot be run: {info.problem}") if info.problem else ""
    return (
        f"{markup.title(info.name, aside)}{description}{problem}"
        f'<div class="pcm-quiet">{markup.words(call)}</div>{markup.pre(workflow.source)}'
    )

"""What is kept in a storage: artifacts and workflows, looked through, shown, saved and deleted."""

# ipywidgets is not annotated for subclassing.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import ipywidgets as w

from ..display import artifact_table, format_bytes, one_line
from ..errors import CodeModeError, ConfigurationError
from . import markup
from .confirm import Confirmation
from .panel import Panel, bar, button, html, show
from .previews import MOMENT, artifact_preview, download, workflow_preview

if TYPE_CHECKING:
    from ..storage import Storage
    from ..workflow import WorkflowInfo

MOST_LISTED = 500
_ROWS = 8
_EVERY = 3
"""Seconds between two looks at the folder."""
_LEAST_ISOLATED = "in-process"
_ARTIFACTS, _WORKFLOWS = "Artifacts", "Workflows"
_HOW = {
    _ARTIFACTS: 'No artifact yet. Code in a session saves one: artifacts.save("name", data).',
    _WORKFLOWS: "No workflow yet. Write one: %pcm workflows new NAME.",
}
_NO_BREAK = "\N{NO-BREAK SPACE}"


@final
class StoragePanel(Panel):
    """Artifacts and workflows of a storage: filter, preview, download, delete after a question.

    Parameters
    ----------
    storage
        The storage. What others save appears by itself while the panel is displayed.

    Raises
    ------
    ConfigurationError
        It is no storage.
    """

    changes = True

    def __init__(self, storage: Storage) -> None:
        if not hasattr(storage, "artifacts"):
            remedy = "Give e.g. FileStorage('./data')."
            raise ConfigurationError("storage", storage, "not a storage.", remedy=remedy)
        self._storage = storage
        self._looks = -1
        self._is_listing = False
        self._items: dict[str, Any] = {}
        self._read: WorkflowInfo | None = None
        self._make()
        super().__init__(self._parts(), kind="storage")
        with self._guarded():
            self._list()

    # Its parts

    def _make(self) -> None:
        self._kind = w.ToggleButtons(
            options=[_ARTIFACTS, _WORKFLOWS], tooltips=["What code saved", "Recipes that code reuses"]
        )
        self._kind.style.button_width = "auto"
        self._filter = w.Text(
            description="Filter",
            placeholder="part of a name or description",
            style={"description_width": "auto"},
        )
        self._names = w.Select(description="Names", rows=_ROWS, options=[])
        self._names.add_class("pcm-list").add_class("pcm-hidden-label")
        # JupyterLab takes the arrow keys for itself while a list has the focus.
        self._next = button("Next", "Choose the next in the list", partial(self._step, 1), icon="arrow-down")
        self._previous = button(
            "Previous", "Choose the one before in the list", partial(self._step, -1), icon="arrow-up"
        )
        self._download = button(
            "Download", "Save the file of the chosen artifact", self._download_pressed, icon="download"
        )
        self._approve = button(
            "Approve", "Let this very source run in less isolated places", self._approve_pressed, icon="check"
        )
        show(self._approve, False)
        self._delete = button("Delete", "Delete what is chosen", self._delete_pressed, icon="trash")
        self._count = html()
        self._confirmation = Confirmation()
        self._message = html()
        show(self._message, False)
        self._preview = html()
        self._kind.observe(self._kind_changed, "value")
        self._filter.observe(self._filter_changed, "value")
        self._names.observe(self._name_changed, "value")

    def _parts(self) -> tuple[w.Widget, ...]:
        return (
            html(markup.title("Storage", _short_path(self._storage.base_path))),
            bar(self._kind, self._filter, self._count),
            self._names,
            bar(self._previous, self._next, self._download, self._approve, self._delete),
            self._confirmation,
            self._message,
            self._preview,
        )

    # Looking

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Do something to the panel alone, and say in it what went wrong."""
        with self._lock:
            try:
                yield
            except CodeModeError as error:
                self._say(markup.error(error))

    def _say(self, message: str) -> None:
        self._message.value = message
        show(self._message, bool(message))

    def _look(self) -> None:
        self._looks = (self._looks + 1) % _EVERY
        if self._looks == 0:
            with self._guarded():
                self._list()

    def _list(self) -> None:
        if self._is_closed:
            return
        found = self._found()
        options = [(_label(item), item.name) for item in found[:MOST_LISTED]]
        chosen = self._names.value
        before = self._items.get(chosen) if chosen is not None else None
        self._items = {item.name: item for item in found[:MOST_LISTED]}
        if list(self._names.options) != options:
            self._is_listing = True
            try:
                self._names.options = options
                self._names.value = chosen if chosen in self._items else None
                self._names.rows = min(_ROWS, max(3, len(options)))
            finally:
                self._is_listing = False
        show(self._names, bool(options))
        self._enable()
        self._say_how_many(found)
        if self._chosen is None or self._chosen != before:
            self._show_chosen(len(found))

    def _found(self) -> list[Any]:
        """Return what passes the filter, the newest artifact first, workflows by name."""
        store = self._store
        wanted = self._filter.value.casefold().split()
        items = store.list() if store is not None else []
        return [item for item in items if all(word in _searched(item) for word in wanted)]

    @property
    def _store(self) -> Any:
        name = "artifacts" if self._kind.value == _ARTIFACTS else "workflows"
        return getattr(self._storage, name, None)

    @property
    def _chosen(self) -> Any:
        return self._items.get(self._names.value) if self._names.value is not None else None

    def _enable(self) -> None:
        chosen = self._chosen
        self._download.disabled = self._delete.disabled = chosen is None
        self._next.disabled = self._previous.disabled = not self._items
        is_workflow = self._kind.value == _WORKFLOWS and chosen is not None
        self._approve.disabled = not (is_workflow and self._store.needs_consent(chosen.name, _LEAST_ISOLATED))

    def _say_how_many(self, found: Sequence[Any]) -> None:
        text = f"{len(found):,} {'matching' if self._filter.value.strip() else 'in all'}"
        if len(found) > MOST_LISTED:
            text = f"{MOST_LISTED:,} of {len(found):,} are listed: filter to see others"
        self._count.value = f'<span class="pcm-quiet">{text}</span>'

    def _show_chosen(self, count: int | None = None) -> None:
        chosen = self._chosen
        if chosen is not None:
            self._preview.value = self._preview_of(chosen)
        elif count == 0 and not self._filter.value:
            self._preview.value = markup.note(_HOW[self._kind.value])
        elif count == 0:
            self._preview.value = markup.note("Nothing matches the filter.")
        else:
            self._preview.value = '<div class="pcm-quiet">Choose one to see it.</div>'

    def _preview_of(self, item: Any) -> str:
        if self._kind.value == _ARTIFACTS:
            return artifact_preview(self._storage.artifacts, item)
        workflow = self._store.get(item.name)
        self._read = workflow.info if len(workflow.source) <= markup.MOST_TEXT else None
        return workflow_preview(workflow)

    # Doing

    def _kind_changed(self, _change: Any) -> None:
        with self._guarded():
            self._clear()
            self._items = {}
            self._names.options = []
            show(self._download, self._kind.value == _ARTIFACTS)
            show(self._approve, self._kind.value == _WORKFLOWS)
            self._list()

    def _filter_changed(self, _change: Any) -> None:
        with self._guarded():
            self._clear()
            self._list()

    def _name_changed(self, _change: Any) -> None:
        with self._guarded():
            if not self._is_listing and not self._is_closed:
                self._clear()
                self._enable()
                self._show_chosen()

    def _clear(self) -> None:
        self._say("")
        self._confirmation.withdraw()

    def _step(self, by: int) -> None:
        with self._guarded():
            names = [*self._items]
            if names:
                here = names.index(self._names.value) if self._names.value in self._items else min(-by, 0)
                self._names.value = names[(here + by) % len(names)]

    def _download_pressed(self) -> None:
        with self._guarded():
            if self._chosen is not None:
                self._say(download(self._storage.artifacts, self._chosen))

    def _delete_pressed(self) -> None:
        with self._guarded():
            item = self._chosen
            if item is None:
                return
            self._say("")
            what = "Its source is removed."
            if self._kind.value == _ARTIFACTS:
                versions = len(self._store.versions(item.name))
                what = f"{versions} {'version goes' if versions == 1 else 'versions go'} with it."
            self._confirmation.ask(
                f"Delete {item.name}? {what}", "Delete", partial(self._delete_now, item.name)
            )

    def _approve_pressed(self) -> None:
        with self._guarded():
            item, read = self._chosen, self._read
            if item is None:
                return
            if read is None or read.name != item.name:
                self._say(
                    markup.error(f"{item.name} is too long to be read here: read its file {item.path}.")
                )
            else:
                self._say("")
                question = (
                    f"Let {item.name}, written in {item.origin}, run in this process? Its source is below."
                )
                self._confirmation.ask(question, "Approve", partial(self._approve_now, read))

    def _approve_now(self, item: WorkflowInfo) -> None:
        with self._guarded():
            # What was read is approved, and not what has taken its place since.
            self._store.approve(item.name, _LEAST_ISOLATED, sha256=item.sha256)
            self._say(markup.note(f"Approved {item.name}."))
            self._enable()

    def _delete_now(self, name: str) -> None:
        with self._guarded():
            self._store.delete(name)
            self._say(markup.note(f"Deleted {name}."))
            self._list()

    def fallback(self) -> tuple[str, str]:
        """Return text and HTML for where widgets are not shown."""
        try:
            table = artifact_table(self._storage.artifacts.list())
        except CodeModeError as error:
            return str(error), f"<p>{markup.words(error, 600)}</p>"
        return str(table), table._repr_html_()


def _short_path(path: Path) -> str:
    """Return a path as people write it: what lies in their own folder begins with ``~``."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def _searched(item: Any) -> str:
    parts = (item.name, item.description, getattr(item, "summary", ""))
    return one_line(" ".join(parts), 5_000).casefold()


def _label(item: Any) -> str:
    """Return a line of the list; blanks that a page keeps hold its columns."""
    name = one_line(item.name, 32)
    if hasattr(item, "version"):
        what = one_line(item.summary or item.format, 28)
        size = format_bytes(item.size)
        line = f"{name:<32}  v{item.version:<4} {what:<28} {size:>9}  {item.created.astimezone():{MOMENT}}"
    else:
        line = f"{name:<32}  {one_line(item.origin, 10):<10}  {one_line(item.description, 60)}"
    return line.replace(" ", _NO_BREAK)

"""What all panels share: their look, their fallback, when they are seen, and how they end."""

# ipywidgets is not annotated for subclassing.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as w

from .watch import WATCH


class Panel(w.VBox):
    """A box of widgets that belongs together and ends together.

    A panel whose content changes by itself (`changes`) is asked to look at it once a second (`_look`),
    while it is displayed; how often it is displayed is counted by the page. Its methods may be called
    from any thread: handlers come from the kernel's subshells.

    Parameters
    ----------
    children
        The widgets, made for this panel alone: it closes them.
    kind
        A class for the style sheet.
    """

    changes = False

    def __init__(self, children: Sequence[w.Widget], *, kind: str) -> None:
        self._lock = threading.RLock()
        self._is_closed = False
        super().__init__(children=(_style(), *children))
        self.add_class("pcm-panel")
        self.add_class(f"pcm-{kind}")
        for widget in family(self):
            _answer_on_any_shell(widget)
        if self.changes:
            # Counting begins with a number; the page adds one for each view, and takes it away again.
            self._view_count = 0
            self.observe(self._view_count_changed, "_view_count")

    @property
    def is_closed(self) -> bool:
        """Whether it has been closed."""
        return self._is_closed

    def close(self) -> None:
        """Leave the page and let go of everything. Calling it again does nothing."""
        if getattr(self, "_is_closed", True):
            return
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        WATCH.remove(self._look)
        self._end()
        members = [*family(self)]
        super().close()
        for widget in members:
            widget.unobserve_all()
            if isinstance(widget, w.Button):
                # It holds methods of ours, and we hold it: let go at once, not when cycles are looked for.
                widget._click_handlers.callbacks.clear()
            if widget is not self:
                widget.close()
        self.children = ()

    def _look(self) -> None:
        """Bring what is shown up to date."""

    def _end(self) -> None:
        """Stop what the panel has begun."""

    def fallback(self) -> tuple[str, str]:
        """Return text and HTML for where widgets are not shown."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**options) or {}
        text, html = self.fallback()
        return {**bundle, "text/plain": text, "text/html": f'<div class="pcm-fallback">{html}</div>'}

    def _view_count_changed(self, change: Any) -> None:
        with self._lock:
            if self._is_closed or (change["new"] or 0) <= 0:
                WATCH.remove(self._look)
            else:
                WATCH.add(self._look)


def family(widget: w.Widget) -> Iterator[w.Widget]:
    """Yield a widget and everything that was made for it: children, layouts, styles."""
    for child in getattr(widget, "children", ()):
        yield from family(child)
    for name in ("layout", "style"):
        part = getattr(widget, name, None)
        if isinstance(part, w.Widget):
            yield part
    yield widget


def bar(*widgets: w.Widget) -> w.HBox:
    """Return widgets in a row, which breaks where the page is narrow."""
    made = w.HBox(children=widgets)
    made.add_class("pcm-bar")
    return made


def show(widget: w.Widget, is_shown: bool) -> None:
    """Show or hide a widget without taking it out of its box."""
    widget.layout.display = None if is_shown else "none"


def html(value: str = "", *, kind: str = "") -> w.HTML:
    """Return a piece of the page. Whatever is put into it has been escaped."""
    piece = w.HTML(value=value)
    if kind:
        piece.add_class(f"pcm-{kind}")
    return piece


def button(
    label: str, tooltip: str, action: Callable[[], object], *, icon: str = "", kind: str = ""
) -> w.Button:
    """Return a button that says what it does, to the eye and to a screen reader."""
    made = w.Button(description=label, tooltip=tooltip, icon=icon, button_style=kind)
    made.on_click(lambda _: action())
    return made


@functools.cache
def _style_sheet() -> str:
    return Path(__file__).with_name("style.css").read_text("utf-8")


def _style() -> w.HTML:
    return html(f"<style>{_style_sheet()}</style>", kind="style")


def _answer_on_any_shell(widget: w.Widget) -> None:
    """Take messages of the page on the shell that they were sent to.

    ipykernel 7.4 hands them to the shell on which the widget last said something. For a panel that is the
    main one, on which cells run: its buttons would wait for the end of the cell.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = _as_it_came


def _as_it_came(_data: object, subshell: str | None) -> str | None:
    return subshell

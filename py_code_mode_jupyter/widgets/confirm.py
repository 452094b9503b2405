"""A question before what cannot be undone."""

# ipywidgets is not annotated for subclassing.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from collections.abc import Callable
from typing import final

import ipywidgets as w

from . import markup
from .panel import button, html, show


@final
class Confirmation(w.HBox):
    """A row that asks and is hidden until then. The focus goes to the answer that changes nothing."""

    def __init__(self) -> None:
        self._text = html()
        self._yes = button("Yes", "Do it", self._agreed, kind="danger")
        self._no = button("Cancel", "Change nothing", self.withdraw)
        self._action: Callable[[], object] | None = None
        super().__init__(children=(self._text, self._yes, self._no))
        self.add_class("pcm-bar")
        show(self, False)

    def ask(self, question: str, label: str, action: Callable[[], object]) -> None:
        """Ask; `action` is done if the answer is the button called `label`."""
        self._text.value = f'<span role="alert">{markup.words(question)}</span>'
        self._yes.description = label
        self._yes.tooltip = question
        self._action = action
        show(self, True)
        self._no.focus()

    def withdraw(self) -> None:
        """Ask no more."""
        self._action = None
        show(self, False)

    def _agreed(self) -> None:
        # Taken out first: pressing it twice does it once.
        action, self._action = self._action, None
        show(self, False)
        if action is not None:
            action()

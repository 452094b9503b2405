"""The shell of a kernel: an owner's shell, with the user's configuration, history and pager."""

# Most methods of IPython are not annotated.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from IPython.core import page

from ....results import Output
from ..shell import Shell, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..interrupts import Gate
    from ..ownership import Owner
    from .life import Life


class KernelShell(Shell):
    """Runs the cells of one life of a kernel, in its thread and those of its subshells."""

    payload_manager: Any

    def __init__(
        self, owner: Owner, gate: Gate, namespaces: Mapping[str, Any], *, life: Life, **options: Any
    ) -> None:
        self.life = life
        self._shown = threading.local()
        super().__init__(owner, gate, namespaces, **options)

    @property
    def kernel(self) -> Any:
        """The kernel, as libraries look for it."""
        return self.life.view

    def init_hooks(self) -> None:
        """Send what is paged to the frontend's pager."""
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(self._page), 99)

    def _page(self, text: Any, start: int = 0, *_: Any, **__: Any) -> None:
        data = text if isinstance(text, dict) else {"text/plain": text}
        self.payload_manager.write_payload({"source": "page", "data": data, "start": max(0, start)})

    def set_next_input(self, s: str, replace: bool = False) -> None:
        """Let the frontend offer `s` as the next cell."""
        self.payload_manager.write_payload({"source": "set_next_input", "text": s, "replace": replace})

    def get_parent(self) -> Any:
        """Return the request for which code is running."""
        return self.life.view.get_parent()

    # Errors

    def begin_cell(self) -> None:
        """Forget what the cell before has shown."""
        self._shown.error = {}
        self._shown.in_display = False

    @property
    def shown_error(self) -> dict[str, Any]:
        """The error that this thread's cell has shown last."""
        found: dict[str, Any] = getattr(self._shown, "error", {})
        return found

    @property
    def failed_in_display(self) -> bool:
        """Whether showing the cell's result has failed."""
        return bool(getattr(self._shown, "in_display", False))

    def _showtraceback(self, etype: type[BaseException], evalue: object, stb: list[str]) -> None:
        self.last_traceback = "\n".join(stb)
        text = text_of(evalue) if isinstance(evalue, BaseException) else str(evalue)
        self._shown.error = {"ename": etype.__name__, "evalue": text, "traceback": stb}
        self.emit(
            Output(type="error", name=etype.__name__, text=self.last_traceback, metadata={"evalue": text})
        )

"""The shell of a kernel: an owner's shell, with the user's configuration, history and pager."""

# Most methods of IPython are not annotated.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import shutil
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from IPython.core import page
from IPython.core.history import HistoryManager

from ....results import Output
from ..shell import Shell, text_of
from .magics import KernelMagics
from .output import NOBODY, CellChannel
from .profile import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..interrupts import Gate
    from ..ownership import Owner
    from .life import Life

_log = logging.getLogger(__name__)


class KernelShell(Shell):
    """Runs the cells of one life of a kernel, in its thread and those of its subshells."""

    payload_manager: Any

    def __init__(
        self, owner: Owner, gate: Gate, namespaces: Mapping[str, Any], *, life: Life, **options: Any
    ) -> None:
        self.life = life
        self._shown = threading.local()
        profile = self._profile = Profile()
        super().__init__(
            owner, gate, namespaces, config=profile.config, profile_dir=profile.folder, **options
        )
        self._configure_figures()
        self._db = None  # made in the profile's folder, when something is kept there

    def _configure_figures(self) -> None:
        # Its module imports matplotlib, which a server may not have.
        if find_spec("matplotlib") is not None:
            from matplotlib_inline.config import InlineBackend

            self.configurables.append(InlineBackend(parent=self, shell=self))  # type: ignore[arg-type]

    def start(self) -> None:
        """Do what the user wants to be done first."""
        self._profile.start(self, CellChannel(self.life, NOBODY, []))

    def init_ipython_dir(self, ipython_dir: object) -> None:
        """Use the user's IPython folder."""
        self.ipython_dir = self._profile.ipython_dir

    def init_profile_dir(self, profile_dir: Any) -> None:
        """Use the user's profile."""
        self.profile_dir = profile_dir

    def init_history(self) -> None:
        """Keep the history where the user's other kernels keep it."""
        self.history_manager = HistoryManager(shell=self, parent=self)
        self.configurables.append(self.history_manager)  # type: ignore[arg-type]

    def dispose(self) -> None:
        """Let go of everything that the code has made, and of the history's files."""
        history = self.history_manager
        super().dispose()
        self._end_history(history)
        for path in (*self.tempfiles, *self.tempdirs):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def _end_history(self, history: Any) -> None:
        try:
            history.end_session()
            history.close()
        except Exception:  # noqa: BLE001 - a locked or damaged file must not keep the kernel from ending
            _log.warning("The history could not be closed", exc_info=True)

    @property
    def kernel(self) -> Any:
        """The kernel, as libraries look for it."""
        return self.life.view

    def init_magics(self) -> None:
        """Have the magics of kernels, too."""
        super().init_magics()
        self.register_magics(KernelMagics)

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
        about = {"evalue": text, "traceback": stb}
        self.emit(Output(type="error", name=etype.__name__, text=self.last_traceback, metadata=about))


# Libraries (pandas, rich, plotly) know a notebook by the name of the shell's class.
KernelShell.__name__ = KernelShell.__qualname__ = "ZMQInteractiveShell"

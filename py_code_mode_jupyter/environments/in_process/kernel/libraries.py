"""Libraries that keep one of something per process, where each kernel needs its own."""

from __future__ import annotations

import builtins
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, final

import comm

from .. import internals
from ..figures import show_current
from ..imports import WhenImported
from ..ownership import Owner, current_owner
from ..patches import Patches
from ..tables import OwnedTable
from .comms import Comm, CommManager, share_target


@final
class Libraries:
    """Lets owned code find what belongs to its kernel, and the host what is the host's."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._beside = _Beside()
        self._awaited = [
            WhenImported("ipywidgets.widgets.widget", self._widgets),
            WhenImported("ipywidgets.widgets.interaction", self._interaction),
        ]

    def install(self) -> None:
        """Route from now on."""
        internals.check("comm")
        internals.check("jupyter_client")
        self._comms()
        self._patches.set(builtins, "get_ipython", _get_ipython)
        sys.meta_path.append(self._beside)
        for one in self._awaited:
            one.install()

    def remove(self) -> None:
        """Take everything back."""
        for one in self._awaited:
            one.remove()
        sys.meta_path.remove(self._beside)
        self._patches.undo()

    def _comms(self) -> None:
        create, manager = comm.create_comm, comm.get_comm_manager

        def create_comm(*args: Any, **options: Any) -> Any:
            own = _manager_of(current_owner())
            return create(*args, **options) if own is None else Comm(own, *args, **options)

        def get_comm_manager() -> Any:
            return _manager_of(current_owner()) or manager()

        self._patches.set(comm, "create_comm", create_comm)
        self._patches.set(comm, "get_comm_manager", get_comm_manager)

    def _widgets(self, module: Any) -> None:
        internals.check("ipywidgets", module.__name__)
        # Else a frontend that asks for the widgets of its kernel would be told those of all.
        instances = OwnedTable(module._instances, lambda owner: owner.tables.setdefault("ipywidgets", {}))
        self._patches.set(module, "_instances", instances)
        # It registers by itself only where it is imported by a kernel.
        share_target("jupyter.widget", module.Widget.handle_comm_opened)
        share_target("jupyter.widget.control", module.Widget.handle_control_comm_opened)

    def _interaction(self, module: Any) -> None:
        internals.check("ipywidgets", module.__name__)
        # It looks for matplotlib's inline backend, to show figures where the widget wants them.
        original = module.show_inline_matplotlib_plots

        def show_inline_matplotlib_plots() -> None:
            if current_owner() is None:
                original()
            else:
                show_current()

        self._patches.set(module, "show_inline_matplotlib_plots", show_inline_matplotlib_plots)


def _get_ipython() -> Any:
    """Return the shell of the code that calls; libraries (pandas, rich) look for it among the builtins."""
    owner = current_owner()
    if owner is None or owner.shell is None:
        raise NameError("name 'get_ipython' is not defined")
    return owner.shell


def _manager_of(owner: Owner | None) -> CommManager | None:
    return getattr(owner, "comms", None)


@final
class _Beside(MetaPathFinder):
    """Finds modules in the working directory of owned code, behind all that is installed."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Find a module, for owned code alone."""
        if path is not None or current_owner() is None:
            return None
        try:
            return PathFinder.find_spec(name, [str(Path.cwd())], target)
        except OSError:  # the folder is gone
            return None

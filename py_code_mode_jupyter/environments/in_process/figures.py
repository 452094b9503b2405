"""pyplot for several owners at once: each has figures of its own, shown inline by the run that made them.

matplotlib keeps one table of figures and one backend per process. Once somebody has imported
pyplot, owned code gets a table of its own and a backend that draws with Agg and shows inline; the
host keeps its table, its backend and its settings. Nothing here imports matplotlib.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any, final

from . import internals
from .imports import WhenImported
from .ownership import Owner, current_owner
from .patches import Patches
from .tables import OwnedTable

_PYPLOT = "matplotlib.pyplot"
BACKEND = "agg"


@final
class Figures:
    """Installs and removes the routing, now or when pyplot is imported."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._imported = WhenImported(_PYPLOT, self._route)

    def install(self) -> None:
        """Route pyplot if it is there, else as soon as it is."""
        self._imported.install()

    def remove(self) -> None:
        """Give matplotlib back as it was."""
        self._imported.remove()
        self._patches.undo()

    def _route(self, pyplot: Any) -> None:
        if current_owner() is not None:
            # pyplot has just hooked itself into the shell of whoever happened to import it first.
            pyplot.uninstall_repl_displayhook()
        internals.check("matplotlib")
        matplotlib = sys.modules["matplotlib"]
        table = sys.modules["matplotlib._pylab_helpers"].Gcf
        self._patches.set(table, "figs", OwnedTable(table.figs, lambda owner: owner.figures))
        self._backend(pyplot)
        self._choice(matplotlib, pyplot)

    def _backend(self, pyplot: Any) -> None:
        original = pyplot._get_backend_mod

        def backend() -> Any:
            return original() if current_owner() is None else inline_backend()

        self._patches.set(pyplot, "_get_backend_mod", backend)

    def _choice(self, matplotlib: Any, pyplot: Any) -> None:
        # Choosing a backend is for the whole process; an owner's figures are drawn by Agg anyway.
        for module, name, own in (
            (matplotlib, "use", None),
            (matplotlib, "get_backend", BACKEND),
            (pyplot, "switch_backend", None),
        ):
            self._patches.set(module, name, _unless_owned(getattr(module, name), own))


def _unless_owned(original: Any, own: Any) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        return original(*args, **options) if current_owner() is None else own

    call.__name__ = original.__name__
    call.__doc__ = original.__doc__
    return call


def inline_backend() -> Any:
    """Return the backend of owned code: Agg, whose ``show()`` shows inline."""
    from matplotlib.backends import backend_agg

    return SimpleNamespace(
        FigureCanvas=backend_agg.FigureCanvas,
        FigureManager=backend_agg.FigureCanvas.manager_class,
        new_figure_manager=backend_agg.new_figure_manager,
        new_figure_manager_given_figure=backend_agg.new_figure_manager_given_figure,
        draw_if_interactive=lambda: None,
        show=lambda *_, **__: show_current(),
        backend_version="inline",
    )


def show_current() -> None:
    """Show and close every figure of the code that is running (``plt.show()``)."""
    owner = current_owner()
    if owner is not None:
        show_figures(owner)


def show_figures(owner: Owner) -> None:
    """Show and close the figures of `owner`, in the order they were made."""
    managers = sorted(owner.figures.values(), key=lambda manager: manager.num)
    try:
        for manager in managers:
            owner.shell.show_object(manager.canvas.figure)
    finally:
        close_figures(owner)


def close_figures(owner: Owner) -> None:
    """Close the figures of `owner` without showing them."""
    for manager in list(owner.figures.values()):
        if hasattr(manager, "_cidgcf"):
            manager.canvas.mpl_disconnect(manager._cidgcf)
        manager.destroy()
    owner.figures.clear()


def png(figure: Any) -> Any:
    """Draw a figure as a notebook does."""
    from IPython.core.pylabtools import print_figure

    draw: Any = print_figure
    return draw(figure, fmt="png", bbox_inches="tight")

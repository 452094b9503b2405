"""pyplot for several owners at once: each has figures of its own, shown inline by the run that made them.

matplotlib keeps one table of figures and one backend per process. Once somebody has imported
pyplot, owned code gets a table of its own and a backend that draws with Agg and shows inline; the
host keeps its table, its backend and its settings. Nothing here imports matplotlib.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, final

from . import internals
from .ownership import Owner, current_owner
from .patches import Patches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec

_PYPLOT = "matplotlib.pyplot"
BACKEND = "agg"


@final
class Figures:
    """Installs and removes the routing, now or when pyplot is imported."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._finder = _Finder(self._route)

    def install(self) -> None:
        """Route pyplot if it is there, else as soon as it is."""
        pyplot = sys.modules.get(_PYPLOT)
        if pyplot is not None and not getattr(getattr(pyplot, "__spec__", None), "_initializing", False):
            self._route(pyplot)
        else:
            sys.meta_path.insert(0, self._finder)

    def remove(self) -> None:
        """Give matplotlib back as it was."""
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        self._patches.undo()

    def _route(self, pyplot: ModuleType) -> None:
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        if current_owner() is not None:
            # pyplot has just hooked itself into the shell of whoever happened to import it first.
            pyplot.uninstall_repl_displayhook()
        internals.check("matplotlib")
        matplotlib = sys.modules["matplotlib"]
        table = sys.modules["matplotlib._pylab_helpers"].Gcf
        self._patches.set(table, "figs", _Table(table.figs))
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


@final
class _Table:
    """Stands for ``Gcf.figs``: the figures of whoever asks."""

    def __init__(self, host: Any) -> None:
        self.host = host

    def _own(self) -> Any:
        owner = current_owner()
        return self.host if owner is None else owner.figures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own(), name)

    def __getitem__(self, key: Any) -> Any:
        return self._own()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._own()[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._own()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._own()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._own())

    def __len__(self) -> int:
        return len(self._own())


@final
class _Finder(MetaPathFinder):
    """Calls back when pyplot has been imported."""

    def __init__(self, imported: Any) -> None:
        self._imported = imported
        self._busy = False

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Find pyplot as everybody else does, and watch its loading."""
        if name != _PYPLOT or self._busy:
            return None
        self._busy = True
        try:
            spec = find_spec(name)
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._imported)
        return spec


@final
class _Loader(Loader):
    """Loads as the original loader, then says so."""

    def __init__(self, original: Any, imported: Any) -> None:
        self._original = original
        self._imported = imported

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Let the original make the module."""
        made: ModuleType | None = self._original.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, leave its original loader in it, and report."""
        module.__loader__ = self._original
        if module.__spec__ is not None:
            module.__spec__.loader = self._original
        self._original.exec_module(module)
        self._imported(module)


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

"""Doing something with a module as soon as somebody imports it, and not before."""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType


@final
class WhenImported(MetaPathFinder):
    """Calls back with a module that is there, or when it has been imported.

    Parameters
    ----------
    name
        The module's.
    call
        Called with the module, once.
    """

    def __init__(self, name: str, call: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._call = call
        self._busy = False

    def install(self) -> None:
        """Call back now, or wait for the import."""
        module = sys.modules.get(self._name)
        if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
            self._call(module)
        else:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Wait no longer."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Find the module as everybody else does, and watch its loading."""
        if name != self._name or self._busy:
            return None
        self._busy = True
        try:
            spec = find_spec(name)
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._imported)
        return spec

    def _imported(self, module: ModuleType) -> None:
        if self in sys.meta_path:
            self.remove()
            self._call(module)


@final
class _Loader(Loader):
    """Loads as the original loader, then says so."""

    def __init__(self, original: Any, imported: Callable[[ModuleType], None]) -> None:
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

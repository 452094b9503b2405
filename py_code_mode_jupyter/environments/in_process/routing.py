"""The one router of a process: installed with its first owner, gone without a trace with the last."""

from __future__ import annotations

import builtins
import getpass
from _thread import allocate_lock
from typing import Any, final

from . import internals, threads, waits
from .figures import Figures
from .ownership import current_owner
from .patches import Patches
from .streams import Streams

_lock = allocate_lock()
_users = 0
_router: Router | None = None


@final
class Router:
    """Everything that is replaced in this process while it has owners."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._streams = Streams()
        self._figures = Figures()

    def install(self) -> None:
        """Replace; what fails halfway is undone."""
        internals.check("Python")
        internals.check("ipython")
        try:
            self._streams.install()
            threads.install(self._patches)
            waits.install(self._patches)
            self._input()
            self._shells()
            self._figures.install()
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Put everything back."""
        self._figures.remove()
        self._patches.undo()
        self._streams.remove()

    def _input(self) -> None:
        ask, ask_secret = builtins.input, getpass.getpass

        def routed_input(prompt: object = "", /) -> str:
            owner = current_owner()
            if owner is None or "stdin" in owner.overrides:
                return ask(prompt)
            return owner.read_input(str(prompt))

        def routed_getpass(prompt: str = "Password: ", stream: Any = None) -> str:
            owner = current_owner()
            if owner is None:
                return ask_secret(prompt, stream)
            return owner.read_input(prompt, password=True)

        routed_input.__name__ = "input"
        routed_input.__doc__ = ask.__doc__
        self._patches.set(builtins, "input", routed_input)
        self._patches.set(getpass, "getpass", routed_getpass)

    def _shells(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell

        instance, initialized = InteractiveShell.instance.__func__, InteractiveShell.initialized.__func__  # type: ignore[attr-defined]

        def routed_instance(cls: Any, *args: Any, **options: Any) -> Any:
            shell = _owned_shell(cls)
            return instance(cls, *args, **options) if shell is None else shell

        def routed_initialized(cls: Any) -> bool:
            return _owned_shell(cls) is not None or bool(initialized(cls))

        self._patches.set(InteractiveShell, "instance", classmethod(routed_instance))
        self._patches.set(InteractiveShell, "initialized", classmethod(routed_initialized))


def _owned_shell(cls: type) -> Any:
    owner = current_owner()
    shell = None if owner is None else owner.shell
    return shell if isinstance(shell, cls) else None


def acquire() -> None:
    """Count one more owner; the first installs the router."""
    global _users, _router
    with _lock:
        if _router is None:
            router = Router()
            router.install()
            _router = router
        _users += 1


def release() -> None:
    """Count one owner less; the last removes the router."""
    global _users, _router
    with _lock:
        _users -= 1
        if _users == 0 and _router is not None:
            _router.remove()
            _router = None

"""Run agent-written Python in Jupyter, in this process or in an isolated place.

Nothing is imported until it is asked for: `import py_code_mode_jupyter` stays cheap, and loads no
IPython, ZeroMQ or widget code, so that Jupyter can call the hooks below at little cost.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .errors import CodeModeError
    from .results import ExecutionResult, Output, RunStatus
    from .session import Session
    from .storage import FileStorage

__version__ = "0.1.0"

__all__ = [
    "CodeModeError",
    "ExecutionResult",
    "FileStorage",
    "Output",
    "RunStatus",
    "Session",
    "__version__",
    "load_ipython_extension",
    "unload_ipython_extension",
]

_HOMES = {
    "CodeModeError": ".errors",
    "ExecutionResult": ".results",
    "FileStorage": ".storage",
    "Output": ".results",
    "RunStatus": ".results",
    "Session": ".session",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register ``%pcm``; IPython calls this for ``%load_ext py_code_mode_jupyter``."""
    from .magics import load

    load(ipython)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Name the server extension; Jupyter Server calls this."""
    from .server.extension import CodeModeExtension

    return [{"module": "py_code_mode_jupyter", "app": CodeModeExtension}]


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Remove ``%pcm`` and close its sessions; IPython calls this for ``%unload_ext``."""
    from .magics import unload

    unload(ipython)

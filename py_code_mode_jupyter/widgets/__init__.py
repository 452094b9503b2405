"""Panels in a notebook: sessions, storage, one result, several compared. They need ipywidgets.

Each has an HTML and a text fallback, for where widgets are not shown. What sessions and artifacts show
in them was written by isolated code: it is filtered, escaped and bounded, and never runs in the page.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import CodeModeError

if TYPE_CHECKING:
    from .results import CompareView, RunView
    from .sessions import SessionPanel
    from .storage import StoragePanel

__all__ = ["CompareView", "RunView", "SessionPanel", "StoragePanel"]

_MODULES = {
    "CompareView": "results",
    "RunView": "results",
    "SessionPanel": "sessions",
    "StoragePanel": "storage",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f".{_MODULES[name]}", __name__)
    except ModuleNotFoundError as error:
        if error.name != "ipywidgets":
            raise
        raise CodeModeError(
            "Panels need the package ipywidgets, which is not installed.",
            remedy="Run `pip install 'py_code_mode_jupyter[widgets]'`, and restart the kernel.",
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return [*__all__]

"""Names of workflows: what may stand behind ``workflows.``, and be a file on every system."""

from __future__ import annotations

import keyword
import unicodedata

from ..errors import InvalidWorkflowError

MAX_CHARACTERS = 64
MAX_BYTES = 192
"""File systems allow 255 bytes; suffixes and encryption need a part."""
RESERVED = frozenset({"create", "delete", "exists", "get", "invoke", "list", "search"})
"""Methods of the namespace ``workflows``."""
# Devices of Windows, which it finds in every folder and with every suffix.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789")}
)


def workflow_name(name: object) -> str:
    """Return `name` as Python itself would read it in ``workflows.NAME`` (Unicode NFKC).

    Raises
    ------
    InvalidWorkflowError
        It is no identifier, a keyword, a method of the namespace, or has another fault.
    """
    if not isinstance(name, str):
        raise InvalidWorkflowError(repr(name), "its name is not text")
    # Before anything else: normalising may take long and make it longer.
    normal = name if len(name) > MAX_CHARACTERS else unicodedata.normalize("NFKC", name)
    if problem := _problem(normal):
        raise InvalidWorkflowError(name, problem)
    return normal


def is_workflow_name(name: str) -> bool:
    """Whether `name` is one in the form in which it is stored."""
    return not _problem(name) and unicodedata.normalize("NFKC", name) == name


def alike(name: str) -> str:
    """Return what `name` has in common with names that some file systems take for the same."""
    return unicodedata.normalize("NFKC", name.casefold())


def _problem(name: str) -> str:
    if len(name) > MAX_CHARACTERS:
        return f"its name has {len(name)} characters, and {MAX_CHARACTERS} are allowed"
    if not name.isidentifier():
        return "its name is not a Python identifier, such as 'monthly_report'"
    if keyword.iskeyword(name):
        return "its name is a keyword of Python"
    if name in RESERVED:
        return f"workflows.{name} is a method"
    if name.startswith("_"):
        return "its name begins with an underscore"
    if name.casefold() in _DEVICES:
        return "Windows keeps this name for a device"
    return "its name is too long in UTF-8" if len(name.encode()) > MAX_BYTES else ""

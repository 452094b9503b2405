"""Text that isolated code wrote, bounded and without control characters; figures for people."""

from __future__ import annotations

from ..results import strip_ansi

_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_LAYOUT = "\n\t"
LONGEST_TEXT = 20_000
"""Characters of a text of many lines."""


def one_line(text: object, limit: int = 80) -> str:
    """Return `text` on one line: what does not print is a blank, and what is too long is cut short.

    Control characters, terminal sequences, and marks that reorder or hide text are gone, so a name
    that isolated code chose looks like what it is.
    """
    part = strip_ansi(str(text)[: 20 * limit])
    line = " ".join("".join(c if c.isprintable() else " " for c in part).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def lines_of(text: object, limit: int = LONGEST_TEXT) -> str:
    """Return `text` with its lines and tabs, otherwise as `one_line` does; a note says what was cut."""
    full = str(text)
    part = strip_ansi(full[:limit]).replace("\r\n", "\n")
    shown = "".join(c if c.isprintable() or c in _LAYOUT else "\ufffd" for c in part)
    return shown if len(full) <= limit else f"{shown}\n[{len(full) - limit:,} more characters]"


def value_repr(value: object, limit: int = 2_000) -> str:
    """Return a value's ``repr`` as text to show; executed code may have written it, so that it fails."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - whatever the object's own code raises
        text = object.__repr__(value)
    return lines_of(text, limit)


def format_bytes(size: float) -> str:
    """Return a size in bytes with three digits or so: ``"1.5 GiB"``, ``"212 MiB"``."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 10 * unit else f"{size / unit:.0f} {name}"
    return f"{size:.0f} B"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: ``"9 s"``, ``"3 min 5 s"``, ``"2 h 10 min"``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_time(seconds: float | None) -> str:
    """Return how long a run took, short times exactly: ``"12 ms"``, ``"1.4 s"``, ``"3 min 5 s"``."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else format_duration(seconds)

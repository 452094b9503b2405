"""Which place isolates more than another."""

from __future__ import annotations

ORDER = ("in-process", "venv", "container")
"""The places by the isolation that they give, the least first."""


def is_less_isolated(place: str, origin: str) -> bool:
    """Whether code of `origin` would have more rights in `place`. What is unknown counts as most isolated."""
    if origin not in ORDER:
        return place not in ORDER or place != ORDER[-1]
    return place in ORDER and ORDER.index(place) < ORDER.index(origin)

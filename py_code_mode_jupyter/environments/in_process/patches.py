"""Replacing attributes of foreign objects so that every one of them can be put back."""

from __future__ import annotations

from typing import Any, final

_ABSENT = object()


@final
class Patches:
    """Attributes that were replaced, with what they were before."""

    def __init__(self) -> None:
        self._done: list[tuple[Any, str, Any, Any]] = []

    def set(self, target: Any, name: str, value: Any) -> Any:
        """Set ``target.name`` to `value` and return what was found there, inherited or not."""
        found = getattr(target, name, None)
        self._done.append((target, name, vars(target).get(name, _ABSENT), value))
        setattr(target, name, value)
        return found

    def undo(self) -> None:
        """Put everything back, the last replacement first.

        What somebody else has replaced in the meantime is left alone: putting our original back
        would silently remove theirs.
        """
        while self._done:
            target, name, before, ours = self._done.pop()
            if vars(target).get(name) is not ours:
                continue
            if before is _ABSENT:
                delattr(target, name)
            else:
                setattr(target, name, before)

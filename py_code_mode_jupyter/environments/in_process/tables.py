"""A dictionary that a library keeps once per process, and each owner has for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from .ownership import current_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@final
class OwnedTable:
    """Stands for the library's dictionary: the contents are those of whoever asks.

    Parameters
    ----------
    host
        What the library has; the host's own.
    of_owner
        Returns an owner's dictionary.
    """

    def __init__(self, host: Any, of_owner: Callable[[Any], Any]) -> None:
        self.host = host
        self._of_owner = of_owner

    def _own(self) -> Any:
        owner = current_owner()
        return self.host if owner is None else self._of_owner(owner)

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

"""``%pcm``: running code in sessions from a notebook or an IPython terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load", "unload"]


def load(shell: InteractiveShell) -> None:
    """Register ``%pcm`` and ``%%pcm`` in `shell`."""
    from .magic import PcmMagics

    shell.register_magics(PcmMagics(shell))


def unload(shell: InteractiveShell) -> None:
    """Remove ``%pcm`` from `shell` and close every session that it made."""
    from .magic import PcmMagics

    magics = shell.magics_manager.registry.pop(PcmMagics.__name__, None)
    if magics is None:
        return
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("pcm", None)
    if magics in shell.configurables:
        shell.configurables.remove(magics)
    magics.close()

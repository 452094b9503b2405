"""A session's presence in the registry of its storage, for as long as it runs."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from traitlets.config import Application

from ..errors import StorageError
from .endpoint import Endpoint, Steered

if TYPE_CHECKING:
    from ..storage import SessionEntry, SessionRegistry

_log = logging.getLogger(__name__)


@final
class Presence:
    """Makes a session known to other processes of this user, and steerable by them.

    A session does without where that cannot be: the storage may have become read-only.
    """

    def __init__(self, registry: SessionRegistry, session: Steered) -> None:
        self._registry = registry
        self._endpoint = Endpoint(session)
        self._maker = os.getpid()
        self.entry: SessionEntry | None = None

    def begin(self, *, id: str, name: str, executor: str, limits: Mapping[str, Any]) -> None:
        """Register the session, and serve its socket on the running loop."""
        try:
            self.entry = self._registry.register(
                id=id, name=name, executor=executor, limits=limits, owner_what=this_process()
            )
            atexit.register(self._at_exit)
            self._endpoint.open(self.entry)
        except (StorageError, OSError) as error:
            _log.warning("Session %r cannot be seen or steered from other processes: %s", name, error)

    async def end(self) -> None:
        """Take it all back. Calling it again does nothing."""
        await self._endpoint.close()
        self._remove()

    def _remove(self) -> None:
        entry, self.entry = self.entry, None
        if entry is not None:
            self._registry.remove(entry.id)
            atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        if os.getpid() == self._maker:  # and not a fork of it
            self._remove()


def this_process() -> str:
    """Return in a few words what this process is: a Jupyter kernel with its id, or a program."""
    kernel: Any = getattr(sys.modules.get("ipykernel.kernelapp"), "IPKernelApp", None)
    # A process has one application, which may also be a Jupyter Server.
    app: Any = Application.instance() if kernel and Application.initialized() else None
    if app is not None and isinstance(app, kernel):
        return f"kernel {Path(str(app.connection_file)).stem.removeprefix('kernel-')}"
    return Path(sys.argv[0]).name if sys.argv and sys.argv[0] not in ("", "-c", "-m") else "python"

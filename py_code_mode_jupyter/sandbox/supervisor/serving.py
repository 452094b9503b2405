"""The HTTP server around the place, put together."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from tornado.httpserver import HTTPServer

from .api import make_application
from .auth import Doorkeeper, Guard
from .carrier import serve_attached
from .operations import Operations
from .packages import FOLDER
from .private import PlaceError

if TYPE_CHECKING:
    from .place import Place
    from .settings import Settings

_MAX_HEADER = 2**20
_MAX_BODY = 512 * 2**20
_IDLE_SECONDS = 2.0
_WORK = "/work"


async def serve(place: Place, settings: Settings, measured: dict[str, Any], already_read: bytes) -> None:
    """Serve the attached stream, and a port if that was asked for, until this process is ended.

    Parameters
    ----------
    place
        The kernel's place.
    measured
        What was measured before any user code ran.
    already_read
        What has arrived behind the settings.
    """
    place.watch(_told(settings))
    starting = asyncio.ensure_future(place.start())
    operations = Operations(place, measured, allow_runtime_deps=settings.allow_runtime_deps)
    server = HTTPServer(
        Doorkeeper(make_application(operations), Guard(settings.token_hash)),
        max_header_size=_MAX_HEADER,
        max_body_size=_MAX_BODY,
        idle_connection_timeout=_IDLE_SECONDS,
    )
    serve_attached(server, already_read)
    if settings.port is not None:
        server.listen(settings.port)
    if settings.token_hash is None:
        logging.warning("Authentication is switched off; only the attached stream is served.")
    try:
        await starting
    except PlaceError as error:
        logging.error("%s", error)
        # The host asks how it went, and is told by the operation that starts the kernel again.
    await asyncio.Event().wait()


def _told(settings: Settings) -> dict[str, Any]:
    """Return what every kernel is told."""
    given = settings.kernel
    environ = {**os.environ, **{str(k): str(v) for k, v in given.get("environ", {}).items()}}
    return {
        # PYTHONPATH is for programs that the code starts.
        "environ": {**environ, "PYTHONPATH": str(FOLDER), "PCM_PLACE": "container"},
        "search_path": [str(FOLDER)],
        "cwd": _WORK,
        "run": given.get("run", "/run"),
        "no_drop": True,  # the supervisor always reads, and has the kernel wait where its clients do not
        "is_session": given.get("is_session") is True,
        "banner": str(given.get("banner", "")),
    }

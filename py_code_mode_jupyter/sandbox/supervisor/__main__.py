"""The first process of a container.

In this order: nobody may look into this process; everything that kernels need is imported; the
zygote is forked; the settings are read; what holds is measured; the kernel is started; requests are
served.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Any

from .. import confine, kernelapp, namespaces
from . import measure
from .packages import FOLDER
from .settings import Settings, SettingsError, parse, read_line
from .zygote import Zygote

_IMPORTED_FOR_KERNELS = (kernelapp, namespaces)
_REFUSED = 78  # EX_CONFIG, sysexits.h
_MAX_HEADER = 2**20
_MAX_BODY = 512 * 2**20
_IDLE_SECONDS = 10.0
_WORK = "/work"


def main() -> None:
    """Serve until the attached stream ends."""
    confine.hide_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    log, for_kernels = os.pipe()
    zygote = Zygote.fork(for_kernels)
    os.close(for_kernels)
    try:
        line, rest = read_line(0)
        settings = parse(line)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_REFUSED)
    del line
    measured = measure.limits()
    asyncio.run(_serve(zygote, log, settings, measured, rest))


async def _serve(
    zygote: Zygote, log: int, settings: Settings, measured: dict[str, Any], already_read: bytes
) -> None:
    from tornado.httpserver import HTTPServer

    from .api import make_application
    from .auth import Guard
    from .carrier import serve_attached
    from .operations import Operations
    from .place import Place, PlaceError

    place = Place(zygote, _told(settings), log)
    place.watch()
    starting = asyncio.ensure_future(place.start())
    operations = Operations(place, measured, allow_runtime_deps=settings.allow_runtime_deps)
    application = make_application(operations, Guard(settings.token_hash))
    server = HTTPServer(
        application,
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


if __name__ == "__main__":
    main()

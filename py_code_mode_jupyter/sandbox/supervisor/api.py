"""The HTTP API; ``openapi.json`` beside this file describes it."""

from __future__ import annotations

import asyncio
import json
import math
import tarfile
from pathlib import Path
from typing import Any

from tornado.web import Application, HTTPError

from ..wire import MAX_MESSAGE
from .channels import ChannelsHandler, Switchboard
from .operations import Operations, RefusedError
from .private import PlaceError
from .requests import Guarded
from .runs import HttpRuns

_DESCRIPTION = Path(__file__).with_name("openapi.json")
_LONGEST_TIMEOUT = 86_400.0


class _Handler(Guarded):
    """What the handlers below share."""

    def initialize(self, operations: Operations, runs: HttpRuns) -> None:
        """Take what the application gives to each handler."""
        self.operations = operations
        self.runs = runs

    def body(self) -> dict[str, Any]:
        """Return the request's body, a JSON object.

        Raises
        ------
        HTTPError
            400: it is something else.
        """
        try:
            found = json.loads(self.request.body)
        except (ValueError, RecursionError):
            raise HTTPError(400, "The body is not JSON.") from None
        if not isinstance(found, dict):
            raise HTTPError(400, "The body is not a JSON object.")
        return found


class NotFound(Guarded):
    """Everything that is not below."""

    def prepare(self) -> None:
        """Say that there is nothing, to those who may know."""
        super().prepare()
        raise HTTPError(404)


class Health(_Handler):
    """``/healthz``."""

    def get(self) -> None:
        """Say that the supervisor answers, and whether there is a kernel."""
        self.finish({"status": "ok", "kernel": self.operations.place.state})


class Info(_Handler):
    """``/api/info``."""

    def get(self) -> None:
        """Return what was measured, and what is in use."""
        self.finish({**self.operations.info(), "usage": self.operations.stats()})


class Execute(_Handler):
    """``/api/execute``."""

    async def post(self) -> None:
        """Run code to its end."""
        body = self.body()
        code, timeout = body.get("code"), body.get("timeout")
        if not isinstance(code, str):
            raise HTTPError(400, "code is not text.")
        if timeout is not None and not _is_seconds(timeout):
            raise HTTPError(400, "timeout is not a number of seconds above zero.")
        self._running = asyncio.ensure_future(self.runs.run(code, timeout))
        try:
            result = await self._running
        except PlaceError as error:
            raise HTTPError(503, str(error)) from error
        except asyncio.CancelledError:  # nobody is there any more to be answered
            return
        self.finish(result)

    def on_connection_close(self) -> None:
        """Stop code whose client has gone."""
        self._running.cancel()


class Interrupt(_Handler):
    """``/api/interrupt``."""

    def post(self) -> None:
        """Interrupt what is running."""
        self.operations.place.interrupt()
        self.set_status(204)


class Restart(_Handler):
    """``/api/restart`` and ``/api/reset``."""

    async def post(self) -> None:
        """Start the kernel anew."""
        try:
            await self.operations.place.restart()
        except PlaceError as error:
            raise HTTPError(503, str(error)) from error
        self.set_status(204)


class Dependencies(_Handler):
    """``/api/dependencies``."""

    async def get(self) -> None:
        """Return which packages there are."""
        answer = await self.operations.answer({"op": "packages"}, ())
        self.finish({"packages": answer[0]["packages"], "allowed": self.operations.allow_runtime_deps})

    async def put(self) -> None:
        """Unpack an archive of packages."""
        try:
            await self.operations.unpack(self.request.body)
        except RefusedError as error:
            raise HTTPError(403, str(error)) from error
        except (tarfile.TarError, EOFError) as error:
            raise HTTPError(400, "The body is not an archive of plain files.") from error
        except OSError as error:
            raise HTTPError(507, error.strerror or "No room is left.") from error
        self.set_status(204)


class Dependency(_Handler):
    """``/api/dependencies/{name}``."""

    async def delete(self, name: str) -> None:
        """Remove an added package."""
        try:
            removed = await self.operations.remove_package(name)
        except RefusedError as error:
            raise HTTPError(403, str(error)) from error
        if not removed:
            raise HTTPError(404, "No such package was added.")
        self.set_status(204)


class Description(_Handler):
    """``/api/openapi.json``."""

    def get(self) -> None:
        """Return the description of this API."""
        self.set_header("Content-Type", "application/json")
        self.finish(_DESCRIPTION.read_bytes())


def make_application(operations: Operations) -> Application:
    """Return the application, which is to stand behind a `Doorkeeper`."""
    board = Switchboard(operations)
    given = {"operations": operations, "runs": HttpRuns(board)}
    return Application(
        [
            ("/healthz", Health, given),
            ("/api/info", Info, given),
            ("/api/execute", Execute, given),
            ("/api/interrupt", Interrupt, given),
            ("/api/(?:restart|reset)", Restart, given),
            ("/api/dependencies", Dependencies, given),
            ("/api/dependencies/([^/]+)", Dependency, given),
            ("/api/openapi.json", Description, given),
            ("/api/channels", ChannelsHandler, {"switchboard": board}),
        ],
        default_handler_class=NotFound,
        websocket_max_message_size=MAX_MESSAGE,
        log_function=lambda _handler: None,
    )


def _is_seconds(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 < value <= _LONGEST_TIMEOUT
    )

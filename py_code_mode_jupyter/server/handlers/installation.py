"""Health of the extension, and the places that it can start kernels in."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ... import __version__
from ...errors import CodeModeError
from ..base import CodeModeHandler, invalid
from ..websocket import TRAIT

API_VERSION = 1


class HealthHandler(CodeModeHandler):
    """GET /pcm/health."""

    @authenticated
    @authorized("read", resource="pcm:server")
    async def get(self) -> None:
        """Say whether the extension works."""
        state = self.state
        storage = {"path": str(state.settings.storage), "is_usable": True, "message": "", "remedy": ""}
        try:
            await state.storage()
        except CodeModeError as error:
            storage |= {"is_usable": False, "message": error.message, "remedy": error.remedy}
        used = self.settings[TRAIT]
        self.answer(
            {
                "status": "ok" if storage["is_usable"] else "degraded",
                "version": __version__,
                "api_version": API_VERSION,
                "storage": storage,
                "kernel_websockets": {
                    "no_delay": state.no_delay,
                    "connection_class": f"{used.__module__}.{used.__qualname__}",
                },
                "event_clients": len(state.broadcast),
            }
        )


class PlacesHandler(CodeModeHandler):
    """GET /pcm/places."""

    @authenticated
    @authorized("read", resource="pcm:places")
    async def get(self) -> None:
        """List the three places, whether they are available, and what to do if not."""
        refresh = self.text("refresh", 5)
        if refresh not in ("", "true", "false"):
            raise invalid("refresh is neither true nor false.")
        self.answer({"places": await self.state.places.all(refresh=refresh == "true")})

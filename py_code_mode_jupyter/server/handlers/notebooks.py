"""What a notebook may ask of its kernel, in its metadata."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ..base import CodeModeHandler, invalid


class SettingsHandler(CodeModeHandler):
    """POST /pcm/settings/check."""

    @authenticated
    @authorized("read", resource="pcm:settings")
    async def post(self) -> None:
        """Check a notebook's settings against what the administrator allows."""
        asked = self.json_object()
        if {*asked} != {"kernel_name", "settings"} or not isinstance(asked["settings"], dict):
            raise invalid("The body does not hold kernel_name and settings.")
        self.answer(await self.state.places.check(asked["kernel_name"], asked["settings"]))

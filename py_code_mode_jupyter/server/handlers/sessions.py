"""Sessions of the user's storage, in whichever process they live: listed, steered, probed."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ..base import CodeModeHandler


class SessionsHandler(CodeModeHandler):
    """GET /pcm/sessions."""

    @authenticated
    @authorized("read", resource="pcm:sessions")
    async def get(self) -> None:
        """List all sessions."""
        state = self.state
        storage = await state.storage()
        self.answer({"sessions": await state.sessions.all(storage)})


class SessionActionHandler(CodeModeHandler):
    """POST /pcm/sessions/{session_id}/{interrupt|reset|restart|stop}."""

    @authenticated
    @authorized("execute", resource="pcm:sessions")
    async def post(self, id: str, action: str) -> None:
        """Do what is asked to a session."""
        state = self.state
        await state.sessions.act(await state.storage(), id, action)
        self.done()


class SessionProbeHandler(CodeModeHandler):
    """POST /pcm/sessions/{session_id}/probe."""

    @authenticated
    @authorized("execute", resource="pcm:sessions")
    async def post(self, id: str) -> None:
        """Measure a session's isolation."""
        state = self.state
        self.answer(await state.sessions.probe(await state.storage(), id))

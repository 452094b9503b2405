"""Workflows: listed, searched, shown as text, deleted. None is ever run here."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ..base import CodeModeHandler

_PAGE, _LARGEST_PAGE = 100, 500


class WorkflowsHandler(CodeModeHandler):
    """GET /pcm/workflows."""

    @authenticated
    @authorized("read", resource="pcm:workflows")
    async def get(self) -> None:
        """List workflows by name, or search them."""
        limit = self.number("limit", _PAGE, _LARGEST_PAGE) or _PAGE
        query = self.text("search")
        store = (await self.state.storage()).workflows

        def find() -> list[dict[str, object]]:
            found = store.search(query, limit=limit) if query else store.list()[:limit]
            return [info.to_dict() for info in found]

        self.answer({"workflows": await self.state.off_loop(find)})


class WorkflowHandler(CodeModeHandler):
    """GET and DELETE /pcm/workflows/{name}."""

    @authenticated
    @authorized("read", resource="pcm:workflows")
    async def get(self, name: str) -> None:
        """Show a workflow with its source."""
        store = (await self.state.storage()).workflows
        found = await self.state.off_loop(store.get, name)
        self.answer({"workflow": found.info.to_dict(), "source": found.source})

    @authenticated
    @authorized("write", resource="pcm:workflows")
    async def delete(self, name: str) -> None:
        """Delete a workflow."""
        store = (await self.state.storage()).workflows
        await self.state.off_loop(store.delete, name)
        self.done()

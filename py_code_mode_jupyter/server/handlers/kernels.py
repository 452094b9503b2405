"""The server's kernels. They are interrupted, restarted and ended through Jupyter Server's own routes."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ..base import CodeModeHandler


class KernelsHandler(CodeModeHandler):
    """GET /pcm/kernels."""

    @authenticated
    @authorized("read", resource="pcm:kernels")
    async def get(self) -> None:
        """List all kernels, with what they use."""
        self.answer({"kernels": await self.state.kernels.all()})


class KernelHandler(CodeModeHandler):
    """GET /pcm/kernels/{kernel_id}."""

    @authenticated
    @authorized("read", resource="pcm:kernels")
    async def get(self, id: str) -> None:
        """Describe a kernel, with what it uses."""
        self.answer(await self.state.kernels.one(id))


class KernelProbeHandler(CodeModeHandler):
    """POST /pcm/kernels/{kernel_id}/probe."""

    @authenticated
    @authorized("execute", resource="pcm:kernels")
    async def post(self, id: str) -> None:
        """Measure a kernel's isolation again, from outside."""
        self.answer(await self.state.kernels.probe(id))

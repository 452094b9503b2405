"""Artifacts: listed in pages, described, previewed, uploaded, downloaded, deleted.

Their bytes may be the work of isolated code. They leave as attachments that no page renders, and are
previewed as data (`formats.preview`), never as markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado.iostream import StreamClosedError
from tornado.web import authenticated

from ...formats import FORMATS, Encoded, kind_of
from ...formats.info import MAX_DESCRIPTION
from ...formats.preview import preview
from ..base import CodeModeHandler, invalid
from ..state.artifacts import preview_dict

_PAGE, _LARGEST_PAGE = 100, 500
_LATEST_VERSION = 2**53
_CHUNK = 256 * 1024
_SUFFIXES = {kind_of(name)[0]: name for name in FORMATS}


class ArtifactsHandler(CodeModeHandler):
    """GET /pcm/artifacts."""

    @authenticated
    @authorized("read", resource="pcm:artifacts")
    async def get(self) -> None:
        """List artifacts in pages, the newest first."""
        page = await self.state.artifacts.page(
            await self.state.storage(),
            limit=self.number("limit", _PAGE, _LARGEST_PAGE) or _PAGE,
            after=self.text("after", 400) or None,
            filter=self.text("filter"),
        )
        shown = [info.to_dict() for info in page.artifacts]
        self.answer({"artifacts": shown, "next": page.next, "total": page.total})


class _ArtifactHandler(CodeModeHandler):
    async def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the artifacts' store off the event loop."""
        store = (await self.state.storage()).artifacts
        return await self.state.off_loop(getattr(store, method), *arguments)

    async def one(self, name: str) -> tuple[Encoded, Any]:
        """Return the bytes of the version that the query names, and what is known about it."""
        found: tuple[Encoded, Any] = await self.ask(
            "load_encoded", name, self.number("version", None, _LATEST_VERSION)
        )
        return found


class ArtifactHandler(_ArtifactHandler):
    """GET, PUT and DELETE /pcm/artifacts/{name}."""

    @property
    def max_body(self) -> int:
        """Bytes that an artifact may have."""
        return self.state.settings.max_upload

    @authenticated
    @authorized("read", resource="pcm:artifacts")
    async def get(self, name: str) -> None:
        """Describe the newest version."""
        newest = await self.ask("get", name)
        self.answer((newest or (await self.ask("versions", name))[0]).to_dict())

    @authenticated
    @authorized("write", resource="pcm:artifacts")
    async def put(self, name: str) -> None:
        """Save the body as the next version."""
        filename = self.text("filename", 255)
        format = self.text("format", 20) or _SUFFIXES.get(PurePath(filename).suffix.lower(), "bytes")
        if format not in FORMATS:
            raise invalid(f"format is none of {', '.join(FORMATS)}.")
        description = self.text("description", MAX_DESCRIPTION)
        encoded = Encoded(format=format, data=memoryview(self.body()), summary=filename)
        store = (await self.state.storage()).artifacts

        def save() -> Any:
            return store.save_encoded(name, encoded, description=description)

        saved = await self.state.off_loop(save)
        self.state.artifacts.forget()
        self.answer(saved.to_dict(), 201)

    @authenticated
    @authorized("write", resource="pcm:artifacts")
    async def delete(self, name: str) -> None:
        """Delete an artifact with all its versions."""
        await self.ask("delete", name)
        self.state.artifacts.forget()
        self.done()


class VersionsHandler(_ArtifactHandler):
    """GET /pcm/artifacts/{name}/versions."""

    @authenticated
    @authorized("read", resource="pcm:artifacts")
    async def get(self, name: str) -> None:
        """List all versions that are kept, the newest first."""
        self.answer({"versions": [info.to_dict() for info in await self.ask("versions", name)]})


class PreviewHandler(_ArtifactHandler):
    """GET /pcm/artifacts/{name}/preview."""

    @authenticated
    @authorized("read", resource="pcm:artifacts")
    async def get(self, name: str) -> None:
        """Show a bounded, harmless view."""
        encoded, info = await self.one(name)
        self.answer(preview_dict(info, await self.state.off_loop(preview, encoded)))


class ContentHandler(_ArtifactHandler):
    """GET /pcm/artifacts/{name}/content."""

    @property
    def content_security_policy(self) -> str:
        """What a page may do that is made of it: nothing, whatever browser opens it."""
        return "sandbox; default-src 'none'"

    @authenticated
    @authorized("read", resource="pcm:artifacts")
    async def get(self, name: str) -> None:
        """Download the file, as an attachment that no page renders."""
        encoded, info = await self.one(name)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Length", str(encoded.size))
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")
        self.set_attachment_header(f"{info.name}{encoded.suffix}")
        try:
            for chunk in _chunks(memoryview(encoded.data)):
                self.write(chunk)
                await self.flush()  # who takes nothing does not fill our memory
        except StreamClosedError:
            return
        self.finish(set_content_type="application/octet-stream")


def _chunks(data: memoryview) -> Iterator[bytes]:
    for offset in range(0, len(data), _CHUNK):
        yield bytes(data[offset : offset + _CHUNK])

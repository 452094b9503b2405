"""The run ledger: listed in pages, searched, and exported as notebooks. Nothing is run again here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ...errors import RunNotFoundError
from ...history import export_notebook
from ..base import CodeModeHandler, invalid

if TYPE_CHECKING:
    from ...storage.runs import RunRecord

_PAGE, _LARGEST_PAGE = 100, 500
_LARGEST_ID = 2**63 - 1
_SHOWN_CODE = 2000
_FIELDS = (
    *("id", "session", "session_id", "executor", "kind", "status", "started", "execution_time", "code"),
    *("value", "truncated", "state_preserved", "replay_of"),
)


class RunsHandler(CodeModeHandler):
    """GET /pcm/runs."""

    @authenticated
    @authorized("read", resource="pcm:runs")
    async def get(self) -> None:
        """List runs in pages, the newest first."""
        limit = self.number("limit", _PAGE, _LARGEST_PAGE) or _PAGE
        asked: dict[str, Any] = {
            "session": self.text("session") or None,
            "search": self.text("search"),
            "status": self.text("status", 40) or None,
            "before": self.number("before", None, _LARGEST_ID),
            "limit": limit,
        }
        ledger = (await self.state.storage()).runs
        records = await self.state.off_loop(lambda: ledger.list(**asked))
        shown = [_run(record, longest=_SHOWN_CODE) for record in records]
        self.answer({"runs": shown, "next": records[-1].id if len(records) == limit else None})


class _RecordHandler(CodeModeHandler):
    async def record(self, id: str) -> RunRecord:
        """Return a record with its outputs."""
        ledger = (await self.state.storage()).runs
        if not (id.isascii() and id.isdigit() and len(id) < 20):
            raise RunNotFoundError(id[:64])
        return await self.state.off_loop(ledger.get, int(id))

    def answer_notebook(self, notebook: Any, name: str) -> None:
        """Answer with a notebook, as an attachment."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_attachment_header(f"{name}.ipynb")
        self.answer(notebook)


class RunHandler(_RecordHandler):
    """GET /pcm/runs/{run_id}."""

    @authenticated
    @authorized("read", resource="pcm:runs")
    async def get(self, id: str) -> None:
        """Show a run with its outputs."""
        record = await self.record(id)
        found = record.to_dict()
        more = ("limits", "deps", "variables", "stdout", "stderr", "outputs")
        self.answer({"run": _run(record), **{name: found[name] for name in more}})


class RunNotebookHandler(_RecordHandler):
    """GET /pcm/runs/{run_id}/notebook."""

    @authenticated
    @authorized("read", resource="pcm:runs")
    async def get(self, id: str) -> None:
        """Return a run as a notebook."""
        record = await self.record(id)
        notebook = await self.state.off_loop(export_notebook, [record])
        self.answer_notebook(notebook, f"run-{record.id}")


class SessionNotebookHandler(_RecordHandler):
    """GET /pcm/runs/notebook."""

    @authenticated
    @authorized("read", resource="pcm:runs")
    async def get(self) -> None:
        """Return all runs of a session as a notebook."""
        name = self.text("session")
        if not name:
            raise invalid("session is missing.")
        ledger = (await self.state.storage()).runs

        def export() -> Any:
            return export_notebook(ledger.of_session(name, since_reset=False))

        self.answer_notebook(await self.state.off_loop(export), "session")


def _run(record: RunRecord, *, longest: int | None = None) -> dict[str, Any]:
    found = record.to_dict()
    shown = {name: found[name] for name in _FIELDS}
    return shown | {"code": record.code[:longest], "error": record.error or ""}

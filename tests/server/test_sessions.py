"""Sessions in other processes are listed, steered and probed; their runs are listed, shown and exported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nbformat
import pytest

from py_code_mode_jupyter.environments.notebook import NotebookSettings, parse_settings
from py_code_mode_jupyter.history import export_notebook
from py_code_mode_jupyter.storage import FileStorage

from .live import LiveServer, heard, until

AGENT = """
import asyncio, sys
from py_code_mode_jupyter import FileStorage, Session

async def main():
    storage = FileStorage(sys.argv[1])
    async with Session(storage, name="agent") as session:
        await session.run("x = 41")
        await session.run("print('<script>alert(1)</script>'); x + 1")
        await session.run("1 / 0")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@contextmanager
def agent(live: LiveServer) -> Iterator[subprocess.Popen[str]]:
    """Run an agent with a session of its own in another process, which has run three times."""
    command = [sys.executable, "-c", AGENT, str(live.storage)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.stdin.close()
            process.wait(60)


@pytest.fixture(scope="module")
def session(live: LiveServer) -> Iterator[dict[str, Any]]:
    with live.events() as events, agent(live):
        heard(events, "sessions", "changed")
        [found] = until(lambda: live.get("/pcm/sessions")["sessions"], "it is listed")
        yield found


def test_a_session_of_another_process_is_described(live: LiveServer, session: dict[str, Any]) -> None:
    assert (session["name"], session["place"], session["state"]) == ("agent", "in-process", "idle")
    assert session["usage"]["memory"] > 2**20
    assert session["runs"] == 3
    assert session["owner_pid"] != live.process.pid
    assert session["last_run"] == live.get("/pcm/runs?limit=1")["runs"][0]["id"]


def test_a_session_is_probed(live: LiveServer, session: dict[str, Any]) -> None:
    probed = live.ask("POST", f"/pcm/sessions/{session['id']}/probe", {}).json
    assert (probed["level"], probed["place"]) == ("none", "in-process")
    assert probed["facts"][0]["holds"] is False


@pytest.mark.parametrize("action", ["interrupt", "reset", "restart"])
def test_a_session_is_steered(live: LiveServer, session: dict[str, Any], action: str) -> None:
    assert live.ask("POST", f"/pcm/sessions/{session['id']}/{action}", {}).status == 204
    assert live.ask("POST", f"/pcm/sessions/{session['id']}/explode", {}).status == 404


def test_runs_are_listed_in_pages_and_searched(live: LiveServer, session: dict[str, Any]) -> None:
    page = live.get("/pcm/runs?session=agent&limit=1&search=x%20")
    assert "x + 1" in page["runs"][0]["code"]
    more = live.get(f"/pcm/runs?session=agent&limit=1&search=x%20&before={page['next']}")
    assert more["runs"][0]["code"] == "x = 41"
    [failed] = live.get("/pcm/runs?search=zerodivision")["runs"]
    assert "ZeroDivisionError" in failed["error"]


def test_a_run_is_shown_and_exported(live: LiveServer, session: dict[str, Any]) -> None:
    [shown] = live.get("/pcm/runs?search=x%20%2B%201")["runs"]
    details = live.get(f"/pcm/runs/{shown['id']}")
    assert (details["run"]["value"], details["stdout"]) == ("42", "<script>alert(1)</script>\n")
    for path in (f"/pcm/runs/{shown['id']}/notebook", "/pcm/runs/notebook?session=agent"):
        answer = live.ask("GET", path)
        nbformat.validate(nbformat.from_dict(answer.json))
        assert answer.headers["Content-Disposition"].startswith("attachment;")
    codes = [cell["source"] for cell in answer.json["cells"] if cell["cell_type"] == "code"]
    assert any("x = 41" in code for code in codes)


def test_what_an_exported_notebook_says_of_its_origin_is_no_wish(
    live: LiveServer, session: dict[str, Any]
) -> None:
    exported = export_notebook(FileStorage(live.storage).runs.of_session("agent", since_reset=False))
    assert exported["metadata"]["pcm"]["sessions"] == ["agent"]
    assert parse_settings(exported["metadata"]["pcm"]) == NotebookSettings()


def test_a_session_is_stopped_and_then_gone(live: LiveServer, session: dict[str, Any]) -> None:
    path = f"/pcm/sessions/{session['id']}"
    assert live.ask("POST", f"{path}/stop", {}).status == 204
    until(lambda: not live.get("/pcm/sessions")["sessions"], "it is gone")
    assert live.ask("POST", f"{path}/probe", {}).status == 404

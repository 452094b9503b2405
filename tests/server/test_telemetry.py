"""Starts, kills and runs are told to Jupyter's event system; a server's start becomes little longer."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from py_code_mode_jupyter import Session
from py_code_mode_jupyter.server import telemetry
from py_code_mode_jupyter.storage import FileStorage

HEAVY = ("IPython", "docker", "matplotlib", "numpy", "pandas", "pyarrow", "ipykernel", "ipywidgets")


def test_loading_the_extension_loads_nothing_heavy() -> None:
    code = (
        "import sys, json, jupyter_server.serverapp; before = {*sys.modules}\n"
        "import py_code_mode_jupyter.server.extension\n"
        "print(json.dumps(sorted({*sys.modules} - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = json.loads(done.stdout)
    assert [name for name in HEAVY if name in loaded] == []


@pytest.fixture
def told(jp_serverapp: Any) -> list[tuple[str, dict[str, Any]]]:
    """What the event logger is told, by the schema's name."""
    found: list[tuple[str, dict[str, Any]]] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        found.append((schema_id.split("/")[-2], data))

    for schema in (telemetry.START, telemetry.KILL, telemetry.RUN):
        jp_serverapp.event_logger.add_listener(schema_id=schema, listener=listen)
    return found


def test_a_start_a_death_and_a_run_are_told(
    told: list[tuple[str, dict[str, Any]]],
    jp_serverapp: Any,
    jp_fetch: Any,
    jp_asyncio_loop: Any,
    tmp_path: Path,
) -> None:
    importlib.import_module("ipykernel.kernelapp")  # as where kernels live in the server's process
    state = jp_serverapp.web_app.settings["pcm_state"]

    async def happen() -> None:
        made = await jp_fetch("api", "kernels", method="POST", body=b'{"name": "pcm-in-process"}')
        kernel = json.loads(made.body)["id"]
        await state.kernels.look()
        jp_serverapp.kernel_manager.get_kernel(kernel).provisioner._note_death("It ended by itself.")
        await state.kernels.look()
        state.changes.look(state.settings.storage)
        async with Session(FileStorage(state.settings.storage), name="one") as session:
            await session.run("1 + 1")
        FileStorage(state.settings.storage).runs.flush()
        state.changes.look(state.settings.storage)
        state.changes.tell()
        await jp_serverapp.event_logger.gather_listeners()
        await jp_fetch("api", "kernels", kernel, method="DELETE")

    jp_asyncio_loop.run_until_complete(happen())
    kinds = dict(told)
    assert (kinds["start"]["place"], kinds["start"]["status"]) == ("in-process", "success")
    assert (kinds["kill"]["kind"], kinds["kill"]["reason"]) == ("exit", "It ended by itself.")
    assert (kinds["run"]["session"], kinds["run"]["status"]) == ("one", "ok")
    assert "1 + 1" not in json.dumps(kinds["run"])


def test_whoever_asks_because_of_news_hears_of_the_session_that_it_was_about(
    jp_serverapp: Any, jp_fetch: Any, jp_asyncio_loop: Any
) -> None:
    state = jp_serverapp.web_app.settings["pcm_state"]

    async def names() -> list[str]:
        return [one["name"] for one in json.loads((await jp_fetch("pcm", "sessions")).body)["sessions"]]

    async def happen() -> None:
        await state.off_loop(state.changes.look, state.settings.storage)
        assert await names() == []
        async with Session(FileStorage(state.settings.storage), name="one"):
            state.changes.look(state.settings.storage)
            state.changes.tell()
            assert await names() == ["one"]
        state.changes.look(state.settings.storage)
        state.changes.tell()
        assert await names() == []

    jp_asyncio_loop.run_until_complete(happen())

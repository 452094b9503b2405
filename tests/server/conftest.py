"""A server of the tests' own process (pytest-jupyter's), and one in a process of its own that tests share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403
from tornado.httpclient import HTTPClientError, HTTPResponse

from .live import LiveServer, serving

# Those two run asynchronous tests on another loop; there are none here.
del pytest_pycollect_makeitem, pytest_pyfunc_call  # noqa: F821

EXTENSION = "py_code_mode_jupyter"
OPENAPI = json.loads((Path(__file__).parents[2] / EXTENSION / "server" / "openapi.json").read_text("utf-8"))
Ask = Callable[..., HTTPResponse]


@pytest.fixture
def jp_server_config(tmp_path: Path) -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {EXTENSION: True}},
        "CodeModeExtension": {"storage_root": str(tmp_path / "storage")},
    }


@pytest.fixture
def ask(jp_fetch: Any, jp_asyncio_loop: Any, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Ask the server, and return its answer whatever its status."""

    def asked(method: str, path: str, **options: Any) -> HTTPResponse:
        if method in ("POST", "PUT", "PATCH"):
            options.setdefault("body", b"{}")
        try:
            return jp_asyncio_loop.run_until_complete(
                jp_fetch(*path.strip("/").split("/"), method=method, **options)
            )
        except HTTPClientError as error:
            assert error.response is not None
            return error.response

    return asked


@pytest.fixture(autouse=True)
def our_kernels_and_no_storage_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PCM_STORAGE", raising=False)
    monkeypatch.setenv("JUPYTER_PATH", str(Path(sys.prefix, "share", "jupyter")))


@pytest.fixture(scope="package")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(tmp_path_factory.mktemp("live")) as server:
        yield server


def execute_request(name: str, code: str) -> str:
    """Return a request for a kernel's websocket, known as `name`."""
    header = {"msg_id": name, "msg_type": "execute_request", "session": "s", "username": ""}
    content = {"code": code, "silent": False}
    return json.dumps(
        {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    )

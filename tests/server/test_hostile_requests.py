"""Requests that mean harm: refused with the right status, without a stack trace, and nothing is changed."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from py_code_mode_jupyter.storage import FileStorage

from .live import TOKEN, Answer, LiveServer

OTHER = {"Origin": "http://evil.example"}
AUTH = {"Authorization": f"token {TOKEN}"}
BODY = b'{"kernel_name": "pcm-venv", "settings": {}}'
KEPT = "it is still there"


@pytest.fixture
def kept(live: LiveServer) -> Iterator[FileStorage]:
    storage = FileStorage(live.storage)
    with contextlib.suppress(KeyError):
        storage.artifacts.delete("kept")
    storage.artifacts.save("kept", KEPT)
    yield storage
    assert storage.artifacts.load("kept") == KEPT
    assert [info.version for info in storage.artifacts.versions("kept")] == [1]
    storage.artifacts.delete("kept")


def told(answer: Answer, status: int) -> Any:
    """Return a failure, once it is clear that it says no more than it should."""
    assert answer.status == status, answer
    found = answer.json
    assert {*found} == {"error", "message", "remedy"}
    for leak in ("Traceback", 'File "', "site-packages", TOKEN):
        assert leak not in answer.body.decode()
    return found


CHANGES = [
    ("PUT", "/pcm/artifacts/kept", b"evil"),
    ("DELETE", "/pcm/artifacts/kept", None),
    ("POST", f"/pcm/sessions/{'0' * 32}/stop", b"{}"),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}, {"Authorization": "Bearer x"}])
def test_without_the_token_nothing_is_changed(
    live: LiveServer, kept: FileStorage, method: str, path: str, body: bytes, headers: dict[str, str]
) -> None:
    told(live.raw(method, path, body, headers), 403)
    assert live.raw("GET", "/pcm/artifacts", headers=headers).status == 403


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_cookie_without_the_xsrf_token_changes_nothing(
    live: LiveServer, kept: FileStorage, method: str, path: str, body: bytes
) -> None:
    login = live.raw("GET", f"/api/status?token={TOKEN}")
    cookie = {"Cookie": login.headers["Set-Cookie"].partition(";")[0]}
    assert live.raw("GET", "/pcm/health", headers={**cookie, "Referer": origin(live)}).status == 200
    told(live.raw(method, path, body, {**cookie, **OTHER}), 404)
    told(live.raw(method, path, body, cookie), 403)


def origin(live: LiveServer) -> str:
    return f"http://127.0.0.1:{live.port}/lab"


def test_pages_of_other_origins_may_neither_read_nor_listen(live: LiveServer, kept: FileStorage) -> None:
    login = live.raw("GET", f"/api/status?token={TOKEN}")
    cookie = {"Cookie": login.headers["Set-Cookie"].partition(";")[0]}
    told(live.raw("GET", "/pcm/artifacts", headers={**cookie, **OTHER}), 404)
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert live.raw("GET", "/pcm/events", headers={**cookie, **OTHER, **upgrade}).status == 403
    told(live.raw("GET", "/pcm/events", headers=upgrade), 403)


NAMES = [
    *("..", "../../etc/passwd", "a/b", "a\\b", "a\0b", ".hidden", "con", "x" * 500, "a\nb"),
    "\N{RIGHT-TO-LEFT OVERRIDE}cod",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_lead_nowhere(live: LiveServer, kept: FileStorage, name: str) -> None:
    before = sorted(path for path in live.root.rglob("*") if "artifacts" in str(path))
    path = f"/pcm/artifacts/{quote(name, safe='')}"
    for method, more, body in (("GET", "/content", None), ("PUT", "", b"x"), ("DELETE", "", None)):
        assert live.ask(method, path + more, body).status in (400, 404), method
    assert sorted(path for path in live.root.rglob("*") if "artifacts" in str(path)) == before


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 50_000, b'{"kernel_name": 1}']
)
def test_malformed_json_is_told_so(live: LiveServer, body: bytes) -> None:
    assert told(live.ask("POST", "/pcm/settings/check", body), 400)["error"] == "InvalidRequest"


def test_a_body_that_is_too_large_is_not_even_read(live: LiveServer) -> None:
    path = "/pcm/settings/check"
    assert told(live.ask("POST", path, b" " * 100_000), 413)["error"] == "TooLarge"
    head = f"PUT /pcm/artifacts/large HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {TOKEN}\r\n"
    with socket.create_connection(("127.0.0.1", live.port), timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: 1000000000000\r\n\r\n".encode())
        assert b" 413 " in connection.recv(100)
    assert live.ask("GET", "/pcm/artifacts/large").status == 404


def test_a_body_that_does_not_say_how_large_it_is_is_bounded_as_well(live: LiveServer) -> None:
    head = f"POST /pcm/settings/check HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {TOKEN}\r\n"
    memory = live.about.memory_info().rss
    with socket.create_connection(("127.0.0.1", live.port), timeout=30) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"%x\r\n%s\r\n" % (16_384, b" " * 16_384)
        with contextlib.suppress(OSError):  # it hangs up in the midst of it
            for _ in range(5000):
                connection.sendall(chunk)
        with contextlib.suppress(OSError):
            assert connection.recv(100)[:12] in (b"", b"HTTP/1.1 400")
    assert live.about.memory_info().rss - memory < 40 * 2**20


UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/pcm/kernels/{UNKNOWN}"),
        ("POST", f"/pcm/kernels/{UNKNOWN}/probe"),
        ("POST", f"/pcm/sessions/{UNKNOWN}/stop"),
        ("POST", "/pcm/sessions/..%2F..%2Fx/probe"),
        ("GET", "/pcm/artifacts/none"),
        ("GET", "/pcm/artifacts/none/versions"),
        ("GET", "/pcm/artifacts/none/preview"),
        ("GET", "/pcm/artifacts/kept/content?version=99"),
        ("DELETE", "/pcm/workflows/none"),
        ("GET", "/pcm/workflows/..%2F..%2Fetc%2Fpasswd"),
        ("GET", "/pcm/runs/99999999"),
        ("GET", "/pcm/runs/99999999999999999999999999"),
        ("GET", "/pcm/runs/1%20OR%201"),
        ("GET", "/pcm/runs/99999999/notebook"),
    ],
)
def test_unknown_ids_are_not_found(live: LiveServer, kept: FileStorage, method: str, path: str) -> None:
    told(live.ask(method, path, {} if method == "POST" else None), 404)


@pytest.mark.parametrize(
    "path",
    [
        "/pcm/artifacts?limit=0",
        "/pcm/artifacts?limit=100000",
        "/pcm/artifacts?limit=1e3",
        "/pcm/artifacts?limit=٣",
        "/pcm/artifacts?after=nonsense",
        "/pcm/artifacts?filter=" + "x" * 300,
        "/pcm/artifacts/kept/preview?version=-1",
        "/pcm/runs?before=x",
        "/pcm/runs/notebook",
        "/pcm/places?refresh=perhaps",
        "/pcm/events",
    ],
)
def test_parameters_are_judged(live: LiveServer, kept: FileStorage, path: str) -> None:
    told(live.ask("GET", quote(path, safe="/?=&")), 400)


@pytest.mark.parametrize(
    ("query", "data"),
    [
        ("format=parquet", b"no parquet"),
        ("format=png", b"<svg onload=alert(1)>"),
        ("format=npy", b"\x93NUMPY" + b"\x01\x00" + b"v\x00{'descr': '|O', 'fortran_order': False}"),
        ("format=pickle", b"\x80\x04."),
        ("format=json", b"\xff"),
    ],
)
def test_what_is_uploaded_is_what_it_claims_to_be(live: LiveServer, query: str, data: bytes) -> None:
    told(live.ask("PUT", f"/pcm/artifacts/forged?{query}", data), 400)
    assert live.ask("GET", "/pcm/artifacts/forged").status == 404


def test_hostile_bytes_leave_as_an_attachment_that_no_page_renders(live: LiveServer) -> None:
    page = b"<script>alert(1)</script>"
    assert live.ask("PUT", "/pcm/artifacts/page?filename=page.html", page).status == 201
    answer = live.ask("GET", "/pcm/artifacts/page/content")
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert answer.body == page
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment;")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox;")
    preview = live.get("/pcm/artifacts/page/preview")
    assert preview["kind"] == "text"
    assert live.ask("DELETE", "/pcm/artifacts/page").status == 204


def test_a_settings_question_cannot_choose_a_kernel_of_somebody_else(live: LiveServer) -> None:
    body = {"kernel_name": "../python3", "settings": {}}
    assert told(live.ask("POST", "/pcm/settings/check", body), 400)["error"] == "InvalidRequest"
    wishes = {"image": "evil"}, {"container": {"image": "evil"}}, {"memory": "1t"}, {"dependencies": ["evil"]}
    for settings in wishes:
        body = {"kernel_name": "pcm-container", "settings": settings}
        found = live.ask("POST", "/pcm/settings/check", body).json
        assert found["is_valid"] is False, json.dumps(found)
        assert found["problems"][0]["remedy"]


def test_the_log_holds_no_stack_trace_after_all_that(live: LiveServer) -> None:
    log = Path(live.root / "log").read_text()
    assert "Traceback" not in log
    assert TOKEN not in log.replace(f"?token={TOKEN}", "")

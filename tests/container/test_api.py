"""The HTTP API does what its description says, for every request that schemathesis thinks of."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import tarfile
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from websockets.sync.client import connect

from .conftest import TOKEN, WAIT
from .test_authentication import RIGHT, ask

if TYPE_CHECKING:
    from .conftest import Open

EXAMPLES = 40
schemathesis.serializer("application/x-tar")(lambda _context, value: value)
# What may be asked for changes nothing that a later request needs, or puts it back.
CHECKED = "/healthz /api/info /api/execute /api/interrupt /api/dependencies /api/openapi.json".split()


@pytest.fixture
async def api(open_session: Open) -> AsyncIterator[str]:
    fields = {"network_disabled": False, "publish": 0, "allow_runtime_deps": True}
    async with open_session(**fields) as session:
        yield (await session.stats())["published"]


def run(address: str, code: str, **more: Any) -> dict[str, Any]:
    status, text = ask(address, "POST", "/api/execute", RIGHT, {"code": code, **more})
    assert status == 200, text
    return dict(json.loads(text))


async def test_code_is_run_and_its_outputs_are_returned(api: str) -> None:
    result = run(api, "print('said')\nkept = 6 * 7\nkept")
    assert result["status"] == "ok"
    assert [one["output_type"] for one in result["outputs"]] == ["stream", "execute_result"]
    assert result["outputs"][1]["data"]["text/plain"] == "42"
    failed = run(api, "1 / 0")
    assert (failed["status"], failed["error"]["ename"]) == ("error", "ZeroDivisionError")
    late = run(api, "while True: pass", timeout=0.5)
    assert (late["status"], late["state_preserved"]) == ("timeout", True)
    deaf = "import time\nwhile True:\n  try:\n    time.sleep(60)\n  except KeyboardInterrupt: pass"
    gone = run(api, deaf, timeout=0.5)
    assert (gone["status"], gone["state_preserved"]) == ("timeout", False)
    died = run(api, "import os; os._exit(7)")
    assert (died["status"], died["error"]["evalue"].count("status 7")) == ("died", 1)
    again = run(api, "'kept' in globals()")
    assert (again["outputs"][0]["data"]["text/plain"], again["state_preserved"]) == ("False", False)


async def test_code_of_others_is_neither_counted_nor_interrupted(open_session: Open) -> None:
    async with open_session(network_disabled=False, publish=0) as session:
        address = (await session.stats())["published"]
        long = session.stream("import time\nprint('begun')\nfor _ in range(30): time.sleep(0.1)\n'whole'")
        assert (await anext(long)).text == "begun\n"
        started = time.monotonic()
        short = await asyncio.to_thread(run, address, "1 + 1", timeout=0.5)
        assert short["status"] == "ok"
        assert time.monotonic() - started > 1
        assert [output.type async for output in long] == ["execute_result"]
        assert session.last_result is not None
        assert session.last_result.value == "whole"


async def test_code_whose_client_has_gone_is_stopped(api: str) -> None:
    host, _, port = api.partition(":")
    body = json.dumps(
        {"code": "import time\nkept = 1\nprint(333 * 333)\nwhile True: time.sleep(0.1)"}
    ).encode()
    head = f"POST /api/execute HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    with (
        connect(f"ws://{api}/api/channels", additional_headers=RIGHT) as watcher,
        socket.create_connection((host, int(port)), WAIT) as sock,
    ):
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        while b"110889" not in bytes(watcher.recv(WAIT, decode=False)):
            pass
    assert (await asyncio.to_thread(run, api, "kept"))["outputs"][0]["data"]["text/plain"] == "1"


async def test_output_is_bounded(api: str) -> None:
    result = run(api, "print('x' * 30_000_000)")
    assert result["truncated"] > 15_000_000
    assert sum(len(one["text"]) for one in result["outputs"]) <= 10 * 2**20


async def test_the_kernel_is_interrupted_and_restarted(api: str) -> None:
    run(api, "kept = 1")
    assert ask(api, "POST", "/api/interrupt", RIGHT)[0] == 204
    assert run(api, "kept")["status"] == "ok"
    for path in ("/api/restart", "/api/reset"):
        assert ask(api, "POST", path, RIGHT)[0] == 204
        assert run(api, "kept")["error"]["ename"] == "NameError"


async def test_packages_are_unpacked_listed_and_removed(api: str) -> None:
    import http.client

    packed = io.BytesIO()
    files = {
        "tiny.py": b"answer = 42\n",
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/RECORD": b"tiny.py,,\ntiny-1.0.dist-info/METADATA,,\n",
    }
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))

    def put(body: bytes) -> int:
        connection = http.client.HTTPConnection(api, timeout=60)
        with contextlib.closing(connection):
            connection.request("PUT", "/api/dependencies", body, RIGHT)
            return connection.getresponse().status

    assert put(b"no archive") == 400
    assert put(packed.getvalue()) == 204
    assert run(api, "import tiny; tiny.answer")["outputs"][0]["data"]["text/plain"] == "42"
    assert json.loads(ask(api, "GET", "/api/dependencies", RIGHT)[1])["packages"]["tiny"] == "1.0"
    assert ask(api, "DELETE", "/api/dependencies/tiny", RIGHT)[0] == 204
    assert ask(api, "DELETE", "/api/dependencies/tiny", RIGHT)[0] == 404


async def test_a_locked_container_changes_no_package_for_anybody(open_session: Open) -> None:
    async with open_session(network_disabled=False, publish=0) as session:
        address = (await session.stats())["published"]
        assert ask(address, "PUT", "/api/dependencies", RIGHT)[0] == 403
        assert ask(address, "DELETE", "/api/dependencies/six", RIGHT)[0] == 403


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")  # the tool's own
async def test_every_answer_is_as_described(api: str) -> None:
    description = json.loads(ask(api, "GET", "/api/openapi.json", RIGHT)[1])
    description["paths"] = {path: description["paths"][path] for path in CHECKED}
    # Code that it makes up would be run, and most of it does not compile.
    description["components"]["schemas"]["Execute"]["properties"]["timeout"]["maximum"] = 2
    schema = schemathesis.openapi.from_dict(description)
    schema.config.update(base_url=f"http://{api}", headers=RIGHT)
    asked = 0
    for result in schema.get_all_operations():

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck], database=None)
        @given(result.ok().as_strategy())
        def check(case: Any) -> None:
            nonlocal asked
            asked += 1
            # Bytes that it makes up are no archive, which no schema can say.
            left_out = [positive_data_acceptance] if case.method == "PUT" else []
            case.call_and_validate(headers=RIGHT, excluded_checks=left_out)

        check()
    assert asked >= EXAMPLES

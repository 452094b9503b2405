"""Forged entries and hostile clients: nobody is led astray, and nobody waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.errors import ConfigurationError, SessionGoneError, StorageUnavailableError
from py_code_mode_jupyter.owner import owner
from py_code_mode_jupyter.steering import SessionClient, endpoint

from .conftest import WAIT, only

ID = "0123456789abcdef" * 2


@pytest.fixture
async def session(storage: FileStorage) -> AsyncIterator[Session]:
    async with Session(storage, name="near") as running:
        yield running


def forge(storage: FileStorage, id: str = ID, **fields: Any) -> Path:
    """Write an entry as somebody might who wants to be believed."""
    storage.sessions.path.mkdir(mode=0o700, exist_ok=True)
    said = {
        "name": "forged",
        "executor": "venv",
        "owner": owner(),
        "owner_what": "x",
        "limits": {},
        "started": "2026-01-01T00:00:00+00:00",
        **fields,
    }
    path = storage.sessions.path / f"{id}.json"
    path.write_text(json.dumps({key: value for key, value in said.items() if value is not ...}))
    return path


# Entries


@pytest.mark.parametrize(
    "fields",
    [
        {"name": 5},
        {"name": "n" * 1000},
        {"name": ...},
        {"limits": []},
        {"limits": None},
        {"owner": ""},
        {"owner": "elsewhere-1:1:1"},
        {"owner": "::"},
        {"owner": f"{owner().partition(':')[0]}:٣:1"},
        {"owner": f"{owner().partition(':')[0]}:99999999999999999999:1"},
        {"owner": f"{owner().partition(':')[0]}:999999999:1"},
        {"started": "yesterday"},
        {"started": "0001-01-01T00:00:00+14:00"},
        {"limits": {"x": "y" * 100_000}},
    ],
    ids=repr,
)
async def test_a_forged_entry_is_passed_over(
    session: Session, storage: FileStorage, fields: dict[str, Any]
) -> None:
    forge(storage, **fields)
    assert only(storage).id == session.id
    with pytest.raises(SessionGoneError):
        storage.sessions.get(ID)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"[" * 50_000, b"\xff\xfe", b"3", b'{"name": 1e999}']
)
async def test_a_broken_entry_is_passed_over(session: Session, storage: FileStorage, content: bytes) -> None:
    forge(storage).write_bytes(content)
    assert only(storage).id == session.id


async def test_links_pipes_and_folders_among_the_entries_are_passed_over(
    session: Session, storage: FileStorage, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(forge(storage).read_text())
    (storage.sessions.path / f"{ID}.json").unlink()
    (storage.sessions.path / f"{ID}.json").symlink_to(secret)
    (storage.sessions.path / f"{'1' * 32}.json").mkdir()
    os.mkfifo(storage.sessions.path / f"{'2' * 32}.json")
    (storage.sessions.path / "..json").write_text("{}")
    assert only(storage).id == session.id


@pytest.mark.parametrize("id", ["", "../x", "A" * 32, ID + "\n", ID[:-1], None, 5, f"{ID}/../{ID}"])
async def test_an_id_is_32_hexadecimal_digits(storage: FileStorage, id: Any) -> None:
    with pytest.raises(SessionGoneError):
        storage.sessions.get(id)
    with pytest.raises(ConfigurationError):
        storage.sessions.register(id=id, name="x", executor="venv", limits={}, owner_what="x")
    storage.sessions.remove(id)


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        one.listen()
        one.settimeout(0)
        yield one


async def test_a_client_connects_to_nothing_but_the_sessions_own_socket(
    session: Session, storage: FileStorage, tmp_path: Path
) -> None:
    """An entry names another process's session, or a link leads to a socket elsewhere."""
    elsewhere = tmp_path / "elsewhere.sock"
    with listening(elsewhere) as other:
        forge(storage, endpoint=str(elsewhere), path=str(elsewhere))
        entry = storage.sessions.get(ID)
        assert entry.endpoint.parent == storage.sessions.path
        with pytest.raises(SessionGoneError):
            await SessionClient(entry).stop()
        entry.endpoint.symlink_to(elsewhere)
        with pytest.raises(SessionGoneError):
            await SessionClient(entry).stop()
        with pytest.raises(BlockingIOError):
            other.accept()
    # A socket of this user, in the right place, that another process listens at.
    entry.endpoint.unlink()
    forge(storage, owner=owner().replace(f":{os.getpid()}:", ":1:"))
    with listening(entry.endpoint):
        entries = {one.id for one in storage.sessions.entries()}
        assert ID not in entries


async def test_a_socket_that_another_process_listens_at_is_not_spoken_to(
    session: Session, storage: FileStorage
) -> None:
    from dataclasses import replace

    entry = replace(only(storage), owner=f"{owner().partition(':')[0]}:1:1")
    with pytest.raises(SessionGoneError):
        await SessionClient(entry).stop()
    assert (await session.run("1")).is_ok


async def test_a_folder_that_others_can_reach_is_not_used(session: Session, storage: FileStorage) -> None:
    entry = only(storage)
    storage.sessions.path.chmod(0o777)
    with pytest.raises(StorageUnavailableError):
        storage.sessions.entries()
    with pytest.raises(SessionGoneError):
        await SessionClient(entry).stop()
    storage.sessions.path.chmod(0o700)


# Clients


async def ask(storage: FileStorage, data: bytes) -> bytes:
    """Send bytes, and return what comes back until the end."""
    reader, writer = await asyncio.open_unix_connection(str(only(storage).endpoint))
    try:
        writer.write(data)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), WAIT)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"null\n",
        b"[]\n",
        b'{"do": "eval"}\n',
        b'{"do": "__class__"}\n',
        b'{"do": ["stop"]}\n',
        b'{"do": {}}\n',
        b"\xff\xfe\n",
        b"[" * 1000 + b"\n",
    ],
)
async def test_what_is_no_request_is_answered_so(session: Session, storage: FileStorage, data: bytes) -> None:
    answer = json.loads(await ask(storage, data))
    assert answer["error"]["message"].startswith("There is no such request; there are describe,")


@pytest.mark.parametrize("data", [b"x" * 5000, b"x" * 1025 + b"\n", b'{"do": "stop"}\n' * 100])
async def test_what_is_too_long_ends_the_connection(
    session: Session, storage: FileStorage, data: bytes
) -> None:
    assert await ask(storage, data) == b""
    assert (await session.run("1")).is_ok


async def test_clients_that_are_slow_or_leave_hold_up_nobody(
    session: Session, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "_PATIENCE", 0.3)
    path = str(only(storage).endpoint)
    for data in (b"", b'{"do"', b'{"do": "describe"}\n'):
        _, leaving = await asyncio.open_unix_connection(path)
        leaving.write(data)
        leaving.transport.abort()
    silent = [await asyncio.open_unix_connection(path) for _ in range(endpoint._AT_ONCE + 20)]
    started = time.monotonic()
    assert (await session.run("1")).is_ok
    while True:  # some are refused, the others given up
        try:
            assert (await SessionClient(only(storage)).describe())["state"] == "idle"
            break
        except SessionGoneError:
            assert time.monotonic() - started < WAIT
    for reader, writer in silent:
        assert await asyncio.wait_for(_rest(reader), WAIT) == b""
        writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_closing_does_not_wait_for_clients(storage: FileStorage) -> None:
    async with Session(storage) as session:
        path = str(only(storage).endpoint)
        held = [await asyncio.open_unix_connection(path) for _ in range(3)]
        started = time.monotonic()
        await session.close()
        assert time.monotonic() - started < endpoint._PATIENCE
        for _, writer in held:
            writer.close()


async def test_two_that_stop_a_session_at_once_are_both_answered(storage: FileStorage) -> None:
    async with Session(storage) as session:
        client = SessionClient(only(storage))
        results = await asyncio.gather(client.stop(), client.stop(), return_exceptions=True)
        assert None in results
        assert all(one is None or isinstance(one, SessionGoneError) for one in results)
        assert (await session.describe())["state"] == "closed"


async def test_an_answer_that_is_not_understood_is_an_error_of_ours(storage: FileStorage) -> None:
    from py_code_mode_jupyter.errors import SteeringError

    entry = storage.sessions.register(id=ID, name="x", executor="venv", limits={}, owner_what="x")
    for answer in (b"", b"{", b"null\n", b"[]", b'{"error": 5}', b'{"result": 5}', b"[" * 100_000):
        server = await asyncio.start_unix_server(_answering(answer), str(entry.endpoint))
        with pytest.raises(SteeringError):
            await SessionClient(entry).describe()
        server.close()
        await server.wait_closed()
        entry.endpoint.unlink(missing_ok=True)
    storage.sessions.remove(ID)


def _answering(answer: bytes) -> Any:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    return serve

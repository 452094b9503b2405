"""What code in a container sends and leaves to its host: nonsense, forgeries, links, floods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

from py_code_mode_jupyter import RunStatus
from py_code_mode_jupyter.environments import requests
from py_code_mode_jupyter.environments.container import files
from py_code_mode_jupyter.errors import TransferError

from .test_container_attacks import is_unharmed

pytestmark = [pytest.mark.needs("docker"), pytest.mark.timeout(120)]

Open = Callable[..., Any]


def zeros(compression: str | None, table: pa.Table | None = None) -> bytes:
    """Return an Arrow stream, by default a short one of 80 MB in memory."""
    table = table if table is not None else pa.table({"a": np.zeros(10**7)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as to:
        to.write_table(table)
    return bytes(sink.getvalue())


FORGERIES = {
    "frames that are none": "channel.sendall(b'\\xff' * 4096)",
    "a frame that is announced as huge": "channel.sendall(struct.pack('>IQ', 16, 2**62) + b'{}')",
    "a header that is no object": "channel.sendall(struct.pack('>IQ', 2, 0) + b'[]')",
    "a header without end": "channel.sendall(struct.pack('>IQ', 2**20, 0) + b'[' * 2**20)",
    "an end": "channel.shutdown(2)",
}


@pytest.mark.parametrize("code", FORGERIES.values(), ids=FORGERIES)
async def test_nonsense_on_the_private_channel_costs_the_kernel_only(container: Open, code: str) -> None:
    async with container() as session:
        await session.run("artifacts.save('x', 1)")
        take = f"import struct, time\nchannel = artifacts._channel._sock\n{code}\ntime.sleep(10)"
        result = await session.run(take, timeout=20)
        assert result.status is RunStatus.DIED
        assert (await session.run("artifacts.load('x')")).value == 1


MESSAGES = {
    "no message at all": "socket.send_multipart([b'', b'\\xff' * 100])",
    "parts that are not JSON": "raw(b'{', b'}', b'[', b']')",
    "a text without end": "raw(b'[' * 10**6, b'{}', b'{}', b'{}')",
    "a number without end": """raw(b'{"a": ' + b'9' * 10**5 + b'}', b'{}', b'{}', b'{}')""",
    "a reply that nobody asked for": "send('execute_reply', {'status': 'ok', 'payload': []})",
    "a message of no known kind": "send('launch_missiles', {})",
    "a stream that is no text": "send('stream', {'name': ['stdout'], 'text': {'a': 1}})",
    "an output that is no bundle": "send('display_data', {'data': [1], 'metadata': 7, 'transient': 'x'})",
    "an output of another run": "send('stream', {'name': 'stdout', 'text': 'forged'}, {'msg_id': 'other'})",
    "the welcome of a publisher": "send('iopub_welcome', {'subscription': ''})",
    "many parts": "raw(*[b'{}'] * 20000)",
}


@pytest.mark.parametrize("code", MESSAGES.values(), ids=MESSAGES)
async def test_forged_messages_do_no_harm(container: Open, code: str) -> None:
    prelude = """
kernel = get_ipython().kernel
socket = kernel.iopub_socket
def raw(*parts):
    socket.send_multipart([b'x', b'<IDS|MSG>', b'', *parts])
def send(kind, content, parent=None):
    kernel.session.send(socket, kind, content, parent if parent is not None else kernel.get_parent())
"""
    async with container() as session:
        number = (await session.stats())["container"]
        result = await session.run(f"{prelude}\n{code}\nprint('still here')", timeout=20)
        assert result.is_ok
        assert "still here" in result.stdout
        assert "forged" not in result.stdout
        await is_unharmed(session, number)


async def test_a_reply_counts_once_and_only_for_its_own_run(container: Open) -> None:
    code = """
kernel = get_ipython().kernel
seen.append(kernel.get_parent())
for parent in seen * 3:
    kernel.session.send(kernel.iopub_socket, "execute_reply", {"status": "ok"}, parent)
"""
    async with container() as session:
        await session.run("seen = []")
        for number in range(3):
            result = await session.run(f"{code}\n{number}")
            assert (result.is_ok, result.value) == (True, number)


async def test_code_cannot_fill_the_hosts_disk_with_artifacts(
    container: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MOST_SAVED", 300_000)
    code = "saved = 0\nfor i in range(100):\n    artifacts.save(f'a{i % 3}', 'x' * 50_000)\n    saved += 1"
    async with container() as session:
        result = await session.run(code)
        assert result.exception is not None
        assert result.exception.name == "BrokerError"
        assert (await session.run("saved")).value == 5
        assert sum(info.size for info in session.storage.artifacts.list()) <= 150_000


NAMES = ["../x", "/etc/passwd", "a/../../b", "x\0y", "..", "CON/../x", "a" * 300]


@pytest.mark.parametrize("name", NAMES)
async def test_names_of_artifacts_lead_nowhere(container: Open, name: str) -> None:
    async with container() as session:
        forge = (
            f"reply = artifacts._channel.call('artifacts.save', {{'name': {name!r}, 'format': "
            "{'format': 'text', 'summary': ''}, 'description': '', 'metadata': None}, b'x')"
        )
        result = await session.run(forge)
        assert result.exception is not None
        assert result.exception.name == "InvalidArtifactNameError"
        assert session.storage.artifacts.list() == []


async def test_the_host_unpickles_nothing(container: Open) -> None:
    code = """
import pickle
class Evil:
    def __reduce__(self): return (__import__("os").system, ("touch /tmp/pcm-unpickled",))
data = pickle.dumps(Evil())
reply = artifacts._channel.call("artifacts.save", {"name": "evil", "format":
    {"format": "pickle", "summary": ""}, "description": "", "metadata": None}, data)
"""
    async with container() as session:
        result = await session.run(code)
        assert result.exception is not None
        assert result.exception.name == "ArtifactFormatError"
        result = await session.run(f"{code.rpartition('reply')[0]}\nEvil()")
        assert result.value_is_repr


async def test_links_in_the_working_folder_lead_the_host_nowhere(container: Open, tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    plant = f"""
import os
os.symlink({str(secret)!r}, "/work/link")
os.symlink("/proc/1/environ", "/work/environ")
os.symlink("/", "/work/root")
os.mkfifo("/work/fifo")
"""
    async with container() as session:
        await session.run(plant)
        for name in ("link", "environ", "root/etc/passwd", "fifo", "../etc/passwd", "/etc/passwd"):
            with pytest.raises(Exception, match="could not be copied"):
                await session.download(name, tmp_path / "got")
            assert not (tmp_path / "got").exists()
        with pytest.raises(Exception, match="could not be copied"):
            await session.upload(secret, "link")
        assert secret.read_text() == "of the host"


async def test_a_file_without_end_is_not_taken_whole(container: Open, tmp_path: Any) -> None:
    async with container(memory_limit="512m") as session:
        await session.run("open('/work/sparse', 'wb').truncate(2**40)")
        with pytest.raises(TransferError, match="larger than"):
            await session.download("sparse", tmp_path / "got")
        assert [*tmp_path.glob("*got*")] == []


class Liar:
    """An environment whose container says that a file is small, and sends it for ever.

    In place of a real one: the size is the supervisor's word, which executed code cannot change.
    """

    sent = 0

    def ask(self, _op: str, *, size: int, **_: Any) -> tuple[dict[str, Any], bytes]:
        self.sent += size
        return {"size": 1}, bytes(size)


def test_a_file_that_is_larger_than_it_was_said_to_be_is_not_taken_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_LARGEST", 2**20)
    liar = Liar()
    with pytest.raises(TransferError, match="larger than"):
        files.download(liar, "x", tmp_path / "got")  # type: ignore[arg-type]
    assert liar.sent < 2 * 2**20
    assert [*tmp_path.iterdir()] == []


async def test_what_is_written_to_the_log_is_bounded(container: Open) -> None:
    async with container() as session:
        number = (await session.stats())["container"]
        flood = """
import os
for fd in os.listdir("/proc/self/fd"):
    try:
        if os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):
            os.set_blocking(int(fd), False)
            for _ in range(1000):
                try: os.write(int(fd), b"x" * 65536)
                except BlockingIOError: pass
    except OSError: pass
"""
        before = psutil.Process().memory_info().rss
        assert (await session.run(flood, timeout=60)).is_ok
        assert psutil.Process().memory_info().rss - before < 50 * 2**20
        await is_unharmed(session, number)


async def test_many_small_messages_do_not_grow_the_host(container: Open) -> None:
    code = """
kernel = get_ipython().kernel
for number in range(50_000):
    kernel.session.send(kernel.iopub_socket, "comm_open",
        {"comm_id": str(number), "target_name": f"t{number}", "data": {}}, kernel.get_parent())
"""
    async with container() as session:
        number = (await session.stats())["container"]
        before = psutil.Process().memory_info().rss
        result = await session.run(code, timeout=100)
        assert result.is_ok, result.error
        assert psutil.Process().memory_info().rss - before < 80 * 2**20
        await is_unharmed(session, number)


BOMBS = {
    "a compressed table": ("arrow", zeros("zstd")),
    "a compressed polars table": ("polars", zeros("lz4")),
    "rows that take no room": ("arrow", zeros(None, pa.table({"a": pa.nulls(2**30)}))),
}


@pytest.mark.parametrize(("kind", "bomb"), BOMBS.values(), ids=BOMBS)
async def test_a_small_value_does_not_unfold_on_the_host(container: Open, kind: str, bomb: bytes) -> None:
    forge = """
import json
from py_code_mode_jupyter.sandbox import kernelapp
kernelapp.encode = lambda value: [json.dumps({"$": kind, "buffer": 1}).encode(), bomb]
"""
    async with container() as session:
        await session.run(forge, variables={"kind": kind, "bomb": bomb})
        result = await session.run("object()")
        assert result.is_ok
        assert result.value_is_repr
        assert pa.default_memory_pool().bytes_allocated() < 10 * 2**20


async def test_objects_without_end_are_not_made_on_the_host(container: Open) -> None:
    code = """
kernel = get_ipython().kernel
many = b'{"data": [' + b"[]," * 30_000_000 + b"0]}"
for kind in ("display_data", "stream"):
    header = kernel.session.msg(kind)["header"]
    parts = [*map(kernel.session.pack, (header, kernel.get_parent()["header"], {})), many]
    kernel.iopub_socket.send_multipart([b"x", b"<IDS|MSG>", b"", *parts])
print("still here")
"""
    async with container(memory_limit="2g") as session:
        number = (await session.stats())["container"]
        before = psutil.Process().memory_info().rss
        result = await session.run(code, timeout=60)
        assert result.is_ok, result.error
        assert "still here" in result.stdout
        assert result.stderr.count("[not shown: 86 MiB in one message; 64 may pass]") == 2
        # Twenty times as much, if they had been parsed.
        assert psutil.Process().memory_info().rss - before < 500 * 2**20
        await is_unharmed(session, number)


async def test_an_error_that_is_too_long_to_pass_is_still_an_error(container: Open) -> None:
    async with container(memory_limit="2g") as session:
        result = await session.run("raise ValueError('x' * 70_000_000)", timeout=60)
        assert result.status is RunStatus.ERROR
        assert "in one message; 64 may pass" in str(result.exception)
        assert (await session.run("1 + 1")).value == 2


@pytest.mark.parametrize(
    "command",
    [
        "pip install --no-index --target /usr/local/lib x",
        "pip install six",
        "uv pip install six",
        "python -m ensurepip",
        "python -m venv --system-site-packages /deps/v",
    ],
)
async def test_nothing_can_be_added_to_a_locked_environment(container: Open, command: str) -> None:
    listing = """
import os, sysconfig
def entries():
    return sorted(os.path.join(top, name) for folder in (sysconfig.get_path("purelib"), "/deps")
                  for top, _, names in os.walk(folder) for name in names)
"""
    async with container() as session:
        await session.run(f"{listing}\nbefore = entries()")
        run = f"import subprocess; subprocess.run({command.split()!r}, capture_output=True)"
        await session.run(run, timeout=60)
        assert (await session.run("entries() == before")).value is True
        assert "RuntimeDepsDisabledError" in str(await session.run("deps.add('six')"))

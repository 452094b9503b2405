"""What the venv keeps apart, and what its host does not believe."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from py_code_mode_jupyter import FileStorage, RunStatus
from py_code_mode_jupyter.environments import process
from py_code_mode_jupyter.errors import UnsupportedCapabilityError

WAIT = 20


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


async def test_the_hosts_variables_are_not_seen(
    venv: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_SECRET", "hidden")
    monkeypatch.setenv("NAMED", "passed")
    async with venv(env=("NAMED", "GIVEN=value=1")) as session:
        seen = (await session.run("import os; dict(os.environ)")).value
        proc = (await session.run("open('/proc/self/environ').read()")).value
    assert "hidden" not in str(seen) + proc
    assert (seen["NAMED"], seen["GIVEN"]) == ("passed", "value=1")
    assert seen["HOME"] == os.environ["HOME"]


async def test_given_values_are_shown_nowhere(venv: Callable[..., Any]) -> None:
    async with venv(env=("TOKEN=hidden",)) as session:
        assert "hidden" not in repr(session.executor.config) + str(await session.probe())


async def test_the_connection_key_is_in_no_file_and_no_command_line(venv: Callable[..., Any]) -> None:
    async with venv() as session:
        environment = session.executor._environment  # type: ignore[attr-defined]
        key = environment.connection["key"].decode()
        pid = (await session.stats())["pid"]
        assert key not in " ".join(psutil.Process(pid).cmdline())
        folder = environment._folder.path
        texts = [p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.stat().st_size < 1e6]
        assert not any(key.encode() in text for text in texts)


async def test_sockets_and_folder_are_private(venv: Callable[..., Any]) -> None:
    async with venv() as session:
        environment = session.executor._environment  # type: ignore[attr-defined]
        assert environment.connection["transport"] == "ipc"
        for folder in (environment._folder.path, Path(environment.connection["ip"]).parent):
            assert folder.stat().st_mode & 0o077 == 0


async def test_a_hostile_folder_does_not_shadow_the_kernels_imports(
    venv: Callable[..., Any], tmp_path: Path
) -> None:
    for name in ("json", "ipykernel", "zmq", "py_code_mode_jupyter"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')")
    async with venv(working_dir=tmp_path) as session:
        assert (await session.run("1 + 1")).value == 2


async def test_forged_messages_of_another_client_are_not_believed(venv: Callable[..., Any]) -> None:
    """Code that finds the sockets still lacks nothing it had; without the key its messages are dropped."""
    code = """
import zmq, json
context = zmq.Context()
socket = context.socket(zmq.DEALER)
socket.connect(address)
for _ in range(50):
    socket.send_multipart([b"<IDS|MSG>", b"0" * 64, b"{}", b"{}", b"{}", b"{}"])
socket.close(1000); context.term()
"""
    async with venv() as session:
        connection = session.executor._environment.connection  # type: ignore[attr-defined]
        address = f"ipc://{connection['ip']}-{connection['shell_port']}"
        assert (await session.run(code, variables={"address": address})).is_ok
        assert (await session.run("1 + 1")).value == 2


HOSTILE_FRAMES = {
    "huge-lengths": "os.write(fd, b'\\xff' * 12)",
    "not-json": "os.write(fd, struct.pack('>IQ', 4, 0) + b'{{{{')",
    "a-list": "os.write(fd, struct.pack('>IQ', 2, 0) + b'[]')",
    "deep": "os.write(fd, struct.pack('>IQ', 200000, 0) + b'[' * 200000)",
    "half-a-frame": "os.write(fd, struct.pack('>IQ', 1000, 0) + b'{')",
    "closed": "os.close(fd)",
}


@pytest.mark.parametrize("attack", HOSTILE_FRAMES.values(), ids=HOSTILE_FRAMES)
async def test_what_is_not_a_frame_ends_the_kernel_and_not_the_host(
    venv: Callable[..., Any], attack: str
) -> None:
    find = """
import os, socket, struct
def is_stream(fd):
    if not os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"): return False
    with socket.socket(fileno=os.dup(fd)) as s: return s.type == socket.SOCK_STREAM
there = [f for f in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{f}")]
fd = min(f for f in there if is_stream(f))
"""
    async with venv() as session:
        await session.run(find + attack, timeout=5)
        await session.run("pass", timeout=5)
        assert (await session.run("1 + 1")).value == 2


REQUESTS: list[dict[str, Any]] = [
    {
        "op": "artifacts.save",
        "params": {"name": "../x", "format": {"format": "text", "summary": ""}, "description": ""},
    },
    {
        "op": "artifacts.save",
        "params": {"name": "x", "format": {"format": "pickle", "summary": ""}, "description": ""},
    },
    {
        "op": "artifacts.save",
        "params": {"name": "x", "format": {"format": "npy", "summary": ""}, "description": ""},
    },
    {"op": "artifacts.save", "params": {"name": ["x"], "format": {}, "description": ""}},
    {"op": "artifacts.load", "params": {"name": "x", "version": "1"}},
    {"op": "artifacts.load", "params": {"name": "/etc/passwd"}},
    {"op": "__class__", "params": {}},
    {"op": "deps.add", "params": {"spec": "--index-url=http://127.0.0.1:9/ x"}},
    {"op": "deps.add", "params": {"spec": 7}},
    {"op": "deps.add", "params": []},
    {"op": None},
    {},
]


async def test_hostile_requests_are_refused_one_by_one(
    venv: Callable[..., Any], storage: FileStorage
) -> None:
    code = """
from py_code_mode_jupyter import errors
channel = artifacts._channel
refused = []
for request in requests:
    try: channel.call(request.get("op"), request.get("params"), b"payload")
    except errors.CodeModeError as error: refused.append(type(error).__name__)
    else: refused.append("done")
refused
"""
    async with venv() as session:
        refused = (await session.run(code, variables={"requests": REQUESTS})).value
        assert "done" not in refused
        assert storage.artifacts.list() == []
        assert (await session.run("artifacts.list()")).is_ok


async def test_a_forged_error_class_is_only_one_of_ours(venv: Callable[..., Any]) -> None:
    async with venv() as session:
        result = await session.run(
            "from py_code_mode_jupyter.sandbox.channel import _error\n"
            "type(_error({'kind': '_rebuild', 'message': 'x'})).__name__"
        )
        assert result.value == "BrokerError"


async def test_memory_beyond_the_limit_is_refused_and_the_session_lives(venv: Callable[..., Any]) -> None:
    async with venv(memory_limit="700m") as session:
        assert session.supports("memory_limit")
        await session.run("kept = 7")
        result = await session.run("x = bytearray(2**30)")
        assert result.exception is not None
        assert result.exception.name == "MemoryError"
        run_child = "subprocess.run([sys.executable, '-c', 'bytearray(2**30)'], stderr=-1).returncode"
        child = await session.run(f"import subprocess, sys\n{run_child}")
        assert child.value == 1
        assert (await session.run("kept")).value == 7
        raised = await session.run("import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))")
        assert raised.is_ok or raised.exception is not None


async def test_a_confinement_that_is_not_there_raises(
    venv: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands in for a kernel without Landlock, which this machine cannot become.
    monkeypatch.setattr("py_code_mode_jupyter.environments.venv.environment.landlock_abi", lambda: 0)
    with pytest.raises(UnsupportedCapabilityError, match="Landlock"):
        async with venv(confine_writes=True):
            pass
    async with venv(allow_runtime_deps=False) as session:
        assert not session.supports("deps_lock_enforced")
        assert not session.supports("write_confinement")
        measured = (await session.probe())["measured"]
        assert measured["deps_lock_enforced"] is False


HOST = """
import asyncio, sys
from pathlib import Path
from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.execution import SubprocessExecutor

async def main():
    session = Session(FileStorage(base_path=Path(sys.argv[1])), SubprocessExecutor())
    await session.start()
    code = "import os, subprocess; p = subprocess.Popen(['sleep', '300']); (os.getpid(), p.pid)"
    print(*(await session.run(code)).value, session.executor._environment._folder.path, flush=True)
    await session.run("while True: pass")

asyncio.run(main())
"""


async def test_a_killed_host_leaves_no_kernel_and_the_next_start_sweeps(
    venv: Callable[..., Any], tmp_path: Path
) -> None:
    import tempfile

    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(tmp_path / "s")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": tempfile.gettempdir()},
    )
    assert host.stdout is not None
    kernel, child, folder = host.stdout.readline().split()
    host.kill()
    host.wait()
    host.stdout.close()
    await until(lambda: not _runs(int(kernel)))
    assert Path(folder).exists()
    async with venv():
        assert not Path(folder).exists()
    if _runs(int(child)):
        # The system ends the kernel with its host; what the kernel started is not tied to either.
        psutil.Process(int(child)).kill()


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_process_that_left_its_group_and_cleared_its_parent_is_found_by_its_mark(
    venv: Callable[..., Any],
) -> None:
    code = """
import os
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(w, str(os.getpid()).encode())
        os.execvp("sleep", ["sleep", "300"])
    os._exit(0)
int(os.read(r, 20))
"""
    async with venv() as session:
        pid = (await session.run(code)).value
        assert _runs(pid)
    assert not _runs(pid)


async def test_many_deaths_in_a_row_leave_nothing(venv: Callable[..., Any]) -> None:
    async with venv() as session:
        for _ in range(5):
            assert (await session.run("import os; os._exit(9)")).status is RunStatus.DIED
        assert (await session.run("1")).is_ok
        mark = session.executor._environment._folder.mark  # type: ignore[attr-defined]
        assert len(process._marked(mark)) == 1


async def test_a_hostile_repr_neither_hangs_nor_floods(venv: Callable[..., Any]) -> None:
    async with venv(default_timeout=2) as session:
        endless = "import time\nclass A:\n    def __repr__(self):\n        while True: time.sleep(0.01)\nA()"
        result = await session.run(endless)
        assert result.status is RunStatus.TIMEOUT
        huge = "class B:\n    def __repr__(self): return 'x' * 50_000_000\nB();\n_b = B()\n[_b][0]"
        result = await session.run(huge, timeout=20)
        assert result.value_is_repr
        assert len(result.value) <= 64 * 1024


async def test_code_cannot_reach_another_sessions_socket_folder_by_its_own_variables(
    venv: Callable[..., Any],
) -> None:
    async with venv() as first, venv() as second:
        other = str(second.executor._environment._folder.path)  # type: ignore[attr-defined]
        seen = (await first.run("import os; str(dict(os.environ))")).value
        assert other not in seen


async def test_no_port_is_opened(venv: Callable[..., Any]) -> None:
    """A kernel of ours listens on private sockets alone; nothing of it can be reached over a network."""
    async with venv() as session:
        fork = "import multiprocessing as m\np = m.get_context('fork').Process(target=print)"
        await session.run(f"{fork}\np.start(); p.join()")
        kernel = psutil.Process((await session.stats())["pid"])
        assert [c for c in kernel.net_connections("inet")] == []


async def test_a_forked_child_prints_into_the_run_that_forked_it(venv: Callable[..., Any]) -> None:
    code = """
import multiprocessing, sys
def work(n):
    print("child", n, flush=True)
    print("sad child", n, file=sys.stderr)
context = multiprocessing.get_context("fork")
children = [context.Process(target=work, args=(n,)) for n in range(3)]
for child in children: child.start()
for child in children: child.join()
"""
    async with venv() as session:
        result = await session.run(code)
        assert sorted(result.stdout.splitlines()) == ["child 0", "child 1", "child 2"]
        assert sorted(result.stderr.splitlines()) == [f"sad child {n}" for n in range(3)]

"""Hosts that are killed, engines that are restarted, kernels that die: nothing is left, and all is said."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from py_code_mode_jupyter import FileStorage, RunStatus, Session, owner
from py_code_mode_jupyter.environments.container import reaper
from py_code_mode_jupyter.environments.container.engine import OWNER, Engine
from py_code_mode_jupyter.environments.container.images import BASE
from py_code_mode_jupyter.errors import EngineError
from py_code_mode_jupyter.execution import ContainerConfig, ContainerExecutor

from .conftest import TOKEN, WAIT, Open, of_process, until

CONTAINERS = 10
# A stage that the host has reached, and seconds behind it.
POINTS = [
    ("start", 0.05),
    ("start", 0.2),
    ("start", 0.5),
    ("start", 1.0),
    ("start", 2.0),
    ("idle", 0.0),
    ("busy", 0.0),
    ("busy", 0.5),
    ("close", 0.0),
    ("close", 0.1),
]


@contextlib.contextmanager
def host(folder: Path, stage: str) -> Iterator[subprocess.Popen[str]]:
    """A process with ten sessions; it is killed at the latest when the test ends."""
    script = str(Path(__file__).with_name("host.py"))
    command = [sys.executable, script, str(folder), str(CONTAINERS), stage]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def await_stage(process: subprocess.Popen[str], stage: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == stage:
            return
    raise AssertionError(f"the host ended before {stage}")


@pytest.mark.parametrize(("stage", "after"), POINTS)
async def test_a_host_that_is_killed_leaves_nothing(
    engine: Engine, tmp_path: Path, open_session: Open, stage: str, after: float
) -> None:
    with host(tmp_path / "h", stage) as process:
        await_stage(process, stage)
        time.sleep(after)  # noqa: ASYNC251 - the point at which it is killed
        process.kill()
        process.wait()
        until(lambda: "running" not in of_process(engine, process.pid).values(), "none runs any more", 2.0)
        reaper._reaped.clear()  # as in a process that starts now
        async with open_session() as session:
            assert (await session.run("1 + 1")).value == 2
            until(lambda: of_process(engine, process.pid) == {}, "none is there in any state", 2.0)


async def test_containers_of_living_hosts_are_left_alone(engine: Engine, tmp_path: Path) -> None:
    with host(tmp_path / "h", "idle") as process:
        await_stage(process, "busy")
        assert reaper.reap(engine) == []
        assert len(of_process(engine, process.pid)) == CONTAINERS
        process.kill()
        process.wait()
        until(lambda: of_process(engine, process.pid) == {}, "all have gone")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os._exit(3)", "status 3"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("data = []\nwhile True: data.append(bytearray(2**24))", "memory limit of 256 MiB"),
    ],
)
async def test_a_kernel_that_dies_is_reported_at_once_with_the_reason_and_replaced(
    open_session: Open, code: str, reason: str
) -> None:
    async with open_session(memory_limit="256m") as session:
        await session.run("import time\nkept = 1")
        # What it takes to get there is not counted: the code says when.
        result = await session.run(f"print(time.time())\n{code}")
        assert result.status is RunStatus.DIED
        assert result.exception is not None
        assert reason in result.exception.message
        started = time.perf_counter()
        following = await session.run("'kept' in globals()")
        assert (following.value, following.state_preserved) == (False, False)
        assert time.perf_counter() - started < 5
        assert (await session.run("1 + 1")).state_preserved


@pytest.mark.parametrize("code", ["import os; os._exit(1)", "import ctypes; ctypes.string_at(0)"])
async def test_a_death_is_noticed_within_half_a_second(session: Session, code: str) -> None:
    result = await session.run(f"import time; open('/work/then', 'w').write(str(time.time())); {code}")
    noticed = time.time()
    assert result.status is RunStatus.DIED
    assert noticed - float((await session.run("open('/work/then').read()")).value) < 0.5


async def test_running_out_of_memory_is_noticed_within_half_a_second(session: Session) -> None:
    code = """
import time
many = []
with open('/work/then', 'w') as log:
    while True:
        many.append(b'x' * 2**23)
        log.seek(0)
        log.write(f"{time.time():.6f}")
        log.flush()
"""
    result = await session.run(code)
    noticed = time.time()
    assert result.exception is not None
    assert "memory limit of 512 MiB" in result.exception.message
    assert noticed - float((await session.run("open('/work/then').read()")).value) < 0.5


async def test_a_memory_limit_is_not_blamed_for_another_end(session: Session) -> None:
    # A child is killed for it, and then the kernel ends by itself.
    child = "many = [b'x' * 2**20 for _ in range(2000)]"
    code = f"import os, subprocess, sys; print(subprocess.run([sys.executable, '-c', {child!r}]).returncode)"
    assert (await session.run(code)).stdout == "-9\n"
    result = await session.run("os._exit(3)")
    assert "ended by itself with status 3" in str(result.error)


async def test_a_session_recovers_where_its_container_could_not_be_removed(
    session: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No engine here fails to remove one at will.
    assert (await session.run("kept = 1")).is_ok
    [left] = of_process(engine)
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "remove", _fail)
        environment = session.executor._environment  # type: ignore[attr-defined]
        with pytest.raises(EngineError, match="cannot be removed"):
            await environment.discard()
    result = await asyncio.wait_for(session.run("'kept' in globals()"), 20)
    assert (result.value, result.state_preserved) == (False, False)
    until(lambda: left not in of_process(engine), "it has ended by itself, and was removed")


def _fail(*_: object) -> None:
    raise EngineError("The container cannot be removed.")


def test_owners_are_told_by_what_a_clock_that_is_set_does_not_change() -> None:
    text = owner.owner()
    assert not owner.is_orphan(text)
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    assert text.rpartition(":")[2] == f"{boot}-{stat[19]}"
    head, _, started = text.rpartition(":")
    assert owner.is_orphan(f"{head}:{started}1")


async def test_a_host_that_lives_long_removes_what_others_have_left_since(
    engine: Engine, open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "_INTERVAL", 0.0)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    ended_owner = owner.owner().replace(f":{os.getpid()}:", f":{ended.pid}:")
    for _ in range(2):
        left = engine.client.create_container(BASE, labels={OWNER: ended_owner})["Id"]
        async with open_session():
            assert engine.inspect(left) is None


async def test_a_killed_container_is_reported_and_replaced(session: Session, engine: Engine) -> None:
    run = asyncio.ensure_future(session.run("import time; time.sleep(60)"))
    await asyncio.sleep(0.3)
    [number] = of_process(engine)
    engine.signal(number, "SIGKILL")
    result = await asyncio.wait_for(run, 5)
    assert result.status is RunStatus.DIED
    result = await session.run("6 * 7")
    assert (result.value, result.state_preserved) == (42, False)


async def test_code_cannot_kill_or_stop_what_is_not_its_own(session: Session, engine: Engine) -> None:
    before = of_process(engine)
    result = await session.run(
        "import os, signal\nfor number in range(1, 65):\n"
        "    if number in (signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT): continue\n"
        "    try: os.kill(1, number)\n    except PermissionError: pass\n    else: print('allowed', number)"
    )
    assert (result.status, result.stdout) == (RunStatus.OK, "")
    # Everybody that it may signal, but for itself: nobody.
    assert (await session.run("os.kill(-1, signal.SIGKILL)")).exception.name == "ProcessLookupError"
    assert (await session.run("6 * 7")).value == 42
    assert of_process(engine) == before


class OwnEngine:
    """Another engine on this machine, with a socket and folders of its own, which a test may restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix://{folder}/sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        folders = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        options = [f"--{name}={self.folder / path}" for name, path in folders.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                # Networks of its own: two engines would fight for the bridge docker0.
                ["unshare", "--net", "dockerd", "--host", self.address, "--iptables=false", *options],
                stdout=log,
                stderr=log,
            )
        until(self.answers, "the engine answers")

    def answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            with contextlib.closing(Engine(self.address)) as engine:
                engine.version()
        except EngineError:
            return False
        return True

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(WAIT)
            self._process = None


@pytest.fixture
def own_engine(engine: Engine) -> Iterator[OwnEngine]:
    if os.getuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("another engine can be started by root only, where there is dockerd")
    folder = Path(tempfile.mkdtemp(prefix="pcm-engine-", dir="/tmp"))
    own = OwnEngine(folder)
    try:
        own.start()
        other = Engine(own.address)
        other.client.load_image(b"".join(engine.client.get_image(BASE)))
        other.close()
        yield own
    finally:
        own.stop()
        for mount in ("exec", "data"):
            subprocess.run(["umount", "--quiet", "--recursive", folder / mount], check=False)
        shutil.rmtree(folder, ignore_errors=True)


async def test_an_engine_that_is_restarted_under_sessions_is_told_and_overcome(
    own_engine: OwnEngine, storage: FileStorage
) -> None:
    def made() -> Session:
        config = ContainerConfig(auth_token=TOKEN, network_disabled=True, docker_host=own_engine.address)
        return Session(storage, ContainerExecutor(config))

    async with made() as busy, made() as idle:
        await idle.run("kept = 1")
        run = asyncio.ensure_future(busy.run("import time; time.sleep(60)"))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(own_engine.stop)
        result = await asyncio.wait_for(run, 5)
        assert result.status is RunStatus.DIED
        for session in (busy, idle):
            with pytest.raises(EngineError, match="No container engine answers"):
                await asyncio.wait_for(session.run("1 + 1"), 5)
        await asyncio.to_thread(own_engine.start)
        for session in (busy, idle):
            result = await session.run("6 * 7")
            assert (result.value, result.state_preserved) == (42, False)
    engine = Engine(own_engine.address)
    assert of_process(engine) == {}
    engine.close()

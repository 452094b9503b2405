"""What code in a container tries: to read the secret, to get out, to stop its keeper, to fill the host.

Each attempt returns its loot. It has to come back with nothing, and to leave the first process alive.
"""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from py_code_mode_jupyter import RunStatus, Session
from py_code_mode_jupyter.environments.container.engine import Engine

from .attempts import ATTEMPTS, PRELUDE
from .conftest import TOKEN

pytestmark = [pytest.mark.needs("docker"), pytest.mark.timeout(120)]

Open = Callable[..., Any]
HASH = hashlib.sha256(TOKEN.encode()).hexdigest()


def parts_of(secret: str) -> tuple[bytes, bytes]:
    middle = len(secret) // 2
    return secret[:middle].encode(), secret[middle:].encode()


def attempt(code: str) -> str:
    """Return code whose value is the loot of an attempt; being refused is none."""
    body = textwrap.indent(textwrap.dedent(code).strip(), "    ")
    secrets = f"SECRET_PARTS = {[parts_of(TOKEN), parts_of(HASH)]!r}"
    return (
        f"{PRELUDE}\n{secrets}\ndef attempt():\n{body}\n"
        "try: loot = attempt()\nexcept (OSError, ValueError): loot = None\n"
        "repr(loot) if loot else ''"
    )


async def is_unharmed(session: Session, container: str) -> None:
    """The same container runs, answers, and still has a keeper."""
    assert (await session.run("6 * 7")).value == 42
    stats = await session.stats()
    assert stats["container"] == container
    assert psutil.Process(stats["pid"]).status() != psutil.STATUS_STOPPED


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("code", ATTEMPTS.values(), ids=ATTEMPTS)
async def test_an_attempt_comes_back_with_nothing(used_container: Session, code: str) -> None:
    number = (await used_container.stats())["container"]
    result = await used_container.run(attempt(code), timeout=60)
    assert result.is_ok, result.error
    assert result.value == ""
    assert (TOKEN in str(result), HASH in str(result)) == (False, False)
    await is_unharmed(used_container, number)


def test_attempts_are_many() -> None:
    assert len(ATTEMPTS) >= 40


async def test_the_token_is_nowhere_on_the_engines_side(container: Open) -> None:
    async with container() as session:
        number = (await session.stats())["container"]
        engine = Engine()
        seen = repr((engine.inspect(number), engine.client.history("py-code-mode:base")))
        seen += engine.client.top(number).__repr__()
        engine.close()
    assert (TOKEN in seen, HASH in seen) == (False, False)
    assert TOKEN not in repr(session.executor.config) + repr(session) + repr(session.executor.config.public())


BOMBS = {
    "processes": "while True:\n    try: os.fork()\n    except OSError: pass",
    "threads": """
        import threading, time
        while True:
            try: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
            except RuntimeError: time.sleep(0.01)
    """,
    "processes that refuse to end": """
        import time
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
        for _ in range(50):
            if os.fork() == 0:
                os.setsid()
                while True: time.sleep(1)
        while True:
            try: time.sleep(60)
            except KeyboardInterrupt: pass
    """,
}


@pytest.mark.parametrize("code", BOMBS.values(), ids=BOMBS)
async def test_a_bomb_is_bounded_and_cleared(container: Open, code: str) -> None:
    async with container(pids_limit=100, interrupt_grace=0.5) as session:
        number = (await session.stats())["container"]
        keeper = psutil.Process((await session.stats())["pid"])
        result = await session.run(PRELUDE + textwrap.dedent(code), timeout=2)
        assert result.status in (RunStatus.TIMEOUT, RunStatus.DIED)
        assert (await session.run("6 * 7")).value == 42
        await session.reset()  # what an interrupted run has started goes on, until then
        assert (await session.stats())["processes"] < 50
        await is_unharmed(session, number)
        assert keeper.is_running()


async def test_memory_is_bounded_and_the_keeper_outlives_its_end(container: Open) -> None:
    async with container(memory_limit="200m") as session:
        number = (await session.stats())["container"]
        lower = "open('/proc/self/oom_score_adj', 'w').write('0')\n"
        result = await session.run(f"{lower}data = []\nwhile True: data.append(bytearray(2**22))", timeout=30)
        assert result.status is RunStatus.DIED
        assert result.exception is not None
        assert "200 MiB" in result.exception.message
        await is_unharmed(session, number)


@pytest.mark.parametrize("folder", ["/work", "/tmp", "/run", "/dev/shm"])
async def test_disk_and_inodes_are_bounded(container: Open, folder: str) -> None:
    code = f"""
written = made = 0
try:
    with open({folder!r} + '/large', 'wb', 0) as file:
        while written < 2**30: written += file.write(bytes(2**20))
except OSError as error: reason = error.errno
os.unlink({folder!r} + '/large')
try:
    while made < 200_000:
        open({folder!r} + f'/{{made}}', 'w').close(); made += 1
except OSError: pass
(written, made)
"""
    async with container(disk_limit="64m", memory_limit="512m") as session:
        number = (await session.stats())["container"]
        written, made = (await session.run(f"import os\n{code}", timeout=60)).value
        assert written < 64 * 2**20
        assert made < 200_000
        await session.reset()  # there is room for what follows, whatever is full
        await is_unharmed(session, number)


async def test_what_a_session_wrote_is_gone_with_it(container: Open) -> None:
    async with container() as session:
        assert (await session.run("open('/work/mine', 'w').write('x')")).value == 1
    async with container() as session:
        assert (await session.run("import os; os.listdir('/work')")).value == []


async def test_containers_with_a_network_do_not_reach_each_other(container: Open) -> None:
    listen = """
import socket, threading
server = socket.create_server(("0.0.0.0", 8080))
threading.Thread(target=server.accept, daemon=True).start()
[line.split()[0] for line in open("/etc/hosts") if line.split()[1:] == [socket.gethostname()]][0]
"""
    async with container(network_disabled=False) as one, container(network_disabled=False) as other:
        address = (await one.run(listen)).value
        own = await one.run(f"socket.create_connection(({address!r}, 8080), 2).close()")
        assert own.is_ok  # the listener is there
        reach = f"import socket\nsocket.create_connection(({address!r}, 8080), 2)"
        assert (await other.run(reach)).exception is not None


async def test_without_a_network_a_listener_of_the_host_is_not_reached(container: Open) -> None:
    # On every address of this machine, the engine's bridges among them.
    import socket

    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - the container is to see nothing of it
        port = server.getsockname()[1]
        addresses = [
            one.address
            for many in psutil.net_if_addrs().values()
            for one in many
            if one.family == socket.AF_INET
        ]
        code = f"""
import socket
reached = []
for address in {addresses!r}:
    try: socket.create_connection((address, {port}), 2); reached.append(address)
    except OSError: pass
reached
"""
        async with container() as session:
            assert (await session.run(code)).value == []

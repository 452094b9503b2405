"""The container kernel through Jupyter's own managers, and what notebooks may ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import AsyncKernelManager
from traitlets.config import Config

from py_code_mode_jupyter import FileStorage
from py_code_mode_jupyter.config import ContainerConfig
from py_code_mode_jupyter.environments.container.tightening import tightened
from py_code_mode_jupyter.environments.notebook import NotebookSettings, settings_of
from py_code_mode_jupyter.errors import ConfigurationError

from .conftest import TOKEN, WAIT, of_process

if TYPE_CHECKING:
    from py_code_mode_jupyter.environments.container.engine import Engine

Shown = list[tuple[str, dict[str, Any]]]


class Kernel:
    """A kernel and a client of it."""

    def __init__(self, manager: AsyncKernelManager) -> None:
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()

    async def run(self, code: str) -> tuple[dict[str, Any], Shown]:
        """Execute a cell; return the content of its reply, and kinds and contents of what it showed."""
        number = self.client.execute(code, allow_stdin=False)
        shown: Shown = []
        while True:
            message = await self.client.get_iopub_msg(timeout=WAIT)
            if message["parent_header"].get("msg_id") != number:
                continue
            if message["content"].get("execution_state") == "idle":
                break
            shown.append((message["msg_type"], message["content"]))
        while True:
            reply = await self.client.get_shell_msg(timeout=WAIT)
            if reply["parent_header"].get("msg_id") == number:
                return reply["content"], shown

    async def text(self, code: str) -> str:
        _, shown = await self.run(code)
        found = [c.get("text", "") or "\n".join(c.get("traceback", ())) for _, c in shown]
        return "".join(found) + "".join(c.get("data", {}).get("text/plain", "") for _, c in shown)


Start = Callable[..., Any]


@pytest.fixture
async def start(engine: Engine) -> AsyncIterator[Start]:
    managers: list[AsyncKernelManager] = []
    clients: list[Any] = []

    async def started(variables: dict[str, str] | None = None, **traits: Any) -> Kernel:
        config = Config(ContainerProvisioner={"network_disabled": True, **traits})
        manager = AsyncKernelManager(kernel_name="pcm-container", config=config)
        managers.append(manager)
        await manager.start_kernel(env={**os.environ, **(variables or {})})
        kernel = Kernel(manager)
        clients.append(kernel.client)
        await kernel.client.wait_for_ready(timeout=WAIT)
        return kernel

    yield started
    for client in clients:
        client.stop_channels()
    for manager in managers:
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)
    await asyncio.sleep(0)


async def test_a_kernel_runs_restarts_and_ends_with_one_container(start: Start, engine: Engine) -> None:
    kernel = await start()
    assert await kernel.text("kept = 6 * 7\nkept") == "42"
    [number] = of_process(engine)
    await kernel.manager.restart_kernel()
    await kernel.client.wait_for_ready(timeout=WAIT)
    assert "NameError" in await kernel.text("kept")
    assert [*of_process(engine)] == [number]
    await kernel.manager.shutdown_kernel()
    assert of_process(engine) == {}


async def test_a_client_stays_connected_over_a_restart_and_misses_nothing(start: Start) -> None:
    kernel = await start()
    for number in range(3):
        await kernel.manager.restart_kernel(now=True)
        assert await kernel.text(f"print({number})") == f"{number}\n"


DEATHS = {
    "import os; os._exit(3)": "The kernel ended by itself with status 3",
    "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": "killed by SIGSEGV: a segmentation fault",
    "many = [b'x' * 2**20 for _ in range(10_000)]": "reached the container's memory limit of 512 MiB",
}


@pytest.mark.parametrize(("code", "reason"), DEATHS.items(), ids=DEATHS.values())
async def test_a_cell_whose_kernel_died_shows_why(start: Start, code: str, reason: str) -> None:
    kernel = await start()
    asked = kernel.client.execute(code, allow_stdin=False)
    while (message := await kernel.client.get_iopub_msg(timeout=WAIT))["msg_type"] != "stream":
        pass
    assert message["parent_header"]["msg_id"] == asked
    assert message["content"]["name"] == "stderr"
    assert reason in message["content"]["text"]
    await kernel.manager.restart_kernel(now=True)
    assert await kernel.text("1 + 1") == "2"


async def test_a_kernel_that_was_ended_on_purpose_says_nothing(start: Start) -> None:
    kernel = await start()
    await kernel.text("print('here')")
    for now in (True, False, True):
        await kernel.manager.restart_kernel(now=now)
        await kernel.client.wait_for_ready(timeout=WAIT)
        reply, shown = await kernel.run("1")
        assert reply["status"] == "ok"
        assert [content["text"] for kind, content in shown if kind == "stream"] == []


async def test_the_cell_that_died_is_named_and_no_earlier_one(start: Start) -> None:
    kernel = await start()
    await kernel.text("import os, time")
    kernel.client.execute("os._exit(3)")
    while (await kernel.client.get_iopub_msg(timeout=WAIT))["msg_type"] != "stream":
        pass
    kernel.client.execute("'to nobody'")  # while there is no kernel
    await kernel.manager.restart_kernel(now=True)
    await kernel.client.wait_for_ready(timeout=WAIT)
    asked = kernel.client.execute("import os; os._exit(4)")
    while "status 4" not in (message := await kernel.client.get_iopub_msg(timeout=WAIT))["content"].get(
        "text", ""
    ):
        pass
    assert message["parent_header"]["msg_id"] == asked


async def test_a_kernel_gets_no_storage_where_an_administrator_says_so(start: Start) -> None:
    kernel = await start(with_storage=False)
    assert "This session has no storage" in await kernel.text("artifacts.save('x', 1)")
    kernel = await start()
    assert "This session" not in await kernel.text("artifacts.save('x', 1)")


async def test_prompts_without_end_are_not_passed_on(start: Start) -> None:
    kernel = await start()
    code = """
kernel = get_ipython().kernel
identity = kernel._parent_ident["shell"]
for prompt in ("x" * 100_000, *map(str, range(300))):
    kernel.session.send(kernel.stdin_socket, "input_request", {"prompt": prompt, "password": False},
                        kernel.get_parent(), ident=identity)
"""
    reply, _ = await kernel.run(code)
    assert reply["status"] == "ok", reply
    prompts = []
    with contextlib.suppress(Empty):
        while True:
            prompts.append((await kernel.client.get_stdin_msg(timeout=1))["content"]["prompt"])
    assert 50 <= len(prompts) <= 100
    assert max(map(len, prompts)) < 10
    kernel.client.input("enough")
    kernel.client.execute("input('again? ')", allow_stdin=True)
    assert (await kernel.client.get_stdin_msg(timeout=WAIT))["content"]["prompt"] == "again? "
    kernel.client.input("yes")


async def test_interrupt_and_input_work_as_in_any_kernel(start: Start) -> None:
    kernel = await start()
    asked = kernel.client.execute("import time\nprint('begun')\nwhile True: time.sleep(1)")
    while (await kernel.client.get_iopub_msg(timeout=WAIT))["msg_type"] != "stream":
        pass
    await kernel.manager.interrupt_kernel()
    while (reply := await kernel.client.get_shell_msg(timeout=WAIT))["parent_header"]["msg_id"] != asked:
        pass
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    asked = kernel.client.execute("input('name? ')", allow_stdin=True)
    request = await kernel.client.get_stdin_msg(timeout=WAIT)
    assert request["content"] == {"prompt": "name? ", "password": False}
    kernel.client.input("Ada")
    while (reply := await kernel.client.get_shell_msg(timeout=WAIT))["parent_header"]["msg_id"] != asked:
        pass
    assert reply["content"]["status"] == "ok"


async def test_storage_is_there_and_packages_are_locked(start: Start) -> None:
    kernel = await start()
    assert "42" in await kernel.text("artifacts.save('from-container', 42)\nartifacts.load('from-container')")
    assert "RuntimeDepsDisabledError" in await kernel.text("deps.add('six')")
    recipe = "workflows.create('of_a_container', 'def run(n): return n + 1', overwrite=True)"
    assert "42" in await kernel.text(f"{recipe}\nworkflows.of_a_container(41)")
    workflow = FileStorage(os.environ["PCM_STORAGE"]).workflows.get("of_a_container")
    assert workflow.info.origin == "container"


async def test_each_kernel_has_a_token_of_its_own(start: Start) -> None:
    one, other = await start(), await start()
    tokens = {k.manager.provisioner._environment.config.auth_token for k in (one, other)}
    assert len(tokens) == 2
    assert all(len(token) > 40 for token in tokens)


FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "no engine": ({"docker_host": "unix:///nowhere/docker.sock"}, "No container engine answers"),
    "no image": ({"image": "py-code-mode:nowhere"}, "jupyter pcm image build"),
    "another image": ({"image": "py-code-mode:local-base"}, "not one of py_code_mode_jupyter's"),
    "a wrong limit": ({"memory_limit": "1m"}, "memory_limit"),
    "an unknown runtime": ({"runtime": "no-such-runtime"}, "no-such-runtime"),
}


@pytest.mark.parametrize(("traits", "said"), FAILURES.values(), ids=FAILURES)
async def test_a_start_that_fails_is_explained_in_the_notebook(
    start: Start, engine: Engine, traits: dict[str, Any], said: str
) -> None:
    if "local-base" in str(traits) and not engine.has_image("py-code-mode:local-base"):
        pytest.skip("the images were not built on a local base here")
    kernel = await start(**traits)
    text = await kernel.text("1 + 1")
    assert "nothing is run" in text
    assert said in text
    assert of_process(engine) == {}


async def test_a_forbidden_engine_says_how_to_be_allowed(start: Start, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make a socket that it may then not use as somebody else")
    code = f"""
import os, socket
path = {str(tmp_path / "sock")!r}
server = socket.socket(socket.AF_UNIX); server.bind(path); server.listen(); os.chmod(path, 0o600)
os.chmod({str(tmp_path)!r}, 0o711)
import docker, docker.utils, docker.errors, requests.exceptions
from py_code_mode_jupyter.environments.container.engine import Engine
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try: Engine(f"unix://{{path}}").version()
except Exception as error: print(type(error).__name__, error)
"""
    command = [sys.executable, "-c", code]
    options = {"capture_output": True, "text": True, "timeout": WAIT, "check": False}
    done = await asyncio.to_thread(subprocess.run, command, **options)
    assert "EngineError" in done.stdout
    assert "group docker" in done.stdout


# What a notebook asks for


def notebook(folder: Path, wishes: object) -> Path:
    path = folder / "n.ipynb"
    path.write_text(json.dumps({"cells": [], "metadata": {"pcm": {"container": wishes}}, "nbformat": 4}))
    return path


async def test_a_notebook_may_tighten_its_own_limits(start: Start, tmp_path: Path) -> None:
    path = notebook(tmp_path, {"memory_limit": "200m", "pids_limit": 50, "cpu_quota": 50_000})
    kernel = await start({"JPY_SESSION_NAME": str(path)})
    measured = kernel.manager.provisioner._environment.measured
    assert measured["memory_limit"] == 200 * 2**20
    assert (measured["pids_limit"], measured["cpu_quota"]) == (50, 50_000)


async def test_a_notebook_that_asks_for_more_is_told_so(start: Start, tmp_path: Path) -> None:
    path = notebook(tmp_path, {"memory_limit": "8g"})
    kernel = await start({"JPY_SESSION_NAME": str(path)})
    text = await kernel.text("1")
    assert "may not loosen" in text
    assert "metadata" in text


STRICT = ContainerConfig(auth_token=TOKEN, network_disabled=True, cpu_quota=50_000)
LOOSER = [
    {"memory_limit": "1g"},
    {"disk_limit": "1g"},
    {"pids_limit": 1000},
    {"cpu_quota": 100_000},
    {"cpu_quota": None},
    {"pids_limit": True},
    {"network_disabled": False},
    {"allow_runtime_deps": True},
    {"filter_output": False},
    {"image": "evil:latest"},
    {"env": ["SECRET"]},
    {"docker_host": "tcp://evil:2375"},
    {"runtime": "other"},
    {"auth_disabled": True},
    {"auth_token": "known"},
    {"publish": 1},
    {"deps": ["evil"]},
    {"wheelhouse": "/etc"},
    {"startup_timeout": 1e9},
    {"unheard": 1},
]


@pytest.mark.parametrize("wishes", LOOSER, ids=str)
def test_nothing_is_loosened_and_nothing_else_is_chosen(wishes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        tightened(STRICT, wishes)


def test_what_is_tighter_or_the_same_is_taken() -> None:
    wishes = {
        "memory_limit": "256m",
        "network_disabled": True,
        "allow_runtime_deps": False,
        "cpu_quota": 10_000,
    }
    found = tightened(STRICT, wishes)
    assert (found.memory_limit, found.network_disabled, found.cpu_quota) == (256 * 2**20, True, 10_000)
    assert found.image == STRICT.image
    assert tightened(STRICT, {}) == STRICT


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", '{"metadata": 7}', "[" * 100_000, '{"metadata": {"pcm": []}}']
)
def test_a_file_that_is_no_notebook_asks_for_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text(text)
    assert settings_of(path) == NotebookSettings()


def test_wishes_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a JSON object"):
        settings_of(notebook(tmp_path, ["x"]))

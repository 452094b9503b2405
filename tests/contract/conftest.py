"""Every test of this folder runs against every place. A new place is one more line in `PLACES`.

A container without a network is asked what code and host say to each other (`OFFLINE`); all else is the
same stream to the same program.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.execution import (
    ContainerConfig,
    ContainerExecutor,
    Executor,
    InProcessConfig,
    InProcessExecutor,
    SubprocessConfig,
    SubprocessExecutor,
)

Make = Callable[..., Executor]

PLACES: dict[str, Make] = {
    "in-process": lambda **fields: InProcessExecutor(InProcessConfig(**fields)),
    "venv": lambda **fields: SubprocessExecutor(SubprocessConfig(**fields)),
    "container": lambda **fields: ContainerExecutor(_container_config(fields)),
    "container-offline": lambda **fields: ContainerExecutor(_container_config(fields, network_disabled=True)),
}


def _container_config(fields: dict[str, Any], **others: Any) -> ContainerConfig:
    """The same fields, where the specification gives the container another name or default for them."""
    named = {("timeout" if name == "default_timeout" else name): value for name, value in fields.items()}
    defaults = {"auth_token": "a token of the tests".replace(" ", "-"), "allow_runtime_deps": True}
    return ContainerConfig(**{**defaults, "memory_limit": "1g", "disk_limit": "512m", **others, **named})


OFFLINE = "container-offline"
NEEDS = {name: [pytest.mark.needs("docker")] for name in PLACES if name.startswith("container")}


REMEMBER = "_new = dict(globals())"
AS_NEW = """
for _name in [name for name in globals() if name not in _new and not name.startswith("_")]:
    del globals()[_name]
globals().update(_new)
"""
"""Gives a session's code the variables again that it began with."""


@pytest.fixture(scope="module", params=[pytest.param(name, marks=NEEDS.get(name, [])) for name in PLACES])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes an executor of the place, with fields of its configuration."""
    if request.param in NEEDS:
        request.getfixturevalue("images")
    if request.param == OFFLINE:
        return functools.partial(PLACES[request.param], wheelhouse=request.getfixturevalue("wheels"))
    return PLACES[request.param]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left = [item for item in items if _adds_nothing(item)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if not _adds_nothing(item)]


def _adds_nothing(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    return item.callspec.params.get("make") == OFFLINE and not getattr(item.module, "OFFLINE", False)


@pytest.fixture
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> FileStorage:
    """The storage of the session, or of those that the test makes."""
    if "used_session" in request.fixturenames:
        found: FileStorage = request.getfixturevalue("used_session").storage
        return found
    return FileStorage(base_path=tmp_path / "storage")


@pytest.fixture
async def session(make: Make, storage: FileStorage) -> AsyncIterator[Session]:
    """A running session of the place, closed afterwards."""
    async with Session(storage, make()) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting_session(make: Make, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Session]:
    """One running session for a module, whose tests share an event loop."""
    storage = FileStorage(base_path=tmp_path_factory.mktemp("storage"))
    with contextlib.chdir(tmp_path_factory.mktemp("work")):
        running = Session(storage, make())
        await running.start()
        assert (await running.run(REMEMBER)).is_ok
    yield running
    await running.close()


@pytest_asyncio.fixture(loop_scope="module")
async def used_session(lasting_session: Session) -> AsyncIterator[Session]:
    """The session that other tests have used, with the variables of a new one, and an empty storage.

    Starting one for each test would take longer than the tests do. Modules that can do with it say so.
    """
    if (await lasting_session.run(AS_NEW)).exception is not None:
        assert (await lasting_session.run(REMEMBER)).is_ok
    yield lasting_session
    storage = lasting_session.storage
    for store in (storage.artifacts, storage.workflows):
        for name in [info.name for info in store.list()]:
            store.delete(name)
    for name in storage.deps.list():
        storage.deps.remove(name)


@pytest.fixture
def open_session(make: Make, storage: FileStorage) -> Callable[..., Any]:
    """``async with open_session(**fields)``: a session with a configuration of its own."""

    @contextlib.asynccontextmanager
    async def opened(**fields: Any) -> AsyncIterator[Session]:
        async with Session(storage, make(**fields)) as running:
            yield running

    return opened


@pytest.fixture(autouse=True)
def in_folders_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A current folder, and a folder for temporary files with a path short enough for sockets."""
    monkeypatch.chdir(tmp_path)
    with tempfile.TemporaryDirectory(prefix="pcm-t-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield

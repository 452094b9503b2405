"""Containers of a real engine; every test of this folder leaves none."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.environments.container.engine import OWNER, Engine
from py_code_mode_jupyter.execution import ContainerConfig, ContainerExecutor

TOKEN = f"token-{uuid.uuid4().hex}"
WAIT = 60.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.needs("docker"))


def until(holds: Callable[[], object], what: str, seconds: float = WAIT) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def engine(images: None) -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


def of_process(engine: Engine, pid: int | None = None) -> dict[str, str]:
    """Return the containers of a process, this one if none is given, with their states."""
    mark = f":{os.getpid() if pid is None else pid}:"
    return {one["Id"]: one["State"] for one in engine.containers() if mark in one["Labels"][OWNER]}


@pytest.fixture(autouse=True)
def nothing_is_left(engine: Engine) -> Iterator[None]:
    yield
    assert of_process(engine) == {}


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(base_path=tmp_path / "storage")


Open = Callable[..., Any]


@pytest.fixture
def open_session(storage: FileStorage) -> Open:
    """``async with open_session(**fields)``: a session in a container."""

    @contextlib.asynccontextmanager
    async def opened(**fields: Any) -> AsyncIterator[Session]:
        config = ContainerConfig(**{"auth_token": TOKEN, "network_disabled": True, **fields})
        async with Session(storage, ContainerExecutor(config)) as running:
            yield running

    return opened


@pytest.fixture
async def session(open_session: Open) -> AsyncIterator[Session]:
    async with open_session() as running:
        yield running


@pytest.fixture(autouse=True)
def in_folders_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder for temporary files with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="pcm-t-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield

"""What executed code must not be able to do. Every test attacks one defence, from inside."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.execution import (
    ContainerConfig,
    ContainerExecutor,
    SubprocessConfig,
    SubprocessExecutor,
)

TOKEN = f"{uuid.uuid4().hex}.{uuid.uuid4().hex}"


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(base_path=tmp_path / "storage")


@pytest.fixture
def venv(storage: FileStorage) -> Callable[..., Any]:
    """``async with venv(**fields)``: a session in a fresh venv."""

    @contextlib.asynccontextmanager
    async def opened(**fields: Any) -> AsyncIterator[Session]:
        async with Session(storage, SubprocessExecutor(SubprocessConfig(**fields))) as session:
            yield session

    return opened


@pytest.fixture
def container(storage: FileStorage, images: None) -> Callable[..., Any]:
    """``async with container(**fields)``: a session in a container."""

    @contextlib.asynccontextmanager
    async def opened(**fields: Any) -> AsyncIterator[Session]:
        config = ContainerConfig(**{"auth_token": TOKEN, "network_disabled": True, **fields})
        async with Session(storage, ContainerExecutor(config)) as session:
            yield session

    return opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting_container(images: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Session]:
    """One session in a container for a module, whose tests share an event loop."""
    storage = FileStorage(base_path=tmp_path_factory.mktemp("storage"))
    config = ContainerConfig(auth_token=TOKEN, network_disabled=True)
    async with Session(storage, ContainerExecutor(config)) as session:
        await session.reset()  # begins a thread that stays; it is no test's
        yield session


@pytest_asyncio.fixture(loop_scope="module")
async def used_container(lasting_container: Session) -> Session:
    """That session, with nothing left of what other tests ran in it but the container and its keeper."""
    await lasting_container.reset()
    return lasting_container


@pytest.fixture(autouse=True)
def in_folders_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with tempfile.TemporaryDirectory(prefix="pcm-t-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield

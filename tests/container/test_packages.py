"""Packages in a container: added on the host's side, from an index or a wheelhouse."""

from __future__ import annotations

import asyncio
import io
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from py_code_mode_jupyter import FileStorage, RunStatus, Session
from py_code_mode_jupyter.environments.container.images import BASE, layer_name
from py_code_mode_jupyter.errors import DependencyInstallError, RuntimeDepsDisabledError
from py_code_mode_jupyter.execution import ContainerConfig, ContainerExecutor
from py_code_mode_jupyter.sandbox.supervisor.packages import unpack

from .conftest import TOKEN, Open, of_process, until

if TYPE_CHECKING:
    from py_code_mode_jupyter.environments.container.engine import Engine

ALLOWED = {"allow_runtime_deps": True}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one wheel, made here."""
    folder = tmp_path_factory.mktemp("wheels")
    source = tmp_path_factory.mktemp("tiny")
    (source / "tiny.py").write_text("answer = 42\n")
    (source / "pyproject.toml").write_text(
        '[project]\nname = "tiny"\nversion = "1.0"\n[build-system]\nrequires = ["hatchling"]\n'
        'build-backend = "hatchling.build"\n[tool.hatch.build]\ninclude = ["tiny.py"]\n'
    )
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=60)
    return folder


@pytest.fixture
def wheelhouse(tmp_path: Path, tiny: Path) -> Path:
    """The same, in a folder of whose files no other test makes layers."""
    folder = tmp_path / "wheelhouse"
    shutil.copytree(tiny, folder)
    (folder / f"{uuid.uuid4().hex}.txt").touch()
    return folder


@pytest.fixture
def layer(engine: Engine, wheelhouse: Path) -> Iterator[str]:
    """The name of the layer with this wheel, removed after the test."""
    name = layer_name(engine.image(BASE)["Id"], ("tiny",), wheelhouse)
    yield name
    if engine.has_image(name):
        engine.client.remove_image(name)


async def test_packages_come_from_a_wheelhouse_where_there_is_no_network(
    open_session: Open, wheelhouse: Path
) -> None:
    async with open_session(**ALLOWED, wheelhouse=wheelhouse) as session:
        assert (await session.run("deps.add('tiny').installed")).value == ("tiny",)
        assert (await session.run("import tiny; tiny.answer")).value == 42
        run = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import tiny']).returncode"
        assert (await session.run(run)).value == 0
        assert (await session.run("deps.add('tiny').already_present")).value == ("tiny",)
        await session.reset()
        assert (await session.run("import tiny; tiny.answer")).value == 42
        assert (await session.run("deps.remove('tiny').removed")).value == ("tiny",)
        await session.reset()
        assert (await session.run("import tiny")).exception.name == "ModuleNotFoundError"
    async with open_session(**ALLOWED) as session:
        assert (await session.run("import tiny")).exception.name == "ModuleNotFoundError"


async def test_without_network_and_wheelhouse_nothing_is_fetched_on_the_codes_behalf(
    session: Session,
) -> None:
    with pytest.raises(RuntimeDepsDisabledError):
        await session.add_dep("six")


async def test_the_host_fetches_nothing_for_a_container_that_may_not(open_session: Open) -> None:
    async with open_session(**ALLOWED) as session:
        with pytest.raises(DependencyInstallError, match="no network, and no wheelhouse") as caught:
            await session.add_dep("iniconfig")
        assert "wheelhouse" in caught.value.remedy
        assert await session.list_deps() == []


@pytest.mark.needs("network")
async def test_packages_come_from_an_index_where_there_is_a_network(open_session: Open) -> None:
    async with open_session(**ALLOWED, network_disabled=False) as session:
        assert (await session.add_dep("iniconfig")).installed == ("iniconfig",)
        assert (await session.run("import iniconfig; iniconfig.__name__")).value == "iniconfig"
        with pytest.raises(DependencyInstallError):
            await session.add_dep("no-such-package-at-all-4711")


async def test_packages_that_do_not_fit_are_said_and_the_session_goes_on(
    open_session: Open, wheelhouse: Path, tmp_path: Path
) -> None:
    async with open_session(**ALLOWED, wheelhouse=wheelhouse, disk_limit="32m") as session:
        await session.run("open('/deps/fill', 'wb').write(bytes(2**30))")
        with pytest.raises(DependencyInstallError, match="disk_limit"):
            await session.add_dep("tiny")
        await session.run("import os; os.unlink('/deps/fill')")
        assert (await session.add_dep("tiny")).installed == ("tiny",)


async def test_configured_packages_are_a_layer_that_locked_code_cannot_change(
    open_session: Open, wheelhouse: Path, engine: Engine, layer: str
) -> None:
    assert not engine.has_image(layer)
    async with open_session(deps=("tiny",), wheelhouse=wheelhouse) as session:
        assert (await session.run("import tiny; tiny.answer")).value == 42
        result = await session.run("open(tiny.__file__, 'w').write('answer = 0')")
        assert result.exception is not None
        assert session.supports("deps_lock_enforced")
    made = engine.image(layer)["Id"]
    async with open_session(deps=("tiny",), wheelhouse=wheelhouse) as session:
        assert (await session.run("import tiny; tiny.answer")).value == 42
    assert engine.image(layer)["Id"] == made  # it is used again


async def test_recorded_packages_become_a_layer_of_a_locked_container(
    wheelhouse: Path, engine: Engine, storage: FileStorage, layer: str
) -> None:
    config = ContainerConfig(auth_token=TOKEN, network_disabled=True, wheelhouse=wheelhouse)
    storage.deps.add("tiny")
    async with Session(storage, ContainerExecutor(config), sync_deps_on_start=True) as session:
        result = await session.run("import tiny; tiny.answer")
        assert (result.value, result.state_preserved) == (42, True)
        await session.run("kept = 1")
        assert (await session.sync_deps()).already_present == ("tiny",)
        assert (await session.run("kept")).value == 1
        storage.deps.add("nowhere")
        assert (await session.sync_deps()).failed == ("nowhere",)
        assert (await session.run("kept")).value == 1
        assert (await session.run("import os; os._exit(1)")).status == "died"
        assert (await session.run("import tiny; tiny.answer")).value == 42
        with pytest.raises(RuntimeDepsDisabledError, match="sync_deps_on_start=True"):
            await session.add_dep("six")
    assert engine.has_image(layer)
    with pytest.raises(DependencyInstallError, match="nowhere"):
        await Session(storage, ContainerExecutor(config), sync_deps_on_start=True).start()
    assert of_process(engine) == {}


async def test_added_packages_are_there_again_when_the_container_was_replaced(
    open_session: Open, wheelhouse: Path, engine: Engine
) -> None:
    async with open_session(**ALLOWED, wheelhouse=wheelhouse) as session:
        await session.run("deps.add('tiny')")
        [number] = of_process(engine)
        engine.signal(number, "SIGKILL")
        assert (await session.run("import tiny; tiny.answer")).value == 42
        assert number not in of_process(engine)
        await session.remove_dep("tiny")
        [number] = of_process(engine)
        engine.signal(number, "SIGKILL")
        until(lambda: number not in of_process(engine), "it has gone")
        assert (await session.run("import tiny")).exception.name == "ModuleNotFoundError"
    async with open_session(**ALLOWED, wheelhouse=wheelhouse, fresh_per_run=True) as session:
        await session.add_dep("tiny")
        for _ in range(2):
            assert (await session.run("import tiny; tiny.answer")).value == 42


async def test_a_container_that_lacks_its_packages_is_not_used(
    open_session: Open, wheelhouse: Path, engine: Engine
) -> None:
    async with open_session(**ALLOWED, wheelhouse=wheelhouse) as session:
        await session.add_dep("tiny")
        [wheel] = wheelhouse.glob("*.whl")
        hidden = wheel.rename(wheelhouse / "hidden")
        [number] = of_process(engine)
        engine.signal(number, "SIGKILL")
        until(lambda: number not in of_process(engine), "it has gone")
        for _ in range(2):
            with pytest.raises(DependencyInstallError, match="tiny"):
                await session.run("1 + 1")
            assert of_process(engine) == {}
        hidden.rename(wheel)
        assert (await session.run("import tiny; tiny.answer")).value == 42


async def test_a_layer_that_was_removed_between_two_runs_is_made_again(
    open_session: Open, wheelhouse: Path, engine: Engine, layer: str
) -> None:
    fields = {"deps": ("tiny",), "wheelhouse": wheelhouse, "fresh_per_run": True}
    async with open_session(**fields) as session:
        assert (await session.run("import tiny; tiny.answer")).value == 42
        assert engine.remove_image(layer)
        assert (await session.run("import tiny; tiny.answer")).value == 42


async def test_a_package_with_extras_can_be_a_layer(
    engine: Engine, storage: FileStorage, wheelhouse: Path
) -> None:
    fields = {"auth_token": TOKEN, "network_disabled": True, "wheelhouse": wheelhouse}
    name = layer_name(engine.image(BASE)["Id"], ("tiny[more]",), wheelhouse)
    try:
        config = ContainerConfig(**fields, deps=("tiny[more]",))
        async with Session(storage, ContainerExecutor(config)) as session:
            assert (await session.run("import tiny; tiny.answer")).value == 42
        storage.deps.add("tiny[more]")
        config = ContainerConfig(**fields)
        async with Session(storage, ContainerExecutor(config), sync_deps_on_start=True) as session:
            await session.run("import tiny; kept = tiny.answer")
            assert (await session.sync_deps()).installed == ()
            assert (await session.run("kept")).value == 42
    finally:
        engine.client.remove_image(name)


async def test_one_package_that_cannot_be_had_keeps_no_other_away(
    wheelhouse: Path, storage: FileStorage, engine: Engine, layer: str
) -> None:
    config = ContainerConfig(auth_token=TOKEN, network_disabled=True, wheelhouse=wheelhouse)
    storage.deps.add("nowhere")
    storage.deps.add("tiny")
    async with Session(storage, ContainerExecutor(config)) as session:
        change = await session.sync_deps()
        assert (change.installed, change.failed) == (("tiny",), ("nowhere",))
        assert (await session.run("import tiny; tiny.answer")).value == 42
    assert engine.has_image(layer)


async def test_closing_ends_an_installation_that_is_under_way(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The index is a listener of ours that never answers.
    with socket.create_server(("127.0.0.1", 0)) as index:
        monkeypatch.setenv("UV_INDEX_URL", f"http://127.0.0.1:{index.getsockname()[1]}/simple")
        config = ContainerConfig(auth_token=TOKEN, allow_runtime_deps=True)
        session = Session(storage, ContainerExecutor(config))
        await session.start()
        run = asyncio.ensure_future(session.run("deps.add('iniconfig')"))
        connection, _ = await asyncio.to_thread(index.accept)
        with connection:
            started = time.monotonic()
            await session.close()
            assert time.monotonic() - started < 5
        assert (await run).status is RunStatus.DIED
    assert storage.deps.list() == []


@pytest.mark.usefixtures("layer")
@pytest.mark.parametrize("allowed", [False, True])
async def test_every_run_of_its_own_container_has_the_configured_packages(
    open_session: Open, wheelhouse: Path, allowed: bool
) -> None:
    fields = {"deps": ("tiny",), "wheelhouse": wheelhouse, "allow_runtime_deps": allowed}
    async with open_session(fresh_per_run=True, **fields) as session:
        for _ in range(2):
            assert (await session.run("import tiny; tiny.answer")).value == 42


async def test_configured_packages_that_cannot_be_had_fail_the_start(
    engine: Engine, storage: FileStorage, wheelhouse: Path
) -> None:
    config = ContainerConfig(
        auth_token=TOKEN, network_disabled=True, deps=("nowhere",), wheelhouse=wheelhouse
    )
    with pytest.raises(DependencyInstallError, match="nowhere"):
        await Session(storage, ContainerExecutor(config)).start()
    assert of_process(engine) == {}


async def test_a_library_that_is_in_use_outlives_the_coming_of_another_package(
    open_session: Open, wheels: Path
) -> None:
    """What comes brings along what it needs, also where the code has loaded that already."""
    fields = {**ALLOWED, "wheelhouse": wheels, "memory_limit": "1g", "disk_limit": "512m"}
    async with open_session(**fields) as session:
        assert (await session.add_dep("numpy")).installed == ("numpy",)
        assert (await session.run("import numpy as np; kept = np.arange(10)")).is_ok
        assert (await session.add_dep("pandas")).installed == ("pandas",)
        result = await session.run(
            "np.linalg.norm(np.random.default_rng(1).normal(size=9)) > 0, int(kept.sum())"
        )
        assert (result.value, result.state_preserved) == ((True, 45), True)
        assert (await session.run("import pandas; pandas.Series(kept).sum() == 45")).is_ok


def test_a_file_that_is_replaced_stays_what_it_was_for_whoever_has_it_open(tmp_path: Path) -> None:
    old = tmp_path / "library.so"
    old.write_bytes(b"as it was loaded")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("library.so")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"new"))
    packed.seek(0)
    with old.open("rb") as loaded:
        unpack(packed, tmp_path)
        assert loaded.read() == b"as it was loaded"
    assert old.read_bytes() == b"new"

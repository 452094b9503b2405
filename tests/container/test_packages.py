"""Packages in a container: added on the host's side, from an index or a wheelhouse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.errors import DependencyInstallError, RuntimeDepsDisabledError
from py_code_mode_jupyter.execution import ContainerConfig, ContainerExecutor

from .conftest import TOKEN, Open, of_process

if TYPE_CHECKING:
    from py_code_mode_jupyter.environments.container.engine import Engine

ALLOWED = {"allow_runtime_deps": True}


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
        with pytest.raises(DependencyInstallError, match="wheelhouse"):
            await session.add_dep("iniconfig")
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
    open_session: Open, wheelhouse: Path, engine: Engine
) -> None:
    def layers() -> set[str]:
        return {name for one in engine.images() for name in one["RepoTags"] or () if ":deps-" in name}

    before = layers()
    try:
        async with open_session(deps=("tiny",), wheelhouse=wheelhouse) as session:
            assert (await session.run("import tiny; tiny.answer")).value == 42
            result = await session.run("open(tiny.__file__, 'w').write('answer = 0')")
            assert result.exception is not None
            assert session.supports("deps_lock_enforced")
        made = layers() - before
        assert len(made) == 1
        async with open_session(deps=("tiny",), wheelhouse=wheelhouse) as session:
            assert (await session.run("import tiny; tiny.answer")).value == 42
        assert layers() - before == made  # it is used again
    finally:
        for name in layers() - before:
            engine.client.remove_image(name)


async def test_configured_packages_that_cannot_be_had_fail_the_start(
    engine: Engine, storage: FileStorage, wheelhouse: Path
) -> None:
    config = ContainerConfig(
        auth_token=TOKEN, network_disabled=True, deps=("nowhere",), wheelhouse=wheelhouse
    )
    with pytest.raises(DependencyInstallError, match="nowhere"):
        await Session(storage, ContainerExecutor(config)).start()
    assert of_process(engine) == {}

"""Executed code sees ``artifacts`` and ``deps`` alike in every place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from py_code_mode_jupyter import Session
from py_code_mode_jupyter.errors import DependencyInstallError, ExecutorStateError

if TYPE_CHECKING:
    from pathlib import Path

    from py_code_mode_jupyter import FileStorage

OFFLINE = True
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def session(used_session: Session) -> Session:
    return used_session


async def test_an_artifact_saved_by_code_is_in_the_storage(session: Session, storage: FileStorage) -> None:
    code = """
info = artifacts.save("figures", {"a": [1, 2]}, description="numbers", metadata={"run": 1})
(info.name, info.version)
"""
    assert (await session.run(code)).value == ("figures", 1)
    assert storage.artifacts.load("figures") == {"a": [1, 2]}
    info = storage.artifacts.get("figures")
    assert info is not None
    assert (info.description, dict(info.metadata)) == ("numbers", {"run": 1})


async def test_code_loads_what_the_host_saved(session: Session) -> None:
    await session.save_artifact("raw", b"\x00" * 1000)
    await session.save_artifact("raw", b"newer")
    assert (await session.run("artifacts.load('raw')")).value == b"newer"
    assert len((await session.run("artifacts.load('raw', version=1)")).value) == 1000


async def test_code_lists_looks_and_deletes(session: Session) -> None:
    await session.run("artifacts.save('one', 1)\nartifacts.save('two', 'text')")
    assert sorted((await session.run("[a.name for a in artifacts.list()]")).value) == ["one", "two"]
    assert (await session.run("artifacts.get('two').format")).value == "text"
    assert (await session.run("(artifacts.get('none'), artifacts.exists('one'))")).value == (None, True)
    await session.run("artifacts.delete('one')")
    assert [a.name for a in await session.list_artifacts()] == ["two"]


async def test_a_missing_artifact_raises_the_same_class_everywhere(session: Session) -> None:
    result = await session.run("artifacts.load('nowhere')")
    assert result.exception is not None
    assert result.exception.name == "ArtifactNotFoundError"
    caught = await session.run(
        "from py_code_mode_jupyter.errors import ArtifactNotFoundError\n"
        "try: artifacts.delete('nowhere')\nexcept ArtifactNotFoundError as e: name = e.name\nname"
    )
    assert caught.value == "nowhere"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "", ".", "..", "a\0b", "x" * 500, "-rf", "a\nb"])
async def test_names_with_path_parts_are_refused(session: Session, storage: FileStorage, name: str) -> None:
    result = await session.run(f"artifacts.save({name!r}, 1)")
    assert result.exception is not None
    assert result.exception.name == "InvalidArtifactNameError"
    assert storage.artifacts.list() == []


async def test_what_cannot_be_kept_safely_is_refused(session: Session) -> None:
    result = await session.run("artifacts.save('x', object())")
    assert result.exception is not None
    assert result.exception.name == "ArtifactFormatError"


async def test_a_large_artifact_passes_whole(session: Session, storage: FileStorage) -> None:
    await session.run("data = bytes(range(256)) * 40_000\nartifacts.save('large', data)")
    assert storage.artifacts.load("large") == bytes(range(256)) * 40_000
    assert (await session.run("artifacts.load('large') == data")).value is True


async def test_an_array_comes_back_as_an_array(session: Session) -> None:
    if session.supports("process_isolation"):
        await session.add_dep("numpy")
    await session.run("import numpy as np\nartifacts.save('grid', np.arange(6).reshape(2, 3))")
    np.testing.assert_array_equal(await session.load_artifact("grid"), np.arange(6).reshape(2, 3))


async def test_storage_answers_while_an_interrupt_strikes(open_session: Callable[..., Any]) -> None:
    """An interrupt in the middle of calls leaves the channel whole."""
    async with open_session(interrupt_grace=30.0) as session:  # a busy machine is slow to show where it was
        await session.run("artifacts.save('n', 0)")
        for _ in range(5):
            result = await session.run("while True: artifacts.load('n')", timeout=0.3)
            assert result.state_preserved
            assert (await session.run("artifacts.load('n')")).value == 0


async def test_a_locked_session_refuses_to_change_packages(open_session: Callable[..., Any]) -> None:
    async with open_session(allow_runtime_deps=False) as session:
        assert not session.supports("runtime_deps")
        for call in ("deps.add('six')", "deps.remove('six')", "deps.sync()"):
            result = await session.run(call)
            assert result.exception is not None, call
            assert result.exception.name == "RuntimeDepsDisabledError"
        assert (await session.run("deps.list()")).value == []


async def test_deps_offers_executed_code_nothing_else(session: Session) -> None:
    """In-process too: what the host may do in a locked session is out of the code's way."""
    result = await session.run("[name for name in dir(deps) if not name.startswith('_')]")
    assert result.value == ["add", "list", "remove", "sync"]


@pytest.mark.parametrize(
    "spec",
    [
        "six @ http://127.0.0.1/x.whl",
        "git+http://127.0.0.1/x",
        "./here",
        "--pre",
        "six; python_version>'3'",
        "",
    ],
)
async def test_only_names_with_versions_are_dependencies(session: Session, spec: str) -> None:
    result = await session.run(f"deps.add({spec!r})")
    assert result.exception is not None
    assert result.exception.name == "InvalidDependencyError"


async def test_a_present_package_is_recorded_and_said_to_be_there(session: Session) -> None:
    result = await session.run("deps.add('ipykernel').already_present")
    assert result.value == ("ipykernel",)
    assert await session.list_deps() == ["ipykernel"]
    assert (await session.sync_deps()).already_present == ("ipykernel",)


async def test_removing_what_is_not_there_removes_nothing(session: Session, storage: FileStorage) -> None:
    storage.deps.add("no-such-package")
    change = await session.remove_dep("no-such-package")
    assert (change.removed, change.failed) == ((), ())
    assert await session.list_deps() == []


async def test_what_every_kernel_contains_is_forgotten_and_stays(session: Session) -> None:
    if not session.supports("process_isolation"):
        pytest.skip("in-process, it would be removed from the very environment of the tests")
    await session.add_dep("ipykernel")
    assert (await session.run("deps.remove('ipykernel').failed")).value == ("ipykernel",)
    assert await session.list_deps() == []


async def test_recorded_packages_are_installed_before_the_first_run(
    make: Callable[..., Any], storage: FileStorage
) -> None:
    storage.deps.add("ipykernel")
    async with Session(storage, make(allow_runtime_deps=False), sync_deps_on_start=True) as session:
        assert (await session.run("deps.list()")).value == ["ipykernel"]


async def test_a_recorded_package_that_cannot_be_installed_fails_the_start(
    make: Callable[..., Any], storage: FileStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    storage.deps.add("no-such-package")
    session = Session(storage, make(), sync_deps_on_start=True)
    with pytest.raises(DependencyInstallError, match="no-such-package"):
        await session.start()
    with pytest.raises(ExecutorStateError):
        await session.run("1")

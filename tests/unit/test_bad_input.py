"""Bad input: a typed error that says what is wrong and what to do, and nothing half-made."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import py_code_mode_jupyter
from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter import errors as tree
from py_code_mode_jupyter.config import InProcessConfig, SubprocessConfig
from py_code_mode_jupyter.environments.uv import Outcome
from py_code_mode_jupyter.errors import (
    CodeModeError,
    ConfigurationError,
    DependencyInstallError,
    PythonNotFoundError,
    StorageUnavailableError,
    VenvError,
)
from py_code_mode_jupyter.execution import InProcessExecutor, SubprocessExecutor

WRONG: list[tuple[str, Any]] = [
    ("default_timeout", -1),
    ("default_timeout", 0),
    ("default_timeout", "30"),
    ("default_timeout", float("nan")),
    ("startup_timeout", -5),
    ("startup_timeout", True),
    ("startup_timeout", float("inf")),
    ("startup_timeout", 1e9),
    ("default_timeout", 10**400),
    ("interrupt_grace", 0),
    ("interrupt_grace", float("inf")),
    ("allow_runtime_deps", "no"),
    ("deps", "pandas"),
    ("deps", (1,)),
    ("deps", ("../x",)),
    ("deps", ("six @ http://127.0.0.1/x.whl",)),
    ("deps", {"six": ">=1"}),
    ("max_output", "9" * 400),
    ("max_output", 2**63),
    ("max_output", -1),
    ("max_output", "lots"),
    ("max_output", True),
]
WRONG_VENV: list[tuple[str, Any]] = [
    ("python_version", "two"),
    ("python_version", 3.12),
    ("python_version", "2.7"),
    ("python_version", "3.12; rm"),
    ("python_version", "3.10"),
    ("env", "PATH"),
    ("env", ("1X",)),
    ("env", ("A\0B=1",)),
    ("venv_dir", 7),
    ("venv_dir", ""),
    ("working_dir", "a\0b"),
    ("memory_limit", "much"),
    ("memory_limit", 0),
    ("memory_limit", -1),
    ("memory_limit", "64m"),
    ("writable_paths", {"out": 1}),
    ("confine_writes", "yes"),
    ("writable_paths", (7,)),
    ("writable_paths", "/tmp"),
]


@pytest.fixture
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pcm-t-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.mark.parametrize("config", [InProcessConfig, SubprocessConfig])
@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_wrong_value_names_field_and_value(config: type, field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config(**{field: value})
    assert caught.value.field == field
    assert field in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(("field", "value"), WRONG_VENV)
def test_a_wrong_value_of_the_venv_names_field_and_value(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SubprocessConfig(**{field: value})
    assert caught.value.field == field
    assert caught.value.remedy


@pytest.mark.parametrize(
    "env", [("1TOKEN=hidden",), "TOKEN=hidden", b"TOKEN=hidden", (b"TOKEN=hidden",), {"TOKEN": "hidden"}]
)
def test_a_wrong_secret_is_not_repeated(env: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SubprocessConfig(env=env)
    assert "hidden" not in str(caught.value)
    assert "hidden" not in repr(vars(caught.value))


def test_a_secret_is_not_shown() -> None:
    config = SubprocessConfig(env=("TOKEN=hidden",))
    assert "hidden" not in repr(config)
    assert config.public()["env"] == ("TOKEN",)


def test_the_specified_defaults_hold() -> None:
    assert (InProcessConfig().default_timeout, InProcessConfig().allow_runtime_deps) == (30.0, True)
    venv = SubprocessConfig()
    assert (venv.python_version, venv.default_timeout, venv.allow_runtime_deps, venv.venv_dir) == (
        None,
        120.0,
        True,
        None,
    )


def test_configurations_are_keyword_only_and_frozen() -> None:
    with pytest.raises(TypeError):
        SubprocessConfig("3.12")  # type: ignore[misc]
    with pytest.raises(AttributeError):
        SubprocessConfig().python_version = "3.12"  # type: ignore[misc]


def test_sizes_are_read_as_docker_writes_them() -> None:
    assert SubprocessConfig(memory_limit="512m").memory_limit == 512 * 2**20
    assert SubprocessConfig(memory_limit="1.5g").memory_limit == 3 * 2**29
    assert SubprocessConfig(memory_limit=2**30).memory_limit == 2**30
    assert InProcessConfig(max_output=1000).max_output == 1000


async def test_an_unknown_python_says_how_to_get_it(tmp: Path) -> None:
    executor = SubprocessExecutor(SubprocessConfig(python_version="3.99"))
    with pytest.raises(PythonNotFoundError, match=r"3\.99.*uv python install"):
        await executor.start()
    assert list(tmp.iterdir()) == []


async def test_an_unwritable_folder_for_venvs_says_so(tmp: Path) -> None:
    blocked = tmp / "file"
    blocked.write_text("not a folder")
    executor = SubprocessExecutor(SubprocessConfig(venv_dir=blocked / "below"))
    with pytest.raises(VenvError, match="venv_dir"):
        await executor.start()
    assert [p.name for p in tmp.iterdir()] == ["file"]


async def test_a_venv_is_made_below_the_folder_given_and_only_that_is_removed(tmp: Path) -> None:
    parent = tmp / ("long-" * 20) / "parent"
    parent.mkdir(parents=True)
    (parent / "mine.txt").write_text("kept")
    executor = SubprocessExecutor(SubprocessConfig(venv_dir=parent))
    await executor.start()
    assert (await executor.run("import sys; sys.prefix")).value.startswith(str(parent))
    await executor.close()
    assert [p.name for p in parent.iterdir()] == ["mine.txt"]


def test_an_unreadable_storage_says_so(tmp: Path) -> None:
    (tmp / "file").write_text("x")
    with pytest.raises(StorageUnavailableError) as caught:
        FileStorage(base_path=tmp / "file")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("executor", "config"),
    [
        (InProcessExecutor, SubprocessConfig(memory_limit="1g")),
        (SubprocessExecutor, InProcessConfig()),
        (SubprocessExecutor, {"memory_limit": "1g"}),
    ],
)
def test_an_executor_refuses_a_configuration_that_is_not_its_own(executor: Any, config: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"Give a {executor.__name__[:-8]}Config"):
        executor(config)


@pytest.mark.parametrize("executor", [SubprocessExecutor, SubprocessConfig(), "venv"])
def test_a_session_with_something_else_than_an_executor_is_refused(tmp: Path, executor: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"executor.*SubprocessExecutor\(SubprocessConfig"):
        Session(FileStorage(tmp), executor)


def test_a_name_that_is_not_text_is_refused(tmp: Path) -> None:
    with pytest.raises(ConfigurationError, match="name=7"):
        Session(FileStorage(tmp), name=7)  # type: ignore[arg-type]


def test_the_short_ways_to_a_session_take_fields_of_its_configuration(tmp: Path) -> None:
    short = [
        Session.from_base(tmp, default_timeout=7),
        Session.inprocess(str(tmp), default_timeout=7),
        Session.subprocess(tmp, default_timeout=7),
    ]
    assert [type(s.executor) for s in short] == [InProcessExecutor, InProcessExecutor, SubprocessExecutor]
    assert [s.executor.config.default_timeout for s in short] == [7, 7, 7]
    assert {s.storage.base_path for s in short} == {tmp}
    assert isinstance(Session(FileStorage(tmp)).executor, InProcessExecutor)


@pytest.mark.parametrize(
    ("log", "unreachable"),
    [
        ("Because there is no version of networkx==99.99 and you require networkx==99.99", False),
        ("Because offline-tool was not found in the package registry", False),
        ("error: Failed to fetch: http://x/\n  cause: error sending request for url (http://x/)", True),
        ("hint: Packages were unavailable because the network was disabled.", True),
    ],
)
def test_a_missing_package_is_not_taken_for_a_missing_network(log: str, unreachable: bool) -> None:
    assert Outcome(ok=False, stdout="", log=log).unreachable is unreachable


def test_a_session_without_a_storage_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="storage"):
        Session("./data")  # type: ignore[arg-type]


async def test_a_dependency_without_a_network_is_a_typed_error(
    tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp / "cache"))
    storage = FileStorage(base_path=tmp / "storage")
    async with Session(storage, SubprocessExecutor()) as session:
        with pytest.raises(DependencyInstallError, match=r"cannot be reached.*network"):
            await session.add_dep("toolz")
        result = await session.run("deps.add('toolz')")
        assert result.exception is not None
        assert result.exception.name == "DependencyInstallError"
        assert await session.list_deps() == []
        assert (await session.run("import importlib.util; importlib.util.find_spec('toolz')")).value is None


async def test_configured_dependencies_that_fail_leave_nothing(
    tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp / "cache"))
    executor = SubprocessExecutor(SubprocessConfig(deps=("toolz",)))
    with pytest.raises(DependencyInstallError):
        await executor.start()
    assert list(tmp.glob("pcm-venv-*")) == []


@pytest.mark.needs("python3.12")
async def test_another_python_runs_the_code(tmp: Path) -> None:
    executor = SubprocessExecutor(SubprocessConfig(python_version="3.12"))
    await executor.start()
    try:
        assert (await executor.run("import sys; sys.version_info[:2]")).value == (3, 12)
    finally:
        await executor.close()


async def test_a_writable_path_that_holds_the_environment_is_refused(tmp: Path) -> None:
    config = SubprocessConfig(allow_runtime_deps=False, writable_paths=(tmp,))
    with pytest.raises(ConfigurationError, match="environment itself"):
        await SubprocessExecutor(config).start()
    assert list(tmp.glob("pcm-venv-*")) == []


INSTANCES: list[CodeModeError] = [
    tree.CodeModeError("what", remedy="do"),
    tree.ConfigurationError("f", 1, "bad"),
    tree.PythonNotFoundError("3.99"),
    tree.VenvError("what", log="last"),
    tree.UnsupportedCapabilityError("x", "what"),
    tree.NotPlainError("what"),
    tree.InvalidDependencyError("s", "what"),
    tree.DependencyInstallError("s", "what", log="l"),
    tree.StorageUnavailableError("/p", "what"),
    tree.ArtifactNotFoundError("a", version=2, known=("b",)),
    tree.WorkflowNotFoundError("a", known=("b",)),
    tree.WorkflowExistsError("a"),
    tree.InvalidWorkflowError("a", "wrong", line=3, text="def run(:"),
    tree.WorkflowConsentError("a", origin="container", place="venv", sha256="0" * 64),
    tree.WorkflowProtectedError("a", origin="host", place="venv"),
    tree.InvalidArtifactNameError("a", "bad"),
]


@pytest.mark.parametrize("error", INSTANCES, ids=lambda e: type(e).__name__)
def test_every_error_pickles_with_its_fields(error: CodeModeError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == str(error)


class Unshowable:
    """Its ``repr`` fails, as that of a caller's object may."""

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("value", [Unshowable(), 10**5000, "x" * 10**6], ids=["failing", "long", "large"])
def test_an_error_about_any_value_is_short(value: object) -> None:
    assert len(str(tree.ConfigurationError("field", value, "bad."))) < 300


def test_every_error_of_the_package_is_in_the_tree() -> None:
    for module in pkgutil.walk_packages(py_code_mode_jupyter.__path__, "py_code_mode_jupyter."):
        if ".sandbox.fallback" not in module.name:  # a program
            importlib.import_module(module.name)
    found = [CodeModeError]
    for kind in found:
        found += kind.__subclasses__()
    assert {kind.__module__ for kind in found} == {tree.__name__}


def test_the_tree_in_the_docstring_names_every_error() -> None:
    for name, value in vars(tree).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert name in (tree.__doc__ or "")

"""An environment that cannot be made explains itself in the notebook; mended, a restart makes it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import v4
from traitlets.config import Config

from py_code_mode_jupyter.environments.venv.base import ensure_base
from py_code_mode_jupyter.environments.venv.environment import cache_folder
from py_code_mode_jupyter.environments.venv.interpreters import own_interpreter

from .conftest import WAIT, Notebook, Start, gone, left_in

NOWHERE = "http://127.0.0.1:9/simple"


@dataclass
class Cause:
    """Why an environment cannot be made: how to say it to the provisioner, and how to mend it."""

    traits: dict[str, Any]
    says: tuple[str, ...]
    mend: Callable[[Notebook], object] = field(repr=False)


def unknown_python(folder: Path, patch: pytest.MonkeyPatch) -> Cause:
    return Cause(
        {"python_version": "3.99"},
        ("No Python 3.99 was found", "uv python install 3.99"),
        lambda notebook: notebook.manager.provisioner.set_trait("python_version", ""),  # type: ignore[union-attr]
    )


def unwritable_folder(folder: Path, patch: pytest.MonkeyPatch) -> Cause:
    (folder / "file").write_text("")
    return Cause(
        {"venv_dir": str(folder / "file" / "envs")},
        ("No environment can be made in", "Give a venv_dir"),
        lambda _: (folder / "file").unlink(),
    )


def unreachable_index(folder: Path, patch: pytest.MonkeyPatch) -> Cause:
    patch.setenv("UV_DEFAULT_INDEX", NOWHERE)
    patch.setenv("UV_HTTP_RETRIES", "0")
    return Cause(
        {"deps": ["iniconfig"]},
        ("iniconfig could not be installed", "cannot be reached", "Check the network"),
        lambda _: patch.delenv("UV_DEFAULT_INDEX"),
    )


def broken_cache(folder: Path, patch: pytest.MonkeyPatch) -> Cause:
    cache = Path.home() / ".cache"
    patch.setenv("HOME", str(folder))
    (folder / ".cache").write_text("")

    def mend(_: Notebook) -> None:
        (folder / ".cache").unlink()
        (folder / ".cache").symlink_to(cache)

    return Cause({}, ("The base environment could not be built", "Make the folder writable"), mend)


def own_cache(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Have the folder of bases be one of the test's own; return a base that can be damaged there."""
    base = ensure_base(cache_folder(), own_interpreter(), timeout=WAIT)
    patch.setenv("HOME", str(folder))
    cache_folder().mkdir(parents=True)
    (cache_folder() / base.packages.parent.name).symlink_to(base.packages.parent)
    return Path(shutil.copytree(base.own.parent, cache_folder() / base.own.parent.name))


def remove(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(folder)


def damaged_base(folder: Path, patch: pytest.MonkeyPatch) -> Cause:
    base = own_cache(folder, patch)
    (package,) = base.glob("packages/*")
    package.chmod(0o700)
    remove(package / "sandbox")
    return Cause({}, ("The kernel ended while it started", "No module named"), lambda _: None)


CAUSES = {
    "python": unknown_python,
    "venv_dir": unwritable_folder,
    "index": pytest.param(unreachable_index, marks=pytest.mark.needs("network")),
    "cache": broken_cache,
    "base": damaged_base,
}


@pytest.fixture(params=CAUSES.values(), ids=CAUSES.keys())
def cause(request: pytest.FixtureRequest, shared: Notebook, tmp_path: Path) -> Iterator[Cause]:
    """Each cause, in force; `shared` sees to it that the user's own cache is in order."""
    with pytest.MonkeyPatch.context() as patch:
        yield request.param(tmp_path, patch)


def assert_explains(notebook: Notebook, code: str, says: tuple[str, ...]) -> None:
    cell = notebook.run(code)
    assert cell.reply["status"] == "error"
    assert len(cell.contents("error")) == 1
    for text in (*says, "nothing is run"):
        assert text in cell.error


def test_every_cell_explains_and_a_restart_after_mending_works(
    start: Start, cause: Cause, tmp_path: Path
) -> None:
    notebook = start(**cause.traits)
    assert_explains(notebook, f"open({str(tmp_path / 'ran')!r}, 'w')", cause.says)
    assert_explains(notebook, "1 + 1", (*cause.says, "restart the kernel"))
    assert not (tmp_path / "ran").exists()
    connection = notebook.manager.get_connection_info()
    cause.mend(notebook)
    notebook.restart()
    assert notebook.run("import sys; sys.prefix != sys.base_prefix").value == "True"
    if "deps" in cause.traits:
        assert notebook.run("import iniconfig; 6 * 7").value == "42"
    assert notebook.manager.get_connection_info() == connection


def test_a_kernel_that_explains_can_be_asked_interrupted_restarted_and_shut_down(
    start: Start, temp: Path
) -> None:
    notebook = start(python_version="3.99")
    pid = notebook.pid
    notebook.client.kernel_info()
    info = notebook.client.get_shell_msg(timeout=WAIT)["content"]
    assert info["status"] == "ok"
    assert "No Python 3.99" in info["banner"]
    notebook.manager.interrupt_kernel()
    assert_explains(notebook, "1 + 1", ("No Python 3.99",))
    assert not gone(pid)
    notebook.restart()
    assert gone(pid)
    assert_explains(notebook, "1 + 1", ("No Python 3.99",))
    notebook.manager.shutdown_kernel()
    assert left_in(temp) == []


def test_what_frontends_ask_beside_running_code_is_answered(start: Start) -> None:
    notebook = start(python_version="3.99")
    client = notebook.client
    for ask in (
        lambda: client.complete("pri"),
        lambda: client.inspect("print"),
        lambda: client.is_complete("1"),
        lambda: client.history(hist_access_type="tail", n=3),
        lambda: client.comm_info(),
    ):
        number = ask()
        reply = client.get_shell_msg(timeout=WAIT)
        assert reply["parent_header"]["msg_id"] == number
    # JupyterLab asks every kernel whose kernelspec names a debugger.
    assert (
        notebook.control("debug_request", {"type": "request", "seq": 1, "command": "debugInfo"}) is not None
    )


def test_nbclient_fails_with_the_explanation(temp: Path) -> None:
    notebook = v4.new_notebook(cells=[v4.new_code_cell("1 + 1")])
    config = Config(VenvProvisioner={"python_version": "3.99"})
    with pytest.raises(CellExecutionError, match=r"No Python 3\.99 .*uv python install 3\.99"):
        NotebookClient(notebook, kernel_name="pcm-venv", timeout=WAIT, config=config).execute()
    assert left_in(temp) == []


def test_an_environment_that_code_destroyed_is_replaced(start: Start) -> None:
    notebook = start()
    notebook.run("import shutil, sys; shutil.rmtree(sys.prefix)")
    notebook.restart()
    assert_explains(notebook, "1 + 1", ("could not be started",))
    notebook.restart()
    assert notebook.run("6 * 7").value == "42"


def test_a_base_that_was_discarded_meanwhile_is_built_again(
    start: Start, shared: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = own_cache(tmp_path, monkeypatch)
    notebook = start()
    remove(base)
    notebook.restart()
    assert notebook.run("6 * 7").value == "42"


# Settings


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"memory_limit": "lots"}, ("memory_limit='lots'", "512m")),
        ({"python_version": "two"}, ("python_version='two'", "3.12")),
        ({"python_version": 3.12}, ("python_version", "3.12")),
        ({"deps": ["https://example.org/x.whl"]}, ("https://example.org/x.whl",)),
        ({"env": ["A B"]}, ("env", "NAME=value")),
        ({"memory": "2g"}, ("memory", "memory_limit")),
    ],
    ids=str,
)
def test_a_wrong_setting_in_a_kernelspec_explains_itself(
    start: Start, spec: Callable[..., str], config: dict[str, Any], says: tuple[str, ...]
) -> None:
    assert_explains(start(spec(config)), "1 + 1", (*says, "start a new one"))


def test_a_wrong_setting_in_the_configuration_explains_itself(start: Start) -> None:
    assert_explains(start(memory_limit=5), "1 + 1", ("memory_limit", "start a new one"))

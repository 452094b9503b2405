"""What a person finds in the isolated kernel: the magic, storage, packages, and the lock on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from py_code_mode_jupyter import FileStorage

from .conftest import WAIT, Notebook, Start

ATTEMPTS = (
    "%pip install iniconfig",
    "!python -m pip install iniconfig",
    "!uv pip install iniconfig",
    "!python -m ensurepip",
    "!python -m venv --clear $VIRTUAL_ENV",
    "import sysconfig; open(sysconfig.get_path('purelib') + '/iniconfig.py', 'w')",
)


def test_the_magic_runs_code_in_the_isolated_kernel_itself(shared: Notebook) -> None:
    assert shared.run("%load_ext py_code_mode_jupyter").reply["status"] == "ok"
    assert shared.run("%%pcm run -e in-process\nprint('in')\n6 * 7").stream("stdout") == "in\n"
    assert "42" in shared.run("%pcm run 6 * 7").shown
    failing = shared.run("%pcm run 1 / 0")
    assert "RunFailedError" in failing.error
    assert shared.run("%pcm stop --all").reply["status"] == "ok"


def test_artifacts_go_to_the_users_storage_and_come_from_it(shared: Notebook) -> None:
    storage = FileStorage(os.environ["PCM_STORAGE"])
    shared.run("artifacts.save('from the kernel', {'x': [1, 2]}, description='made there')")
    assert storage.artifacts.load("from the kernel") == {"x": [1, 2]}
    storage.artifacts.save("from the host", "text")
    assert shared.run("artifacts.load('from the host')").value == "'text'"
    assert "ArtifactNotFoundError" in shared.run("artifacts.load('nowhere')").error
    assert "InvalidArtifactNameError" in shared.run("artifacts.save('../x', 1)").error


def test_workflows_run_in_the_kernel_and_say_who_wrote_them(shared: Notebook) -> None:
    storage = FileStorage(os.environ["PCM_STORAGE"])
    shared.run("workflows.create('in_the_kernel', 'async def run(n): return n + 1')")
    assert shared.run("await workflows.in_the_kernel(1)").value == "2"
    assert storage.workflows.get("in_the_kernel").info.origin == "venv"
    storage.workflows.create("from_a_container", "def run(): pass", origin="container", overwrite=True)
    assert "WorkflowConsentError" in shared.run("workflows.from_a_container()").error
    reply = shared.client.complete("workflows.in_", reply=True, timeout=WAIT)
    assert "in_the_kernel" in str(reply["content"]["matches"])


def test_the_magic_in_the_kernel_uses_the_same_storage(shared: Notebook) -> None:
    shared.run("%load_ext py_code_mode_jupyter")
    shared.run("artifacts.save('from the cell', 1)")
    names = shared.run("%pcm run -e in-process sorted(a.name for a in artifacts.list())")
    assert "from the cell" in names.shown
    shared.run("%pcm stop --all")


@pytest.fixture(scope="module")
def changed(client_loop: None) -> Iterator[Notebook]:
    """A kernel for tests that add packages to it."""
    notebook = Notebook()
    yield notebook
    notebook.close()


@pytest.mark.needs("network")
def test_a_package_can_be_added_to_this_kernel_and_no_other(changed: Notebook, shared: Notebook) -> None:
    assert "ModuleNotFoundError" in changed.run("import iniconfig").error
    assert "installed=('iniconfig',)" in changed.run("deps.add('iniconfig')").value
    assert changed.run("import iniconfig; iniconfig.__name__").value == "'iniconfig'"
    assert "iniconfig" in changed.run("deps.list()").value
    assert "ModuleNotFoundError" in shared.run("import iniconfig").error
    assert "iniconfig" in FileStorage(os.environ["PCM_STORAGE"]).deps.list()


@pytest.mark.needs("network")
def test_figures_are_shown_inline_once_matplotlib_is_added(changed: Notebook) -> None:
    changed.run("deps.add('matplotlib')")
    cell = changed.run("import matplotlib.pyplot as plt; plt.plot([1, 2])")
    assert cell.reply["status"] == "ok"
    assert [c for c in cell.contents("display_data") if "image/png" in c["data"]]


@pytest.mark.needs("network")
def test_a_restart_keeps_packages_and_their_list(changed: Notebook) -> None:
    changed.run("deps.add('iniconfig')")
    changed.restart()
    assert changed.run("import iniconfig; iniconfig.__name__").value == "'iniconfig'"
    assert "already_present=('iniconfig',)" in changed.run("deps.add('iniconfig')").value


def packages(notebook: Notebook) -> set[str]:
    """Return the files of a kernel's environment, as the host sees them."""
    prefix = Path(psutil.Process(notebook.pid).environ()["VIRTUAL_ENV"])
    return {str(path) for path in prefix.rglob("*")}


def test_a_locked_kernel_refuses_packages(start: Start, spec: Callable[..., str]) -> None:
    notebook = start(spec({"allow_runtime_deps": False}))
    for call in ("deps.add('iniconfig')", "deps.remove('pip')", "deps.sync()"):
        assert "RuntimeDepsDisabledError" in notebook.run(call).error


@pytest.mark.needs("landlock")
def test_nothing_can_be_installed_into_a_locked_kernel_by_other_means(
    start: Start, spec: Callable[..., str]
) -> None:
    notebook = start(spec({"allow_runtime_deps": False}))
    before = packages(notebook)
    for attempt in ATTEMPTS:
        notebook.run(attempt)
        assert packages(notebook) == before, attempt
    assert "ModuleNotFoundError" in notebook.run("import iniconfig").error
    notebook.restart()
    assert "ModuleNotFoundError" in notebook.run("import iniconfig").error
    assert packages(notebook) == before


def test_a_kernel_without_storage_says_so_when_asked(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    notebook = start(variables={"PCM_STORAGE": str(tmp_path / "file")})
    assert notebook.run("6 * 7").value == "42"
    assert "This session has no storage" in notebook.run("artifacts.list()").error


# What of the server's environment code may see


SECRETS = {"MY_SECRET": "s3cret", "JUPYTER_TOKEN": "s3cret", "AWS_SECRET_ACCESS_KEY": "s3cret"}


def test_variables_of_the_server_are_hidden_but_harmless_ones(start: Start) -> None:
    host = {**SECRETS, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "HOME": os.environ["HOME"]}
    notebook = start(variables=host)
    seen = notebook.value("dict(__import__('os').environ)")
    assert not {*SECRETS} & {*seen}
    assert "s3cret" not in str(seen)
    assert {name: seen[name] for name in ("LANG", "LC_ALL", "HOME")} == {
        name: host[name] for name in ("LANG", "LC_ALL", "HOME")
    }
    assert seen["PATH"].split(os.pathsep)[1:] == os.environ["PATH"].split(os.pathsep)
    assert notebook.run("!env").stdout.count("s3cret") == 0


def test_a_variable_that_is_named_passes(start: Start) -> None:
    notebook = start(variables=SECRETS, env=["MY_SECRET", "MY_OWN=value"])
    seen = notebook.value("dict(__import__('os').environ)")
    assert (seen["MY_SECRET"], seen["MY_OWN"]) == ("s3cret", "value")
    assert "JUPYTER_TOKEN" not in seen


def test_variables_that_the_kernelspec_sets_pass(start: Start, spec: Callable[..., str]) -> None:
    name = spec({}, env={"FROM_SPEC": "value", "NOT_HERE": "${MY_SECRET}"})
    seen = start(name, variables=SECRETS).value("dict(__import__('os').environ)")
    assert (seen["FROM_SPEC"], seen["NOT_HERE"]) == ("value", "s3cret")


def test_a_kernel_starts_in_the_notebooks_folder(start: Start, tmp_path: Path) -> None:
    assert start(cwd=tmp_path).run("import os; print(os.getcwd())").stdout == str(tmp_path)

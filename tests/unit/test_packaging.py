"""The wheel holds what an installation needs, and is refused while a kernelspec is wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest
import uv
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_server.extension.config import ExtensionConfigManager

from py_code_mode_jupyter import __version__

ROOT = Path(__file__).parents[2]
SOURCES = (
    "docker",
    "LICENSE",
    "README.md",
    "hatch_build.py",
    "kernelspecs",
    "jupyter-config",
    "labextension",
    "py_code_mode_jupyter",
    "pyproject.toml",
)
LEFT_OUT = shutil.ignore_patterns("__pycache__", "build-extra", "node_modules", "lib")
EXTENSION = "share/jupyter/labextensions/py-code-mode-jupyter"
NEEDED_OF_SYSTEM = ("sh", "tar")
LONG = 300  # seconds: packages may come from the network


@pytest.fixture(scope="module")
def built() -> None:
    """The extension as its sources are now, built once for all copies."""
    subprocess.run([sys.executable, "hatch_build.py"], cwd=ROOT, timeout=LONG, check=True)


@pytest.fixture
def project(tmp_path: Path, built: None) -> Path:
    """Return a copy of the project's sources, which a test may break."""
    copy = tmp_path / "project"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=LEFT_OUT)
        else:
            shutil.copy(source, copy / name)
    return copy


def build(project: Path, kind: str = "wheel") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(project / "dist")]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name.partition(".data/data/")[2] or name for name in archive.namelist()}


def assert_it_is_complete(wheel: Path) -> None:
    """It holds the package, the kernelspecs, the server's configuration and the extension, each once."""
    names = names_in(wheel)
    kernels = {f"share/jupyter/kernels/pcm-{place}" for place in ("in-process", "venv", "container")}
    files = ("kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg")
    assert {f"{kernel}/{file}" for kernel in kernels for file in files} <= names
    assert "etc/jupyter/jupyter_server_config.d/py_code_mode_jupyter.json" in names
    assert {f"{EXTENSION}/{file}" for file in ("package.json", "install.json", "static/style.js")} <= names
    assert [name for name in names if re.match(rf"{EXTENSION}/static/remoteEntry\..*js", name)]
    assert {"py_code_mode_jupyter/py.typed", "py_code_mode_jupyter/errors.py"} <= names
    assert {f"py_code_mode_jupyter/docker/{path.name}" for path in (ROOT / "docker").glob("*.*")} <= names
    others = ("tests/", "examples/", "docs/", "labextension/", "py_code_mode_jupyter/labextension/")
    assert not [name for name in names if name.startswith(others)]


def test_the_wheel_holds_package_kernelspecs_extension_and_entry_point(project: Path) -> None:
    done = build(project)
    assert done.returncode == 0, done.stderr
    [wheel] = (project / "dist").glob("*.whl")
    assert_it_is_complete(wheel)
    with zipfile.ZipFile(wheel) as archive:
        [declared] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert b"pcm-venv-provisioner = py_code_mode_jupyter.provisioners.venv:" in archive.read(declared)


@pytest.fixture
def no_node(tmp_path: Path) -> dict[str, str]:
    """An environment in which no program is found but the few that any system has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NEEDED_OF_SYSTEM:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return os.environ | {"PATH": str(folder)}


def run_uv(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [uv.find_uv_bin(), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.alone
@pytest.mark.timeout(2 * LONG)
@pytest.mark.needs("network")
def test_a_checkout_without_node_builds_the_extension_with_the_one_of_pypi(
    project: Path, no_node: dict[str, str]
) -> None:
    shutil.rmtree(project / "py_code_mode_jupyter" / "labextension")
    # npm's packages are taken from where they were installed: that costs most, and needs no other Node.js.
    (project / "labextension" / "node_modules").symlink_to(ROOT / "labextension" / "node_modules")
    done = run_uv("build", "--wheel", "--python", sys.executable, str(project), env=no_node)
    assert "Rspack" in done.stdout + done.stderr
    [wheel] = (project / "dist").glob("*.whl")
    assert_it_is_complete(wheel)


@pytest.mark.alone
@pytest.mark.timeout(2 * LONG)
@pytest.mark.needs("network")
def test_the_sdist_needs_no_node_and_a_new_environment_with_its_wheel_has_everything(
    project: Path, no_node: dict[str, str], tmp_path: Path
) -> None:
    assert build(project, "sdist").returncode == 0
    [sdist] = (project / "dist").glob("*.tar.gz")
    done = run_uv("build", "--wheel", "--python", sys.executable, str(sdist), env=no_node)
    assert "Rspack" not in done.stdout + done.stderr
    [wheel] = (project / "dist").glob("*.whl")
    assert_it_is_complete(wheel)
    environment = tmp_path / "new"
    run_uv("venv", "--python", sys.executable, str(environment))
    run_uv("pip", "install", "--python", str(environment), str(wheel), "jupyterlab>=4.4,<5")
    assert re.search(r"py-code-mode-jupyter v\S+ enabled OK", jupyter(environment, "labextension", "list"))
    assert "pcm-container" in jupyter(environment, "kernelspec", "list")
    assert "rror" not in jupyter(environment, "server", "extension", "list")


def jupyter(environment: Path, *arguments: str) -> str:
    """Return what a command of Jupyter's says in an environment, without its colours."""
    command = [str(environment / "bin" / "jupyter"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return re.sub(r"\x1b\[\d*m", "", done.stdout + done.stderr)


def test_the_extension_is_built_anew_only_when_a_source_is_newer(project: Path) -> None:
    sys.path.insert(0, str(ROOT))
    try:
        from hatch_build import Extension
    finally:
        sys.path.remove(str(ROOT))
    assert not Extension(project).is_stale
    newer = project / "labextension" / "src" / "index.ts"
    later = (project / "py_code_mode_jupyter" / "labextension" / "package.json").stat().st_mtime + 1
    os.utime(newer, (later, later))
    assert Extension(project).is_stale
    (project / "PKG-INFO").touch()
    assert not Extension(project).is_stale, "an unpacked sdist has no order of times"


def test_the_lock_of_the_extension_names_versions_and_no_addresses() -> None:
    lock = (ROOT / "labextension" / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock
    assert re.findall(r"\w+://[^\"]*", lock) == [], "npm run lock writes one without"


def test_the_extension_has_the_version_of_the_package() -> None:
    package = json.loads((ROOT / "labextension" / "package.json").read_text("utf-8"))
    assert package["version"] == __version__


def edit_kernel_json(project: Path, **changes: object) -> None:
    path = project / "kernelspecs" / "pcm-venv" / "kernel.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def test_a_kernelspec_whose_provisioner_is_no_entry_point_is_refused(project: Path) -> None:
    edit_kernel_json(project, metadata={"kernel_provisioner": {"provisioner_name": "pcm-nowhere"}})
    done = build(project)
    assert done.returncode != 0
    assert "kernelspecs/pcm-venv: provisioner 'pcm-nowhere' is no entry point" in done.stderr


def test_a_kernelspec_without_connection_file_is_refused(project: Path) -> None:
    edit_kernel_json(project, argv=["python", "-m", "py_code_mode_jupyter.sandbox.fallback"])
    assert "argv must begin with python -m" in build(project).stderr


def test_a_missing_or_wrong_logo_is_refused(project: Path) -> None:
    spec = project / "kernelspecs" / "pcm-venv"
    shutil.copy(spec / "logo-32x32.png", spec / "logo-64x64.png")
    (spec / "logo-32x32.png").unlink()
    done = build(project)
    assert "logo-32x32.png is missing" in done.stderr
    assert "logo-64x64.png is not 64 pixels wide and high" in done.stderr


def test_a_kernelspec_that_the_wheel_would_leave_out_is_refused(project: Path) -> None:
    shutil.copytree(project / "kernelspecs" / "pcm-venv", project / "kernelspecs" / "pcm-other")
    assert "kernelspecs/pcm-other: the wheel's shared-data" in build(project).stderr


@pytest.fixture
def installed() -> KernelSpec:
    return KernelSpecManager().get_kernel_spec("pcm-venv")


def test_jupyter_finds_the_kernelspec_of_this_installation(installed: KernelSpec) -> None:
    assert installed.display_name == "Python (isolated venv)"
    assert Path(installed.resource_dir).is_relative_to(sys.prefix)
    assert installed.interrupt_mode == "signal"


def test_the_provisioner_and_the_argv_of_the_kernelspec_can_be_loaded(installed: KernelSpec) -> None:
    name = installed.metadata["kernel_provisioner"]["provisioner_name"]
    [provisioner] = entry_points(group="jupyter_client.kernel_provisioners", name=name)
    assert provisioner.load().__name__ == "VenvProvisioner"
    module = installed.argv[installed.argv.index("-m") + 1]
    assert (ROOT / Path(*module.split("."))).with_suffix(".py").is_file()


def test_installing_enables_nothing_in_jupyter_server_that_is_not_there() -> None:
    manager = ExtensionConfigManager(read_config_path=[str(Path(sys.prefix, "etc", "jupyter"))])
    assert (Path(sys.prefix) / "etc/jupyter/jupyter_server_config.d/py_code_mode_jupyter.json").is_file()
    ours = [name for name in manager.get_jpserver_extensions() if name.startswith("py_code_mode_jupyter")]
    assert [name for name in ours if find_spec(name) is None] == []

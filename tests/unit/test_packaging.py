"""The wheel holds what an installation needs, and is refused while a kernelspec is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_server.extension.config import ExtensionConfigManager

ROOT = Path(__file__).parents[2]
SOURCES = (
    "docker",
    "LICENSE",
    "README.md",
    "hatch_build.py",
    "kernelspecs",
    "jupyter-config",
    "py_code_mode_jupyter",
    "pyproject.toml",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the project's sources, which a test may break."""
    copy = tmp_path / "project"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "build-extra"))
        else:
            shutil.copy(source, copy / name)
    return copy


def build(project: Path, kind: str = "wheel") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(project / "dist")]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)


def test_the_wheel_holds_package_kernelspec_and_entry_point(project: Path) -> None:
    done = build(project)
    assert done.returncode == 0, done.stderr
    [wheel] = (project / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition(".data/data/")[2] or name for name in archive.namelist()}
        [declared] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert b"pcm-venv-provisioner = py_code_mode_jupyter.provisioners.venv:" in archive.read(declared)
    kernel = "share/jupyter/kernels/pcm-venv"
    assert {f"{kernel}/{file}" for file in ("kernel.json", "logo-32x32.png", "logo-svg.svg")} <= names
    assert "etc/jupyter/jupyter_server_config.d/py_code_mode_jupyter.json" in names
    assert {"py_code_mode_jupyter/py.typed", "py_code_mode_jupyter/errors.py"} <= names
    assert {f"py_code_mode_jupyter/docker/{path.name}" for path in (ROOT / "docker").glob("*.*")} <= names
    assert not [name for name in names if name.startswith(("tests/", "examples/", "docs/"))]


def test_the_sdist_builds_the_wheel(project: Path, tmp_path: Path) -> None:
    assert build(project, "sdist").returncode == 0
    [sdist] = (project / "dist").glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", str(sdist), "-C", str(tmp_path)], timeout=60, check=True)
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    done = build(unpacked)
    assert done.returncode == 0, done.stderr


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

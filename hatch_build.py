"""The build hook: no wheel leaves with a kernelspec that Jupyter could not start or show.

A wrong kernelspec is noticed by nobody until a person picks it in the launcher, so each is checked
against the rest of the package whenever a wheel (an editable one as well) is built.
"""

from __future__ import annotations

import json
import struct
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


class KernelspecCheck(BuildHookInterface[Any]):
    """Refuses to build a wheel while a kernelspec is wrong; hatchling calls `initialize`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Check every kernelspec, and take the Dockerfiles along where the checkout is not at hand."""
        if version == "standard":
            build_data["force_include"].update(
                {f"docker/{name}": f"py_code_mode_jupyter/docker/{name}" for name in DOCKER_FILES}
            )
        shared: Mapping[str, str] = self.build_config.target_config.get("shared-data", {})
        provisioners = self.metadata.core.entry_points.get(GROUP, {})
        problems = [
            f"kernelspecs/{spec.name}: {problem}"
            for spec in sorted(Path(self.root, "kernelspecs").iterdir())
            for problem in find_problems(spec, provisioners, shared)
        ]
        if problems:
            raise ValueError("kernelspecs that would not work:\n" + "\n".join(problems))


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

"""What an installation can do on this machine, what is wrong with it, and how to mend it. It blocks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any, final

from .environments.container import images, reaper
from .environments.container.engine import Engine
from .environments.uv import find_uv
from .environments.venv.environment import can_confine
from .errors import CodeModeError

_GROUP = "jupyter_client.kernel_provisioners"
KERNELS = ("pcm-in-process", "pcm-venv", "pcm-container")
_LIMITS = {"MemoryLimit": "memory", "SwapLimit": "swap", "PidsLimit": "processes", "CpuCfsQuota": "CPU time"}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name
        What was looked at.
    is_good
        Whether it is as it should be.
    detail
        What was found.
    remedy
        What to do about it; empty if nothing is needed.
    """

    name: str
    is_good: bool
    detail: str
    remedy: str = ""


def examine(docker_host: str | None = None) -> Iterator[Finding]:
    """Yield what is found, one thing after the other.

    Parameters
    ----------
    docker_host
        Address of the container engine; None: the usual one.
    """
    yield _installer()
    yield _confinement()
    for name in KERNELS:
        yield _kernel(name)
    try:
        with contextlib.closing(Engine(docker_host)) as engine:
            for look in (_engine, _limits, _image(images.BASE), _orphans):
                yield look(engine)
    except CodeModeError as error:
        yield Finding(name="container engine", is_good=False, detail=error.message, remedy=error.remedy)


def _installer() -> Finding:
    try:
        return Finding(name="installer uv", is_good=True, detail=find_uv())
    except CodeModeError as error:
        return Finding(name="installer uv", is_good=False, detail=error.message, remedy=error.remedy)


def _confinement() -> Finding:
    found = can_confine()
    detail = "Landlock can confine what an isolated environment writes" if found else "there is no Landlock"
    remedy = (
        "" if found else "Use Linux 5.13 or newer with Landlock, or the container, where a lock has to hold."
    )
    return Finding(name="confinement", is_good=found, detail=detail, remedy=remedy)


def _kernel(name: str) -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    title = f"kernel {name}"
    again = "Install the package again, in the environment that Jupyter runs in."
    try:
        spec = KernelSpecManager().get_kernel_spec(name)
        provisioner = spec.metadata["kernel_provisioner"]["provisioner_name"]
        [entry] = metadata.entry_points(group=_GROUP, name=provisioner)
        entry.load()
    except NoSuchKernel:
        return Finding(name=title, is_good=False, detail="Jupyter does not find it", remedy=again)
    except (KeyError, ValueError, ImportError, json.JSONDecodeError) as error:
        return Finding(name=title, is_good=False, detail=f"it cannot be started: {error}", remedy=again)
    return Finding(name=title, is_good=True, detail=str(spec.resource_dir))


def _engine(engine: Engine) -> Finding:
    about: dict[str, Any] = engine.version()
    return Finding(
        name="container engine", is_good=True, detail=f"{about['Version']}, API {about['ApiVersion']}"
    )


def _limits(engine: Engine) -> Finding:
    about = engine.info()
    missing = [name for key, name in _LIMITS.items() if not about.get(key)]
    detail = f"no limit of {', '.join(missing)} is kept" if missing else "memory, swap, processes, CPU time"
    remedy = "Enable the control groups that are missing on the engine's machine." if missing else ""
    return Finding(name="limits", is_good=not missing, detail=detail, remedy=remedy)


def _image(name: str) -> Callable[[Engine], Finding]:
    def look(engine: Engine) -> Finding:
        try:
            about = images.check_image(engine, name)
            images.check_content(name, images.content_of(engine, name, about["Config"]["Labels"]))
        except CodeModeError as error:
            return Finding(name=f"image {name}", is_good=False, detail=error.message, remedy=error.remedy)
        size = about["Size"] / 2**20
        return Finding(name=f"image {name}", is_good=True, detail=f"{about['Id'][7:19]}, {size:.0f} MiB")

    return look


def _orphans(engine: Engine) -> Finding:
    number = len(reaper.orphans(engine))
    detail = f"{number} whose makers have ended" if number else "none is left over"
    remedy = "Remove them: jupyter pcm reap." if number else ""
    return Finding(name="containers", is_good=not number, detail=detail, remedy=remedy)

"""The three places: whether a kernel can be started in each now, and what to do if not."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, cast, final

from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from traitlets import TraitError

from ...environments.notebook import NotebookSettings, parse_settings
from ...errors import CodeModeError, ConfigurationError, ExecutorStartError, RequestRefusedError
from ...provisioners.observed import Limits, Observed

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

_KERNELS = {"in-process": "pcm-in-process", "venv": "pcm-venv", "container": "pcm-container"}
_CURRENT = 10.0
"""Seconds for which a look at the places counts."""
_AGAIN = "Install the package again, in the environment that Jupyter runs in."
Described = dict[str, Any]


class OffLoop(Protocol):
    """Runs blocking work in a thread."""

    def __call__(self, work: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        """Return what `work` returns."""


@final
class Places:
    """The places of one server, as its administrator configured them."""

    def __init__(self, server: ServerApp, off_loop: OffLoop) -> None:
        self._server = server
        self._off_loop = off_loop
        self._lock = asyncio.Lock()
        self._found: list[Described] = []
        self._found_at = -_CURRENT

    async def all(self, *, refresh: bool = False) -> list[Described]:
        """Describe all places; a look counts for some seconds, unless `refresh` asks for another."""
        async with self._lock:
            if refresh or time.monotonic() - self._found_at > _CURRENT:
                looks = (self._off_loop(self._describe, place) for place in _KERNELS)
                self._found = list(await asyncio.gather(*looks))
                self._found_at = time.monotonic()
            return self._found

    async def check(self, kernel_name: object, settings: object) -> Described:
        """Say whether a kernel would start with a notebook's settings.

        Raises
        ------
        RequestRefusedError
            There is no such kernel of ours.
        """
        if kernel_name not in _KERNELS.values():
            raise RequestRefusedError(
                400,
                "InvalidRequest",
                f"{str(kernel_name)[:64]!r} is not one of Code Mode's kernels.",
                remedy=f"There are {', '.join(_KERNELS.values())}.",
            )
        return cast("Described", await self._off_loop(self._check, str(kernel_name), settings))

    def _check(self, kernel_name: str, settings: object) -> Described:
        provisioner = self.provisioner(kernel_name)
        allowed = dataclasses.asdict(provisioner.limits_with(NotebookSettings()))
        problems: list[Described] = []
        effective = None
        try:
            effective = dataclasses.asdict(provisioner.limits_with(parse_settings(settings)))
        except ConfigurationError as error:
            problems.append({"field": error.field, "message": error.message, "remedy": error.remedy})
        return {
            "is_valid": not problems,
            "problems": problems,
            "effective": effective,
            "allowed": allowed,
        }

    def provisioner(self, kernel_name: str) -> Observed:
        """Return a provisioner that is configured as one that would start a kernel. It starts nothing.

        Raises
        ------
        ExecutorStartError
            There is no such kernel, or it is configured wrongly.
        """
        manager: Any = self._server.kernel_manager
        specs: Any = self._server.kernel_spec_manager
        factory = KernelProvisionerFactory.instance(parent=manager.parent)
        try:
            spec = specs.get_kernel_spec(kernel_name)
            made = factory.create_provisioner_instance("none", spec, manager)
        except NoSuchKernel:
            raise ExecutorStartError(f"Jupyter finds no kernel {kernel_name}.", remedy=_AGAIN) from None
        except (TraitError, ImportError, KeyError) as error:
            raise ExecutorStartError(f"The kernel cannot be made: {error}", remedy=_AGAIN) from error
        if not isinstance(made, Observed):
            raise ExecutorStartError(f"{kernel_name} is started by somebody else.", remedy=_AGAIN)
        return made

    def _describe(self, place: str) -> Described:
        name = _KERNELS[place]
        found: Described = {
            "name": place,
            "kernel_name": name,
            "display_name": name,
            "is_available": False,
            "message": "",
            "remedy": "",
            "limits": dataclasses.asdict(Limits()),
            "settable": [],
            "engine": None,
            "image": None,
        }
        try:
            provisioner = self.provisioner(name)
            found["display_name"] = str(cast("Any", provisioner).kernel_spec.display_name)
            found["settable"] = list(provisioner.settable)
            found["limits"] = dataclasses.asdict(provisioner.limits_with(NotebookSettings()))
            _look(provisioner, found)
            found["is_available"] = True
        except CodeModeError as error:
            found |= {"message": error.message, "remedy": error.remedy}
        return found | {"checked": datetime.now(UTC).isoformat()}


def _look(provisioner: Any, found: Described) -> None:
    """Add what else is known of a place; raise why no kernel can be started there."""
    if provisioner.fault is not None:
        raise provisioner.fault
    if provisioner.place_name == "in-process" and provisioner.refusal:
        raise ExecutorStartError(provisioner.refusal, remedy="Choose another kernel.")
    if provisioner.place_name == "venv":
        from ...environments.uv import find_uv

        find_uv()
    elif provisioner.place_name == "container":
        _look_at_engine(provisioner.docker_host or None, provisioner.image, found)


def _look_at_engine(docker_host: str | None, name: str, found: Described) -> None:
    from ...environments.container import images
    from ...environments.container.engine import Engine

    with contextlib.closing(Engine(docker_host)) as engine:
        about = engine.version()
        found["engine"] = {"version": str(about["Version"]), "api_version": str(about["ApiVersion"])}
        image = images.check_image(engine, name)
        found["image"] = {"name": name, "id": str(image["Id"])[7:19], "size": int(image["Size"])}
        images.check_content(name, images.content_of(engine, name, image["Config"]["Labels"]))

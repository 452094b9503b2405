"""Packages of a container: installed on the host's side and handed in. It blocks.

The container may have no network, and no installer runs in it.
"""

from __future__ import annotations

import functools
import tempfile
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from packaging.utils import canonicalize_name

from ...dependency import Dependency, parse_dependency
from ...errors import DependencyInstallError, ExecutorError, VenvError
from ..uv import Installer, Outcome
from . import images

if TYPE_CHECKING:
    from .engine import Engine
    from .environment import ContainerEnvironment

_TIMEOUT = 600.0


@final
class ContainerSite:
    """A `Site` in a container.

    Parameters
    ----------
    environment
        The container's environment.
    """

    def __init__(self, environment: ContainerEnvironment) -> None:
        self._environment = environment
        self._config = environment.config
        self._lock = threading.Lock()
        self._installer = Installer()
        environment.on_close.append(self._installer.stop)

    def has(self, wanted: Dependency) -> bool:
        """Return whether a package of this version is there."""
        if self._environment.is_layered(str(wanted)):
            return True
        version = installed(self._environment).get(wanted.name)
        return version is not None and not wanted.extras and wanted.admits(version)

    def install(self, specs: Sequence[str], *, wheels_only: bool) -> Outcome:
        """Install packages; none is ever built."""
        text = ", ".join(specs)
        if not self._config.allow_runtime_deps:
            raise VenvError(
                f"{text} cannot be added to a container that runs and is locked.",
                remedy="Name it in the configuration's deps.",
            )
        if self._config.network_disabled and self._config.wheelhouse is None:
            raise VenvError(
                f"{text} cannot be fetched: the container has no network, and no wheelhouse.",
                remedy="Give the configuration a wheelhouse, which is a folder of wheels, or deps.",
            )
        # One after the other: what is installed bounds what is installed next.
        with self._lock, tempfile.TemporaryDirectory(prefix="pcm-packages-") as folder:
            container = self._environment.container
            outcome = install_beside(self._environment, Path(folder), specs, self._installer)
            if outcome.ok:
                if self._environment.container != container:
                    raise VenvError(f"The container has gone before {text} was there.", remedy="Try again.")
                self._hand_in(Path(folder))
                if not self._config.fresh_per_run:
                    self._environment.keep(specs)
            return outcome

    def _hand_in(self, folder: Path) -> None:
        transfer = uuid.uuid4().hex
        try:
            for data in images.pack(folder):
                self._environment.ask("unpack", data, timeout=_TIMEOUT, transfer=transfer, is_last=False)
            self._environment.ask("unpack", timeout=_TIMEOUT, transfer=transfer, is_last=True)
        except ExecutorError as error:
            raise VenvError(
                f"The packages could not be unpacked in the container: {error}.",
                remedy="Perhaps disk_limit or memory_limit is too small for them.",
            ) from error

    def uninstall(self, name: str) -> Outcome:
        """Remove a package that was added; one of the image's stays."""
        try:
            with self._lock:
                self._environment.ask("remove", name=name)
        except ExecutorError as error:
            return Outcome(False, "", f"error: {error}")
        self._environment.added.pop(name, None)
        return Outcome(True, "", "")


def installed(environment: ContainerEnvironment) -> dict[str, str]:
    """Return the versions of the packages that the container says it has, by name.

    Raises
    ------
    VenvError
        It does not say.
    """
    try:
        told = environment.ask("packages")[0].get("packages")
    except ExecutorError as error:
        raise VenvError(f"The container does not say what it holds: {error}") from error
    found = told if isinstance(told, dict) else {}
    return {canonicalize_name(str(name)): str(version) for name, version in found.items()}


def install_beside(
    environment: ContainerEnvironment, folder: Path, specs: Sequence[str], installer: Installer
) -> Outcome:
    """Install packages into `folder` that go with what the container has."""
    wanted = {parse_dependency(spec).name for spec in specs}
    wheelhouse = environment.config.wheelhouse
    return images.install_for(
        folder,
        specs,
        environment.measured,
        wheelhouse=Path(wheelhouse) if wheelhouse is not None else None,
        constraints={name: v for name, v in installed(environment).items() if name not in wanted},
        run=functools.partial(installer.run, timeout=_TIMEOUT),
    )


def make_layer(
    environment: ContainerEnvironment, engine: Engine, about: dict[str, Any], specs: Sequence[str]
) -> str:
    """Return the name of an image with packages added to that of `about`, making it if it is missing.

    Parameters
    ----------
    environment
        A container of that image, which says what it has.

    Raises
    ------
    DependencyInstallError
        They could not be installed.
    """
    wheelhouse = environment.config.wheelhouse
    name = images.layer_name(about["Id"], specs, Path(wheelhouse) if wheelhouse is not None else None)
    if engine.has_image(name):
        return name
    with tempfile.TemporaryDirectory(prefix="pcm-packages-") as folder:
        installer = Installer()
        environment.on_close.append(installer.stop)
        outcome = install_beside(environment, Path(folder), specs, installer)
        if not outcome.ok:
            text = ", ".join(specs)
            message = f"{text} could not be installed."
            remedy = "Check the name and the version; only packages that need no building can be added."
            raise DependencyInstallError(text, message, log=outcome.log, remedy=remedy)
        images.add_layer(engine, about["Id"], Path(folder), name)
    return name

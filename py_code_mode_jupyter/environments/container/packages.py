"""Packages of a container: installed on the host's side and handed in. It blocks.

The container may have no network, and no installer runs in it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from packaging.utils import canonicalize_name

from ...dependency import Dependency, parse_dependency
from ...errors import DependencyInstallError, ExecutorError, VenvError
from ..uv import Outcome
from . import images

if TYPE_CHECKING:
    from ...config import ContainerConfig
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

    def has(self, wanted: Dependency) -> bool:
        """Return whether a package of this version is there."""
        version = self._installed().get(wanted.name)
        return version is not None and not wanted.extras and wanted.admits(version)

    def _installed(self) -> dict[str, str]:
        try:
            told = self._environment.ask("packages")[0].get("packages")
        except ExecutorError as error:
            raise VenvError(f"The container does not say what it holds: {error}") from error
        found = told if isinstance(told, dict) else {}
        return {canonicalize_name(str(name)): str(version) for name, version in found.items()}

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
        with tempfile.TemporaryDirectory(prefix="pcm-packages-") as folder:
            outcome = self._install_into(Path(folder), specs)
            if outcome.ok:
                self._hand_in(Path(folder))
            return outcome

    def _install_into(self, folder: Path, specs: Sequence[str]) -> Outcome:
        wanted = {parse_dependency(spec).name for spec in specs}
        kept = {name: version for name, version in self._installed().items() if name not in wanted}
        return images.install_for(
            folder,
            specs,
            self._environment.measured,
            wheelhouse=Path(self._config.wheelhouse) if self._config.wheelhouse is not None else None,
            constraints=kept,
            timeout=_TIMEOUT,
        )

    def _hand_in(self, folder: Path) -> None:
        try:
            for data in images.pack(folder):
                self._environment.ask("unpack", data, timeout=_TIMEOUT, is_last=False)
            self._environment.ask("unpack", timeout=_TIMEOUT, is_last=True)
        except ExecutorError as error:
            raise VenvError(
                f"The packages could not be unpacked in the container: {error}.",
                remedy="Perhaps disk_limit or memory_limit is too small for them.",
            ) from error

    def uninstall(self, name: str) -> Outcome:
        """Remove a package that was added; one of the image's stays."""
        try:
            self._environment.ask("remove", name=name)
        except ExecutorError as error:
            return Outcome(False, "", f"error: {error}")
        return Outcome(True, "", "")


def make_layer(
    engine: Engine,
    config: ContainerConfig,
    about: dict[str, Any],
    measured: dict[str, Any],
    specs: Sequence[str],
) -> str:
    """Return the name of an image with packages added to that of `about`, making it if it is missing.

    Raises
    ------
    DependencyInstallError
        They could not be installed.
    """
    wheelhouse = Path(config.wheelhouse) if config.wheelhouse is not None else None
    name = images.layer_name(about["Id"], specs, wheelhouse)
    if engine.has_image(name):
        return name
    with tempfile.TemporaryDirectory(prefix="pcm-packages-") as folder:
        outcome = images.install_for(
            Path(folder), specs, measured, wheelhouse=wheelhouse, constraints={}, timeout=_TIMEOUT
        )
        if not outcome.ok:
            text = ", ".join(specs)
            message = f"{text} could not be installed."
            remedy = "Check the name and the version; only packages that need no building can be added."
            raise DependencyInstallError(text, message, log=outcome.log, remedy=remedy)
        images.add_layer(engine, about["Id"], Path(folder), name)
    return name

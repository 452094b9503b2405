"""The kernel provisioner of the container: it makes "Python (container)" a kernel like any other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from traitlets import Bool, Float, Int, List, Unicode

from ..config import ContainerConfig
from ..environments.container.environment import ContainerEnvironment
from ..environments.container.packages import ContainerSite
from ..environments.container.tightening import fitted
from ..environments.personal import personal_broker
from .isolated import IsolatedProvisioner
from .observed import Limits

if TYPE_CHECKING:
    from ..environments.notebook import NotebookSettings

_PERIOD = 100_000  # microseconds, in which a CPU quota is counted


class ContainerProvisioner(IsolatedProvisioner[ContainerEnvironment]):
    """Starts a kernel in a container of its own, with a random token that nobody else knows.

    Everything can be set in Jupyter's configuration (``c.ContainerProvisioner...``) or in the
    kernelspec's ``metadata.kernel_provisioner.config``. A notebook may ask in its own metadata, under
    ``pcm``, for tighter limits, and for nothing else.
    """

    image = Unicode("py-code-mode:base", help="Image to run; see `jupyter pcm image`.").tag(config=True)
    allow_runtime_deps = Bool(False, help="Whether packages may be added to a running kernel.").tag(
        config=True
    )
    deps = List(Unicode(), help="Packages to install before a kernel starts.").tag(config=True)
    env = List(Unicode(), help="Variables to pass on ('NAME') or to set ('NAME=value').").tag(config=True)
    network_disabled = Bool(False, help="Let the container have no network.").tag(config=True)
    memory_limit = Unicode("512m", help="Memory of the container, its files included.").tag(config=True)
    cpu_quota = Int(None, allow_none=True, help="Microseconds of CPU time per 100 ms; None: no limit.").tag(
        config=True
    )
    disk_limit = Unicode("256m", help="What the code may write in all.").tag(config=True)
    pids_limit = Int(256, help="How many processes and threads there may be.").tag(config=True)
    docker_host = Unicode("", help="Address of the engine; empty: what Docker's variables say.").tag(
        config=True
    )
    runtime = Unicode("", help="Runtime of the engine, such as 'runsc'; empty: its default.").tag(config=True)
    wheelhouse = Unicode("", help="Folder of wheels to install from; empty: an index.").tag(config=True)
    filter_output = Bool(True, help="Make what code shows harmless before a page shows it.").tag(config=True)
    extra_mime_types = List(
        Unicode(), help="MIME types that pass as they are, though the page may run what is in them."
    ).tag(config=True)
    startup_timeout = Float(60.0, help="Seconds that a start may take.").tag(config=True)
    storage_root = Unicode("", help="Storage folder; empty: 'pcm' in Jupyter's data folder.").tag(config=True)

    with_storage = Bool(
        True,
        help="Whether the code may use the user's storage, which other kernels use as well.",
    ).tag(config=True)

    notebook_deps = List(
        Unicode(),
        help="Names of packages that a notebook may ask for in its metadata; '*': any. Those in deps it"
        " has anyway.",
    ).tag(config=True)

    headline = "The container could not be started, so nothing is run."
    place_name = "container"
    settable = ("memory", "network", "dependencies", "timeout", "container")

    async def _make(self, environ: Mapping[str, str], settings: NotebookSettings) -> ContainerEnvironment:
        config = fitted(self._config(), settings, self.notebook_deps)
        environment = ContainerEnvironment(config, extra_mime_types=self.extra_mime_types)
        environment.broker = personal_broker(
            environ,
            self.storage_root,
            ContainerSite(environment),
            place="container",
            allowed=config.allow_runtime_deps,
            wheels_only=True,
            with_storage=self.with_storage,
        )
        return environment

    def _config(self) -> ContainerConfig:
        return ContainerConfig(
            auth_token=secrets.token_urlsafe(32),
            allow_runtime_deps=self.allow_runtime_deps,
            deps=tuple(self.deps),
            env=(*self.kernel_spec.env, *self.env),
            network_disabled=self.network_disabled,
            memory_limit=self.memory_limit,
            cpu_quota=self.cpu_quota,
            disk_limit=self.disk_limit,
            pids_limit=self.pids_limit,
            image=self.image,
            docker_host=self.docker_host or None,
            runtime=self.runtime or None,
            wheelhouse=self.wheelhouse or None,
            filter_output=self.filter_output,
            startup_timeout=self.startup_timeout,
        )

    async def _begin(self, environment: ContainerEnvironment, environ: Mapping[str, str]) -> None:
        await environment.start(connection=dict(self.connection_info), environ=environ)
        if environment.config.deps and environment.broker is not None:
            await asyncio.to_thread(environment.broker.deps.install, environment.config.deps)

    def limits_with(self, settings: NotebookSettings) -> Limits:
        """Return the limits of a container whose notebook asks for these settings."""
        config = fitted(self._config(), settings, self.notebook_deps)
        return Limits(
            memory=int(config.memory_limit),
            cpu=config.cpu_quota / _PERIOD if config.cpu_quota is not None else None,
            disk=int(config.disk_limit),
            processes=config.pids_limit,
            network=not config.network_disabled,
            timeout=settings.timeout,
        )

    def resolve_path(self, path: str) -> str | None:
        """Return nothing: the container's files are not ours."""
        return None

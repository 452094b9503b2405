"""The kernel provisioner of the isolated venv: it makes "Python (isolated venv)" a kernel like any other."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from traitlets import Bool, Float, List, Unicode

from ..config import SubprocessConfig
from ..environments.notebook import not_here, packages_for, tighter_memory
from ..environments.personal import personal_broker, personal_variables
from ..environments.venv.environment import VenvEnvironment, cache_folder
from .isolated import IsolatedProvisioner
from .observed import Limits

if TYPE_CHECKING:
    from ..environments.notebook import NotebookSettings


class VenvProvisioner(IsolatedProvisioner[VenvEnvironment]):
    """Starts a kernel in a fresh virtual environment of its own.

    Where that fails it starts a kernel that explains in the notebook what went wrong; restarting
    that kernel tries again. Everything can be set in Jupyter's configuration
    (``c.VenvProvisioner...``) or in the kernelspec's ``metadata.kernel_provisioner.config``.
    """

    python_version = Unicode("", help="Python version such as '3.12'; empty: that of Jupyter.").tag(
        config=True
    )
    allow_runtime_deps = Bool(True, help="Whether packages may be added to a running kernel.").tag(
        config=True
    )
    deps = List(Unicode(), help="Packages to install when a kernel starts.").tag(config=True)
    env = List(Unicode(), help="Variables to pass on ('NAME') or to set ('NAME=value').").tag(config=True)
    memory_limit = Unicode("", help="Memory of each process, such as '2g'; empty: no limit.").tag(config=True)
    venv_dir = Unicode("", help="Folder to make environments in; empty: the temporary folder.").tag(
        config=True
    )
    confine_writes = Bool(
        None, allow_none=True, help="Let code write in its own folders only; None: where packages are locked."
    ).tag(config=True)
    writable_paths = List(Unicode(), help="Folders that confined code may write besides.").tag(config=True)
    startup_timeout = Float(120.0, help="Seconds that a start may take.").tag(config=True)
    storage_root = Unicode("", help="Storage folder; empty: 'pcm' in Jupyter's data folder.").tag(config=True)

    notebook_deps = List(
        Unicode(),
        help="Names of packages that a notebook may ask for in its metadata; '*': any. Installing one may"
        " run its code, before a cell is run. Those in deps it has anyway.",
    ).tag(config=True)

    headline = "The isolated environment could not be made, so nothing is run."
    place_name = "venv"
    settable = ("memory", "dependencies", "timeout")

    async def _make(self, environ: Mapping[str, str], settings: NotebookSettings) -> VenvEnvironment:
        config = self._fitted(environ, settings)
        environment = VenvEnvironment(config, cache=cache_folder())
        environment.broker = personal_broker(
            environ,
            self.storage_root,
            environment,
            place="venv",
            allowed=config.allow_runtime_deps,
            wheels_only=environment.confined,
        )
        return environment

    def _fitted(self, environ: Mapping[str, str], settings: NotebookSettings) -> SubprocessConfig:
        """Return the configuration with what a notebook asks for, which may be less and never more."""
        config = self._config(environ)
        if settings.network is False:
            raise not_here("network", settings.network, "an isolated venv")
        allowed = None if config.memory_limit is None else int(config.memory_limit)
        return dataclasses.replace(
            config,
            memory_limit=tighter_memory(allowed, settings.memory),
            deps=packages_for(config.deps, settings.dependencies, self.notebook_deps),
        )

    def limits_with(self, settings: NotebookSettings) -> Limits:
        """Return the limits of an environment whose notebook asks for these settings."""
        config = self._fitted(os.environ, settings)
        memory = None if config.memory_limit is None else int(config.memory_limit)
        return Limits(memory=memory, timeout=settings.timeout)

    def _config(self, environ: Mapping[str, str]) -> SubprocessConfig:
        # `environ` holds what the kernelspec sets; naming it lets it pass, as in any kernel.
        named = (*personal_variables(environ, self.storage_root), *self.kernel_spec.env, *self.env)
        return SubprocessConfig(
            python_version=self.python_version or None,
            allow_runtime_deps=self.allow_runtime_deps,
            deps=tuple(self.deps),
            env=named,
            memory_limit=self.memory_limit or None,
            venv_dir=self.venv_dir or None,
            confine_writes=self.confine_writes,
            writable_paths=tuple(self.writable_paths),
            startup_timeout=self.startup_timeout,
        )

    async def _begin(self, environment: VenvEnvironment, environ: Mapping[str, str]) -> None:
        await environment.start(connection=dict(self.connection_info), environ=environ, cwd=self._cwd)
        if environment.config.deps and environment.broker is not None:
            await asyncio.to_thread(environment.broker.deps.install, environment.config.deps)

    def resolve_path(self, path: str) -> str | None:
        """Return a path of the kernel's as one of ours: they share the file system."""
        full = self._cwd / Path(path).expanduser()
        return full.resolve().as_posix() if full.exists() else None

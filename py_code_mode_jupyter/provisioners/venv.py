"""The kernel provisioner of the isolated venv: what makes "Python (isolated venv)" a kernel like any other.

It is a thin adapter. `KernelManager` calls it, `VenvEnvironment` does the work; a timeout of a run
never applies to a kernel that a person drives.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Bool, Float, List, TraitError, Unicode
from traitlets.config import Config

from ..config import SubprocessConfig
from ..environments.fallback import ExplainingEnvironment
from ..environments.folder import OwnedFolder
from ..environments.personal import personal_broker, personal_variables
from ..environments.process import KernelProcess, ipc_connection
from ..environments.venv.environment import VenvEnvironment, cache_folder
from ..errors import CodeModeError, ConfigurationError, ExecutorStartError

if TYPE_CHECKING:
    from jupyter_client.connect import KernelConnectionInfo
    from jupyter_client.manager import KernelManager

_FROM_MANAGER = ("kernel_id", "kernel_spec", "parent")
_WHERE = "Correct the kernelspec's metadata.kernel_provisioner.config, or c.VenvProvisioner."
_RESTART = "Then restart the kernel."
# Jupyter reads a kernelspec when it starts a kernel, and its own configuration when it starts itself.
_START_ANEW = (
    "Then shut this kernel down and start a new one (after a change of Jupyter's configuration, Jupyter)."
)


class VenvProvisioner(KernelProvisionerBase):
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

    def __init__(self, **kwargs: Any) -> None:
        self._refusal = self._configure(kwargs)
        self._home: OwnedFolder | None = None
        self._environment: VenvEnvironment | None = None
        self._fallback: ExplainingEnvironment | None = None
        self._process: KernelProcess | None = None
        self._cwd: Path | None = None

    def _configure(self, given: dict[str, Any]) -> ExecutorStartError | None:
        """Take the settings; return what is wrong with them, for a server would only fail."""
        try:
            if unknown := sorted({*given} - {*self.trait_names()}):
                known = ", ".join(self.trait_names(config=True))
                raise TraitError(f"There is no setting {', '.join(unknown)}. There are: {known}.")
            super().__init__(**given)
        except TraitError as error:
            super().__init__(**{name: given[name] for name in _FROM_MANAGER}, config=Config())
            return ExecutorStartError(f"{error}", remedy=_WHERE)
        return None

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started and its end not yet waited for."""
        return self._process is not None

    # Starting

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Name a command, as `KernelManager.pre_start_kernel` wants; the environment has its own."""
        kwargs.pop("extra_arguments", None)
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel, or one that explains; called by `KernelManager.launch_kernel`."""
        environ: Mapping[str, str] = kwargs.get("env") or os.environ
        self._cwd = Path(kwargs.get("cwd") or Path.cwd())
        is_first = self._home is None
        try:
            await self._launch_or_explain(environ)
        except BaseException:
            # A manager forgets a start that failed or was cancelled, without asking us to clean up.
            if is_first:
                await asyncio.shield(self.cleanup())
            raise
        return self.connection_info.copy()

    async def _launch_or_explain(self, environ: Mapping[str, str]) -> None:
        if self._home is None:
            self._home = OwnedFolder(None)
            await self._create(self._home)
            key = cast("KernelManager", self.parent).session.key
            self.connection_info = cast("KernelConnectionInfo", ipc_connection(self._home.sockets(), key))
        try:
            await self._launch(environ)
        except CodeModeError as error:
            self.log.error("The isolated environment could not be made: %s", error)
            await self._explain(error)

    async def _create(self, folder: OwnedFolder) -> None:
        making = asyncio.ensure_future(asyncio.to_thread(folder.create))
        try:
            await asyncio.shield(making)
        except asyncio.CancelledError:
            # The thread goes on; removing the folder before it is there would leave it.
            await asyncio.wait((making,))
            raise

    async def _launch(self, environ: Mapping[str, str]) -> None:
        await self._drop_fallback()
        is_made = self._environment is not None
        environment = self._environment = self._environment or self._make(environ)
        try:
            if is_made:
                await environment.relaunch()
            else:
                await environment.start(connection=dict(self.connection_info), environ=environ, cwd=self._cwd)
                await self._install(environment)
        except BaseException:
            # What does not start would not start the next time either; a restart makes a new one.
            self._environment = None
            await asyncio.shield(environment.close())
            raise
        self._process = environment.process

    def _make(self, environ: Mapping[str, str]) -> VenvEnvironment:
        config = self._config(environ)
        environment = VenvEnvironment(config, cache=cache_folder())
        environment.broker = personal_broker(
            environ,
            self.storage_root,
            environment,
            allowed=config.allow_runtime_deps,
            wheels_only=environment.confined,
        )
        return environment

    def _config(self, environ: Mapping[str, str]) -> SubprocessConfig:
        if self._refusal is not None:
            raise self._refusal
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

    async def _install(self, environment: VenvEnvironment) -> None:
        if environment.config.deps and environment.broker is not None:
            await asyncio.to_thread(environment.broker.deps.install, environment.config.deps)

    async def _explain(self, error: CodeModeError) -> None:
        headline = "The isolated environment could not be made, so nothing is run."
        is_setting = error is self._refusal or isinstance(error, ConfigurationError)
        reason = f"{headline}\n{error}\n{_START_ANEW if is_setting else _RESTART}"
        self._fallback = ExplainingEnvironment(dict(self.connection_info), reason)
        await self._fallback.start()
        self._process = self._fallback.process

    # Watching and ending

    async def poll(self) -> int | None:
        """Return None while the kernel runs, else its status; called by `KernelManager.is_alive`."""
        if self._process is None:
            return 0
        return self._process.returncode if self._process.died.done() else None

    async def wait(self) -> int | None:
        """Wait for the kernel's end; called when a shutdown finishes and after a kill."""
        if self._process is None:
            return 0
        process = self._process
        await asyncio.shield(asyncio.wrap_future(process.died))
        self._process = None
        return process.returncode

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel and its group; called by `KernelManager.signal_kernel`."""
        place = self._fallback or self._environment
        if place is not None:
            place.send_signal(signum)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel and all that it started, by force; called by `KernelManager.kill_kernel`."""
        if self._process is not None:
            await asyncio.to_thread(self._process.end)

    async def terminate(self, restart: bool = False) -> None:
        """End the kernel; called when it did not follow a request to shut down."""
        await self.kill(restart)

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Wait a moment for the end that was asked for, which spares the manager's polling."""
        if self._process is not None:
            await asyncio.to_thread(self._process.end, grace=self.get_shutdown_wait_time() / 2)

    async def cleanup(self, restart: bool = False) -> None:
        """Remove everything, unless the kernel is to start again; the last call of a shutdown."""
        if restart:
            return
        await self._drop_fallback()
        environment, self._environment = self._environment, None
        if environment is not None:
            await environment.close()
        home, self._home = self._home, None
        if home is not None:
            await asyncio.to_thread(home.remove)

    async def _drop_fallback(self) -> None:
        fallback, self._fallback = self._fallback, None
        if fallback is not None:
            await fallback.close()

    def resolve_path(self, path: str) -> str | None:
        """Return a path of the kernel's as one of ours: they share the file system."""
        full = (self._cwd or Path.cwd()) / Path(path).expanduser()
        return full.resolve().as_posix() if full.exists() else None

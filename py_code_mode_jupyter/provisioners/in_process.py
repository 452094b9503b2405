"""The kernel provisioner of the server's own process: it makes "Python (in-process)" a kernel like any other.

It is a thin adapter. `KernelManager` calls it, `InProcessKernel` does the work.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Bool, Float, Unicode

from ..environments.fallback import ExplainingEnvironment
from ..environments.folder import OwnedFolder
from ..environments.in_process.kernel.kernel import InProcessKernel
from ..environments.in_process.kernel.settings import Settings
from ..environments.notebook import NotebookSettings, not_here, notebook_settings, packages_for
from ..environments.personal import personal_namespaces
from ..environments.process import ipc_connection
from ..errors import CodeModeError
from .observed import Limits, Observed

if TYPE_CHECKING:
    from jupyter_client.connect import KernelConnectionInfo
    from jupyter_client.manager import KernelManager

_HUB = "JUPYTERHUB_"
_REPLY = 0.5  # seconds given to a request to shut down that is on its way to the kernel
_REFUSED = (
    "This kernel is not offered here.\n"
    "Its code would run inside the Jupyter server's own process, with the server's memory, environment"
    " variables and tokens in reach. {reason}\n"
    'Choose "Python (isolated venv)" or another kernel. An administrator may set'
    " c.InProcessProvisioner.allowed = True."
)


class InProcessProvisioner(KernelProvisionerBase, Observed):
    """Starts a kernel in this very process.

    Where that is not allowed, or fails, it starts a kernel that explains in the notebook why.
    Everything can be set in Jupyter's configuration (``c.InProcessProvisioner...``).
    """

    allowed = Bool(
        None,
        allow_none=True,
        help="Whether kernels may run in the server's process; None: on a personal server, not under"
        " JupyterHub. A kernelspec may forbid it, but not allow it.",
    ).tag(config=True)
    allow_runtime_deps = Bool(
        True, help="Whether code may add packages (to the server's own environment) with deps."
    ).tag(config=True)
    abandon_after = Float(
        10.0, help="Seconds after an interrupt without effect until the thread is abandoned."
    ).tag(config=True)
    startup_timeout = Float(30.0, help="Seconds that a start may take.").tag(config=True)
    storage_root = Unicode("", help="Storage folder; empty: 'pcm' in Jupyter's data folder.").tag(config=True)

    place_name = "in-process"
    settable = ("timeout",)

    def __init__(self, **kwargs: Any) -> None:
        asked = kwargs.pop("allowed", None)
        super().__init__(**kwargs)
        if asked is False:
            self.allowed = False
        self._kernel: InProcessKernel | None = None
        self._fallback: ExplainingEnvironment | None = None
        self._home: OwnedFolder | None = None
        self._cwd = Path()
        self._started = False

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started and its end not yet waited for."""
        return self._started

    # Starting

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Name a command, as `KernelManager.pre_start_kernel` wants; there is none."""
        kwargs.pop("extra_arguments", None)
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel, or one that explains; called by `KernelManager.launch_kernel`."""
        environ: Mapping[str, str] = kwargs.get("env") or os.environ
        self._cwd = Path(kwargs.get("cwd") or Path.cwd())
        try:
            with self._counted_start():
                await self._launch_or_explain(environ)
        except BaseException:
            # A manager forgets a start that failed or was cancelled, without asking us to clean up.
            await asyncio.shield(self.cleanup())
            raise
        self._started = True
        return self.connection_info.copy()

    async def _launch_or_explain(self, environ: Mapping[str, str]) -> None:
        await self._drop_fallback()
        if self.refusal:
            await self._explain(_REFUSED.format(reason=self.refusal))
            return
        try:
            self.settings = await notebook_settings(environ, self._cwd)
            self.limits_with(self.settings)
            await self._launch(environ)
        except CodeModeError as error:
            self.log.error("The in-process kernel could not be started: %s", error)
            await self._explain(f"The in-process kernel could not be started.\n{error}")

    @property
    def refusal(self) -> str:
        """Why kernels may not run in this process; empty if they may."""
        if self.allowed is False:
            return "The configuration of this server does not allow it (InProcessProvisioner.allowed)."
        # The server's own environment counts, not the kernel's, which a kernelspec may change.
        if self.allowed is None and any(name.startswith(_HUB) for name in os.environ):
            return "This server belongs to a JupyterHub, whose users it must not expose."
        return ""

    async def _launch(self, environ: Mapping[str, str]) -> None:
        if self._kernel is None:
            self._kernel = InProcessKernel(cast("KernelManager", self.parent).session.key)
        namespaces = personal_namespaces(environ, self.storage_root, allowed=self.allow_runtime_deps)
        settings = Settings(
            folder=str(self._cwd),
            namespaces=namespaces,
            startup_timeout=self.startup_timeout,
            abandon_after=self.abandon_after,
            session_name=environ.get("JPY_SESSION_NAME", ""),
        )
        try:
            await self._kernel.start(settings)
        except BaseException:
            self._kernel = None
            raise
        self.connection_info = cast("KernelConnectionInfo", self._kernel.connection)
        self._is_ending, self.notice = False, ""
        # A kernel that does not follow an interrupt abandons its thread by itself, after a while.
        self._start_clock(self._kernel.connection, self._kernel.interrupt, lambda: None)

    async def _explain(self, reason: str) -> None:
        await self._drop_kernel()
        home = self._home = OwnedFolder(None)
        await asyncio.to_thread(home.create)
        key = cast("KernelManager", self.parent).session.key
        connection = ipc_connection(home.sockets(), key)
        self.connection_info = cast("KernelConnectionInfo", connection)
        self._fallback = ExplainingEnvironment(connection, reason)
        await self._fallback.start()

    # While it runs, and its end

    async def poll(self) -> int | None:
        """Return None while the kernel runs, else a status; called by `KernelManager.is_alive`."""
        process = self._fallback.process if self._fallback is not None else None
        if process is not None:
            return process.returncode if process.died.done() else None
        if self._kernel is not None and self._kernel.alive:
            return None
        if self._kernel is not None and self._started:
            self._note_death("The kernel's thread ended by itself.")
            self._is_ending = True
        return 0

    async def wait(self) -> int | None:
        """Wait for the kernel's end; called when a shutdown finishes and after a kill."""
        if self._kernel is not None:
            await self._kernel.end()
        elif self._fallback is not None and self._fallback.process is not None:
            await asyncio.shield(asyncio.wrap_future(self._fallback.process.died))
        self._started = False
        return 0

    async def send_signal(self, signum: int) -> None:
        """Interrupt for SIGINT, end for SIGTERM and SIGKILL; called by `KernelManager.signal_kernel`."""
        if self._fallback is not None:
            self._fallback.send_signal(signum)
        elif self._kernel is not None and signum == signal.SIGINT:
            self._kernel.interrupt()
        elif self._kernel is not None and signum in (signal.SIGTERM, signal.SIGKILL):
            await self._kernel.end()

    async def kill(self, restart: bool = False) -> None:
        """End the kernel, or abandon its thread; called by `KernelManager.kill_kernel`."""
        self._leave()
        await self._drop_fallback_process()
        if self._kernel is not None:
            await self._kernel.end()

    async def terminate(self, restart: bool = False) -> None:
        """End the kernel; called when it did not follow a request to shut down."""
        await self.kill(restart)

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Let the request be answered, and wait for the end, which spares the manager's polling."""
        self._leave()
        if self._kernel is not None:
            await self._kernel.ended(_REPLY)
            await self._kernel.end()
        await self._drop_fallback_process()

    async def cleanup(self, restart: bool = False) -> None:
        """Remove everything, unless the kernel is to start again; the last call of a shutdown."""
        self._leave()
        if restart:
            return
        self._started = False
        await self._drop_kernel()
        await self._drop_fallback()

    def _leave(self) -> None:
        self._is_ending = True
        self._stop_clock()

    # What a monitor asks

    @property
    def explanation(self) -> str:
        """Why there is a kernel that only explains why there is no other; empty if there is another."""
        return self._fallback.reason if self._fallback is not None else ""

    def limits_with(self, settings: NotebookSettings) -> Limits:
        """Return the limits of a kernel whose notebook asks for these settings."""
        where = "the server's own process"
        if settings.memory is not None:
            raise not_here("memory", settings.memory, where)
        if settings.network is False:
            raise not_here("network", settings.network, where)
        packages_for((), settings.dependencies, ())
        return Limits(timeout=settings.timeout)

    async def usage(self) -> Mapping[str, Any]:
        """Return the memory (bytes) of the whole server, and the CPU time (s) of the kernel's threads."""
        cpu = self._kernel.cpu if self._kernel is not None else 0.0
        memory = psutil.Process().memory_info().rss
        return {"memory": memory, "memory_limit": None, "cpu": cpu, "processes": 1, "pid": os.getpid()}

    async def isolation(self) -> Mapping[str, Any]:
        """Return what was measured: there is none."""
        return {"process_isolation": False, "pid": os.getpid(), "outside": {"process_isolation": False}}

    async def _drop_kernel(self) -> None:
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            await kernel.close()

    async def _drop_fallback_process(self) -> None:
        if self._fallback is not None and self._fallback.process is not None:
            await asyncio.to_thread(self._fallback.process.end)

    async def _drop_fallback(self) -> None:
        fallback, self._fallback = self._fallback, None
        if fallback is not None:
            await fallback.close()
        home, self._home = self._home, None
        if home is not None:
            await asyncio.to_thread(home.remove)

    def resolve_path(self, path: str) -> str | None:
        """Return a path of the kernel's as one of ours: they share the file system."""
        full = self._cwd / Path(path).expanduser()
        return full.resolve().as_posix() if full.exists() else None

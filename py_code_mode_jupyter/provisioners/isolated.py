"""What the provisioners of isolated places share: an adapter between `KernelManager` and an environment.

Where a place cannot be made, a kernel is started that explains in the notebook what went wrong;
restarting that kernel tries again. A timeout of a run never applies to a kernel that a person drives.
"""

from __future__ import annotations

import abc
import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import TraitError
from traitlets.config import Config

from ..environments.fallback import ExplainingEnvironment
from ..environments.folder import OwnedFolder
from ..environments.notebook import NotebookSettings, notebook_settings
from ..environments.process import ipc_connection
from ..errors import CodeModeError, ConfigurationError, ExecutorStartError
from .observed import Observed

if TYPE_CHECKING:
    import concurrent.futures

    from jupyter_client.connect import KernelConnectionInfo
    from jupyter_client.manager import KernelManager

_FROM_MANAGER = ("kernel_id", "kernel_spec", "parent")
_RESTART = "Then restart the kernel."
# Jupyter reads a kernelspec when it starts a kernel, and its own configuration when it starts itself.
_START_ANEW = (
    "Then shut this kernel down and start a new one (after a change of Jupyter's configuration, Jupyter)."
)


class KernelPlace(Protocol):
    """A place with one kernel, whatever kind it is."""

    @property
    def died(self) -> concurrent.futures.Future[str]:
        """Resolves when the kernel has ended."""

    @property
    def returncode(self) -> int | None:
        """How the kernel ended, None while it runs."""

    def send_signal(self, number: int) -> None:
        """Send a signal to the kernel."""

    async def end(self, grace: float = 0.0) -> None:
        """End the kernel, after `grace` seconds that it has to end by itself; the place stays."""

    async def relaunch(self) -> None:
        """Start another kernel in the same place."""

    async def close(self) -> None:
        """End the kernel and remove the place."""


class MeasuredPlace(KernelPlace, Protocol):
    """A place in which code runs, and that can be asked about it."""

    async def stats(self) -> Mapping[str, Any]:
        """Return what is used."""

    async def probe(self) -> Mapping[str, Any]:
        """Return what isolation was measured."""


PlaceT = TypeVar("PlaceT", bound=MeasuredPlace)


class IsolatedProvisioner(KernelProvisionerBase, Observed, Generic[PlaceT]):
    """Starts a kernel in a place of its own, or one that explains why there is none."""

    headline = ""
    """Begins the explanation."""

    def __init__(self, **kwargs: Any) -> None:
        self._refusal = self._configure(kwargs)
        self._home: OwnedFolder | None = None
        self._environment: PlaceT | None = None
        self._fallback: ExplainingEnvironment | None = None
        self._place: KernelPlace | None = None
        self._cwd = Path.cwd()

    def _configure(self, given: dict[str, Any]) -> ExecutorStartError | None:
        """Take the settings; return what is wrong with them, for a server would only fail."""
        try:
            if unknown := sorted({*given} - {*self.trait_names()}):
                known = ", ".join(self.trait_names(config=True))
                raise TraitError(f"There is no setting {', '.join(unknown)}. There are: {known}.")
            super().__init__(**given)
        except TraitError as error:
            super().__init__(**{name: given[name] for name in _FROM_MANAGER}, config=Config())
            where = (
                f"Correct the kernelspec's metadata.kernel_provisioner.config, or c.{type(self).__name__}."
            )
            return ExecutorStartError(f"{error}", remedy=where)
        return None

    @abc.abstractmethod
    async def _make(self, environ: Mapping[str, str], settings: NotebookSettings) -> PlaceT:
        """Return the place as it is configured and as the notebook wants it, not started yet."""

    @abc.abstractmethod
    async def _begin(self, environment: PlaceT, environ: Mapping[str, str]) -> None:
        """Start the place, its kernel listening where `connection_info` says."""

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started and its end not yet waited for."""
        return self._place is not None

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
            with self._counted_start():
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
            self.log.error("%s %s", self.headline, error)
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
        if self._refusal is not None:
            raise self._refusal
        settings = await self._heed_notebook(environ)
        is_made = self._environment is not None
        environment = self._environment = self._environment or await self._make(environ, settings)
        try:
            if is_made:
                await environment.relaunch()
            else:
                await self._begin(environment, environ)
        except BaseException:
            # What does not start would not start the next time either; a restart makes a new one.
            self._environment = None
            await asyncio.shield(environment.close())
            raise
        self._place = environment
        self._watch(environment.died)
        self._start_clock(
            dict(self.connection_info),
            lambda: environment.send_signal(signal.SIGINT),
            lambda: environment.send_signal(signal.SIGKILL),
        )

    async def _heed_notebook(self, environ: Mapping[str, str]) -> NotebookSettings:
        """Return what the notebook asks for now; a place that was made for something else is closed."""
        settings = await notebook_settings(environ, self._cwd)
        if settings != self.settings and self._environment is not None:
            environment, self._environment = self._environment, None
            await environment.close()
        self.settings = settings
        return settings

    async def _explain(self, error: CodeModeError) -> None:
        is_setting = error is self._refusal or isinstance(error, ConfigurationError)
        reason = f"{self.headline}\n{error}\n{_START_ANEW if is_setting else _RESTART}"
        self._fallback = ExplainingEnvironment(dict(self.connection_info), reason)
        await self._fallback.start()
        self._place = self._fallback

    # Watching and ending

    async def poll(self) -> int | None:
        """Return None while the kernel runs, else its status; called by `KernelManager.is_alive`."""
        return 0 if self._place is None else self._place.returncode

    async def wait(self) -> int | None:
        """Wait for the kernel's end; called when a shutdown finishes and after a kill."""
        place = self._place
        if place is None:
            return 0
        await asyncio.shield(asyncio.wrap_future(place.died))
        self._place = None
        return place.returncode

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel and its group; called by `KernelManager.signal_kernel`."""
        if self._place is not None:
            self._place.send_signal(signum)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel and all that it started, by force; called by `KernelManager.kill_kernel`."""
        self._leave()
        if self._place is not None:
            await self._place.end()

    async def terminate(self, restart: bool = False) -> None:
        """End the kernel; called when it did not follow a request to shut down."""
        await self.kill(restart)

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Wait a moment for the end that was asked for, which spares the manager's polling."""
        self._leave()
        if self._place is not None:
            await self._place.end(self.get_shutdown_wait_time() / 2)

    async def cleanup(self, restart: bool = False) -> None:
        """Remove everything, unless the kernel is to start again; the last call of a shutdown."""
        self._leave()
        if restart:
            return
        await self._drop_fallback()
        environment, self._environment = self._environment, None
        if environment is not None:
            await environment.close()
        home, self._home = self._home, None
        if home is not None:
            await asyncio.to_thread(home.remove)

    def _leave(self) -> None:
        self._is_ending = True
        self._stop_clock()

    # What a monitor asks

    @property
    def fault(self) -> CodeModeError | None:
        """What is wrong with its configuration, so that it can start nothing; None if nothing is."""
        return self._refusal

    @property
    def explanation(self) -> str:
        """Why there is a kernel that only explains why there is no other; empty if there is another."""
        return self._fallback.reason if self._fallback is not None else ""

    async def usage(self) -> Mapping[str, Any]:
        """Return memory (bytes), ``memory_limit``, CPU time (s) and processes."""
        return {} if self._environment is None else await self._environment.stats()

    async def isolation(self) -> Mapping[str, Any]:
        """Return what was measured before user code ran; under ``outside``, what the host sees now."""
        return {} if self._environment is None else await self._environment.probe()

    async def _drop_fallback(self) -> None:
        fallback, self._fallback = self._fallback, None
        if fallback is not None:
            await fallback.close()

"""Runs code in a container, which is the one place for code that nobody trusts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import ContainerConfig
from ..environments.broker import Broker
from ..environments.container.environment import ContainerEnvironment
from ..environments.container.files import download, upload
from ..environments.container.packages import ContainerSite
from ..environments.deps import Deps, record_of
from ..errors import DependencyInstallError, ExecutorStateError
from ..results import DepsChange
from .base import BaseExecutor, checked
from .kernel_runner import KernelRunner
from .protocol import Capability

if TYPE_CHECKING:
    from ..results import ExecutionResult, RunRequest
    from ..storage import Storage
    from .collector import Tap
    from .runner import Runner

_log = logging.getLogger(__name__)


class ContainerExecutor(BaseExecutor):
    """A container of its own for each session, with limits, and without network if you say so.

    Parameters
    ----------
    config
        Its configuration. The default one starts nothing: it holds no token.
    """

    name = "container"

    def __init__(self, config: ContainerConfig | None = None) -> None:
        super().__init__()
        self.config: ContainerConfig = checked(config, ContainerConfig)
        self._environment: ContainerEnvironment | None = None

    @property
    def default_timeout(self) -> float:
        """Seconds that a run may take by default."""
        return float(self.config.timeout)  # type: ignore[arg-type]

    def _make_deps(self, storage: Storage | None) -> Deps:
        self._environment = ContainerEnvironment(self.config, is_session=True)
        site = ContainerSite(self._environment)
        return Deps(record_of(storage), site, allowed=self.config.allow_runtime_deps, wheels_only=True)

    def _make_runner(self, storage: Storage | None, deps: Deps) -> Runner:
        assert self._environment is not None
        self._environment.broker = Broker(storage, deps)
        return KernelRunner(self._environment, startup_timeout=self.config.startup_timeout)

    async def _run(self, request: RunRequest, limit: float, tap: Tap | None) -> ExecutionResult:
        try:
            return await super()._run(request, limit, tap)
        finally:
            if self.config.fresh_per_run and self._runner is not None:
                await self._discard()

    @property
    def _interrupted(self) -> str:
        if self.config.fresh_per_run:
            return "The code was interrupted."
        return super()._interrupted

    def _is_preserved(self, request: RunRequest, lost_now: bool) -> bool:
        return super()._is_preserved(request, lost_now) and not self.config.fresh_per_run

    async def put(self, name: str, value: Any) -> None:
        """Set the variable `name`; raises `ExecutorStateError` where every run has a container of its own."""
        self._require_kept_variables()
        await super().put(name, value)

    async def get(self, name: str) -> Any:
        """Return the variable `name`; raises as `put` does."""
        self._require_kept_variables()
        return await super().get(name)

    def _require_kept_variables(self) -> None:
        if self.config.fresh_per_run:
            raise ExecutorStateError(
                "With fresh_per_run no variable outlives a run.",
                remedy="Give it to the run, as in run(code, variables={...}), and take the run's value.",
            )

    async def _discard(self) -> None:
        """Let go of the container that a run has used; the next run gets another."""
        async with self._lock:
            if self._environment is not None:
                await self._environment.discard()

    async def sync_deps(self) -> DepsChange:
        """Install every package that the storage records; in a locked container as a layer of its image.

        A locked container is replaced for that, with a loss of variables.
        """
        if self.config.allow_runtime_deps:
            return await super().sync_deps()
        async with self._lock:
            runner, environment, deps = self._place(), self._running(), self._installer()
            missing, present = await self._off_loop(deps.missing, deps.list())
            failed: tuple[str, ...] = ()
            if missing:
                try:
                    await environment.take_layer(missing)
                except DependencyInstallError as error:
                    _log.warning("%s", error)
                    missing, failed = (), missing
                else:
                    await runner.revive()
                    self._state_lost = self._runs > 0
            return DepsChange(installed=missing, already_present=present, failed=failed)

    async def upload(self, path: Path | str, to: str) -> None:
        """Copy a host's file to `to` in the session's working folder."""
        await self._off_loop(upload, self._running(), Path(path), to)

    async def download(self, path: str, to: Path | str) -> None:
        """Copy a file of the session's working folder to the host's path `to`."""
        await self._off_loop(download, self._running(), path, Path(to))

    def _running(self) -> ContainerEnvironment:
        self._place()
        assert self._environment is not None
        return self._environment

    def _own_capabilities(self) -> frozenset[Capability]:
        found = {
            Capability.PROCESS_ISOLATION,
            Capability.CRASH_RECOVERY,
            Capability.CONTAINER_ISOLATION,
            Capability.WRITE_CONFINEMENT,
            Capability.MEMORY_LIMIT,
        }
        if not self.config.allow_runtime_deps:
            found.add(Capability.DEPS_LOCK_ENFORCED)
        if self.config.network_disabled:
            found.add(Capability.NETWORK_ISOLATION)
        return frozenset(found)

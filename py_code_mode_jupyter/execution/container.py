"""Runs code in a container, which is the one place for code that nobody trusts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..config import ContainerConfig
from ..environments.broker import Broker
from ..environments.container.environment import ContainerEnvironment
from ..environments.container.files import download, upload
from ..environments.container.packages import ContainerSite
from ..environments.deps import Deps, record_of
from .base import BaseExecutor, checked
from .kernel_runner import KernelRunner
from .protocol import Capability

if TYPE_CHECKING:
    from ..results import ExecutionResult, RunRequest
    from ..storage import Storage
    from .collector import Tap
    from .runner import Runner


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
        result = await super()._run(request, limit, tap)
        if self.config.fresh_per_run:
            await self._discard()
        return result

    async def _discard(self) -> None:
        """Let go of the container that a run has used; the next run gets another."""
        async with self._lock:
            if self._environment is not None:
                await self._environment.discard()

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

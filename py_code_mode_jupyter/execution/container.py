"""Runs code in a container, which is the one place for code that nobody trusts."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import ContainerConfig
from ..environments.broker import Broker
from ..environments.container.environment import ContainerEnvironment
from ..environments.container.files import download, upload
from ..environments.container.packages import ContainerSite
from ..environments.deps import Deps, record_of
from ..errors import DependencyInstallError, EngineError, ExecutorStateError
from ..results import DepsChange
from .base import BaseExecutor, checked
from .kernel_runner import KernelRunner
from .protocol import Capability

if TYPE_CHECKING:
    from ..results import RunRequest
    from ..storage import Storage
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
        if self.config.fresh_per_run:
            self._state_between_places = "idle"

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
        self._environment.broker = Broker(storage, deps, place=self.name)
        return KernelRunner(
            self._environment,
            startup_timeout=self.config.startup_timeout,
            make_client=attrgetter("handover"),
        )

    def _settling(self) -> Coroutine[Any, Any, None] | None:
        if not self.config.fresh_per_run or self._environment is None or self._runner is None:
            return None
        return self._discard(self._environment)

    async def _discard(self, environment: ContainerEnvironment) -> None:
        """Let go of the container that a run has used; the next run gets another."""
        try:
            await environment.discard()
        except EngineError as error:
            _log.warning("The container of a run could not be removed: %s", error)

    @property
    def _interrupted(self) -> str:
        if self.config.fresh_per_run:
            return "The code was interrupted."
        return super()._interrupted

    def _is_preserved(self, request: RunRequest, lost_now: bool) -> bool:
        return super()._is_preserved(request, lost_now) and not self.config.fresh_per_run

    async def put(self, name: str, value: Any) -> None:
        """Set the variable `name`; raises `ExecutorStateError` where every run has a container of its own."""
        self._require_kept("variable", "Give it to the run, as in run(code, variables={...}).")
        await super().put(name, value)

    async def get(self, name: str) -> Any:
        """Return the variable `name`; raises as `put` does."""
        self._require_kept("variable", "Take the run's value.")
        return await super().get(name)

    def _require_kept(self, what: str, remedy: str) -> None:
        if self.config.fresh_per_run:
            raise ExecutorStateError(f"With fresh_per_run no {what} outlives a run.", remedy=remedy)

    async def add_dep(self, spec: str) -> DepsChange:
        """Install a package for the session and record it."""
        environment = await self._ready()
        change = await super().add_dep(spec)
        environment.keep(change.installed)
        return change

    async def remove_dep(self, spec: str) -> DepsChange:
        """Uninstall a package and forget it."""
        await self._ready()
        return await super().remove_dep(spec)

    async def sync_deps(self) -> DepsChange:
        """Install every package that the storage records; in a locked container as a layer of its image.

        A locked container is replaced for that, with a loss of variables.
        """
        environment = await self._ready()
        if not self.config.allow_runtime_deps:
            return await self._sync_layers(environment)
        change = await super().sync_deps()
        environment.keep(change.installed)
        return change

    async def _sync_layers(self, environment: ContainerEnvironment) -> DepsChange:
        async with self._lock:
            deps = self._installer()
            missing, present = await self._off_loop(deps.missing, deps.list())
            layered, failed = await self._layered(environment, missing)
            return DepsChange(installed=layered, already_present=present, failed=failed)

    async def _layered(
        self, environment: ContainerEnvironment, specs: tuple[str, ...]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Make a layer of all packages, or of those that can be installed; return these and the others."""
        if not specs:
            return (), ()
        try:
            await environment.take_layer(specs)
            self._state_lost = self._runs > 0
            await self._place().revive()
            return specs, ()
        except DependencyInstallError as error:
            _log.warning("%s", error)
            if len(specs) == 1:
                return (), specs
        found = [await self._layered(environment, (spec,)) for spec in specs]
        return tuple(one for good, _ in found for one in good), tuple(one for _, bad in found for one in bad)

    async def upload(self, path: Path | str, to: str) -> None:
        """Copy a host's file to `to` in the session's working folder, or in that of the next run."""
        await self._off_loop(upload, await self._ready(), Path(path), to)

    async def download(self, path: str, to: Path | str) -> None:
        """Copy a file of the session's working folder to the host's path `to`."""
        self._require_kept("file", "Save an artifact in the run.")
        await self._off_loop(download, await self._ready(), path, Path(to))

    async def _ready(self) -> ContainerEnvironment:
        """Return the environment, with the next run's container in it where each run has its own."""
        runner = self._place()
        if self.config.fresh_per_run:
            async with self._lock:
                await self._revive(runner)
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
        remote = self.config.remote_url is not None
        # Of a container that was started elsewhere nothing is known before it has said so.
        measured = self._environment.measured if remote and self._environment is not None else {}
        is_locked = self._environment is not None and self._environment.is_locked
        if is_locked if remote else not self.config.allow_runtime_deps:
            found.add(Capability.DEPS_LOCK_ENFORCED)
        if measured.get("network_isolation") is True if remote else self.config.network_disabled:
            found.add(Capability.NETWORK_ISOLATION)
        return frozenset(found)

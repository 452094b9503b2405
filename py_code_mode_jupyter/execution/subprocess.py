"""Runs code in a kernel of its own process, in a fresh virtual environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..config import SubprocessConfig
from ..environments.broker import Broker
from ..environments.deps import Deps, record_of
from ..environments.venv.environment import VenvEnvironment, cache_folder, can_confine
from .base import BaseExecutor, checked
from .kernel_runner import KernelRunner
from .protocol import Capability

if TYPE_CHECKING:
    from ..storage import Storage
    from .runner import Runner


class SubprocessExecutor(BaseExecutor):
    """Process isolation without a container: a crash, a leak of memory or `os._exit` stays there.

    The code runs as the same user and can read what the user can read. What it cannot do, and where
    that holds, ``supported_capabilities()`` and ``probe()`` say.

    Parameters
    ----------
    config
        Its configuration; None: the default one.
    """

    name = "venv"

    def __init__(self, config: SubprocessConfig | None = None) -> None:
        super().__init__()
        self.config: SubprocessConfig = checked(config, SubprocessConfig)
        self._environment: VenvEnvironment | None = None

    def _make_deps(self, storage: Storage | None) -> Deps:
        self._environment = VenvEnvironment(self.config, cache=cache_folder(), is_session=True)
        return Deps(
            record_of(storage),
            self._environment,
            allowed=self.config.allow_runtime_deps,
            wheels_only=self._environment.confined,
        )

    def _make_runner(self, storage: Storage | None, deps: Deps) -> Runner:
        assert self._environment is not None
        self._environment.broker = Broker(storage, deps, place=self.name)
        return KernelRunner(self._environment, startup_timeout=self.config.startup_timeout)

    def _working_dir(self) -> Path:
        self._place()
        assert self._environment is not None
        return self._environment.working_dir

    def _own_capabilities(self) -> frozenset[Capability]:
        found = {Capability.PROCESS_ISOLATION, Capability.CRASH_RECOVERY}
        confined = self.config.confine_writes is not False and can_confine()
        if confined and (self.config.confine_writes or not self.config.allow_runtime_deps):
            found.add(Capability.WRITE_CONFINEMENT)
            if not self.config.allow_runtime_deps:
                found.add(Capability.DEPS_LOCK_ENFORCED)
        if self.config.memory_limit is not None:
            found.add(Capability.MEMORY_LIMIT)
        return frozenset(found)

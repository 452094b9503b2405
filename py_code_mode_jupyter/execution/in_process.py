"""Runs code in this process: fastest, and isolated from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import InProcessConfig
from ..environments.deps import Deps, OwnSite, record_of
from ..environments.namespaces import own_namespaces
from .base import BaseExecutor, checked
from .protocol import Capability

if TYPE_CHECKING:
    from ..storage import Storage
    from .runner import Runner


class InProcessExecutor(BaseExecutor):
    """Code runs in a thread of this process, with its own namespace and its own output.

    Values of results are the very objects. The code can reach everything that this process can;
    ``os._exit``, a segmentation fault or running out of memory ends the host too.

    Parameters
    ----------
    config
        Its configuration; None: the default one.
    """

    name = "in-process"

    def __init__(self, config: InProcessConfig | None = None) -> None:
        super().__init__()
        self.config: InProcessConfig = checked(config, InProcessConfig)

    def _make_deps(self, storage: Storage | None) -> Deps:
        return Deps(record_of(storage), OwnSite(), allowed=self.config.allow_runtime_deps)

    def _make_runner(self, storage: Storage | None, deps: Deps) -> Runner:
        from ..environments.in_process import InProcessEnvironment

        return InProcessEnvironment(self.config, namespaces=own_namespaces(storage, deps))

    def _own_capabilities(self) -> frozenset[Capability]:
        return frozenset({Capability.OBJECT_VALUES})

"""What every executor offers, whichever place it runs code in."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, final

if TYPE_CHECKING:
    from ..results import DepsChange, ExecutionResult, Output
    from ..storage import Storage


@final
class Capability(enum.StrEnum):
    """What an executor may be able to do. A capability is claimed only where it holds."""

    TIMEOUT = "timeout"
    INTERRUPT = "interrupt"
    RESET = "reset"
    STREAM = "stream"
    RICH_OUTPUT = "rich_output"
    OBJECT_VALUES = "object_values"
    """Results hold the very objects, not copies of plain data."""
    RUNTIME_DEPS = "runtime_deps"
    """Executed code may install packages through ``deps``."""
    DEPS_LOCK_ENFORCED = "deps_lock_enforced"
    """``allow_runtime_deps=False`` holds below the ``deps`` namespace too."""
    PROCESS_ISOLATION = "process_isolation"
    CRASH_RECOVERY = "crash_recovery"
    WRITE_CONFINEMENT = "write_confinement"
    """Code writes only into its own folders and cannot signal processes outside."""
    MEMORY_LIMIT = "memory_limit"
    CONTAINER_ISOLATION = "container_isolation"
    NETWORK_ISOLATION = "network_isolation"


class Executor(Protocol):
    """Runs code in one place, one run at a time, under the ten rules of ``docs/ARCHITECTURE.md``.

    A failure of the code is an `ExecutionResult`; a failure of the executor is an `ExecutorError`.
    """

    name: ClassVar[str]
    """``in-process``, ``venv`` or ``container``."""

    config: Any

    async def start(self, storage: Storage | None = None) -> None:
        """Make the place ready and give executed code the namespaces of `storage`."""

    async def run(
        self,
        code: str,
        *,
        timeout: float | None = None,
        variables: Mapping[str, Any] | None = None,
        heading: str = "",
    ) -> ExecutionResult:
        """Run `code` and return how it ended; None as timeout takes the configuration's.

        A `heading` counts in the line numbers of tracebacks.
        """

    def stream(
        self,
        code: str,
        *,
        timeout: float | None = None,
        variables: Mapping[str, Any] | None = None,
        heading: str = "",
    ) -> AsyncGenerator[Output | ExecutionResult, None]:
        """Run `code`, yielding each output as it appears and the `ExecutionResult` last.

        Closing the generator before its end stops the code.
        """

    async def interrupt(self) -> None:
        """Stop the current run as a `KeyboardInterrupt` would; nothing happens if none is running."""

    async def reset(self) -> None:
        """Forget all variables and stop what the code left running."""

    async def close(self) -> None:
        """End everything and remove every trace. Calling it again does nothing."""

    def supports(self, capability: str) -> bool:
        """Whether `capability` holds for this executor, as configured, on this machine."""

    def supported_capabilities(self) -> frozenset[str]:
        """Every capability that holds. Before `start`: what would hold."""

    async def stats(self) -> dict[str, Any]:
        """Return ``memory`` (bytes), ``cpu`` (s), ``uptime`` (s), ``runs``, ``state`` and ``pid``."""

    async def probe(self) -> dict[str, Any]:
        """Measure what isolation holds and return it beside what was configured."""

    async def put(self, name: str, value: Any) -> None:
        """Set the variable `name` in the session."""

    async def get(self, name: str) -> Any:
        """Return the variable `name` of the session, as plain data, array or table."""

    async def upload(self, path: Path | str, to: str) -> None:
        """Copy a file of the host to the path `to`, relative to the session's working folder."""

    async def download(self, path: str, to: Path | str) -> None:
        """Copy a file of the session to the host's path `to`."""

    async def add_dep(self, spec: str) -> DepsChange:
        """Install a package for the session and record it in the storage."""

    async def remove_dep(self, spec: str) -> DepsChange:
        """Uninstall a package from the session and forget it."""

    async def sync_deps(self) -> DepsChange:
        """Install every package that the storage records."""

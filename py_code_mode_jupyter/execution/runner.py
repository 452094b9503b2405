"""What the shared executor needs of a place where code runs.

`environments.in_process.InProcessEnvironment` satisfies it natively; for kernels in a process or a
container `KernelRunner` does, over the Jupyter protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..results import OutputSink, RunEnding, RunRequest


class Runner(Protocol):
    """One place that runs one request at a time. The executor never begins a second one before."""

    @property
    def alive(self) -> bool:
        """Whether a run can begin; False after the place died or was ended by force."""

    async def revive(self) -> None:
        """Make a place that is not alive ready again, with fresh state."""

    async def start(self) -> None:
        """Make the place ready; on failure or cancellation leave nothing behind."""

    def begin(self, request: RunRequest, sink: OutputSink) -> asyncio.Future[RunEnding]:
        """Begin a run. The future resolves when it has ended; it never raises for failing code.

        Everything shown by this run, and nothing else, goes to `sink` before the future resolves;
        what arrives later is dropped. Cancelling the future does not stop the code: `interrupt`
        and `replace` do.
        """

    async def interrupt(self) -> None:
        """Ask the current run to stop, as a `KeyboardInterrupt`; return without waiting for it."""

    async def replace(self) -> str:
        """End a run that will not stop, by force; its state is lost.

        The future of the run resolves as ``died``. The place may need `revive` before the next run.
        Returns one sentence that says what was done.
        """

    async def reset(self) -> None:
        """Be as freshly started: no variables, no child processes, no background tasks of the code."""

    async def close(self) -> None:
        """End everything and remove every trace. Safe to call twice, and in any state."""

    async def stats(self) -> Mapping[str, Any]:
        """Return at least ``memory`` (bytes), ``cpu`` (seconds used) and ``pid``."""

    async def probe(self) -> Mapping[str, Any]:
        """Measure which isolation holds; names as in `Capability`, values True, False or detail."""

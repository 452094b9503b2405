"""A run of the in-process environment: one cell, and the `RunEnding` that says how it went."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ...results import RunEnding, RunRequest, RunStatus
from .endings import ending_of
from .figures import close_figures, show_figures
from .interrupts import Gate, run_open
from .worker import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ownership import Channel, Owner
    from .shell import Shell


@final
class CellRun(Run):
    """One run under way: where it shows things and whom it tells how it ended."""

    def __init__(self, request: RunRequest, channel: Channel, ended: Callable[[RunEnding], None]) -> None:
        super().__init__(channel)
        self.request = request
        self._ended: Callable[[RunEnding], None] | None = ended

    async def work(self, shell: Shell, gate: Gate) -> RunEnding:
        """Run the cell, and show the figures it has left."""
        request = self.request
        if request.variables:
            shell.user_ns.update(request.variables)
        result = await shell.run(request.code, store_history=request.store_history)
        error = result.error_in_exec or result.error_before_exec
        failed = end_figures(shell, gate, error)
        return ending_of(shell, result, failed if error is None else error)

    def failed(self, shell: Shell, error: BaseException) -> RunEnding:
        """Return the ending for what the cell itself did not raise."""
        from IPython.core.interactiveshell import ExecutionResult

        empty: ExecutionResult = ExecutionResult(None)
        return ending_of(shell, empty, error)

    def finish(self, ending: RunEnding) -> None:
        """Drop what is shown from now on, and tell how the run ended."""
        self.channel.close()
        self._tell(ending)

    def die(self, reason: str) -> None:
        """Tell that the run was ended from outside."""
        self._tell(RunEnding(status=RunStatus.DIED, reason=reason))

    def _tell(self, ending: RunEnding) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(ending)


def end_figures(shell: Shell, gate: Gate, error: BaseException | None) -> BaseException | None:
    """Show and close the figures that a run has left; return what drawing them raised."""
    owner = shell.owner
    if not owner.figures:
        return None
    _, failed = run_open(gate, _show_figures, owner, error)
    if failed is not None and error is None:
        shell.showtraceback((type(failed), failed, failed.__traceback__))
    return failed


def _show_figures(owner: Owner, error: BaseException | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        close_figures(owner)
    else:
        show_figures(owner)

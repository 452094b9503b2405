"""What a finished cell says about itself, as a `RunEnding`."""

from __future__ import annotations

import asyncio
import linecache
import sysconfig
import traceback
from typing import TYPE_CHECKING

from ...results import ExceptionInfo, Frame, RunEnding, RunStatus
from ...workflow.source import FILE

if TYPE_CHECKING:
    from types import TracebackType

    from IPython.core.interactiveshell import ExecutionResult

    from .shell import Shell

_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_OURS = __file__.rpartition("/")[0]


def ending_of(shell: Shell, result: ExecutionResult, error: BaseException | None) -> RunEnding:
    """Return how the run ended."""
    if error is None:
        return RunEnding(status=RunStatus.OK, value=result.result, execution_count=result.execution_count)
    stopped = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
    return RunEnding(
        status=RunStatus.INTERRUPTED if stopped else RunStatus.ERROR,
        exception=_exception_info(shell, error),
        execution_count=result.execution_count,
    )


def _exception_info(shell: Shell, error: BaseException) -> ExceptionInfo:
    from .shell import text_of

    message = _place(shell, error) if isinstance(error, SyntaxError) else text_of(error)
    return ExceptionInfo(
        name=type(error).__name__,
        message=message,
        frames=_frames(shell, error.__traceback__),
        traceback=shell.last_traceback or "".join(traceback.format_exception_only(error)),
    )


def _place(shell: Shell, error: SyntaxError) -> str:
    # Its own text would name the cell's internal file.
    label = shell.label(error.filename or "")
    return f"{error.msg} ({label}, line {error.lineno})" if label else str(error)


def _frames(shell: Shell, trace: TracebackType | None) -> tuple[Frame, ...]:
    found = []
    for frame, line in traceback.walk_tb(trace):
        name = frame.f_code.co_filename
        label = shell.label(name)
        if label is None and not name.startswith(FILE) and name.startswith(("<", _OURS, *_INSTALLED)):
            continue
        source = linecache.getline(name, line).strip()
        found.append(Frame(filename=label or name, lineno=line, function=frame.f_code.co_name, source=source))
    return tuple(found)

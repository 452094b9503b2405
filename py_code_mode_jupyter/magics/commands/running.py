"""``run`` and ``compare``: code in one session, or in several places."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from IPython.display import display

from ...config import variable_name
from ...display import Comparison, one_line, show_ending
from ...errors import CodeModeError, ConfigurationError, RunFailedError
from ...results import ExecutionResult, RunStatus
from ..names import EXECUTORS, known_executor
from ..options import (
    EXECUTOR,
    FILE,
    NO_RAISE,
    OUTPUT,
    SESSION,
    TIMEOUT,
    VARIABLES,
    code_of,
    heading_of,
    run_options,
    timeout_of,
    variables_of,
)
from ..parser import Subcommand, argument
from ..runs import Run, failure_of

if TYPE_CHECKING:
    from ..notebook import Notebook
    from ..options import RunOptions
    from ..parser import Request

_RUN = """\
Runs the code behind the options, the lines below %%pcm run, or a file. What it shows appears while it runs;
the interrupt button stops it, and pressed twice gives it up. A run that fails ends the cell with an error."""
_WHERE = """\
which session:
  Without -s and -e it is the notebook's current session: the one that `%pcm use` named, else the one
  named like the default executor (%config PcmMagics.executor, in-process at first). -e alone means the
  session named like that executor; both are made on first use. -s names a session. A new NAME makes one,
  which runs where -e says, else in the default executor; if NAME looks like another session's, -e is
  required. An existing session keeps its executor, also after a stop: a different -e is an error until
  it is stopped."""
_COMPARE = """\
Runs one cell in several places, one after the other, and says where value, output or error differ. The
sessions are those named like the executors; a place that cannot be started is said and left out."""
_STREAM = "show outputs while it runs (default), or its result at the end"


def run(notebook: Notebook, request: Request) -> None:
    """Run code in one session and show what it shows."""
    follow(notebook, run_options(notebook, request))


def follow(notebook: Notebook, options: RunOptions) -> None:
    """Run code and show it; bind its result, or raise what it failed with, as the options say.

    Raises
    ------
    RunFailedError
        It failed, or was interrupted.
    """
    running = Run(notebook, options)
    result = running.follow()
    show_ending(result, running.session_name)
    if options.variable is not None:
        notebook.bind(options.variable, result)
    # Who presses the button wants this cell to stop, and those that wait behind it.
    if not result.is_ok and (options.raises or running.interrupted):
        raise RunFailedError(failure_of(result))
    # An error has shown its traceback; what the executor did to the run stands in no output.
    if result.status in (RunStatus.TIMEOUT, RunStatus.DIED):
        print(failure_of(result), file=sys.stderr)


def compare(notebook: Notebook, request: Request) -> None:
    """Run one cell in several places and show how the results differ."""
    code = code_of(request, "compare")
    places = [known_executor(word) for word in request.given.executor] or [*EXECUTORS]
    if len({*places}) < 2:
        remedy = "Give -e twice or more, or not at all for every place."
        raise ConfigurationError("executor", places[0], "one place cannot be compared.", remedy=remedy)
    comparing = _Comparing(notebook, request, code)
    results = {place: comparing.result_in(place) for place in dict.fromkeys(places)}
    if request.given.output is not None:
        notebook.bind(variable_name("output", request.given.output), results)
    _show(notebook, results, is_plain=request.given.plain)


def _show(notebook: Notebook, results: Mapping[str, ExecutionResult | str], *, is_plain: bool) -> None:
    """Show a comparison: in a notebook with ipywidgets each result beside the others."""
    is_kernel = getattr(notebook.shell, "kernel", None) is not None
    if is_kernel and not is_plain and find_spec("ipywidgets") is not None:
        from ...widgets import CompareView

        display(CompareView(results))
    else:
        display(Comparison(results))


class _Comparing:
    """The same code in one place after the other: at once, they would take each other's time."""

    def __init__(self, notebook: Notebook, request: Request, code: str) -> None:
        self._notebook = notebook
        self._code = code
        self._heading = heading_of(request)
        self._timeout = timeout_of(notebook, request)
        self._variables = variables_of(notebook, request) or None
        self._is_fresh = request.given.fresh

    def result_in(self, place: str) -> ExecutionResult | str:
        """Return the result, or the sentence that says why there is none."""
        try:
            self._notebook.obtain(place, place)
            return self._notebook.wait(self._run(place), f"Running in {place}")
        except RunFailedError:  # the user has interrupted it, and means all of it
            raise
        except CodeModeError as error:
            return one_line(f"{error.message} {error.remedy}", 300)

    async def _run(self, place: str) -> ExecutionResult:
        session = self._notebook.sessions.running(place)
        if self._is_fresh:
            await session.reset()
        return await session.run(
            self._code, timeout=self._timeout, variables=self._variables, heading=self._heading
        )


_CODE = argument("code", nargs=argparse.REMAINDER, metavar="CODE", help="the code, with one %%")
_FRESH = argument("--fresh", action="store_true", help="let the session forget its variables first")

COMMANDS = (
    Subcommand(
        path="run",
        about=_RUN,
        do=run,
        takes_cell=True,
        notes=_WHERE,
        arguments=(
            EXECUTOR,
            SESSION,
            TIMEOUT,
            OUTPUT,
            VARIABLES,
            FILE,
            argument("--stream", action=argparse.BooleanOptionalAction, default=True, help=_STREAM),
            _FRESH,
            NO_RAISE,
            _CODE,
        ),
        examples=(
            "%pcm run -e venv import sys; print(sys.prefix)",
            "%%pcm run -e venv -s lab -t 300 --var table",
            "%%pcm run -o result",
            "%pcm run -s lab --fresh -f analysis.py",
        ),
    ),
    Subcommand(
        path="compare",
        about=_COMPARE,
        do=compare,
        takes_cell=True,
        arguments=(
            argument(
                "-e",
                "--executor",
                completes="executor",
                action="append",
                default=[],
                metavar="EXECUTOR",
                help="a place; give it several times (default: every place)",
            ),
            TIMEOUT,
            VARIABLES,
            FILE,
            _FRESH,
            argument("--plain", action="store_true", help="a table, also where widgets can be shown"),
            argument(
                "-o",
                "--output",
                completes="variable",
                metavar="VAR",
                help="bind the results, by place, to this variable",
            ),
            _CODE,
        ),
        examples=("%%pcm compare", "%pcm compare -e in-process -e venv import sys; sys.version"),
    ),
)

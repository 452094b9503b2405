"""The magic itself: what each subcommand does."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any, final

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display
from traitlets import Bool, Enum, Float, Unicode

from ..display import show_ending
from ..errors import CodeModeError, ConfigurationError, RunFailedError
from ..results import ExecutionResult, RunStatus
from ..storage.root import storage_root
from .lifetime import Lifetime
from .loop import Background
from .options import RunOptions, run_options
from .parser import Command, parse
from .runs import Run, failure_of
from .sessions import EXECUTORS, NotebookSessions


@final
@magics_class
class PcmMagics(Magics):
    """``%pcm`` in one shell, with the sessions it has made."""

    executor = Enum(
        tuple(EXECUTORS),
        "in-process",
        help="Executor of the current session: the one meant without -e and -s.",
    ).tag(config=True)
    storage_root = Unicode(
        "", help="Folder of the storage, unless PCM_STORAGE names one; empty: pcm in Jupyter's data folder."
    ).tag(config=True)
    debug = Bool(False, help="Show whole tracebacks of this package's errors.").tag(config=True)
    closing_timeout = Float(10.0, min=0.0, help="Seconds to wait for sessions to close.").tag(config=True)

    def __init__(self, shell: Any = None, **options: Any) -> None:
        super().__init__(shell, **options)
        self._background = Background("pcm-magic")
        self._sessions = NotebookSessions()
        self._lifetime = Lifetime(self._close_sessions)

    @no_var_expand
    @line_cell_magic
    def pcm(self, line: str, cell: str | None = None) -> None:
        """Run code in sessions, in this process or isolated.

        %pcm run CODE, %%pcm run, %pcm sessions, %pcm stop; `%pcm --help` says more.
        """
        debug = self.debug
        try:
            if cell is not None and not line.strip():
                raise ConfigurationError(
                    "subcommand", "", "none was given.", remedy="Did you mean `%%pcm run`?"
                )
            command = parse(line)
            debug = debug or command.debug
            self._do(command, line, cell)
        except CodeModeError as error:
            if debug:
                raise
            raise in_one_line(error) from None

    def _do(self, command: Command, line: str, cell: str | None) -> None:
        if command.name == "run":
            self._run(run_options(command, line, cell))
            return
        if cell is not None and command.name:
            remedy = f"Use `%pcm {command.name}`, with one %; `%%pcm run` runs the lines below it."
            raise ConfigurationError("subcommand", command.name, "takes no lines below it.", remedy=remedy)
        if command.name == "sessions":
            display(self._background.call(self._sessions.table(self.executor)))
        elif command.name == "stop":
            self._stop(command.arguments.name, everything=command.arguments.all)

    def _run(self, options: RunOptions) -> None:
        self._lifetime.begin()
        storage = storage_root(os.environ, self.storage_root)
        run = Run(self._background, self._sessions, options, default=self.executor, storage=storage)
        result = run.follow()
        show_ending(result, run.session_name)
        if options.variable is not None and self.shell is not None:
            self.shell.push({options.variable: result})
        # Who presses the button wants this cell to stop, and those that wait behind it.
        if not result.is_ok and (options.raises or run.interrupted):
            raise RunFailedError(failure_of(result))
        _say_why(result)

    def _stop(self, name: str | None, *, everything: bool) -> None:
        running = self._sessions.names
        if name is None and (everything or self.executor not in running):
            if running and not everything:
                remedy = f"Running: {', '.join(running)}. Name one, or give --all."
                raise ConfigurationError(
                    "session", self.executor, "the current session is not running.", remedy=remedy
                )
            names = running
        else:
            names = [name or self.executor]
        lines = self._background.call(self._sessions.stop(names))
        print("\n".join(lines) if lines else "No session is running.")

    def close(self) -> None:
        """Close every session, end the thread they lived on, and watch for the process's end no longer."""
        self._close_sessions()
        self._lifetime.end()

    def _close_sessions(self) -> None:
        self._background.close(self._sessions.close, timeout=self.closing_timeout)

    def _event_loop_finalizer(self) -> None:
        # The shell of an in-process session calls this by the name that IPython's own magics use.
        self.close()


def _say_why(result: ExecutionResult) -> None:
    # An error has shown its traceback; what the executor did to the run stands in no output.
    if result.status in (RunStatus.TIMEOUT, RunStatus.DIED):
        print(failure_of(result), file=sys.stderr)


def in_one_line(error: CodeModeError) -> CodeModeError:
    """Return the error, made to show itself without a traceback."""
    text = f"{type(error).__name__}: {error}"
    # Read by IPython; a partial, unlike a closure, lets the error be pickled.
    error.__dict__["_render_traceback_"] = partial(_lines, text)
    return error


def _lines(text: str) -> list[str]:
    return text.splitlines()

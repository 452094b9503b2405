"""One run, seen from the cell that waits for it: outputs handed over, interrupts passed on."""

from __future__ import annotations

import asyncio
import queue
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, final

from ..display import one_line
from ..errors import CodeModeError, RunFailedError
from ..results import ExecutionResult, Output, RunStatus
from .loop import take
from .notebook import reporting
from .progress import Progress

if TYPE_CHECKING:
    from ..session import Session
    from .notebook import Notebook
    from .options import RunOptions
    from .sessions import Choice

_LONGEST = 200
_GIVEN_UP = "The run was given up. Its session stops it by force, and may lose its variables."
_NOT_BEGUN = "Interrupted before the code began to run."


@final
class Run:
    """A run under way on the background loop.

    Parameters
    ----------
    notebook
        Whose cell it is.
    options
        What to run.

    Attributes
    ----------
    interrupted
        Whether the user has interrupted it.
    session_name
        The session's name once it is known.
    """

    def __init__(self, notebook: Notebook, options: RunOptions) -> None:
        self.interrupted = False
        self.session_name = ""
        self._notebook = notebook
        self._options = options
        self._progress = Progress(f"Starting {options.session or options.executor or notebook.current}")
        # It takes from any thread in one step: an interrupt of the waiting thread cannot leave it locked.
        self._items: queue.SimpleQueue[Output | None] = queue.SimpleQueue()
        self._session: Session | None = None
        self._task: asyncio.Task[ExecutionResult] | None = None
        notebook.begin()
        self._future = notebook.background.submit(self._work(notebook.storage_folder))
        self._future.add_done_callback(lambda _: self._items.put(None))

    async def _work(self, storage: Path) -> ExecutionResult:
        self._task = asyncio.current_task()
        options, sessions = self._options, self._notebook.sessions
        choice = sessions.choose(options.session, options.executor, self._notebook.settings.executor)
        self.session_name = choice.name
        if choice.is_guess:
            self._items.put(_made_without_word(choice))
        session = await reporting(sessions.obtain(choice, storage), self._progress)
        if options.is_fresh and not choice.is_new:
            await session.reset()
        self._session = session
        stream = session.stream(
            options.code,
            timeout=options.timeout,
            variables=options.variables or None,
            heading=options.heading,
        )
        async for output in stream:
            if options.streams:
                self._items.put(output)
        if session.last_result is None:
            raise CodeModeError("The run ended without a result.")
        for output in () if options.streams else session.last_result.outputs:
            self._items.put(output)
        return session.last_result

    async def _interrupt(self) -> None:
        session, task = self._session, self._task
        if session is not None and (await session.stats())["state"] == "busy":
            await session.interrupt()
        elif task is not None:
            # There is no code to interrupt yet, and none is to begin.
            task.cancel()

    def follow(self) -> ExecutionResult:
        """Show outputs in the calling thread until the run ends, and return its result.

        The first interrupt is passed on to the code, a second gives the run up.

        Raises
        ------
        RunFailedError
            It was given up, or interrupted before it began.
        CodeModeError
            The session could not be made, or its executor failed.
        """
        try:
            while not self._at_end():
                continue
            return self._future.result()
        except KeyboardInterrupt:
            raise RunFailedError(_GIVEN_UP) from None
        except CancelledError:
            raise RunFailedError(_NOT_BEGUN) from None
        finally:
            self._progress.fail()
            self._future.cancel()

    def _picture(self) -> None:
        """Show that the session is being made, for as long as it is."""
        if self._session is None and not self._future.done():
            self._progress.tick()
        else:
            self._progress.end()

    def _at_end(self) -> bool:
        """Show the next output, if there is one soon. True after the last."""
        try:
            output = take(self._items)
            self._picture()
            if output is not None:
                output._ipython_display_()
                return False
            return self._future.done() and self._items.empty()
        except KeyboardInterrupt:
            if self.interrupted:
                raise
            self.interrupted = True
            self._notebook.background.submit(self._interrupt())
            return False


def _made_without_word(choice: Choice) -> Output:
    text = f"New session {choice.name!r}, {choice.executor}: -e was not given.\n"
    return Output(type="stream", name="stderr", text=text)


def failure_of(result: ExecutionResult) -> str:
    """Return one line on why a run failed; its traceback has been shown."""
    error = result.exception
    if result.status is RunStatus.INTERRUPTED:
        return "The run was interrupted."
    if error is None:
        return f"The run ended with status {result.status}."
    message = error.message.strip().partition("\n")[0]
    if result.status is not RunStatus.ERROR:
        return one_line(message, _LONGEST)
    # Isolated code chose both, and front ends show them.
    return one_line(f"{error.name}: {message}" if message else error.name, _LONGEST)

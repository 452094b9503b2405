"""The sessions of a notebook: what they do and use, a box to run code in one, and what that shows."""

# ipywidgets is not annotated for subclassing.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, final

import ipywidgets as w

from ..display import SessionRow, SessionTable
from ..errors import CodeModeError, ConfigurationError
from ..session import Session
from . import markup
from .confirm import Confirmation
from .live import LiveOutput
from .panel import Panel, bar, button, html, show
from .results import output_area, result_outputs
from .rows import EMPTY, Meter, Row, named, session_table, unmeasured

if TYPE_CHECKING:
    from ..results import ExecutionResult
    from ..storage import Storage
    from .harmless import PageOutput

_log = logging.getLogger(__name__)
_FIRST_LOOK = 1.0
"""Seconds that opening waits for the first figures."""
Ending: TypeAlias = Callable[["Session"], Coroutine[Any, Any, object]]
Submit: TypeAlias = Callable[[Coroutine[Any, Any, Any]], "Future[Any]"]


@final
class SessionPanel(Panel):
    """Sessions with their place, state, memory beside its limit, CPU and last run.

    Code can be run in the chosen one; it is interrupted, reset, restarted and stopped from here. Nothing
    waits for the notebook's cells: all work is done on the loop on which the sessions live.

    Parameters
    ----------
    sessions
        Returns the sessions that there are; asked once a second while the panel is displayed.
    submit
        Runs a coroutine on the sessions' loop; None: they live on the loop that runs now.
    storage
        The storage of the sessions.
    stop, restart
        Stop and restart a session, for whoever keeps a list of them; None: the session's own methods.

    Raises
    ------
    ConfigurationError
        `submit` is None and no loop runs.
    """

    changes = True

    def __init__(
        self,
        sessions: Callable[[], Sequence[Session]],
        *,
        submit: Submit | None = None,
        storage: Storage | None = None,
        stop: Ending | None = None,
        restart: Ending | None = None,
    ) -> None:
        self._sessions = sessions
        self._submit = submit if submit is not None else _here()
        self._storage = storage
        self._endings = {
            "Reset": Session.reset,
            "Restart": restart if restart is not None else Session.restart,
            "Stop": stop if stop is not None else Session.close,
        }
        self._meter = Meter()
        self._rows: tuple[Row, ...] = ()
        self._looking: Future[Any] | None = None
        self._following: dict[int, Future[Any]] = {}
        self._live: dict[int, tuple[PageOutput, ...]] = {}
        self._ready: tuple[ExecutionResult | None, tuple[PageOutput, ...]] = (None, ())
        self._names: dict[str, Session] = {}
        self._is_listing = self._is_stale = False
        self._make()
        super().__init__(self._parts(), kind="sessions")
        self._first_look(waits=submit is not None)

    # Its parts

    def _make(self) -> None:
        self._table = html()
        # Buttons, and no list: JupyterLab takes the arrow keys for itself while a list has the focus.
        self._choice = w.ToggleButtons(
            description="Session",
            tooltip="The session that the buttons mean",
            style={"description_width": "auto", "button_width": "auto"},
        )
        self._choice.add_class("pcm-hidden-label")
        self._choice.observe(self._choice_changed, "value")
        self._code = w.Textarea(
            description="Code to run in the chosen session",
            placeholder="Code to run in the chosen session",
            rows=3,
            # Sent once, when it loses the focus: each key by itself could arrive after the click on Run.
            continuous_update=False,
        )
        self._code.add_class("pcm-code").add_class("pcm-hidden-label")
        self._run = button(
            "Run", "Run the code in the chosen session", self._run_pressed, icon="play", kind="primary"
        )
        self._interrupt = button(
            "Interrupt", "Stop what runs, and keep all variables", self._interrupt_pressed, icon="pause"
        )
        self._buttons = {
            word: button(word, tooltip, partial(self._ask, word), icon=icon)
            for word, (tooltip, icon, _) in _ENDINGS.items()
        }
        self._confirmation = Confirmation()
        self._message = html()
        show(self._message, False)
        self._isolation = html()
        self._heading = html()
        self._output = output_area(())

    def _parts(self) -> tuple[w.Widget, ...]:
        return (
            html(markup.title("Sessions")),
            self._table,
            bar(self._choice, self._interrupt, *self._buttons.values()),
            self._confirmation,
            self._code,
            bar(self._run, self._isolation),
            self._message,
            self._heading,
            self._output,
        )

    # Looking

    def _first_look(self, *, waits: bool) -> None:
        self._know(named(self._sessions()))
        self._rows = tuple(unmeasured(name, one) for name, one in self._names.items())
        self._look()
        if waits and self._looking is not None:
            try:
                self._looking.result(_FIRST_LOOK)
            except (CodeModeError, TimeoutError, CancelledError):
                pass  # the panel fills itself when they answer

    def _notice(self) -> None:
        """Look at once: a run begins or has ended."""
        if self._view_count:
            self._is_stale = True
            self._look()

    def _look(self) -> None:
        with self._lock:
            if self._is_closed or (self._looking is not None and not self._looking.done()):
                return
            if not self._names and not self._sessions():
                # Nothing to ask: the loop, which may have ended with its last session, is left alone.
                self._paint(())
                return
            self._looking = self._begin(self._measure())

    async def _measure(self) -> None:
        self._is_stale = True
        while self._is_stale and not self._is_closed:
            self._is_stale = False
            names = named(self._sessions())
            rows = await self._meter.rows(names)
            with self._lock:
                if not self._is_closed:
                    self._know(names)
                    self._paint(rows)

    def _know(self, names: dict[str, Session]) -> None:
        before, self._names = self._names, names
        for session in before.values():
            if session not in names.values():
                session.journal.unwatch(self._notice)
        for session in names.values():
            session.journal.watch(self._notice)
        self._list()

    def _list(self) -> None:
        """Offer the sessions there are, and keep the chosen one if it is still there."""
        options = [*self._names]
        if list(self._choice.options) == options:
            return
        chosen = self._choice.value
        self._is_listing = True
        try:
            self._choice.options = options
            self._choice.value = chosen if chosen in options else next(iter(options), None)
        finally:
            self._is_listing = False

    def _paint(self, rows: tuple[Row, ...]) -> None:
        self._rows = rows
        chosen = self._chosen_row
        self._table.value = session_table(rows, chosen.name if chosen else None)
        for part in (self._code, self._choice, self._run, self._interrupt, *self._buttons.values()):
            part.disabled = chosen is None
        show(self._choice, len(rows) > 1)
        if chosen is None:
            self._confirmation.withdraw()
        else:
            is_busy = chosen.is_busy or id(self._chosen) in self._following
            self._interrupt.disabled, self._run.disabled = not is_busy, is_busy
        held = ", ".join(chosen.isolation) if chosen else ""
        text = f"Isolation in force: {held or _NONE}" if chosen else ""
        self._isolation.value = f'<div class="pcm-quiet">{markup.words(text, 300)}</div>'
        self._paint_output()

    def _paint_output(self) -> None:
        """Show what the latest run of the chosen session showed, wherever it was started."""
        session = self._chosen
        live = self._live.get(id(session))
        outputs = live if live is not None else self._of_last_run(session)
        what = "last run" if live is None else "running now"
        self._heading.value = markup.title("Output", f"{self._choice.value}, {what}") if outputs else ""
        show(self._heading, bool(outputs))
        show(self._output, bool(outputs))
        if self._output.outputs != outputs:
            self._output.outputs = outputs

    def _of_last_run(self, session: Session | None) -> tuple[PageOutput, ...]:
        last = session.last_result if session is not None else None
        if self._ready[0] is not last:
            self._ready = (last, result_outputs(last) if last is not None else ())
        return self._ready[1]

    @property
    def _chosen(self) -> Session | None:
        return self._names.get(self._choice.value)

    @property
    def _chosen_row(self) -> Row | None:
        return next((row for row in self._rows if row.name == self._choice.value), None)

    # Doing

    def _begin(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        future = self._submit(work)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: Future[Any]) -> None:
        if future.cancelled() or (error := future.exception()) is None:
            return
        if not isinstance(error, CodeModeError):
            _log.error("The panel of sessions failed", exc_info=error)
        self._say(
            markup.error(error if isinstance(error, CodeModeError) else f"{type(error).__name__}: {error}")
        )

    def _say(self, message: str) -> None:
        with self._lock:
            if not self._is_closed:
                self._message.value = message
                show(self._message, bool(message))

    def _choice_changed(self, _change: Any) -> None:
        with self._lock:
            if not self._is_listing and not self._is_closed:
                self._confirmation.withdraw()
                self._paint(self._rows)

    def _run_pressed(self) -> None:
        with self._lock:
            session, code = self._chosen, self._code.value
            if session is None or self._is_closed:
                return
            if not code.strip():
                self._say(markup.error("There is no code: write some into the box above."))
                self._code.focus()
                return
            self._say("")
            self._run.disabled, self._interrupt.disabled = True, False
            future = self._begin(self._follow(session, code))
            self._following[id(session)] = future

    async def _follow(self, session: Session, code: str) -> None:
        key = id(session)

        def paint(outputs: tuple[PageOutput, ...]) -> None:
            with self._lock:
                self._live[key] = outputs
                if not self._is_closed and self._chosen is session:
                    self._paint_output()

        paint(())
        try:
            async with aclosing(session.stream(code)) as stream:
                await LiveOutput(paint).follow(stream)
        finally:
            # From here on its result is what is shown.
            self._live.pop(key, None)
            self._following.pop(key, None)
        await self._measure()

    def _interrupt_pressed(self) -> None:
        session = self._chosen
        if session is not None:
            self._begin(self._do(session.interrupt(), f"Interrupted {self._choice.value}."))

    def _ask(self, word: str) -> None:
        with self._lock:
            session, name = self._chosen, self._choice.value
            if session is None:
                return
            question = f"{word} {name}? {_ENDINGS[word][2]}"
            self._confirmation.ask(question, word, lambda: self._end_session(word, session, name))

    def _end_session(self, word: str, session: Session, name: str) -> None:
        self._say(markup.note(f"{word}: {name} …"))
        self._begin(self._do(self._endings[word](session), f"{_DONE[word]} {name}."))

    async def _do(self, work: Coroutine[Any, Any, object], done: str) -> None:
        await work
        self._say(markup.note(done))
        await self._measure()

    def _end(self) -> None:
        # Code never goes on unseen: what was started here ends with the panel.
        for future in [self._looking, *self._following.values()]:
            if future is not None:
                future.cancel()
        self._choice.unobserve_all()
        self._live.clear()
        for session in self._names.values():
            session.journal.unwatch(self._notice)
        self._names = {}

    def fallback(self) -> tuple[str, str]:
        """Return text and HTML for where widgets are not shown."""
        with self._lock:
            if not self._rows:
                return EMPTY, f"<p>{markup.words(EMPTY)}</p>"
            table = SessionTable(tuple(map(_plain_row, self._rows)))
        return str(table), table._repr_html_()


_ENDINGS = {
    "Reset": ("Forget all variables", "eraser", "Its variables are forgotten."),
    "Restart": ("Begin in a new process or container", "refresh", "Its variables are lost."),
    "Stop": ("End the session", "stop", "Its variables are lost. Artifacts stay."),
}
"""Tooltip, icon, and what it costs."""
_NONE = "none, code runs in the notebook's own process"
_DONE = {"Reset": "Reset", "Restart": "Restarted", "Stop": "Stopped"}


def _plain_row(row: Row) -> SessionRow:
    return SessionRow(
        name=row.name,
        executor=row.executor,
        state=row.state,
        runs=row.runs,
        memory=row.memory,
        memory_limit=row.memory_limit,
        uptime=row.uptime,
    )


def _here() -> Submit:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        remedy = "Open the panel in a notebook's cell, or give submit."
        raise ConfigurationError("submit", None, "no event loop runs here.", remedy=remedy) from None
    return lambda work: asyncio.run_coroutine_threadsafe(work, loop)

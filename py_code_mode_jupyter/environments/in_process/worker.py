"""A daemon thread with an event loop and a shell, in which the runs of one environment happen."""

from __future__ import annotations

import abc
import asyncio
import contextvars
import linecache
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

from . import ownership
from .children import interrupt_children, kill_children
from .interrupts import Gate, task_factory, waits_on
from .scheduling import ThreadClock, brisk_switching, change_directory, private_working_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from .ownership import Channel, Owner
    from .shell import Shell

    MakeShell = Callable[[Owner, Gate], Shell]

_STEP = 0.2  # seconds given to tasks and threads of the user to end when the worker does


class Run(abc.ABC):
    """One piece of work for a worker's thread, and to whom its output and its end are told.

    Attributes
    ----------
    channel
        Takes what the work shows.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    @abc.abstractmethod
    async def work(self, shell: Shell, gate: Gate) -> Any:
        """Do it, in the thread; what this returns is handed to `finish`."""

    @abc.abstractmethod
    def failed(self, shell: Shell, error: BaseException) -> Any:
        """Return the ending for what got past `work`: callbacks and transformers of the user."""

    @abc.abstractmethod
    def finish(self, ending: Any) -> None:
        """Tell the end. Only the first to tell is heard."""

    @abc.abstractmethod
    def die(self, reason: str) -> None:
        """Tell that the thread will not end it."""


class OwnerlessThread(threading.Thread):
    """A thread that belongs to nobody, even if an owner's code starts it."""

    ownerless = True


@final
class Worker:
    """Runs one request at a time. Every method but `_...` may be called from any thread.

    Parameters
    ----------
    owner
        To whom the code belongs that runs here.
    make_shell
        Makes the shell, in the thread.
    folder
        Working directory to start in.
    sole
        Whether owner and shell end with this worker. False: another has them, too.
    """

    def __init__(self, owner: Owner, make_shell: MakeShell, folder: str, *, sole: bool = True) -> None:
        self.owner = owner
        self.sole = sole
        self.gate: Gate | None = None
        self.shell: Shell | None = None
        self.clock: ThreadClock | None = None
        self.own_folder = False
        self.run: Run | None = None
        self.failure: BaseException | None = None
        self.left: list[threading.Thread] = []
        self._make_shell = make_shell
        self._folder = folder
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._context = contextvars.Context()
        self._ready: Callable[[], None] = lambda: None
        self._gone: list[Callable[[], None]] = []
        self.thread = OwnerlessThread(target=self._main, name=owner.name, daemon=True)

    def launch(self, ready: Callable[[], None]) -> None:
        """Start the thread; `ready` is called in it when it can take requests or has failed."""
        self._ready = ready
        self._context.run(self.thread.start)

    def submit(self, run: Run) -> None:
        """Begin a run."""
        self.run = run
        if self.gate is not None:
            self.gate.begin()
        if not self.post(self._begin, run):
            run.die("The worker thread has ended.")

    def interrupt(self) -> None:
        """Interrupt the run, and the child processes that it has started; returns at once."""
        gate, run = self.gate, self.run
        if gate is not None and run is not None:
            gate.interrupt()
            interrupt_children(self.owner, run.channel)

    def stop(self, *, force: bool) -> None:
        """End the thread; with `force` also out of code that is running."""
        self._stopping = True
        if force and self.gate is not None:
            self.gate.doom()
            if self.sole:
                kill_children(self.owner, wait=0.0)
        self.post(self._stop)

    def when_gone(self, call: Callable[[], None]) -> None:
        """Call something, in whatever thread, when the thread has done its last."""
        self._gone.append(call)
        if not self.thread.is_alive():
            call()

    def whereabouts(self) -> str:
        """Say which call the thread is in."""
        frame = sys._current_frames().get(self.thread.ident or 0)
        frame = self._user_frame(frame)
        if frame is None:
            return "outside of the code it was given"
        name = frame.f_code.co_filename
        where = (self.shell.label(name) if self.shell is not None else None) or name
        number = frame.f_lineno or 0  # None between two lines
        line = linecache.getline(name, number).strip()
        return f"in `{line}` ({where}, line {number})" if line else f"in {frame.f_code.co_name}()"

    def _user_frame(self, frame: FrameType | None) -> FrameType | None:
        # The innermost frame of a cell: the line of the user's that does not return.
        innermost = frame
        while frame is not None:
            if self.shell is not None and self.shell.knows(frame.f_code.co_filename):
                return frame
            frame = frame.f_back
        return innermost

    def post(self, call: Callable[..., object], *args: Any) -> bool:
        """Call something in the thread, between two steps of its loop; False if it has ended."""
        loop = self._loop
        try:
            if loop is not None:
                loop.call_soon_threadsafe(call, *args, context=self._context)
                return True
        except RuntimeError:  # the loop has been closed
            pass
        return False

    # In the thread

    def _main(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001 - nobody above could take it
            self.failure = error
        finally:
            self._ready()
            if self.run is not None:
                self.run.die("The worker thread has ended.")
            gone, self._gone = self._gone, []
            for call in gone:
                call()

    def _serve(self) -> None:
        self.own_folder = private_working_directory()
        if self.own_folder:
            change_directory(self._folder)
        self.clock = ThreadClock()
        self.gate = Gate(lambda: self.post(self._nudge))
        loop = asyncio.new_event_loop()
        try:
            asyncio.set_event_loop(loop)
            self.shell = self.owner.shell = self._make_shell(self.owner, self.gate)
            loop.set_task_factory(task_factory(self.gate))
            loop.set_exception_handler(self._report)
            self._loop = loop
            self._ready()
            self._loop_until_stopped(loop)
        finally:
            self._wind_up(loop)

    def _loop_until_stopped(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping:
            # A task of the user that ends with these lets them out of the loop as well.
            with suppress(KeyboardInterrupt, SystemExit):
                loop.run_forever()

    def _wind_up(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = None
        with suppress(BaseException):  # tasks of the user may raise anything on their way out
            self._end_user_tasks(loop)
        if self.gate is not None:
            for left in list(self.gate.driven):
                left.kill()
        if self.sole:
            self._end_owner()
        waits_on(None)
        loop.close()
        asyncio.set_event_loop(None)
        if self.sole:
            self._dispose()
        self.shell = None
        self._context = contextvars.Context()

    def _end_owner(self) -> None:
        kill_children(self.owner)
        if self.shell is not None:
            self.shell.end_magics()
        self._end_user_threads()

    def _dispose(self) -> None:
        if self.shell is not None:
            self.shell.dispose()
        self.owner.shell = None
        self.owner.overrides.clear()
        self.owner.tables.clear()

    def _end_user_tasks(self, loop: asyncio.AbstractEventLoop) -> None:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            task.cancel()
        if self.gate is not None and self.gate.doomed:
            return
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=_STEP))
        loop.run_until_complete(loop.shutdown_asyncgens())

    def _end_user_threads(self) -> None:
        deadline = time.monotonic() + _STEP
        while self.owner.stays and time.monotonic() < deadline:
            for stay in list(self.owner.stays):
                stay.end()
            time.sleep(0.005)
        self.left = [stay.thread for stay in self.owner.stays]

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A failed task or callback of the user: told in the run that is under way, or nowhere.
        run = self.run
        if run is not None:
            ownership.call_in_channel(run.channel, loop.default_exception_handler, context)

    def _stop(self) -> None:
        if self._loop is not None:
            self._loop.stop()

    def _nudge(self) -> None:
        # Runs between two steps of the loop: the run is suspended in an `await` of the user.
        task, gate = self._task, self.gate
        if task is None or gate is None or not gate.suspended or task.done():
            return
        if gate.doomed or gate.delivered_to is not task:
            gate.request()
            task.cancel()

    def _begin(self, run: Run) -> None:
        if self._loop is not None:
            self._task = asyncio.Task(self._execute(run), loop=self._loop, context=self._context)

    async def _execute(self, run: Run) -> None:
        gate, shell = self.gate, self.shell
        if gate is None or shell is None:  # wound up before this could begin
            return
        ownership.enter(run.channel)
        with brisk_switching():
            try:
                ending = await run.work(shell, gate)
            except BaseException as error:  # noqa: BLE001 - callbacks and transformers of the user
                ending = run.failed(shell, error)
        gate.end()
        self.run = self._task = None
        if not gate.doomed:
            run.finish(ending)

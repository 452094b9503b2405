"""One thread of a kernel and the requests that wait for it: the main shell, or a subshell."""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from typing import TYPE_CHECKING, final

from ..worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..worker import MakeShell, Run
    from .life import Life
    from .requests import Request


@final
class Lane:
    """Hands requests to a worker, one after the other.

    Attributes
    ----------
    worker
        The thread. Another takes its place when it has to be abandoned.
    """

    worker: Worker

    def __init__(self, life: Life, name: str | None) -> None:
        self._life = life
        self.name = name
        self._lock = allocate_lock()
        self._queue: deque[Request] = deque()
        self._current: Request | None = None

    async def start(self, make_shell: MakeShell, *, sole: bool) -> None:
        """Start the thread."""
        settings = self._life.settings
        self.worker = worker = Worker(self._life.owner, make_shell, settings.folder, sole=sole)
        await self._life.crew.launch(worker, settings.startup_timeout)
        worker.when_gone(lambda: self._gone(worker))

    async def end(self) -> None:
        """End the thread, or abandon it; what waits for it is forgotten."""
        with self._lock:
            self._queue.clear()
        await self._life.crew.retire(self.worker, "The kernel was shut down.")

    def _gone(self, worker: Worker) -> None:
        if worker is self.worker:
            self._life.lost(self)

    # Requests

    def put(self, request: Request) -> None:
        """Take a request; called in the hub."""
        with self._lock:
            current = self._current
            if current is None:
                self._current = request
            elif not (request.is_comm and current.may_be_joined):
                self._queue.append(request)
                return
        if current is None:
            self.worker.submit(request)
        else:
            # An asynchronous cell may be waiting for just this message of a widget.
            self.worker.post(request.run_beside)

    def done(self) -> None:
        """Begin the next request; called by the one that has ended."""
        with self._lock:
            self._current = following = self._queue.popleft() if self._queue else None
        if following is not None:
            self.worker.submit(following)

    def abort_waiting(self, answer: Callable[[], None]) -> None:
        """Answer a cell that has failed, and those that waited for it as aborted; called in the hub."""
        self._life.front["shell"].receive()  # what was sent by now, but nothing that follows the answer
        with self._lock:
            waiting = [one for one in self._queue if one.is_cell]
            self._queue = deque(one for one in self._queue if not one.is_cell)
        answer()
        for one in waiting:
            one.abort()
        self.done()

    # Interrupts without effect

    def explain(self, run: Run) -> None:
        """Say why an interrupt has had no effect yet, and abandon the thread if it never has."""
        if not self._is_stuck(run):
            return
        seconds = self._life.settings.abandon_after
        where = self.worker.whereabouts()
        self._life.tell(
            run,
            f"The interrupt has to wait: the cell is {where}, and what it calls there cannot be interrupted."
            f" If it has not returned after {seconds:g} s, its thread is abandoned; variables are kept.\n",
        )
        loop = self._life.hub.loop
        loop.call_later(seconds, lambda: loop.create_task(self._abandon(run)))

    def _is_stuck(self, run: Run) -> bool:
        worker = self.worker
        return worker.run is run and worker.gate is not None and worker.gate.undelivered

    async def _abandon(self, run: Run) -> None:
        if not self._is_stuck(run):
            return
        old, where = self.worker, self.worker.whereabouts()
        shell, old.sole, sole = old.shell, False, old.sole
        run.channel.drop()
        old.stop(force=True)
        if shell is None:
            return
        self._life.crew.abandoned.append(old.thread)
        await self.start(lambda owner, gate: shell, sole=sole)
        run.die(
            f"The thread {old.thread.name!r} did not react to the interrupt {where}. It was abandoned: its"
            " output is dropped, and it ends as soon as that call returns. Variables are kept."
        )

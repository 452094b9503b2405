"""Interrupting a Python thread: when it may be, how, and how it is ended for good.

CPython can raise an exception in another thread (``PyThreadState_SetAsyncExc``), but at any
bytecode, also where that would break the machinery around user code. A `Gate` says when a thread is
inside user code. Only then an interrupt is armed; on leaving, what was not delivered is taken back
and remembered for the next piece of the same run. It relies on CPython raising such exceptions at
calls, function entries and backward jumps only, never at a plain assignment. Python 3.12 leaves an
``except`` clause by a backward jump, so here the clauses that guard user code return.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from _thread import LockType, allocate_lock, get_ident
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, final
from weakref import WeakSet

from . import expulsion

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exc.argtypes = (ctypes.c_ulong, ctypes.py_object)

_here = threading.local()
_waiting: dict[int, LockType] = {}


class _Withdrawn(BaseException):
    """Takes the place of what was armed, and is caught where it is raised."""


def _arm(ident: int, exception: type[BaseException]) -> None:
    _set_async_exc(ident, exception)


def _withdraw(ident: int) -> None:
    # Arming nothing would do as well, but Python 3.11 and 3.12 would then have every thread of the
    # process look for it at each call and jump, until some exception is raised in this way.
    try:
        _set_async_exc(ident, _Withdrawn)
    except _Withdrawn:
        return


class Interrupt(KeyboardInterrupt):
    """The `KeyboardInterrupt` that an interrupt raises; it tells its gate that it has arrived."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        gate = getattr(_here, "gate", None)
        if gate is not None:
            gate.delivered()

    def __reduce__(self) -> tuple[type[KeyboardInterrupt], tuple[object, ...]]:
        return KeyboardInterrupt, self.args


# Tracebacks and ``type(error).__name__`` shall show what the user knows.
Interrupt.__name__ = Interrupt.__qualname__ = "KeyboardInterrupt"
Interrupt.__module__ = "builtins"


class Ended(SystemExit):
    """Ends a thread whose code must not go on; code that catches it meets the next one at once."""


def _ended_in(ident: int) -> type[Ended]:
    # Making an instance arms the next one, so a handler or `finally` of user code is left at its
    # first call or jump, whatever it catches. In C alone: Python code in here would be hit itself.
    kind = type("Ended", (Ended,), {})
    kind.__init__ = staticmethod(partial(_rearm, ident, kind))  # type: ignore[misc]
    return kind


def _expel(ident: int, ended: type[Ended], inside: Callable[[], bool]) -> None:
    if expulsion.NEEDED:
        boundary = {_attempt.__code__, Stay.run.__code__}
        expulsion.press(ident, lambda: ended if inside() else None, boundary)


_rearm = ctypes.PYFUNCTYPE(None, ctypes.c_ulong, ctypes.py_object)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)
_CALM = SystemExit.__init__  # in its place, an instance arms nothing more


def wait_on(lock: LockType, timeout: float) -> bool:
    """Acquire `lock`, so that `wake` can end the waiting; -1 waits for ever."""
    ident = get_ident()
    _waiting[ident] = lock
    try:
        return lock.acquire(True, timeout)
    finally:
        _waiting.pop(ident, None)


def waits_on(lock: LockType | None) -> None:
    """Say which lock the calling thread is about to wait on; None: no longer."""
    if lock is None:
        _waiting.pop(get_ident(), None)
    else:
        _waiting[get_ident()] = lock


def wake(ident: int) -> None:
    """End the wait in which the thread is, if it is one that was announced."""
    lock = _waiting.get(ident)
    if lock is not None and lock.locked():
        try:
            lock.release()
        except RuntimeError:  # released by its own side between the two lines
            return


@final
class Stay:
    """A stay of a thread in code of an owner, out of which it can be thrown. Made in that thread."""

    def __init__(self) -> None:
        self._ident = get_ident()
        self._inside = self._told = False
        self._ended: Any = None
        self._lock = allocate_lock()
        self.thread = threading.current_thread()

    def run(self, call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Call the owner's code. Afterwards nothing can hit the thread any more."""
        try:
            self._inside = True
            if self._told:
                raise Ended
            return call(*args)
        finally:
            if self._ended is not None:
                self._ended.__init__ = _CALM
            try:
                self._leave()
            except Ended:
                if self._ended is not None:  # it may have come between the two lines above
                    self._ended.__init__ = _CALM
                try:
                    self._leave()
                except Ended:
                    self._leave()
            if self._ended is not None and expulsion.NEEDED:
                expulsion.release(self._ident)

    def end(self) -> None:
        """Make the thread leave the owner's code as soon as it runs Python again; to be repeated."""
        with self._lock:
            self._told = True
            if self._inside:
                again = self._ended is not None
                self._ended = self._ended or _ended_in(self._ident)
                _arm(self._ident, self._ended)
                if again:
                    _expel(self._ident, self._ended, lambda: self._inside)
        wake(self._ident)

    def _leave(self) -> None:
        with self._lock:
            self._inside = False
            if self._ended is not None:
                _withdraw(self._ident)
        _waiting.pop(self._ident, None)


@final
class Gate:
    """Says when its thread may be interrupted. Made in that thread, asked from any."""

    def __init__(self, nudge: Callable[[], object] = lambda: None) -> None:
        self.ident = get_ident()
        self.open = False
        self.active = False
        self.doomed = False
        self.ended: Any = None
        self.driven: WeakSet[Driven] = WeakSet()
        self.suspended = False
        self.delivered_to: object = None
        self.pending = False
        self._armed = self._touched = False
        self._nudge = nudge
        # Held for a few assignments only, never while user code runs: interrupting cannot block.
        self._lock = allocate_lock()
        _here.gate = self

    def begin(self) -> None:
        """Announce a run, from any thread: from now on interrupts count."""
        with self._lock:
            self.pending = self._armed = self.suspended = False
            self.delivered_to = None
            self.active = True

    def end(self) -> None:
        """End the run: an interrupt that has not arrived is forgotten."""
        with self._lock:
            self.active = self.pending = False

    def interrupt(self) -> None:
        """Interrupt the run, if there is one; returns at once."""
        with self._lock:
            if not self.active or self.doomed:
                return
            self.delivered_to = None
            if self.open:
                self._armed = self._touched = True
                _arm(self.ident, Interrupt)
            else:
                self.pending = True
        wake(self.ident)
        self._nudge()

    def doom(self) -> None:
        """End the thread instead of a run; to be repeated until it ends. There is no way back."""
        with self._lock:
            self.doomed = True
            if self.open:
                again = self.ended is not None
                self.ended = self.ended or _ended_in(self.ident)
                _arm(self.ident, self.ended)
                if again:
                    _expel(self.ident, self.ended, lambda: self.open)
        wake(self.ident)
        self._nudge()

    def delivered(self) -> None:
        """Note that the interrupt was raised in this thread (called by `Interrupt`)."""
        self._armed = False
        try:
            self.delivered_to = asyncio.current_task()
        except RuntimeError:
            self.delivered_to = None

    def request(self) -> None:
        """Ask for an interrupt at the next entry into user code."""
        self.pending = True

    @property
    def undelivered(self) -> bool:
        """Whether the run was interrupted and its code has not noticed yet."""
        return self.active and (self._armed or self.pending)

    def take_pending(self) -> bool:
        """Whether an interrupt is due on entering user code; it is taken."""
        if self.doomed:
            raise Ended
        if self.pending:
            self.pending = False
            return True
        return False

    def settle(self) -> None:
        """Take back what was armed and not delivered, after `open` was set to False."""
        # One interrupt can be pending and one more be in flight, so two may be raised in here, or
        # the one that ends the thread. Nested handlers, because a loop's backward jump would be a
        # place outside of them.
        try:
            self._disarm()
        except (KeyboardInterrupt, Ended):
            self.pending = True
            try:
                self._disarm()
            except (KeyboardInterrupt, Ended):
                self.pending = True
                self._disarm()

    def _disarm(self) -> None:
        with self._lock:
            if self._touched or self.ended is not None:
                _withdraw(self.ident)
                self._touched = False
            if self._armed:
                self._armed = False
                self.pending = True


def own_gate() -> Gate | None:
    """Return the gate of the calling thread, if it has one."""
    return getattr(_here, "gate", None)


def run_open(gate: Gate, call: Callable[..., Any], *args: Any) -> tuple[Any, BaseException | None]:
    """Call user code with the gate open; return its value, or what it raised."""
    outer = gate.open
    value, error = _attempt(gate, call, args)
    if not outer:
        if gate.ended is not None:
            gate.ended.__init__ = _CALM
        # Inline, and with plain assignments: what is pending may be raised at the entry of any call.
        try:
            gate.settle()
        except (KeyboardInterrupt, Ended):
            gate.pending = True
            if gate.ended is not None:  # it may have come between the two lines above
                gate.ended.__init__ = _CALM
            try:
                gate.settle()
            except (KeyboardInterrupt, Ended):
                gate.pending = True
                gate.settle()
        if gate.ended is not None and expulsion.NEEDED:
            expulsion.release(gate.ident)
    return value, error


def _attempt(gate: Gate, call: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    outer = gate.open
    try:
        gate.open = True
        value = call(*args)
        gate.open = outer
        return value, None
    except BaseException as caught:  # noqa: BLE001 - the boundary of user code
        gate.open = outer
        return None, caught


def shielded(call: Callable[..., object], *args: Any) -> None:
    """Call our own code, reached from user code, so that no interrupt is raised inside it."""
    gate: Gate | None = getattr(_here, "gate", None)
    if gate is None or not gate.open:
        call(*args)
        return
    gate.open = False
    try:
        try:
            gate.settle()
        except (KeyboardInterrupt, Ended):
            gate.pending = True
            gate.settle()
        call(*args)
    finally:
        gate.open = True
    if gate.doomed:
        gate.doom()  # it has come in here, where nothing could be armed
    elif gate.take_pending():
        raise Interrupt


@final
class Driven(Coroutine[Any, Any, Any]):
    """A coroutine of the user, for each of whose steps the gate is opened.

    `main` is the run itself: it receives the interrupts that come while it is suspended.
    """

    def __init__(self, gate: Gate, inner: Coroutine[Any, Any, Any], *, main: bool = False) -> None:
        self._gate = gate
        self._inner = inner
        self._main = main
        gate.driven.add(self)
        self.__name__ = getattr(inner, "__name__", "coroutine")
        self.__qualname__ = getattr(inner, "__qualname__", self.__name__)

    def __getattr__(self, name: str) -> Any:
        # cr_code, cr_frame and the like, for those who print or inspect a task.
        return getattr(self._inner, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def __iter__(self) -> Driven:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Resume the coroutine with `value`."""
        return self._resume(self._inner.send, value)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Resume the coroutine by raising in it."""
        error = kind if isinstance(kind, BaseException) else value if value is not None else kind()
        return self._resume(self._inner.throw, error)

    def close(self) -> None:
        """End the coroutine where it is."""
        self._inner.close()

    def kill(self) -> None:
        """End the coroutine whatever it catches; called in the gate's thread.

        Left suspended it would be closed by the garbage collector, in any thread: one that
        swallows everything, with no loop to wait on, would never return from there.
        """
        if getattr(self._inner, "cr_frame", None) is None or getattr(self._inner, "cr_running", False):
            return
        gate = self._gate
        gate.ended = _ended_in(gate.ident)
        # The class, not an instance: made in C, inside the coroutine, its first instance arms the next.
        run_open(gate, self._inner.throw, gate.ended)

    def _resume(self, call: Callable[[Any], Any], argument: Any) -> Any:
        if self._main:
            self._gate.suspended = False
            if self._gate.doomed:
                self.kill()
                raise Ended
            if self._gate.take_pending():
                _withdraw_cancellation(argument)
                call, argument = self._inner.throw, Interrupt()
        value, error = run_open(self._gate, call, argument)
        if error is not None:
            raise error
        self._gate.suspended = self._main or self._gate.suspended
        return value


def _withdraw_cancellation(argument: Any) -> None:
    # The cancellation that woke the run up was ours and must not count in timeouts and groups.
    task = asyncio.current_task()
    if isinstance(argument, asyncio.CancelledError) and task is not None:
        task.uncancel()


def task_factory(gate: Gate) -> Callable[..., asyncio.Task[Any]]:
    """Return a task factory under which tasks of the user can be interrupted."""

    def make(
        loop: asyncio.AbstractEventLoop, inner: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        return asyncio.Task(Driven(gate, inner), loop=loop, **options)

    return make

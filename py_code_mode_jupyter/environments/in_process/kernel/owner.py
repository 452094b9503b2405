"""The owner of a kernel's code, who answers ``input()`` by asking the frontend."""

from __future__ import annotations

from _thread import LockType, allocate_lock
from threading import get_ident
from typing import TYPE_CHECKING, final

from ..interrupts import shielded, wait_on
from ..ownership import Owner, current
from .output import CellChannel

if TYPE_CHECKING:
    from .comms import CommManager
    from .front import Message
    from .life import Life

_END_OF_FILE = "\x04"


class KernelOwner(Owner):
    """To whom the code of one life of a kernel belongs."""

    comms: CommManager

    def __init__(self, name: str, life: Life) -> None:
        super().__init__(name)
        self.answers = Answers()
        self._life = life

    def read_input(self, prompt: str, *, password: bool = False) -> str:
        """Ask the frontend that has sent the cell."""
        channel = current()
        if not isinstance(channel, CellChannel) or not channel.message["content"].get("allow_stdin", False):
            return super().read_input(prompt, password=password)
        waiter = self.answers.expect()
        shielded(self._ask, channel, {"prompt": prompt, "password": password})
        value = waiter.wait()
        if value == _END_OF_FILE:
            raise EOFError
        return value

    def _ask(self, channel: CellChannel, content: Message) -> None:
        channel.flush()
        self._life.front.send("stdin", "input_request", content, channel.message, ident=channel.idents)


@final
class Answers:
    """Hands the answer of a frontend to the code that waits for it."""

    def __init__(self) -> None:
        self._waiter: Waiter | None = None

    def expect(self) -> Waiter:
        """Return a waiter for the next answer; answers to older questions are stale by now."""
        self._waiter = Waiter()
        return self._waiter

    def take(self, message: Message) -> None:
        """Take an ``input_reply``; called in the hub."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.answer(str(message["content"].get("value", "")))

    def interrupt(self) -> None:
        """Forget who waits: interrupting has woken the thread up."""
        self._waiter = None


@final
class Waiter:
    """One question. An interrupt ends the waiting."""

    def __init__(self) -> None:
        self._lock: LockType = allocate_lock()
        self._lock.acquire()
        self._value: str | None = None
        self._thread = get_ident()

    def answer(self, value: str) -> None:
        """Give the answer."""
        self._value = value
        if self._lock.locked():
            self._lock.release()

    def wait(self) -> str:
        """Wait for the answer."""
        wait_on(self._lock, -1)
        if self._value is None:
            raise KeyboardInterrupt
        return self._value

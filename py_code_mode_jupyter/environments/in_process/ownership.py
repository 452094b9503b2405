"""To whom a piece of running code belongs, and where what it shows goes.

An `Owner` is an environment or a kernel. Each of its runs has a `Channel`; code finds the one it
runs for through a context variable, which tasks and callbacks inherit, or else through its thread.
"""

from __future__ import annotations

import threading
from _thread import RLock
from collections import OrderedDict
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from .interrupts import Stay, shielded

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...results import Output, OutputSink

_LARGE = 32_768  # characters after which a writer delivers by itself, so that memory stays bounded

_channel: ContextVar[Channel | None] = ContextVar("pcm_channel", default=None)
_thread = threading.local()


class Owner:
    """Somebody to whom code, its output, its figures and its shell belong.

    Attributes
    ----------
    name
        Names the owner in messages, and is the name of its module.
    shell
        The `InteractiveShell` that ``get_ipython()`` finds in code of this owner.
    overrides
        What the owner's code has assigned to ``sys.stdout`` and the like.
    figures
        The owner's pyplot figures: number to figure manager.
    tables
        What libraries keep in one dictionary per process, and each owner has for itself: by name.
    stays
        Stays of other threads in code of this owner: threads it started, work it gave to pools.
    children
        Child processes that the code has started, and the run that started each.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.shell: Any = None
        self.overrides: dict[str, Any] = {}
        self.figures: OrderedDict[Any, Any] = OrderedDict()
        self.stays: set[Stay] = set()
        self.tables: dict[str, dict[Any, Any]] = {}
        self.children: dict[Any, Channel] = {}

    def read_input(self, prompt: str, *, password: bool = False) -> str:
        """Answer ``input()`` and ``getpass()`` of the owner's code."""
        from IPython.core.error import StdinNotImplementedError

        what = "getpass()" if password else "input()"
        raise StdinNotImplementedError(
            f"{what} was called with {prompt!r}, but there is nobody to answer: code that is run here has"
            " no standard input. Pass the value in as a variable."
        )


class Channel:
    """Takes what one run shows, until it is closed; what comes later is dropped.

    Parameters
    ----------
    owner
        To whom the run belongs.
    sink
        Receives text and displays in order, from any thread, never two at a time.
    wake
        Called when text has come that nobody delivers: shall call `flush` soon, in another thread.
    """

    def __init__(self, owner: Owner, sink: OutputSink, wake: Callable[[], object]) -> None:
        self.owner = owner
        self._sink: OutputSink | None = sink
        self._wake = wake
        self._lock = RLock()
        self._name = ""
        self._parts: list[str] = []
        self._size = 0
        self._awaited = False

    @property
    def closed(self) -> bool:
        """Whether everything that still comes is dropped."""
        return self._sink is None

    def write(self, name: str, text: str) -> None:
        """Take text for the stream `name`; it is delivered within some milliseconds."""
        with self._lock:
            if self._sink is None:
                return
            if name != self._name:
                shielded(self._deliver)
                self._name = name
            self._parts.append(text)
            self._size += len(text)
            if self._size > _LARGE:
                shielded(self._deliver)
            elif not self._awaited:
                self._awaited = True
                shielded(self._wake)

    def show(self, output: Output) -> None:
        """Deliver a display, behind all text that came before."""
        with self._lock:
            shielded(self._deliver, output)

    def flush(self) -> None:
        """Deliver the text that has come."""
        with self._lock:
            self._awaited = False
            shielded(self._deliver)

    def try_flush(self) -> bool:
        """Deliver the text that has come, unless another thread holds the channel; say if it was done."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._awaited = False
            shielded(self._deliver)
        finally:
            self._lock.release()
        return True

    def close(self) -> None:
        """Deliver the rest and drop whatever comes later."""
        with self._lock:
            try:
                self._deliver()
            finally:
                self._sink = None

    def drop(self) -> None:
        """Drop what is left and whatever comes later. Does not wait for a delivery under way."""
        self._sink = None
        self._parts = []

    def _deliver(self, output: Output | None = None) -> None:
        sink, parts = self._sink, self._parts
        if sink is None:
            return
        if parts:
            self._parts = []
            self._size = 0
            sink.write(self._name, "".join(parts))
        if output is not None:
            sink.show(output)


def current() -> Channel | None:
    """Return the channel of the code that is running; None: it is the host's own."""
    channel = _channel.get()
    return channel if channel is not None else getattr(_thread, "channel", None)


def current_owner() -> Owner | None:
    """Return the owner of the code that is running; None: it is the host's own."""
    channel = current()
    return None if channel is None else channel.owner


def enter(channel: Channel | None) -> None:
    """Make the calling context, and what else runs in this thread, one of this channel's."""
    _channel.set(channel)
    _thread.channel = channel


def call_in_channel(channel: Channel, call: Callable[..., Any], *args: Any) -> None:
    """Call something, in whatever thread, so that what it prints goes to `channel`."""

    def inside() -> None:
        _channel.set(channel)
        call(*args)

    copy_context().run(inside)


def run_for(channel: Channel, call: Callable[..., Any], *args: Any) -> Any:
    """Call code of a channel's owner in a thread that may serve others before and after."""
    before = getattr(_thread, "channel", None)
    token = _channel.set(channel)
    _thread.channel = channel
    stay = Stay()
    channel.owner.stays.add(stay)
    try:
        return stay.run(call, args)
    finally:
        channel.owner.stays.discard(stay)
        _thread.channel = before
        _channel.reset(token)

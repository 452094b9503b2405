"""``sys.stdout``, ``sys.stderr``, ``sys.stdin`` and ``sys.displayhook``, for each owner its own.

Two places are read: C code (``print``, the interpreter) looks into ``sys.__dict__``, where a routing
object lies; Python code reads attributes of the module, which a subclass of the module type answers
(PEP 549). So the host gets and sets its own objects as ever, and what an owner's code assigns
(``redirect_stdout``, ``%%capture``) holds for that owner alone.
"""

from __future__ import annotations

import io
import sys
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any, final

from .ownership import Owner, current, current_owner

if TYPE_CHECKING:
    from types import ModuleType

NAMES = ("stdout", "stderr", "stdin", "displayhook")


class _Routed(io.TextIOBase):
    """A stream that finds out for each call whose it is."""

    def __init__(self, streams: Streams, name: str) -> None:
        object.__setattr__(self, "_streams", streams)
        object.__setattr__(self, "_name", name)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"sys.{self._name} is shared: assign to sys.{self._name} itself to replace it")

    def __repr__(self) -> str:
        return f"<sys.{self._name} of the code that is running>"

    def __getattr__(self, name: str) -> Any:
        target = self._foreign()
        if target is None:
            raise AttributeError(f"sys.{self._name} has no attribute {name!r} here")
        return getattr(target, name)

    def _foreign(self) -> Any:
        # The stream to use instead of the run's own: the host's, or one that the owner assigned.
        owner = current_owner()
        return self._streams.host[self._name] if owner is None else owner.overrides.get(self._name)

    def _ask(self, name: str, own: Any) -> Any:
        target = self._foreign()
        return own if target is None else getattr(target, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return str(self._ask("encoding", "utf-8"))

    @property
    def errors(self) -> str:  # type: ignore[override]
        return str(self._ask("errors", "replace"))

    @property
    def name(self) -> str:
        return str(self._ask("name", f"<{self._name}>"))

    @property
    def closed(self) -> bool:
        return bool(self._ask("closed", False))

    def fileno(self) -> int:
        target = self._foreign()
        if target is None:
            raise io.UnsupportedOperation(f"sys.{self._name} of a run has no file descriptor")
        return int(target.fileno())

    def isatty(self) -> bool:
        target = self._foreign()
        return False if target is None else bool(target.isatty())

    def close(self) -> None:
        target = self._foreign()
        if target is not None:
            target.close()

    def __del__(self) -> None:
        """Close nothing: the streams behind it are not ours."""


@final
class RoutedOutput(_Routed):
    """``sys.stdout`` or ``sys.stderr``."""

    def write(self, text: str, /) -> int:
        """Write for whoever is calling."""
        channel = current()
        name = self._name
        if channel is None:
            return int(self._streams.host[name].write(text) or 0)
        overrides = channel.owner.overrides
        if overrides and name in overrides:
            return int(overrides[name].write(text) or 0)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            channel.write(name, text)
        return len(text)

    def writable(self) -> bool:
        """Say yes."""
        return True

    def flush(self) -> None:
        """Flush the stream of whoever is calling."""
        # A run's text is delivered within milliseconds anyway, and before the run ends.
        target = self._foreign()
        if target is not None:
            target.flush()

    @property
    def buffer(self) -> Any:
        """Return the binary side, as a text stream over bytes has it."""
        return self._ask("buffer", None) or _Bytes(self)


@final
class RoutedInput(_Routed):
    """``sys.stdin``."""

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        """Return a line, as the owner answers."""
        target = self._foreign()
        if target is not None:
            return str(target.readline(size))
        channel = current()
        return "" if channel is None else channel.owner.read_input("") + "\n"

    def read(self, size: int | None = -1, /) -> str:
        """Return all there is; of a run, a line."""
        target = self._foreign()
        return str(target.read(size)) if target is not None else self.readline()


@final
class _Bytes(io.RawIOBase):
    """The binary side of a run's stream."""

    def __init__(self, text: RoutedOutput) -> None:
        self._text = text
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: Any, /) -> int:
        self._text.write(self._decoder.decode(bytes(data)))
        return len(data)


class _Live(dict[str, Any]):
    """What `sys` holds at the moment."""

    def __getitem__(self, name: str) -> Any:
        return getattr(sys, name)


@final
class Streams:
    """Puts the routing into `sys` and takes it out again.

    Attributes
    ----------
    host
        What ``sys`` holds for everybody who is no owner.
    """

    def __init__(self) -> None:
        self.host: dict[str, Any] = {name: getattr(sys, name) for name in NAMES}
        self._previous: dict[str, Any] = {}
        self._before = sys.__class__
        self._routed: dict[str, Any] = {
            "stdout": RoutedOutput(self, "stdout"),
            "stderr": RoutedOutput(self, "stderr"),
            "stdin": RoutedInput(self, "stdin"),
            "displayhook": self._displayhook,
        }

    def install(self) -> None:
        """Route from now on."""
        vars(sys).update(self._routed)
        members = {name: self._member(name) for name in NAMES}
        sys.__class__ = type("RoutedSys", (self._before,), members)

    def remove(self) -> None:
        """Give `sys` back as it was, with what the host has assigned in the meantime."""
        sys.__class__ = self._before
        vars(sys).update(self.host)
        # Somebody may have kept one of our streams (a logging handler does): it follows the host.
        self.host = _Live()

    def _displayhook(self, value: object) -> None:
        owner = current_owner()
        hook = self.host["displayhook"] if owner is None else self._own("displayhook", owner)
        hook(value)

    def _own(self, name: str, owner: Owner) -> Any:
        if name in owner.overrides:
            return owner.overrides[name]
        if name == "displayhook" and owner.shell is not None:
            return owner.shell.displayhook
        return self._routed[name]

    def _assign_host(self, name: str, value: Any, *, routed: bool) -> None:
        # Who saved what lies in sys.__dict__ (unittest.mock does) puts our own object back: it
        # stands for what the host had before.
        if routed:
            self.host[name] = self._previous.pop(name, self.host[name])
        else:
            self._previous[name], self.host[name] = self.host[name], value

    def _member(self, name: str) -> property:
        def read(_: ModuleType) -> Any:
            owner = current_owner()
            return self.host[name] if owner is None else self._own(name, owner)

        def assign(_: ModuleType, value: Any) -> None:
            owner = current_owner()
            routed = value is self._routed[name]
            if owner is None:
                self._assign_host(name, value, routed=routed)
            elif routed:
                owner.overrides.pop(name, None)
            else:
                owner.overrides[name] = value

        return property(read, assign)

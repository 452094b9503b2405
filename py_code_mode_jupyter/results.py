"""What a run shows and what it ends with.

`Output` mirrors the output objects of the notebook format (nbformat 4, "Output types"), so that a
run can be shown, streamed and exported without translation.
"""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, final

OutputType = Literal[
    "stream", "display_data", "execute_result", "update_display_data", "error", "clear_output"
]
# Control sequences; operating system commands and the like, which may set a title or the clipboard; the rest.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_EACH = 64
"""Bytes that an output is counted with beside what it holds: millions of empty ones are not free."""
_SHORT = 80
"""Characters of a value, text or message in a ``repr``."""


def strip_ansi(text: str) -> str:
    """Return `text` without terminal colour and cursor sequences."""
    return _ANSI.sub("", text)


def size_of_text(text: str) -> int:
    """Return how many bytes `text` takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _in_short(text: str) -> str:
    """Return `text` on one line, cut short."""
    line = " ".join(text[: 10 * _SHORT].split())
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 3]}..."


def _short_repr(value: object) -> str:
    try:
        return _in_short(repr(value))
    except Exception:  # noqa: BLE001 - it is an object of executed code, whose repr may fail
        return object.__repr__(value)


@final
class RunStatus(enum.StrEnum):
    """How a run ended."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    DIED = "died"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One frame of a traceback: file, line (from 1), function, and the line's source if known."""

    filename: str
    lineno: int
    function: str
    source: str = ""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ExceptionInfo:
    """The exception that ended a run.

    Attributes
    ----------
    name, message
        The class name and the text of the exception. For a run that took too long they are
        ``TimeoutError`` and what it took to stop it; where the place died, ``Died`` and why.
    frames
        The frames of the executed code, outermost first.
    traceback
        The formatted traceback, with ANSI colours where the place produced them.
    """

    name: str
    message: str
    frames: tuple[Frame, ...] = ()
    traceback: str = ""


@final
@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Output:
    """One thing that a run showed.

    Attributes
    ----------
    type
        As in the notebook format, with ``update_display_data`` and ``clear_output`` besides, which
        only a stream delivers: in a result they have already been applied.
    name
        ``stdout`` or ``stderr`` for a stream, the exception's class name for an error.
    text
        The text of a stream, or the formatted traceback of an error.
    data, metadata
        A MIME bundle (MIME type to text or JSON data) and its metadata.
    display_id
        The id under which a display can be updated, if it has one.
    wait
        For ``clear_output``: clear only when the next output arrives.
    """

    type: OutputType
    name: str = ""
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    display_id: str | None = None
    wait: bool = False

    @property
    def size(self) -> int:
        """Approximate size in bytes, as counted against the output bound."""
        if self.type == "stream":
            return size_of_text(self.text)
        if self.type == "clear_output":
            return 0
        shown = _weight(self.data) + _weight(self.metadata) + len(self.display_id or "")
        return _EACH + size_of_text(self.name) + size_of_text(self.text) + shown

    def __repr__(self) -> str:
        parts = [self.type, self.name, ", ".join(self.data)]
        text = strip_ansi(self.text) if self.type == "stream" else self.data.get("text/plain", "")
        if text:
            parts.append(_short_repr(text))
        return f"<Output {' '.join(part for part in parts if part)}>"

    def __str__(self) -> str:
        if self.type in ("stream", "error"):
            return strip_ansi(self.text)
        text = self.data.get("text/plain")
        return str(text) if text is not None else f"<{', '.join(self.data) or self.type}>"

    def _ipython_display_(self) -> None:
        """Show this output in the calling notebook or terminal as the original would have appeared."""
        if self.type == "stream":
            print(self.text, end="", file=sys.stderr if self.name == "stderr" else sys.stdout)
        elif self.type == "error":
            print(self.text, file=sys.stderr)
        else:
            _publish(self)


def _weight(bundle: Mapping[str, Any]) -> int:
    return sum(size_of_text(kind) + _size_of_item(item) for kind, item in bundle.items())


def _size_of_item(item: object) -> int:
    return (
        len(item) if isinstance(item, bytes) else size_of_text(item if isinstance(item, str) else repr(item))
    )


def _publish(output: Output) -> None:
    # IPython calls us, so it is loaded; a plain script never comes here.
    from IPython.display import clear_output, publish_display_data

    if output.type == "clear_output":
        clear_output(wait=output.wait)
        return
    transient = {"display_id": output.display_id} if output.display_id else None
    publish_display_data(
        dict(output.data),
        dict(output.metadata),
        transient=transient,
        update=output.type == "update_display_data",
    )


class OutputSink(Protocol):
    """Where a place delivers what the code shows, in order, from any thread."""

    def write(self, name: str, text: str) -> None:
        """Take `text` written to the stream `name` (``stdout`` or ``stderr``)."""

    def show(self, output: Output) -> None:
        """Take one display, result, update, clear or error."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What a place is asked to run: the code, and variables to set before it."""

    code: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    store_history: bool = True


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnding:
    """How a place says that a run ended, before the executor judges why.

    Attributes
    ----------
    status
        ``ok``, ``error``, ``interrupted`` (a `KeyboardInterrupt` or cancellation reached the top)
        or ``died``.
    reason
        For ``died``: what happened to the place, in one sentence.
    """

    status: RunStatus
    value: Any = None
    value_is_repr: bool = False
    exception: ExceptionInfo | None = None
    execution_count: int | None = None
    reason: str = ""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionResult:
    """How a run ended and everything it showed.

    Attributes
    ----------
    value
        What the last expression evaluated to. In-process: the very object. Elsewhere plain data,
        arrays and tables rebuilt without executing anything, else the object's ``repr``.
    value_is_repr
        True where `value` is only the ``repr`` of an object that could not cross.
    stdout, stderr
        All text written to the two streams.
    error
        Text of the traceback without colours, or what ended the run; None if it went well.
    exception
        Name, message and frames of the exception, or None.
    outputs
        Everything shown, in order; the final result is among them as an ``execute_result``.
    status
        A `RunStatus`.
    state_preserved
        False where variables that the session held before this run are gone: the run's place had
        to be replaced during it, or since the run before it.
    execution_time
        Seconds from the request to the end.
    execution_count
        The number of the run in its session's history, from 1.
    truncated
        How many bytes of output were dropped because of the configured bound; 0 if none.
    """

    status: RunStatus
    value: Any = None
    value_is_repr: bool = False
    stdout: str = ""
    stderr: str = ""
    error: str | None = None
    exception: ExceptionInfo | None = None
    outputs: Sequence[Output] = ()
    state_preserved: bool = True
    execution_time: float = 0.0
    execution_count: int | None = None
    truncated: int = 0

    @property
    def is_ok(self) -> bool:
        """True if the code ran to its end without an exception."""
        return self.status is RunStatus.OK

    def __repr__(self) -> str:
        parts = [str(self.status), f"{self.execution_time:.3g} s"]
        if self.exception is not None:
            message = _in_short(self.exception.message)
            parts.append(f"{self.exception.name}: {message}" if message else self.exception.name)
        elif self.value is not None:
            parts.append(_in_short(self.value) if self.value_is_repr else _short_repr(self.value))
        if not self.state_preserved:
            parts.append("earlier variables lost")
        return f"<ExecutionResult {', '.join(parts)}>"

    def __str__(self) -> str:
        shown = [str(output).rstrip("\n") for output in self.outputs]
        return "\n".join(part for part in (*shown, *self._notes()) if part)

    def _notes(self) -> tuple[str, ...]:
        """Return what the outputs do not say by themselves."""
        reason = ""
        if self.exception is not None and self.status in (RunStatus.TIMEOUT, RunStatus.DIED):
            reason = self.exception.message
        elif self.error is not None and not any(o.type == "error" for o in self.outputs):
            reason = self.error
        return tuple(note for note in (reason, self.truncation_note) if note)

    @property
    def truncation_note(self) -> str:
        """A sentence about dropped output, empty if nothing was dropped."""
        return f"[{self.truncated:,} bytes of output dropped: max_output reached]" if self.truncated else ""

    def _ipython_display_(self) -> None:
        """Show every output as it would have appeared had the cell run here."""
        for output in self.outputs:
            output._ipython_display_()
        for note in self._notes():
            print(note, file=sys.stderr)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DepsChange:
    """What a change of the dependencies did, as the specs that were asked for.

    Attributes
    ----------
    installed, already_present, failed
        Specs that were installed now, that needed nothing, and that failed.
    removed
        Names that were uninstalled.
    """

    installed: tuple[str, ...] = ()
    already_present: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return a sentence such as ``installed pandas; already present numpy``."""
        parts = [
            f"{what} {', '.join(specs)}"
            for what, specs in (
                ("installed", self.installed),
                ("already present", self.already_present),
                ("removed", self.removed),
                ("failed", self.failed),
            )
            if specs
        ]
        return "; ".join(parts) or "nothing to do"

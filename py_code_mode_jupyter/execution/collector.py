"""Gathers what one run shows, in order and within a bound."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from ..results import Output

Tap = Callable[[Output], None]
_LAST_WORD = 64 * 1024
"""Characters of the one error that is kept beyond the bound."""


class OutputCollector:
    """The `OutputSink` of one run: keeps outputs up to `limit` bytes and counts the rest.

    Displays are updated and cleared in place, as a notebook does. Safe to use from any thread.

    Parameters
    ----------
    limit
        Bytes to keep.
    tap
        Called with each output that is kept, updates and clears included, as it arrives.
    """

    def __init__(self, limit: int, tap: Tap | None = None) -> None:
        self._limit = limit
        self._tap = tap
        self._lock = threading.Lock()
        self._outputs: list[Output] = []
        self._stream: tuple[str, list[str]] = ("", [])
        self._used = 0
        self._clear_pending = False
        # For each display id its latest update, and how many outputs there were then: those it holds for.
        self._updates: dict[str, tuple[Output, int]] = {}
        self._has_last_word = False
        self.dropped = 0

    def write(self, name: str, text: str) -> None:
        """Take `text` of the stream `name`."""
        with self._lock:
            text = self._admit(text)
            if not text:
                return
            self._clear_if_pending()
            if self._stream[0] != name:
                self._end_stream()
                self._stream = (name, [])
            self._stream[1].append(text)
            if self._tap is not None:
                self._tap(Output(type="stream", name=name, text=text))

    def show(self, output: Output) -> None:
        """Take anything that is not stream text."""
        with self._lock:
            if output.size > self._limit - self._used:
                if output.type != "error" or self._has_last_word:
                    self.dropped += output.size
                    return
                output = self._last_word(output)
            self._used += output.size
            self._end_stream()
            self._apply(output)
            if self._tap is not None:
                self._tap(output)

    def outputs(self) -> tuple[Output, ...]:
        """Return everything kept so far."""
        with self._lock:
            self._end_stream()
            return tuple(map(self._updated, range(len(self._outputs)), self._outputs))

    def _admit(self, text: str) -> str:
        room = self._limit - self._used
        if len(text) > room:
            self.dropped += len(text) - room
            text = text[:room]
        self._used += len(text)
        return text

    def _last_word(self, error: Output) -> Output:
        """Return an error, shortened: code may end with one of any length."""
        self._has_last_word = True
        shorter = replace(error, name=error.name[:_LAST_WORD], text=error.text[-_LAST_WORD:])
        self.dropped += error.size - shorter.size
        return shorter

    def _end_stream(self) -> None:
        name, parts = self._stream
        if parts:
            self._outputs.append(Output(type="stream", name=name, text="".join(parts)))
        self._stream = ("", [])

    def _apply(self, output: Output) -> None:
        if output.type == "clear_output":
            self._clear_pending = True
            if not output.wait:
                self._clear_if_pending()
            return
        if output.type == "update_display_data":
            if output.display_id is not None:
                self._updates[output.display_id] = (output, len(self._outputs))
            return
        self._clear_if_pending()
        self._outputs.append(output)

    def _clear_if_pending(self) -> None:
        if self._clear_pending:
            self._clear_pending = False
            self._outputs.clear()
            self._updates.clear()
            self._stream = ("", [])

    def _updated(self, index: int, output: Output) -> Output:
        update, until = self._updates.get(output.display_id or "", (None, 0))
        if output.display_id is None or update is None or index >= until:
            return output
        return replace(output, data=update.data, metadata=update.metadata)

"""Gathers what one run shows, in order and within a bound."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from ..results import Output, size_of_text

Tap = Callable[[Output], None]
_LAST_WORD = 64 * 1024
"""Characters of the one error that is kept beyond the bound."""


_PASSING = 10
"""How many times the bound may pass by in all, being cleared or updated before the end."""
_LEAST = 16
"""Bytes that anything counts as in passing, that millions of clears come to an end as well."""


class OutputCollector:
    """The `OutputSink` of one run: keeps outputs up to `limit` bytes and counts the rest.

    Displays are updated and cleared in place, as a notebook does, and what is gone then leaves its
    room to what follows: of many frames the last is kept. Safe to use from any thread.

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
        self._used = 0  # bytes of what is kept
        self._passed = 0  # bytes of all that was taken
        self._clear_pending = False
        # For each display id its latest update, and how many outputs there were then: those it holds for.
        self._updates: dict[str, tuple[Output, int]] = {}
        self._has_last_word = False
        self.dropped = 0

    def write(self, name: str, text: str) -> None:
        """Take `text` of the stream `name`."""
        with self._lock:
            if text:
                self._clear_if_pending()
            text = self._admit(text)
            if not text:
                return
            if self._stream[0] != name:
                self._end_stream()
                self._stream = (name, [])
            self._stream[1].append(text)
            if self._tap is not None:
                self._tap(Output(type="stream", name=name, text=text))

    def show(self, output: Output) -> None:
        """Take anything that is not stream text."""
        with self._lock:
            if output.type not in ("clear_output", "update_display_data"):
                self._clear_if_pending()
            replaced = self._replaced_by(output)
            if output.size > self._room(replaced):
                if output.type != "error" or self._has_last_word:
                    self.dropped += output.size
                    return
                output = self._last_word(output)
            self._take(output.size, replaced)
            self._end_stream()
            self._apply(output)
            if self._tap is not None:
                self._tap(output)

    def outputs(self) -> tuple[Output, ...]:
        """Return everything kept so far."""
        with self._lock:
            self._end_stream()
            return tuple(map(self._updated, range(len(self._outputs)), self._outputs))

    def _room(self, replaced: int = 0) -> int:
        """Return the bytes that may be taken now; -1 where not even nothing may, as a clear is."""
        if self._passed >= _PASSING * self._limit:
            return -1
        return max(0, self._limit - self._used + replaced)

    def _take(self, size: int, replaced: int = 0) -> None:
        self._used += size - replaced
        self._passed += max(size, _LEAST)

    def _replaced_by(self, output: Output) -> int:
        """Return the bytes of an earlier update that this one takes the place of."""
        if output.type != "update_display_data" or output.display_id not in self._updates:
            return 0
        return self._updates[output.display_id][0].size

    def _admit(self, text: str) -> str:
        size, room = size_of_text(text), max(0, self._room())
        if size > room:
            # Cut between characters, so perhaps a few bytes before the bound.
            text = text.encode("utf-8", "surrogatepass")[:room].decode("utf-8", "ignore")
        kept = size_of_text(text)
        self.dropped += size - kept
        self._take(kept)
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
        self._outputs.append(output)

    def _clear_if_pending(self) -> None:
        if self._clear_pending:
            self._clear_pending = False
            self._outputs.clear()
            self._updates.clear()
            self._stream = ("", [])
            self._used = 0

    def _updated(self, index: int, output: Output) -> Output:
        update, until = self._updates.get(output.display_id or "", (None, 0))
        if output.display_id is None or update is None or index >= until:
            return output
        return replace(output, data=update.data, metadata=update.metadata)

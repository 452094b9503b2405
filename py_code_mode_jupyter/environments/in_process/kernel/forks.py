"""What forked children of a kernel's code print, shown in the cell that has forked them.

A fork has copies of all objects and none of the threads, so it writes to a pipe, in frames that the
system keeps whole, and the hub reads them.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, final
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from .output import CellChannel

_FRAME = struct.Struct("=QBH")  # which channel, which stream, how many bytes
_STREAMS = ("stdout", "stderr")
_LARGEST = 1000  # characters, of 4 bytes at most: a pipe takes 4096 bytes whole or not at all


@final
class Forks:
    """The pipe of one hub."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._channels: WeakValueDictionary[int, CellChannel] = WeakValueDictionary()
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        self._left = b""

    def listen(self) -> None:
        """Read from now on; called in the hub."""
        self._loop.add_reader(self._out, self._read)

    def close(self) -> None:
        """Close the pipe; called in the hub."""
        self._loop.remove_reader(self._out)
        os.close(self._out)
        os.close(self._in)

    def expect(self, channel: CellChannel) -> None:
        """Note a channel whose code may fork."""
        self._channels[id(channel)] = channel

    def write(self, channel: CellChannel, name: str, text: str) -> None:
        """Hand on what was printed; called in the fork."""
        for start in range(0, len(text), _LARGEST):
            data = text[start : start + _LARGEST].encode(errors="replace")
            with suppress(OSError, ValueError):  # nobody reads any more, or it is no standard stream
                os.write(self._in, _FRAME.pack(id(channel), _STREAMS.index(name), len(data)) + data)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            self._left += os.read(self._out, 65_536)
        while len(self._left) >= _FRAME.size:
            number, stream, size = _FRAME.unpack_from(self._left)
            if len(self._left) < _FRAME.size + size:
                return
            data = self._left[_FRAME.size : _FRAME.size + size]
            self._left = self._left[_FRAME.size + size :]
            channel = self._channels.get(number)
            if channel is not None:
                channel.publish_text(_STREAMS[stream], data.decode(errors="replace"))

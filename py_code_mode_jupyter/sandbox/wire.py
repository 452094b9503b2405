"""Messages of a container's WebSocket: a channel's name and the parts of a message in one frame.

Source: Jupyter Server's subprotocol ``v1.kernel.websocket.jupyter.org``. The number of offsets, the
offsets (each 8 bytes, little-endian), then the channel's name, header, parent header, metadata,
content and buffers, one after the other. Beside Jupyter's channels there is one of our own: `PLACE`
carries requests about the place, their answers, and events, each a JSON object and at most one buffer.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .frames import Payload

SUBPROTOCOL = "v1.kernel.websocket.jupyter.org"
SHELL, CONTROL, STDIN, IOPUB = "shell", "control", "stdin", "iopub"
PLACE = "place"
CHUNK = 256 * 1024
"""Bytes of a stream that go in one frame, so that nothing urgent waits long behind it."""
MAX_MESSAGE = 512 * 2**20
_MAX_PARTS = 10_000


class WireError(Exception):
    """A frame is not a message."""


def pack(channel: str, parts: Sequence[Payload]) -> bytes:
    """Return the frame that carries `parts` on `channel`.

    Raises
    ------
    WireError
        They are too many, or too large.
    """
    pieces: list[Payload] = [channel.encode(), *parts]
    offsets = [8 * (len(pieces) + 2)]
    for piece in pieces:
        offsets.append(offsets[-1] + memoryview(piece).nbytes)
    if len(offsets) > _MAX_PARTS or offsets[-1] > MAX_MESSAGE:
        raise WireError(f"A message of {len(parts)} parts and {offsets[-1]} bytes is too large to send.")
    return b"".join((struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets), *pieces))


def unpack(frame: bytes) -> tuple[str, list[memoryview]]:
    """Return the channel and the parts of a frame, without copying them.

    Raises
    ------
    WireError
        Its offsets do not lie within it, one after the other, or it has too many.
    """
    view = memoryview(frame)
    if len(view) < 8:
        raise WireError("A frame is too short.")
    (count,) = struct.unpack_from("<Q", view)
    if not 2 <= count <= _MAX_PARTS or len(view) < 8 * (count + 1):
        raise WireError(f"A frame has {count} offsets.")
    offsets = struct.unpack_from(f"<{count}Q", view, 8)
    if offsets[0] < 8 * (count + 1) or any(
        start > end for start, end in itertools.pairwise((*offsets, len(view)))
    ):
        raise WireError("The offsets of a frame do not lie within it.")
    parts = [view[start:end] for start, end in itertools.pairwise(offsets)]
    try:
        return bytes(parts[0]).decode(), parts[1:]
    except UnicodeDecodeError:
        raise WireError("The channel of a frame has no name.") from None

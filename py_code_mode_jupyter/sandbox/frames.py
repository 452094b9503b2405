"""Frames on the private channel between a place and its host: a JSON header and raw bytes.

Layout: header length (4 bytes, big-endian), payload length (8 bytes), header, payload. Both ends
read at most what they were told to accept, so that the other end cannot make them allocate more.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_LENGTHS = struct.Struct(">IQ")
MAX_HEADER = 2**20
MAX_PAYLOAD = 2**30
_FIRST = 2**20
Payload = bytes | bytearray | memoryview


class FrameError(Exception):
    """The other end sent something that is not a frame, or one that is too large."""


def send_frame(sock: socket.socket, header: dict[str, Any], payload: Payload = b"") -> None:
    """Send one frame; a large payload is sent from where it lies, without a copy."""
    head = json.dumps(header).encode()
    if len(head) > MAX_HEADER or len(payload) > MAX_PAYLOAD:
        raise FrameError(f"A frame of {len(head)} + {len(payload)} bytes is too large to send.")
    sock.sendall(_LENGTHS.pack(len(head), len(payload)) + head)
    if len(payload):
        sock.sendall(payload)


def receive_frame(
    sock: socket.socket, *, max_payload: int = MAX_PAYLOAD
) -> tuple[dict[str, Any], bytearray] | None:
    """Return the next frame, or None at the end of the stream.

    Raises
    ------
    FrameError
        The lengths are beyond the bounds, or the header is not a JSON object.
    """
    lengths = _receive(sock, _LENGTHS.size)
    if lengths is None:
        return None
    head_size, payload_size = _LENGTHS.unpack(lengths)
    if head_size > MAX_HEADER or payload_size > max_payload:
        raise FrameError(f"A frame of {head_size} + {payload_size} bytes is beyond what is accepted.")
    head, payload = _receive(sock, head_size), _receive(sock, payload_size)
    if head is None or payload is None:
        return None
    return _parse(head), payload


def _receive(sock: socket.socket, size: int) -> bytearray | None:
    # The room grows with what arrives: lengths that are only announced cost nothing.
    data, filled = bytearray(min(size, _FIRST)), 0
    while filled < size:
        if filled == len(data):
            data += bytes(min(size - filled, filled))
        with memoryview(data) as view:
            count = sock.recv_into(view[filled:])
        if count == 0:
            return None
        filled += count
    return data


def _parse(head: bytearray) -> dict[str, Any]:
    try:
        header = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"A frame's header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise FrameError("A frame's header is not a JSON object.")
    return header

"""The host's end of a kernel's private channel: one request after the other, and an answer to each."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from ..sandbox.frames import MAX_PAYLOAD, FrameError, receive_frame, send_frame

Serve = Callable[[dict[str, Any], bytearray], tuple[dict[str, Any], Any]]


def converse(
    sock: socket.socket,
    serve: Serve,
    *,
    on_ready: Callable[[dict[str, Any]], None] = lambda _header: None,
    goes_on: Callable[[], bool] = lambda: True,
    max_payload: int = MAX_PAYLOAD,
) -> bool:
    """Answer requests until the stream ends. It blocks.

    Parameters
    ----------
    sock
        A connected stream socket.
    serve
        Answers a request.
    on_ready
        Takes the frame by which a kernel says that it is ready.
    goes_on
        Whether another request is to be answered.
    max_payload
        Bytes that one request may carry.

    Returns
    -------
    bool
        False if something came that is no frame: the other end is not what it was.
    """
    try:
        while (frame := receive_frame(sock, max_payload=max_payload)) is not None and goes_on():
            header, payload = frame
            if header.get("ready"):
                on_ready(header)
                continue
            _reply(sock, *serve(header, payload))
            del frame, header, payload  # or the last large one would stay until the next comes
    except FrameError:
        return False
    except OSError:  # the other end has gone
        pass
    return True


def _reply(sock: socket.socket, header: dict[str, Any], payload: Any) -> None:
    try:
        send_frame(sock, header, payload)
    except FrameError as error:
        about = {"kind": "TransferError", "message": f"The answer cannot be sent. {error}"}
        send_frame(sock, {"id": header["id"], "error": about})

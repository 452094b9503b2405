"""The stream to a container as a plain socket, whichever way the engine is reached."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from typing import Any

_SIZE = 256 * 1024


def plain_socket(attached: Any) -> socket.socket:
    """Return a socket for what the library docker returns for an attached stream, and close that.

    A socket of the system is duplicated. What is encrypted (TLS, SSH) is carried over by two threads,
    which end with it.
    """
    raw = getattr(attached, "_sock", attached)
    response = getattr(attached, "_response", None)
    if isinstance(raw, socket.socket) and not isinstance(raw, ssl.SSLSocket):
        ours = socket.socket(fileno=os.dup(raw.fileno()))
        for one in (response, attached, raw):
            if one is not None:
                one.close()
        return ours
    ours, theirs = socket.socketpair()
    raw.settimeout(None)
    open_ends = [_carry(raw, theirs), _carry(theirs, raw)]
    threading.Thread(target=_close, args=(open_ends, response, attached, theirs), daemon=True).start()
    return ours


def _carry(source: Any, target: Any) -> threading.Thread:
    def carry() -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_SIZE):
                target.sendall(data)
        # Whichever side ends, the other is told, and its thread ends as well.
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=carry, name="pcm-container-stream", daemon=True)
    thread.start()
    return thread


def _close(threads: list[threading.Thread], *ends: Any) -> None:
    for thread in threads:
        thread.join()
    for one in ends:
        if one is not None:
            one.close()

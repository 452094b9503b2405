"""The place's end of the private channel: calls to the host that wait for their answer.

Two threads of our own do the input and output, so that a `KeyboardInterrupt` in the code that calls
can never leave half a frame behind. The end of the stream means that the host is gone.
"""

from __future__ import annotations

import itertools
import os
import queue
import signal
import socket
import threading
from typing import Any

from .. import errors
from .frames import FrameError, Payload, receive_frame, send_frame

_Reply = tuple[dict[str, Any], bytearray]


class Channel:
    """Calls to the host over `sock`, from any thread of this process.

    Parameters
    ----------
    sock
        A connected stream socket, inherited from the host. It is not passed on to children.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.set_inheritable(False)
        self._sock = sock
        self._pid = os.getpid()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[_Reply]] = {}
        self._outgoing: queue.SimpleQueue[tuple[dict[str, Any], Payload]] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the threads. Called once all that must happen before any thread has happened."""
        for work in (self._read, self._write):
            threading.Thread(target=work, name=f"pcm-channel-{work.__name__}", daemon=True).start()

    def tell(self, header: dict[str, Any]) -> None:
        """Send something that has no answer."""
        self._outgoing.put((header, b""))

    def call(self, op: str, params: dict[str, Any], payload: Payload = b"") -> _Reply:
        """Ask the host to do `op` and return the answer's header and payload.

        Raises
        ------
        CodeModeError
            The host refused or failed; the class is the host's.
        """
        if os.getpid() != self._pid:
            raise errors.BrokerError(
                "Storage and dependencies can be reached from the kernel's own process only.",
                remedy="Return the data to the main process and save it there.",
            )
        number = next(self._numbers)
        answer = self._waiting[number] = queue.SimpleQueue()
        try:
            self._outgoing.put(({"id": number, "op": op, "params": params}, payload))
            header, data = answer.get()
        finally:
            del self._waiting[number]
        if "error" in header:
            raise _error(header["error"])
        return header, data

    def _write(self) -> None:
        while True:
            header, payload = self._outgoing.get()
            try:
                send_frame(self._sock, header, payload)
            except FrameError as error:
                self._answer(
                    {"id": header.get("id"), "error": {"kind": "TransferError", "message": str(error)}}
                )
            except OSError:
                _host_is_gone()
            del header, payload  # or the last large one would stay until the next comes

    def _read(self) -> None:
        while True:
            try:
                frame = receive_frame(self._sock)
            except (OSError, FrameError):
                frame = None
            if frame is None:
                _host_is_gone()
                return
            self._answer(*frame)
            del frame

    def _answer(self, header: dict[str, Any], payload: bytearray | None = None) -> None:
        # An interrupted call has stopped waiting; its answer is dropped here.
        waiting = self._waiting.get(header.get("id", 0))
        if waiting is not None:
            waiting.put((header, payload or bytearray()))


def _host_is_gone() -> None:
    """End this process and its group: nothing may outlive the host that answers for it."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _error(about: dict[str, Any]) -> errors.CodeModeError:
    """Rebuild the host's error from its class name and fields, so that code can catch it by class."""
    kind = getattr(errors, str(about.get("kind")), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.CodeModeError)):
        kind = errors.BrokerError
    error = kind.__new__(kind)
    message = str(about.get("message", ""))
    error.args = (message,)
    error.__dict__.update({"message": message, "remedy": "", **about.get("fields", {})})
    return error

"""A clock for cells: holds a notebook to the time that it says its cells may take.

It listens to the kernel as a client does, so it works in every place; in a thread of its own, so it
works whatever the manager's event loop does. Code that lies about its own state in the kernel's name
can escape it: it guards against loops without end, not against malice.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, final

import zmq
from jupyter_client.session import Session

GRACE = 5.0
"""Seconds between an interrupt and the end of a kernel that does not follow it."""
_QUEUE = 10_000
_LONGEST_POLL = 3600.0


@final
class CellClock:
    """Interrupts a cell that takes too long, and ends a kernel that does not follow.

    Parameters
    ----------
    connection
        Where the kernel listens, as in a connection file.
    timeout
        Seconds that a cell may take.
    interrupt, end
        Called in the clock's thread.
    grace
        Seconds between the two.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        timeout: float,
        interrupt: Callable[[], None],
        end: Callable[[], None],
        *,
        grace: float = GRACE,
    ) -> None:
        self._connection = connection
        self._timeout, self._grace = timeout, grace
        self._interrupt, self._end = interrupt, end
        self._begun: dict[str, tuple[str, float]] = {}
        self._interrupted = False
        self._context = zmq.Context(io_threads=1)
        self._stopping = threading.Event()
        self._bell = self._context.socket(zmq.PAIR)
        self._bell.bind("inproc://stop")
        self._thread = threading.Thread(target=self._run, name="pcm-cell-clock", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a cell that runs is no longer watched."""
        self._stopping.set()
        with contextlib.suppress(zmq.ZMQError):
            self._bell.send(b"", zmq.NOBLOCK)
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._bell.close(linger=0)
        self._context.term()

    # In the thread

    def _run(self) -> None:
        key = self._connection["key"]
        session = Session(key=key if isinstance(key, bytes) else key.encode())
        with self._context.socket(zmq.SUB) as heard, self._context.socket(zmq.PAIR) as bell:
            bell.connect("inproc://stop")
            heard.setsockopt(zmq.LINGER, 0)
            heard.setsockopt(zmq.RCVHWM, _QUEUE)
            heard.connect(_address(self._connection))
            heard.subscribe(b"")
            poller = zmq.Poller()
            for socket in (heard, bell):
                poller.register(socket, zmq.POLLIN)
            while not self._stopping.is_set():
                if heard in dict(poller.poll(int(self._wait() * 1000) + 1)):
                    self._hear(session, heard.recv_multipart())
                self._judge()

    def _wait(self) -> float:
        return min(max(0.0, self._deadline() - time.monotonic()), _LONGEST_POLL)

    def _deadline(self) -> float:
        first = min((begun for _, begun in self._begun.values()), default=float("inf"))
        return first + self._timeout + (self._grace if self._interrupted else 0.0)

    def _hear(self, session: Session, frames: list[bytes]) -> None:
        # Most messages are output: they are not read.
        if len(frames) < 6 or not any(b'"status"' in frame[:2000] for frame in frames[2:-3]):
            return
        try:
            message = session.deserialize(session.feed_identities(frames)[1])
            parent, state = message["parent_header"], message["content"]["execution_state"]
        except (ValueError, KeyError, TypeError):
            return
        if parent.get("msg_type") != "execute_request":
            return
        lane, number = str(parent.get("subshell_id")), str(parent.get("msg_id"))
        if state == "busy":
            self._begun[lane] = number, time.monotonic()
        elif state == "idle" and self._begun.get(lane, ("", 0.0))[0] == number:
            del self._begun[lane]
            self._interrupted = False

    def _judge(self) -> None:
        if time.monotonic() < self._deadline():
            return
        if self._interrupted:
            self._begun.clear()
            self._interrupted = False
            self._end()
        else:
            self._interrupted = True
            self._interrupt()


def _address(connection: Mapping[str, Any]) -> str:
    separator = "-" if connection["transport"] == "ipc" else ":"
    return f"{connection['transport']}://{connection['ip']}{separator}{connection['iopub_port']}"

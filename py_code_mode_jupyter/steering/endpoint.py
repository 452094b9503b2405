"""The side of the session: listens on its loop, and does what a process of the same user asks."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, final

from ..errors import CodeModeError, SteeringError
from .peers import may_steer

if TYPE_CHECKING:
    from ..storage import SessionEntry

LONGEST_REQUEST = 1024
LONGEST_ANSWER = 2**20
_AT_ONCE = 8
"""Connections served at a time; more are closed at once."""
_PATIENCE = 5.0
"""Seconds in which a client has to send its request, and to take its answer."""
_log = logging.getLogger(__name__)


class Steered(Protocol):
    """What a session offers to other processes."""

    async def describe(self) -> dict[str, Any]:
        """Return what it is, does and uses."""

    async def interrupt(self) -> None:
        """Stop the current run."""

    async def reset(self) -> None:
        """Forget all variables."""

    async def restart(self) -> None:
        """Make its place anew."""

    async def close(self) -> None:
        """End it."""

    async def probe(self) -> dict[str, Any]:
        """Measure what isolation holds."""


@final
class Endpoint:
    """Serves one session's socket on the running loop, from `open` to `close`.

    Parameters
    ----------
    session
        Whom requests are for.
    """

    def __init__(self, session: Steered) -> None:
        self._actions: dict[str, Callable[[], Awaitable[Any]]] = {
            "describe": session.describe,
            "interrupt": session.interrupt,
            "reset": self._reset,
            "restart": session.restart,
            "stop": session.close,
            "probe": session.probe,
        }
        self._session = session
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: set[asyncio.Task[None]] = set()

    def open(self, entry: SessionEntry) -> None:
        """Listen at the entry's socket.

        Raises
        ------
        OSError
            The file system has no sockets, or none can be made.
        """
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            with entry.reaching() as path:
                listening.bind(path)
                os.chmod(path, 0o600)  # noqa: PTH101 - until here its folder, for this user alone, guards it
            listening.listen(_AT_ONCE)
        except BaseException:
            listening.close()
            raise
        self._socket, self._loop = listening, asyncio.get_running_loop()
        # A fresh context: what a request brings about is not the work of whoever started the session.
        contextvars.Context().run(self._loop.add_reader, listening, self._accept)

    async def close(self) -> None:
        """End serving, but answer the request that brought this about. Calling it again does nothing."""
        listening, self._socket = self._socket, None
        if listening is None or self._loop is None:
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(listening)
        listening.close()
        others = self._serving - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    async def _reset(self) -> None:
        await self._session.interrupt()  # else it would wait for the end of a run that nobody here sees
        await self._session.reset()

    def _accept(self) -> None:
        assert self._socket is not None
        try:
            connection, _ = self._socket.accept()
        except OSError:  # it has left again, or there are too many open files
            return
        if len(self._serving) >= _AT_ONCE or not may_steer(connection):
            connection.close()
            return
        connection.setblocking(False)
        task = asyncio.ensure_future(self._serve(connection))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        task.add_done_callback(lambda _: connection.close())  # also if it was cancelled before it began

    async def _serve(self, connection: socket.socket) -> None:
        try:
            request = await asyncio.wait_for(_line(connection), _PATIENCE)
            answer = await self._answer(request)
            await asyncio.wait_for(_send(connection, answer), _PATIENCE)
        except (OSError, TimeoutError) as error:
            _log.debug("A request to a session was given up: %s", error)

    async def _answer(self, request: bytes) -> bytes:
        try:
            answer = json.dumps({"result": await self._do(request)}).encode()
            if len(answer) > LONGEST_ANSWER:
                raise SteeringError("The answer is too large.")
        except CodeModeError as error:
            said = {"kind": type(error).__name__, "message": error.message, "remedy": error.remedy}
            answer = json.dumps({"error": said}).encode()[:LONGEST_ANSWER]
        return answer + b"\n"

    async def _do(self, request: bytes) -> Any:
        try:
            asked = json.loads(request)
            action = self._actions[asked["do"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise SteeringError(f"There is no such request; there are {', '.join(self._actions)}.") from None
        return await action()


async def _line(connection: socket.socket) -> bytes:
    """Receive a line, or raise `ConnectionError` for what is too long or ends before."""
    loop = asyncio.get_running_loop()
    found = b""
    while not found.endswith(b"\n"):
        part = await loop.sock_recv(connection, LONGEST_REQUEST + 1 - len(found))
        if not part or len(found := found + part) > LONGEST_REQUEST:
            raise ConnectionError("no request")
    return found


async def _send(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        await asyncio.get_running_loop().sock_sendall(connection, data)

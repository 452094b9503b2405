"""The side of whoever steers a session that lives in another process."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ..errors import SessionGoneError, SteeringError, StorageUnavailableError
from .endpoint import LONGEST_ANSWER
from .peers import peer_of

if TYPE_CHECKING:
    from ..storage import SessionEntry

_ANSWER_SECONDS = 5.0
_ACTION_SECONDS = 120.0


class _NoAnswerError(ConnectionError):
    """The request was taken, and the connection ended without a word."""


@final
class SessionClient:
    """Steers the session of a registry's entry. It holds no connection: every call makes one.

    Parameters
    ----------
    entry
        What the registry says of the session.
    patience
        Seconds to wait for what is answered at once: a description. What takes time gets `action_seconds`.
    """

    def __init__(
        self,
        entry: SessionEntry,
        *,
        patience: float = _ANSWER_SECONDS,
        action_seconds: float = _ACTION_SECONDS,
    ) -> None:
        self.entry = entry
        self._patience = patience
        self._action_seconds = action_seconds

    async def describe(self) -> dict[str, Any]:
        """Return what the session is, does and uses.

        The keys: ``id``, ``name``, ``executor``, ``limits``, ``state`` (``idle``, ``busy``, ...),
        ``memory``, ``memory_limit`` (bytes), ``cpu``, ``uptime`` (s), ``runs``, ``last_run`` (the id in the
        ledger), ``probe`` (what was last measured), ``owner_pid`` and ``owner_what``.

        Raises
        ------
        SessionGoneError
            It has ended, or does not answer: its process may be at work on something else.
        """
        found = await self._ask("describe", self._patience)
        if not isinstance(found, dict):
            raise SteeringError("The session's answer cannot be understood.")
        return found

    async def interrupt(self) -> None:
        """Stop the session's current run as a `KeyboardInterrupt` would."""
        await self._ask("interrupt", self._patience)

    async def reset(self) -> None:
        """Forget the session's variables; a run that is under way is stopped."""
        await self._ask("reset", self._action_seconds)

    async def restart(self) -> None:
        """Give the session a fresh place."""
        await self._ask("restart", self._action_seconds)

    async def stop(self) -> None:
        """End the session."""
        try:
            await self._ask("stop", self._action_seconds)
        except SessionGoneError as error:
            # Its process may end with it, and then nobody is left to answer.
            if not isinstance(error.__cause__, _NoAnswerError):
                raise

    async def probe(self) -> dict[str, Any]:
        """Measure what isolation holds there, and return it beside what was configured."""
        found = await self._ask("probe", self._action_seconds)
        return found if isinstance(found, dict) else {}

    async def _ask(self, action: str, seconds: float) -> Any:
        try:
            answer = await asyncio.wait_for(self._exchange(action), seconds)
        except TimeoutError:
            raise SessionGoneError(
                f"The session {self.entry.name!r} did not answer within {seconds:g} s.",
                remedy="The process it lives in may be busy; try again, or interrupt that one.",
            ) from None
        except (OSError, StorageUnavailableError) as error:
            raise SessionGoneError(f"The session {self.entry.name!r} has ended.") from error
        return self._result(answer)

    def _result(self, answer: bytes) -> Any:
        try:
            found = json.loads(answer)
            if "error" not in found:
                return found["result"]
            said = found["error"]
            kind, message, remedy = (str(said[name])[:2000] for name in ("kind", "message", "remedy"))
        except (ValueError, TypeError, KeyError, RecursionError):
            raise SteeringError("The session's answer cannot be understood.") from None
        raise SteeringError(message, kind=kind, remedy=remedy)

    async def _exchange(self, action: str) -> bytes:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            with self.entry.reaching() as path:
                _require_own(path)
                await loop.sock_connect(connection, path)
            self._require_owner(connection)
            await loop.sock_sendall(connection, json.dumps({"do": action}).encode() + b"\n")
            return await _line(connection)

    def _require_owner(self, connection: socket.socket) -> None:
        pid, uid = peer_of(connection)
        if uid != os.getuid() or pid not in (0, self.entry.owner_pid):
            raise ConnectionError("another process listens there")


def _require_own(path: str) -> None:
    """Raise `OSError` for anything but a socket of this user: a link could lead elsewhere."""
    found = Path(path).lstat()
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError("no socket of this user")


async def _part(connection: socket.socket) -> bytes:
    try:
        return await asyncio.get_running_loop().sock_recv(connection, 2**16)
    except ConnectionError:  # it is the same whether it was closed or reset
        return b""


async def _line(connection: socket.socket) -> bytes:
    parts, size = [], 0
    while part := await _part(connection):
        parts.append(part)
        size += len(part)
        if size > LONGEST_ANSWER + 1:
            raise ConnectionError("too long an answer")
    if not parts:
        raise _NoAnswerError("no answer")
    return b"".join(parts)

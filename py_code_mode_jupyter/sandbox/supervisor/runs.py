"""One piece of code, run to its end, for clients that speak plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, final

from ..wire import IOPUB, SHELL

if TYPE_CHECKING:
    from ..frames import Payload
    from .channels import Switchboard

_SHOWN = ("stream", "display_data", "execute_result", "error")
_MAX_OUTPUT = 10 * 2**20
_GRACE = 1.0
_DEAF = "The code did not stop when interrupted, so the kernel was started anew."
_SESSION = uuid.uuid4().hex


@final
class HttpRuns:
    """Runs code, one piece after the other.

    Parameters
    ----------
    switchboard
        Hands on what the kernel sends.
    """

    def __init__(self, switchboard: Switchboard) -> None:
        self._board = switchboard
        self._lock = asyncio.Lock()

    async def run(self, code: str, timeout: float | None) -> dict[str, Any]:
        """Return how the code ended, as the API describes it.

        Parameters
        ----------
        timeout
            Seconds from its beginning until it is interrupted, and a second later killed; None: no limit.
        """
        place = self._board.operations.place
        async with self._lock:
            preserved = place.alive
            if not place.alive:
                await place.restart()
            run = _Run(asyncio.get_running_loop())
            started = time.monotonic()
            self._board.watchers.append(run)
            try:
                place.send(SHELL, _request(run.msg_id, code))
                status, survived = await self._until_end(run, timeout)
            finally:
                self._board.watchers.remove(run)
        took = time.monotonic() - started
        return run.result(status, preserved=preserved and survived, took=took)

    async def _until_end(self, run: _Run, timeout: float | None) -> tuple[str, bool]:
        place = self._board.operations.place
        try:
            # Another client's code may be running. It has its own time, and is not ours to interrupt.
            await asyncio.wait((run.begun, run.ended), return_when="FIRST_COMPLETED")
            await asyncio.wait((run.ended,), timeout=timeout)
        except asyncio.CancelledError:
            if run.begun.done():
                place.interrupt()
            raise
        if run.ended.done():
            return run.status, run.status != "died"
        place.interrupt()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(run.ended), _GRACE)
            return "timeout", run.status != "died"
        await place.restart(_DEAF)
        return "timeout", False


@final
class _Run:
    """What is known of a run that is under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.msg_id = uuid.uuid4().hex
        self.begun: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.status = "died"
        self.reason = ""
        self._reply: dict[str, Any] = {}
        self._idle = False
        self._outputs: list[dict[str, Any]] = []
        self._kept = self._dropped = 0

    def take(self, channel: str, parts: Sequence[Payload]) -> None:
        """Take a message of the kernel's; those of other runs are not for us."""
        if channel not in (IOPUB, SHELL):
            return
        # What the kernel sends is not trusted here either.
        with contextlib.suppress(ValueError, RecursionError, AttributeError):
            header, parent = json.loads(bytes(parts[0])), json.loads(bytes(parts[1]))
            if parent.get("msg_id") == self.msg_id:
                self._take(header.get("msg_type"), bytes(parts[3]))

    def _take(self, msg_type: str, raw: bytes) -> None:
        if msg_type == "execute_input" and not self.begun.done():
            self.begun.set_result(None)
        elif msg_type in _SHOWN:
            if self._kept + len(raw) > _MAX_OUTPUT:
                self._dropped += len(raw)
                return
            self._kept += len(raw)
            content = json.loads(raw)
            content.pop("transient", None)
            self._outputs.append({"output_type": msg_type, **content})
        elif msg_type == "execute_reply":
            self._reply = json.loads(raw)
        elif msg_type == "status" and json.loads(raw).get("execution_state") == "idle":
            self._idle = True
        if self._idle and self._reply:
            self.status = "ok" if self._reply.get("status") == "ok" else "error"
            self._end()

    def die(self, reason: str) -> None:
        """Take note of the kernel's end."""
        self.reason = reason
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def result(self, status: str, *, preserved: bool, took: float) -> dict[str, Any]:
        """Return the result as the API describes it."""
        error = None
        if self._reply.get("status") == "error":
            error = {key: self._reply.get(key) for key in ("ename", "evalue", "traceback")}
        elif self.reason:
            error = {"ename": "Died", "evalue": self.reason, "traceback": []}
        return {
            "status": status,
            "outputs": self._outputs,
            "error": error,
            "execution_count": self._reply.get("execution_count"),
            "execution_time": took,
            "state_preserved": preserved,
            "truncated": self._dropped,
        }


def _request(msg_id: str, code: str) -> list[bytes]:
    header = {
        "msg_id": msg_id,
        "msg_type": "execute_request",
        "session": _SESSION,
        "username": "",
        "date": datetime.now(UTC).isoformat(),
        "version": "5.4",
    }
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": False,
    }
    return [json.dumps(part).encode() for part in (header, {}, {}, content)]

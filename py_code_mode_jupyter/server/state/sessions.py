"""Sessions that live over the user's storage, whichever process they are in."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, final

from ...errors import SteeringError

if TYPE_CHECKING:
    from ...storage import FileStorage
    from ...storage.registry import SessionEntry
    from .places import OffLoop

_PLACES = {"subprocess": "venv"}
_KERNEL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PERIOD = 100_000  # microseconds, in which a CPU quota is counted


@final
class Sessions:
    """Describes and steers the sessions of a storage."""

    def __init__(self, off_loop: OffLoop) -> None:
        self._off_loop = off_loop

    async def all(self, storage: FileStorage) -> list[dict[str, Any]]:
        """Describe all sessions, the oldest first; one that does not answer as far as its entry says."""
        entries = await self._off_loop(storage.sessions.entries)
        return list(await asyncio.gather(*map(_describe, entries)))

    async def act(self, storage: FileStorage, id: str, action: str) -> None:
        """Interrupt, reset, restart or stop a session.

        Raises
        ------
        SessionGoneError
            There is none of this id, or it does not answer.
        SteeringError
            It could not do what was asked.
        """
        await self._off_loop(storage.sessions.get, id)
        raise SteeringError("Sessions cannot be steered yet.")

    async def probe(self, storage: FileStorage, id: str) -> dict[str, Any]:
        """Measure a session's isolation.

        Raises
        ------
        SessionGoneError, SteeringError
            As `act`.
        """
        await self._off_loop(storage.sessions.get, id)
        raise SteeringError("Sessions cannot be steered yet.")


async def _describe(entry: SessionEntry) -> dict[str, Any]:
    found: dict[str, Any] = {"state": "unreachable"}
    match = _KERNEL_ID.search(entry.owner_what)
    return {
        "id": entry.id,
        "name": entry.name,
        "executor": entry.executor,
        "place": _PLACES.get(entry.executor, entry.executor),
        "state": found["state"],
        "owner_pid": entry.owner_pid,
        "owner_what": entry.owner_what,
        "kernel_id": match[0] if match else None,
        "started": entry.started.isoformat(),
        "uptime": found.get("uptime"),
        "runs": found.get("runs"),
        "last_run": found.get("last_run"),
        "limits": _limits(entry.limits),
        "usage": None,
        "isolation": None,
    }


def _limits(limits: Any) -> dict[str, Any]:
    quota = limits.get("cpu_quota")
    return {
        "memory": limits.get("memory_limit"),
        "cpu": quota / _PERIOD if isinstance(quota, int) else None,
        "disk": limits.get("disk_limit"),
        "processes": limits.get("pids_limit"),
        "network": limits.get("network_disabled") is not True,
        "timeout": limits.get("timeout", limits.get("default_timeout")),
    }

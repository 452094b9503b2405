"""Sessions that live over the user's storage, whichever process they are in."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, final

from ...errors import SteeringError
from ...steering import SessionClient
from .isolation import isolation

if TYPE_CHECKING:
    from ...storage import FileStorage
    from ...storage.registry import SessionEntry
    from .places import OffLoop

ACTIONS = ("interrupt", "reset", "restart", "stop")
_PLACES = {"subprocess": "venv"}
_KERNEL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PERIOD = 100_000  # microseconds, in which a CPU quota is counted
_PATIENCE = 2.0
"""Seconds that a session may take to describe itself."""
_CURRENT = 1.0
"""Seconds for which a description counts."""
Described = dict[str, Any]


@final
class Sessions:
    """Describes and steers the sessions of a storage."""

    def __init__(self, off_loop: OffLoop) -> None:
        self._off_loop = off_loop
        self._lock = asyncio.Lock()
        self._found: list[Described] = []
        self._found_at = -_CURRENT

    async def all(self, storage: FileStorage) -> list[Described]:
        """Describe all sessions, the oldest first; one that does not answer as far as its entry says."""
        async with self._lock:
            if time.monotonic() - self._found_at > _CURRENT:
                self._found_at = time.monotonic()  # before: what happens meanwhile may not have been seen
                try:
                    entries = await self._off_loop(storage.sessions.entries)
                    self._found = list(await asyncio.gather(*map(_describe, entries)))
                except BaseException:
                    self.forget()
                    raise
            return self._found

    def forget(self) -> None:
        """Describe them anew for whoever asks next."""
        self._found_at = -_CURRENT

    async def act(self, storage: FileStorage, id: str, action: str) -> None:
        """Interrupt, reset, restart or stop a session.

        Raises
        ------
        SessionGoneError
            There is none of this id, or it does not answer.
        SteeringError
            It could not do what was asked.
        """
        assert action in ACTIONS
        client = SessionClient(await self._off_loop(storage.sessions.get, id))
        try:
            await getattr(client, action)()
        finally:
            self.forget()

    async def probe(self, storage: FileStorage, id: str) -> Described:
        """Measure a session's isolation.

        Raises
        ------
        SessionGoneError, SteeringError
            As `act`.
        """
        entry = await self._off_loop(storage.sessions.get, id)
        return _isolation(_place(entry), await SessionClient(entry).probe())


async def _describe(entry: SessionEntry) -> Described:
    try:
        said = await SessionClient(entry, patience=_PATIENCE).describe()
    except SteeringError:
        said = {"state": "unreachable"}
    match = _KERNEL_ID.search(entry.owner_what)
    return {
        "id": entry.id,
        "name": entry.name,
        "executor": entry.executor,
        "place": _place(entry),
        "state": str(said.get("state", "unknown"))[:40],
        "owner_pid": entry.owner_pid,
        "owner_what": entry.owner_what,
        "kernel_id": match[0] if match else None,
        "started": entry.started.isoformat(),
        "uptime": _number(said, "uptime"),
        "runs": _whole(said, "runs"),
        "last_run": _whole(said, "last_run"),
        "limits": _limits(entry.limits),
        "usage": _usage(said),
        "isolation": _isolation(_place(entry), said["probe"]) if said.get("probe") else None,
    }


def _place(entry: SessionEntry) -> str:
    return _PLACES.get(entry.executor, entry.executor)


def _isolation(place: str, probe: Any) -> Described:
    measured = probe.get("measured") if isinstance(probe, Mapping) else None
    return isolation(place, measured if isinstance(measured, Mapping) else {})


def _usage(said: Mapping[str, Any]) -> Described | None:
    memory, cpu = _whole(said, "memory"), _number(said, "cpu")
    if memory is None or cpu is None:
        return None
    return {
        "memory": memory,
        "memory_limit": _whole(said, "memory_limit"),
        "memory_peak": memory,
        "cpu": cpu,
        "cpu_percent": None,
        "processes": _whole(said, "processes") or 1,
        "measured": datetime.now(UTC).isoformat(),
    }


def _limits(limits: Mapping[str, Any]) -> Described:
    quota = _whole(limits, "cpu_quota")
    return {
        "memory": _whole(limits, "memory_limit"),
        "cpu": None if quota is None else quota / _PERIOD,
        "disk": _whole(limits, "disk_limit"),
        "processes": _whole(limits, "pids_limit"),
        "network": limits.get("network_disabled") is not True,
        "timeout": _number(limits, "timeout") or _number(limits, "default_timeout"),
    }


def _whole(said: Mapping[str, Any], name: str) -> int | None:
    """Return a number that another process has said; what is none counts as not said."""
    value = said.get(name)
    return value if type(value) is int else None


def _number(said: Mapping[str, Any], name: str) -> float | None:
    value: Any = said.get(name)
    return float(value) if type(value) in (int, float) and abs(value) < float("inf") else None

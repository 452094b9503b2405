"""The server's kernels: where they run, what they use, what was measured, and why one has ended."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, final

from ...environments.notebook import NotebookSettings
from ...errors import CodeModeError, RequestRefusedError
from ...provisioners.observed import Observed
from .. import metrics, telemetry
from .isolation import isolation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server.serverapp import ServerApp

    from ..settings import ServerSettings
    from .broadcast import Broadcast

_LONGEST_MEASUREMENT = 5.0
"""Seconds that a place may take to say what it uses."""
_Described = dict[str, Any]


@final
class Watched:
    """What is remembered of one kernel between two looks."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC).isoformat()
        self.starts = 0
        self.death: object = None
        self.shown: _Described = {}
        self.isolation: _Described | None = None
        self.usage: _Described | None = None
        self.used_at = 0.0
        self.limits: _Described | None = None
        self.limits_of = -1
        self.peak = 0
        self.noting = asyncio.Lock()
        self.measuring: asyncio.Task[_Described | None] | None = None


@final
class KernelWatch:
    """Watches the kernels, and tells what changes. It is used on the server's event loop."""

    def __init__(self, server: ServerApp, settings: ServerSettings, broadcast: Broadcast) -> None:
        self._server = server
        self._settings = settings
        self._broadcast = broadcast
        self._watched: dict[str, Watched] = {}
        self._sessions: dict[str, Mapping[str, Any]] = {}
        self._sessions_at = 0.0

    @property
    def _kernels(self) -> Any:
        return self._server.kernel_manager

    # Looking

    async def look(self) -> None:
        """Look at all kernels, and tell what has changed since the last look."""
        ids = self._kernels.list_kernel_ids()
        for id in [known for known in self._watched if known not in ids]:
            del self._watched[id]
            self._broadcast.tell("kernels", "ended", id)
        for id in ids:
            with contextlib.suppress(RequestRefusedError):  # it has ended meanwhile
                await self._look_at(id)
        if self._broadcast.wanted("usage"):
            await asyncio.gather(*(self._tell_usage(id) for id in list(self._watched)))

    async def _look_at(self, id: str) -> None:
        watched = await self._note(id)
        is_new = not watched.shown
        shown = await self._describe(id)
        before, watched.shown = watched.shown, shown
        if is_new:
            self._broadcast.tell("kernels", "started", id, kernel=shown)
            if shown["death"] is not None:
                self._broadcast.tell("kernels", "died", id, kernel=shown)
        elif _what_counts(before) != _what_counts(shown):
            died = before.get("death") != shown["death"]
            self._broadcast.tell("kernels", "died" if died else "changed", id, kernel=shown)

    async def _note(self, id: str) -> Watched:
        """Take note of what has happened to a kernel since somebody last looked or asked."""
        provisioner = self._provisioner(id)
        watched = self._watched.setdefault(id, Watched())
        if provisioner is not None:
            async with watched.noting:  # who asks meanwhile is told what was measured
                await self._note_start(id, watched, provisioner)
            self._note_death(id, watched, provisioner)
        return watched

    async def _note_start(self, id: str, watched: Watched, provisioner: Observed) -> None:
        """Measure and count what was started since the last look."""
        fresh, watched.starts = provisioner.starts - watched.starts, provisioner.starts
        if fresh <= 0:
            return
        watched.peak, watched.usage, watched.isolation = 0, None, None
        reason, place = provisioner.explanation, provisioner.place_name
        for _ in range(fresh):
            metrics.count_start(place, provisioner.start_seconds, failed=bool(reason))
        telemetry.emit(
            self._server.event_logger,
            telemetry.START,
            kernel_id=id,
            place=place,
            status="error" if reason else "success",
            seconds=provisioner.start_seconds,
            message=reason,
        )
        if not reason:
            watched.isolation = await self._measure_isolation(provisioner)

    def _note_death(self, id: str, watched: Watched, provisioner: Observed) -> None:
        death = provisioner.death
        if death is None or death is watched.death:
            return
        watched.death = death
        metrics.DEATHS.labels(place=provisioner.place_name, kind=death.kind).inc()
        telemetry.emit(
            self._server.event_logger,
            telemetry.KILL,
            kernel_id=id,
            place=provisioner.place_name,
            kind=death.kind,
            reason=death.reason,
        )

    async def _tell_usage(self, id: str) -> None:
        watched = self._watched.get(id)
        if watched is None:
            return
        before = watched.usage
        usage = await self._usage(id, watched)
        if usage is not None and usage is not before:
            self._broadcast.tell("usage", "measured", id, usage=usage)

    # Asking

    async def all(self) -> list[_Described]:
        """Describe all kernels, with what they use."""
        found = await asyncio.gather(
            *(self.one(id) for id in self._kernels.list_kernel_ids()), return_exceptions=True
        )
        return [kernel for kernel in found if isinstance(kernel, dict)]

    async def one(self, id: str) -> _Described:
        """Describe a kernel, with what it uses.

        Raises
        ------
        RequestRefusedError
            There is none of this id.
        """
        watched = await self._note(id)
        usage = await self._usage(id, watched)
        return {**await self._describe(id), "usage": usage}

    async def probe(self, id: str) -> _Described:
        """Measure a kernel's isolation again, from outside; inside it was measured before user code ran.

        Raises
        ------
        RequestRefusedError
            There is none of this id, or none of ours; or it only explains why there is no other.
        """
        self._kernel(id)
        provisioner = self._provisioner(id)
        if provisioner is None:
            raise RequestRefusedError(
                409, "NotOurs", "This kernel is not one of Code Mode's.", remedy="Choose one that is."
            )
        if provisioner.explanation:
            raise RequestRefusedError(
                409,
                "NotStarted",
                "The kernel's place could not be made.",
                remedy="Do what the kernel says, and restart it.",
            )
        found = await self._measure_isolation(provisioner)
        self._watched.setdefault(id, Watched()).isolation = found
        return found

    def _kernel(self, id: str) -> Any:
        try:
            return self._kernels.get_kernel(id)
        except KeyError:
            raise RequestRefusedError(
                404,
                "NotFound",
                f"There is no kernel {id[:64]!r}.",
                remedy="List the kernels: it may have ended.",
            ) from None

    def _provisioner(self, id: str) -> Observed | None:
        found = getattr(self._kernel(id), "provisioner", None)
        return found if isinstance(found, Observed) else None

    async def _describe(self, id: str) -> _Described:
        kernel, provisioner = self._kernel(id), self._provisioner(id)
        watched = self._watched.setdefault(id, Watched())
        session = (await self._session_of()).get(id)
        state = str(getattr(kernel, "execution_state", None) or "unknown")
        last = getattr(kernel, "last_activity", None)
        return {
            "id": id,
            "name": kernel.kernel_name,
            "display_name": _display_name(kernel),
            "state": "explaining" if provisioner is not None and provisioner.explanation else state,
            "connections": self._kernels._kernel_connections.get(id, 0),
            "started": watched.started,
            "last_activity": last.isoformat() if last is not None else watched.started,
            "session": session,
            "usage": watched.usage,
            "isolation": watched.isolation,
            **_of_place(provisioner, watched),
        }

    async def _session_of(self) -> Mapping[str, Mapping[str, Any]]:
        """Return which notebook or console uses a kernel, by the kernel's id; asked now and then."""
        now = time.monotonic()
        if now - self._sessions_at > self._settings.watch_interval:
            self._sessions_at = now
            self._sessions = {
                one["kernel"]["id"]: {name: str(one[name]) for name in ("id", "path", "name", "type")}
                for one in await self._server.session_manager.list_sessions()
                if one.get("kernel")
            }
        return self._sessions

    # Measuring

    async def _measure_isolation(self, provisioner: Observed) -> _Described:
        try:
            async with asyncio.timeout(_LONGEST_MEASUREMENT):
                measured = await provisioner.isolation()
        except (CodeModeError, TimeoutError):
            measured = {}
        return isolation(provisioner.place_name, measured)

    async def _usage(self, id: str, watched: Watched) -> _Described | None:
        """Return what a kernel uses; all who ask within a while share one measurement."""
        if time.monotonic() - watched.used_at < self._settings.usage_interval:
            return watched.usage
        if watched.measuring is None or watched.measuring.done():
            work = self._measure_usage(self._provisioner(id), watched)
            watched.measuring = asyncio.get_running_loop().create_task(work)
        return await asyncio.shield(watched.measuring)

    async def _measure_usage(self, provisioner: Observed | None, watched: Watched) -> _Described | None:
        found: Mapping[str, Any] = {}
        if provisioner is not None and not provisioner.explanation:
            with contextlib.suppress(CodeModeError, TimeoutError):
                async with asyncio.timeout(_LONGEST_MEASUREMENT):
                    found = await provisioner.usage()
        watched.usage = _usage(found, watched) if found else None
        watched.used_at = time.monotonic()
        return watched.usage


def _usage(found: Mapping[str, Any], watched: Watched) -> _Described:
    now, before = datetime.now(UTC), watched.usage
    watched.peak = max(watched.peak, int(found["memory"]))
    percent = None
    if before is not None:
        passed = (now - datetime.fromisoformat(before["measured"])).total_seconds()
        percent = max(0.0, 100 * (found["cpu"] - before["cpu"]) / passed) if passed > 0 else None
    limit = found.get("memory_limit")
    return {
        "memory": int(found["memory"]),
        "memory_limit": limit if isinstance(limit, int) else None,
        "memory_peak": watched.peak,
        "cpu": float(found["cpu"]),
        "cpu_percent": None if percent is None else round(percent, 1),
        "processes": int(found.get("processes", 1)),
        "measured": now.isoformat(),
    }


def _of_place(provisioner: Observed | None, watched: Watched) -> _Described:
    """Return what a place says of itself; nothing for kernels that are not ours."""
    if provisioner is None:
        return dict.fromkeys(("place", "limits", "death", "settings")) | {"refusal": "", "notice": ""}
    settings = provisioner.settings or NotebookSettings()
    if watched.limits_of != provisioner.starts:
        watched.limits_of, watched.limits = provisioner.starts, None
        with contextlib.suppress(CodeModeError):  # what cannot be kept is in `refusal`
            watched.limits = dataclasses.asdict(provisioner.limits_with(settings))
    return {
        "place": provisioner.place_name,
        "refusal": provisioner.explanation,
        "limits": watched.limits,
        "death": provisioner.death.to_dict() if provisioner.death is not None else None,
        "notice": provisioner.notice,
        "settings": settings.to_dict(),
    }


def _display_name(kernel: Any) -> str:
    spec = getattr(kernel, "kernel_spec", None)
    return str(getattr(spec, "display_name", "") or kernel.kernel_name)


def _what_counts(shown: _Described) -> _Described:
    """Return what is worth an event: not that time goes by."""
    return {name: value for name, value in shown.items() if name not in ("usage", "last_activity")}

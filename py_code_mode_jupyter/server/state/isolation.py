"""What was measured about a place, as facts: inside before any user code ran, and outside by the host.

Code in a kernel can lie about itself, and a configuration says only what was wished. So a fact holds when it
was measured, and a place counts as verified when nothing that it promises is missing or contradicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

_MIB = 2**20
_LABELS = {
    "process_isolation": "Process of its own",
    "container_isolation": "Container of its own",
    "network_isolation": "No network",
    "write_confinement": "Writes only in its own folders",
    "no_root": "Not the root user",
    "no_capabilities": "No privileges of the system",
    "no_new_privileges": "Cannot gain privileges",
    "seccomp": "System calls filtered",
    "memory_limit": "Memory limit",
    "pids_limit": "Limit of processes",
    "cpu_quota": "CPU limit",
    "disk_limit": "Limit of what is written",
    "deps_lock_enforced": "Packages locked",
}
_LEVELS = {"in-process": "none", "venv": "process", "container": "container"}
_REQUIRED = {
    "in-process": (),
    "venv": ("process_isolation",),
    "container": (
        "container_isolation",
        "write_confinement",
        "no_root",
        "no_capabilities",
        "no_new_privileges",
        "seccomp",
        "memory_limit",
        "pids_limit",
    ),
}
"""What has to hold, inside and outside, for a place to be what it is called."""
Pair = tuple[Any, Any]
Seen = Mapping[str, Any]


def isolation(place: str | None, measured: Seen) -> dict[str, Any]:
    """Return what was measured of a kernel or session, as the API tells it.

    Parameters
    ----------
    place
        ``in-process``, ``venv``, ``container``, or None for another kind of kernel.
    measured
        What was measured inside; under ``outside``, what the host sees.
    """
    outside = measured.get("outside")
    readers = _READERS.get(place or "", {})
    pairs = {name: read(measured, outside or {}) for name, read in readers.items()}
    facts = [_fact(name, *pair) for name, pair in pairs.items()]
    verified = bool(readers) and all(fact["agrees"] for fact in facts) and _is_whole(place, facts)
    return {
        "place": place,
        "level": _LEVELS.get(place or "", "none") if verified or place != "container" else "process",
        "is_verified": verified,
        "summary": _summary(place, facts, verified=verified),
        "facts": facts,
        "measured": datetime.now(UTC).isoformat(),
    }


def _is_whole(place: str | None, facts: list[dict[str, Any]]) -> bool:
    held = {fact["name"] for fact in facts if fact["holds"] and fact["outside"] is not None}
    return held.issuperset(_REQUIRED.get(place or "", ()))


def _fact(name: str, inside: Any, outside: Any) -> dict[str, Any]:
    is_number = any(type(value) in (int, float) for value in (inside, outside))
    known = [value for value in (inside, outside) if value is not None]
    agrees = len({*map(str, known)}) <= 1
    holds: bool | None = bool(known) and agrees and all(value is not False for value in known)
    if not known:
        holds = False if name in ("memory_limit", "pids_limit", "cpu_quota", "disk_limit") else None
    label = f"{_LABELS[name]}: {_shown(name, known[-1])}" if is_number and known else _LABELS[name]
    return {
        "name": name,
        "label": label,
        "inside": inside,
        "outside": outside,
        "holds": holds,
        "agrees": agrees,
    }


def _shown(name: str, value: Any) -> str:
    if name in ("memory_limit", "disk_limit"):
        return f"{value / _MIB:,.0f} MiB"
    return f"{value / 100_000:g} CPU" if name == "cpu_quota" else f"{value:,}"


def _summary(place: str | None, facts: list[dict[str, Any]], *, verified: bool) -> str:
    if place is None:
        return "not a kernel of Code Mode"
    if place == "in-process":
        return "in-process · no isolation"
    held = {fact["name"]: fact for fact in facts if fact["holds"]}
    parts = [place]
    if place == "container":
        parts.append("no network" if "network_isolation" in held else "network")
    elif "write_confinement" in held:
        parts.append("writes confined")
    if "memory_limit" in held:
        parts.append(held["memory_limit"]["label"].rpartition(": ")[2])
    if not verified:
        parts.append("not verified")
    return " · ".join(parts)


# Where each fact is read, inside and outside


def _same(name: str) -> Callable[[Seen, Seen], Pair]:
    return lambda inside, outside: (_plain(inside.get(name)), _plain(outside.get(name)))


def _inside_only(name: str) -> Callable[[Seen, Seen], Pair]:
    return lambda inside, outside: (_plain(inside.get(name)), None)


def _plain(value: Any) -> Any:
    """Return a value that was measured; what is no plain value was not."""
    return value if isinstance(value, bool | int | float) else None


def _judged(
    inside: str, of_inside: Callable[[Any], bool], outside: str, of_outside: Callable[[Any], bool]
) -> Callable[[Seen, Seen], Pair]:
    def read(within: Seen, without: Seen) -> Pair:
        first = of_inside(within[inside]) if within.get(inside) is not None else None
        return first, of_outside(without[outside]) if outside in without else None

    return read


def _is_closed(inside: Seen, outside: Seen) -> Pair:
    """Whether the boundary is one: seen from outside there are no privileges and no folders of ours."""
    seen = not outside["privileged"] and not outside["mounts"] if outside else None
    return inside.get("container_isolation") is True, seen


def _is_offline(inside: Seen, outside: Seen) -> Pair:
    seen = outside["network_mode"] == "none" and not outside["addresses"] if outside else None
    return inside.get("network_isolation") is True, seen


def _memory(inside: Seen, outside: Seen) -> Pair:
    group = outside.get("control_group") or {}
    return _plain(inside.get("memory_limit")), group.get("memory", outside.get("memory_limit"))


def _processes(inside: Seen, outside: Seen) -> Pair:
    group = outside.get("control_group") or {}
    return _plain(inside.get("pids_limit")), group.get("pids", outside.get("pids_limit"))


def _says(word: str) -> Callable[[Any], bool]:
    return lambda options: any(word in str(option) for option in options or ())


def _is_no_root(user: Any) -> bool:
    return str(user).partition(":")[0] not in ("", "0", "root")


def _own_process(inside: Seen, outside: Seen) -> Pair:
    return inside.get("process_isolation") is True, outside.get("process_isolation")


def _confined(inside: Seen, outside: Seen) -> Pair:
    """From outside one sees only whether it can gain no rights, without which nothing confines it."""
    said = inside.get("write_confinement") is True
    return said, False if said and outside.get("no_new_privileges") is False else None


_READERS: dict[str, dict[str, Callable[[Seen, Seen], Pair]]] = {
    "in-process": {"process_isolation": _own_process},
    "venv": {
        "process_isolation": _own_process,
        "write_confinement": _confined,
        "memory_limit": _same("memory_limit"),
        "deps_lock_enforced": _inside_only("deps_lock_enforced"),
    },
    "container": {
        "container_isolation": _is_closed,
        "network_isolation": _is_offline,
        "write_confinement": _judged("write_confinement", bool, "read_only", bool),
        "no_root": _judged("uid", bool, "user", _is_no_root),
        "no_capabilities": _judged(
            "capabilities", lambda number: number == 0, "capabilities_dropped", _says("ALL")
        ),
        "no_new_privileges": _judged("no_new_privileges", bool, "security", _says("no-new-privileges")),
        "seccomp": _judged("seccomp", bool, "security", lambda options: not _says("unconfined")(options)),
        "memory_limit": _memory,
        "pids_limit": _processes,
        "cpu_quota": _same("cpu_quota"),
        "disk_limit": _inside_only("disk_limit"),
        "deps_lock_enforced": _inside_only("deps_lock_enforced"),
    },
}

"""What holds around this process, read from the system and not from what was asked for.

The first process reads it before any user code runs, and is not the code's to change.
Control groups: ``cgroups(7)``, version 1 and 2.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 2**60
_PERIOD = 100_000  # microseconds, in which Docker counts a CPU quota
_WRITABLE = ("/work", "/tmp", "/deps", "/run", "/dev/shm")  # noqa: S108 - named, not used


def limits() -> dict[str, Any]:
    """Return every limit and right that can be measured from inside."""
    status = _status()
    return {
        "process_isolation": True,
        "container_isolation": True,
        "crash_recovery": True,
        "uid": os.getuid(),
        "capabilities": int(status.get("CapEff", "0"), 16),
        "no_new_privileges": status.get("NoNewPrivs") == "1",
        "seccomp": status.get("Seccomp") == "2",
        "root_writable": os.access("/", os.W_OK) and not os.statvfs("/").f_flag & os.ST_RDONLY,
        "write_confinement": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
        "interfaces": sorted(line.split(":")[0].strip() for line in _lines("/proc/net/dev")[2:]),
        "network_isolation": not _lines("/proc/net/route")[1:],
        "memory_limit": _bounded(_number("memory/memory.limit_in_bytes", "memory.max")),
        "memory_and_swap_limit": _bounded(_memory_and_swap()),
        "pids_limit": _bounded(_number("pids/pids.max", "pids.max")),
        "cpu_quota": _cpu_quota(),
        "disk_limit": _disk(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "machine": os.uname().machine,
        "libc": (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2],
    }


def usage() -> dict[str, Any]:
    """Return what the container uses: memory (bytes), CPU (s) and processes."""
    return {
        "memory": _memory_in_use(),
        "cpu": _cpu_used(),
        "processes": _number("pids/pids.current", "pids.current") or 0,
    }


def killed_for_memory() -> int:
    """Return how many processes the system has killed because the memory limit was reached."""
    for line in (*_lines(_CGROUP / "memory/memory.oom_control"), *_lines(_CGROUP / "memory.events")):
        name, _, number = line.partition(" ")
        if name == "oom_kill":
            return int(number)
    return 0


def _memory_in_use() -> int:
    # As the engine counts: what is cached from files and not in use would be given back.
    used = _number("memory/memory.usage_in_bytes", "memory.current") or 0
    for line in (*_lines(_CGROUP / "memory/memory.stat"), *_lines(_CGROUP / "memory.stat")):
        name, _, number = line.partition(" ")
        if name in ("total_inactive_file", "inactive_file"):
            return max(0, used - int(number))
    return used


def _cpu_used() -> float:
    nanoseconds = _number("cpuacct/cpuacct.usage", "")
    if nanoseconds is not None:
        return nanoseconds / 1e9
    for line in _lines(_CGROUP / "cpu.stat"):
        name, _, number = line.partition(" ")
        if name == "usage_usec":
            return int(number) / 1e6
    return 0.0


def _memory_and_swap() -> int | None:
    old = _number("memory/memory.memsw.limit_in_bytes", "")
    if old is not None:
        return old
    swap, memory = _number("", "memory.swap.max"), _number("", "memory.max")
    return None if swap is None or memory is None else swap + memory


def _cpu_quota() -> int | None:
    quota, period = _number("cpu/cpu.cfs_quota_us", ""), _number("cpu/cpu.cfs_period_us", "")
    parts = (_lines(_CGROUP / "cpu.max") or [""])[0].split()
    if quota is None and len(parts) == 2 and parts[0] != "max":
        quota, period = int(parts[0]), int(parts[1])
    if quota is None or quota < 0 or not period:
        return None
    return quota * _PERIOD // period


def _disk() -> int:
    """Return how many bytes can be written in all the places that can be written."""
    mounts = {line.split()[1]: line.split()[3].split(",") for line in _lines("/proc/mounts")}
    total = 0
    for place in _WRITABLE:
        if "rw" in mounts.get(place, ()):
            about = os.statvfs(place)
            total += about.f_blocks * about.f_frsize
    return total


def _bounded(number: int | None) -> int | None:
    return None if number is None or number >= _UNLIMITED else number


def _number(old: str, new: str) -> int | None:
    """Return the number in a file of version 1 or 2, whichever is there."""
    for name in filter(None, (old, new)):
        text = "".join(_lines(_CGROUP / name))
        if text:
            return int(text) if text != "max" else None
    return None


def _status() -> dict[str, str]:
    pairs = (line.partition(":") for line in _lines("/proc/self/status"))
    return {name: value.strip() for name, _, value in pairs}


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []

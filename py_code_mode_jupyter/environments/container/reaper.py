"""Removes containers whose makers have ended; says what the engine knows of one. It blocks."""

from __future__ import annotations

import logging
import math
import threading
import time
from pathlib import Path
from typing import Any

from ...errors import EngineError
from ...owner import is_orphan
from .engine import OWNER, Engine

_CGROUPS = Path("/sys/fs/cgroup")
_INTERVAL = 10.0
"""Seconds between two looks for leftovers."""
_reaped: dict[str, float] = {}
_lock = threading.Lock()
_log = logging.getLogger(__name__)


def reap(engine: Engine) -> list[str]:
    """Remove the containers whose makers have ended, and return their names."""
    found = orphans(engine)
    for one in found:
        engine.remove(one["Id"])
    return [str(one["Names"][0]).lstrip("/") for one in found if one.get("Names")]


def orphans(engine: Engine) -> list[dict[str, Any]]:
    """Return the containers whose makers were processes of this machine, and have ended."""
    return [one for one in engine.containers() if is_orphan(one["Labels"].get(OWNER, ""))]


def reap_soon(engine: Engine) -> None:
    """Remove them, unless that was done a moment ago; what cannot be removed holds up nobody."""
    with _lock:
        now = time.monotonic()
        if now - _reaped.get(engine.docker_host, -math.inf) < _INTERVAL:
            return
        _reaped[engine.docker_host] = now
    try:
        reap(engine)
    except EngineError as error:
        _log.warning("Containers that are left over could not be removed: %s", error)


def outside_view(about: dict[str, Any]) -> dict[str, Any]:
    """Return what an inspected container may do, and what its control group says if it is of this machine."""
    host = about["HostConfig"]
    networks = about["NetworkSettings"]["Networks"]
    return {
        "network_mode": host["NetworkMode"],
        "addresses": sorted(one["IPAddress"] for one in networks.values() if one["IPAddress"]),
        "ports": {port: bound for port, bound in (about["NetworkSettings"]["Ports"] or {}).items() if bound},
        "read_only": host["ReadonlyRootfs"],
        "privileged": host["Privileged"],
        "capabilities_dropped": host["CapDrop"],
        "security": host["SecurityOpt"],
        "mounts": [one["Destination"] for one in about["Mounts"] if one["Type"] != "tmpfs"],
        "memory_limit": host["Memory"],
        "memory_and_swap_limit": host["MemorySwap"],
        "pids_limit": host["PidsLimit"],
        "cpu_quota": host["CpuQuota"] or None,
        "user": about["Config"]["User"],
        "runtime": host["Runtime"],
        "control_group": _control_group(about["Id"]),
    }


def _control_group(number: str) -> dict[str, int]:
    """Return the limits in the control groups of a container on this machine, nothing for another's."""
    places = {
        "memory": ("memory/docker/{}/memory.limit_in_bytes", "system.slice/docker-{}.scope/memory.max"),
        "pids": ("pids/docker/{}/pids.max", "system.slice/docker-{}.scope/pids.max"),
    }
    found = {}
    for name, paths in places.items():
        for path in paths:
            file = _CGROUPS / path.format(number)
            if file.exists() and (text := file.read_text().strip()).isdecimal():
                found[name] = int(text)
    return found

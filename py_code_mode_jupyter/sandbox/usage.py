"""What a kernel answers to a ``usage_request``: what its place uses, and the limit that holds there.

jupyter-resource-usage shows ``host_virtual_memory`` beside the kernel's own memory. What the machine has is
of no use to code that may have a part of it, so where there is a limit, that is the total.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from typing import Any, final

import psutil


@final
class Usage:
    """Measures one kernel's place.

    Parameters
    ----------
    limit
        Bytes that each process may have; None: no limit.
    is_contained
        Whether this is a container, whose control group counts and limits.
    """

    def __init__(self, *, limit: int | None = None, is_contained: bool = False) -> None:
        self._limit = limit
        self._is_contained = is_contained
        self._processes: dict[int, psutil.Process] = {}
        self._before = time.monotonic(), 0.0

    def content(self) -> dict[str, Any]:
        """Return the content of a ``usage_reply``."""
        memory, cpu, limit = self._of_container() if self._is_contained else self._of_processes()
        return {
            "hostname": platform.node(),
            "pid": os.getpid(),
            "kernel_cpu": cpu,
            "kernel_memory": memory,
            "cpu_count": psutil.cpu_count(),
            "host_cpu_percent": psutil.cpu_percent(),
            "host_virtual_memory": psutil.virtual_memory()._asdict() if limit is None else _of(memory, limit),
        }

    def _of_processes(self) -> tuple[int, float, int | None]:
        """Return memory and CPU (%) of this process and its children, and the limit."""
        me = psutil.Process()
        # The same objects again: they know what they had used when they were last asked.
        found = {one.pid: self._processes.get(one.pid, one) for one in (me, *me.children(recursive=True))}
        self._processes = found
        memory, cpu = 0, 0.0
        for process in found.values():
            with contextlib.suppress(psutil.Error):
                memory += process.memory_info().rss
                cpu += process.cpu_percent()
        return memory, cpu, self._limit

    def _of_container(self) -> tuple[int, float, int | None]:
        from .supervisor import measure

        used, now = measure.usage(), time.monotonic()
        then, before = self._before
        self._before = now, used["cpu"]
        percent = 100 * (used["cpu"] - before) / (now - then) if before and now > then else 0.0
        return used["memory"], percent, measure.limits()["memory_limit"]


def _of(memory: int, limit: int) -> dict[str, Any]:
    left = max(0, limit - memory)
    percent = round(100 * memory / limit, 1)
    return {"total": limit, "available": left, "percent": percent, "used": memory, "free": left}

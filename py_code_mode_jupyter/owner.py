"""Who made something: a process of this machine, known even after its number was given away again."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import psutil

_ENDED = frozenset("ZXx")
"""States (proc_pid_stat(5), field 3) of a process that has ended, whether or not anybody waited for it."""


def owner() -> str:
    """Return who makes something now: the machine, and this process with the time it was started."""
    return _owner(os.getpid())


@functools.lru_cache(maxsize=1)
def _owner(pid: int) -> str:
    return f"{_machine()}:{pid}:{_started(pid)}"


def is_here(text: str) -> bool:
    """Return whether the owner is, or was, a process of this machine."""
    return text.partition(":")[0] == _machine()


def pid_of(text: str) -> int:
    """Return the process number of an owner; 0 if the text names none."""
    number = text.partition(":")[2].partition(":")[0]
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else 0


def is_orphan(text: str) -> bool:
    """Return whether the owner was a process of this machine, and has ended."""
    started = text.rpartition(":")[2]
    if not is_here(text) or not pid_of(text):
        return False
    try:
        return _started(pid_of(text)) != started
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _started(pid: int) -> str:
    """Return when a process was started, told so that setting the clock does not change it."""
    try:
        # proc_pid_stat(5): field 22, in ticks since the start of the machine, which the next line names.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return f"{psutil.Process(pid).create_time():.2f}"
    if fields[0] in _ENDED:
        raise psutil.NoSuchProcess(pid)
    return f"{boot}-{fields[19]}"


def _machine() -> str:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            if text := Path(path).read_text().strip():
                return f"{text}-{_namespace()}"
        except OSError:
            continue
    return f"{os.uname().nodename}-{_namespace()}"


def _namespace() -> str:
    """Return what tells process ids of one container or of the host from those of another."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "0"

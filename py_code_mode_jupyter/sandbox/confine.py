"""Limits that a process puts on itself before it runs anybody's code; none can be taken off again.

Landlock (``landlock(7)``, Linux 5.13 and newer) confines root as well and needs no privilege. What
it covers grows with its ABI: creating and writing files from 1, truncation from 3, TCP from 4,
signals and abstract sockets from 6. It does not cover UDP, named unix sockets or reading.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_PRLIMIT64 = {"x86_64": (0xC000003E, 302), "aarch64": (0xC00000B7, 261)}
"""Audit architecture, and number of the system call."""
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_NOT_LESS, _RETURN = 0x20, 0x15, 0x35, 0x06  # instructions of classic BPF
_SECOND_SET = 0x40000000
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_RULE_PATH_BENEATH = 1
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_WRITING = _WRITE_FILE | sum(1 << bit for bit in range(4, 14)) | _TRUNCATE
"""Write, remove, make and refer: every right that changes the file system (bits 1 and 4 to 14)."""
_SINCE = {13: 2, 14: 3}
"""Rights newer than the first ABI: bit to ABI."""
_ON_FILES = _WRITE_FILE | _TRUNCATE
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2


def _syscall(number: int, *args: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number, *args)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def landlock_abi() -> int:
    """Return the Landlock ABI of this machine, 0 where there is none."""
    if sys.platform != "linux":
        return 0
    with contextlib.suppress(OSError):
        return _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    return 0


def confine_writes(writable: Iterable[Path]) -> None:
    """Let this process and its children write below `writable` only, and signal only each other.

    Call it before any thread exists: it binds the calling thread and what that starts. Each path
    is one without links; where it has come to lead elsewhere, nothing is confined or started.

    Raises
    ------
    OSError
        There is no Landlock here, it refused, or a path is not what it was.
    """
    abi = landlock_abi()
    rights = _WRITING & ~sum(1 << bit for bit, since in _SINCE.items() if abi < since)
    scoped = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if abi >= 6 else 0
    attributes = struct.pack("QQQ", rights, 0, scoped)
    size = 24 if abi >= 6 else 8
    ruleset = _syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    try:
        for path in writable:
            _allow(ruleset, path, rights)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    with _opened(path) as fd:
        if (led_to := os.readlink(f"/proc/self/fd/{fd}")) != str(path):  # noqa: PTH115 - as text
            raise OSError(errno.ELOOP, f"{path} now leads to {led_to}, which executed code may have done")
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _ON_FILES
        _syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def die_with_parent(parent: int) -> None:
    """Have the system kill this process when the thread that started it ends (Linux)."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It ended before the request was made.
        os._exit(0)


def hide_memory(*, hide: bool = True) -> None:
    """Keep processes of the same user from reading this one's memory, descriptors and environment.

    Children inherit it until they execute another program, so one that runs anybody's code takes it back.
    """
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, int(not hide))


def leave_others_alone() -> None:
    """Keep this process and its children from signalling or limiting any process but each other.

    The same user may do both to every process of its own, even to one that it cannot read. Signals need
    Landlock's ABI 6; what the machine does not have is left out. Scheduling stays open: threads use the
    same system calls for themselves.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if landlock_abi() >= 6:
        scoped = struct.pack("QQQ", 0, 0, _SCOPE_SIGNALS)
        ruleset = _syscall(_CREATE_RULESET, scoped, ctypes.c_size_t(len(scoped)), 0)
        _syscall(_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)
    if sys.platform == "linux" and os.uname().machine in _PRLIMIT64:
        _leave_limits_of_others(*_PRLIMIT64[os.uname().machine])


def _leave_limits_of_others(architecture: int, number: int) -> None:
    """Refuse ``prlimit`` on other processes (``seccomp(2)``, a program in classic BPF)."""
    program = (
        # Calls of another architecture, or of x86-64's second set, have other numbers for the same.
        (_LOAD, 0, 0, 4),
        (_JUMP_IF_EQUAL, 0, 5, architecture),
        (_LOAD, 0, 0, 0),  # the system call
        (_JUMP_IF_NOT_LESS, 3, 0, _SECOND_SET),
        (_JUMP_IF_EQUAL, 0, 3, number),
        (_LOAD, 0, 0, 16),  # its first argument: the process, 0 for the caller
        (_JUMP_IF_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filters = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filters, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the filter of system calls was refused")


def limit_memory(limit: int) -> None:
    """Bound the private memory of this process, and of each child by itself, to `limit` bytes."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def can_create_in(folder: Path) -> bool:
    """Return whether a file can really be made in `folder`; it is removed at once."""
    trial = folder / f".pcm-trial-{os.getpid()}"
    try:
        os.close(os.open(trial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:
        return False
    trial.unlink()
    return True

"""A process that has imported everything and becomes a kernel by forking.

It is forked before the settings are read, before any thread, event loop or ZeroMQ context exists,
and it never knows a secret. Each kernel is a grandchild whose parent has ended, so that the first
process takes its end.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import NoReturn

from .. import confine, kernel
from ..frames import receive_frame

_PID = struct.Struct("<i")
_PATIENCE = 10.0
_KILLED_FIRST = "500"


class ZygoteError(Exception):
    """The zygote has ended, was stopped, or could not fork."""


class Zygote:
    """The parent's end; see `fork`."""

    def __init__(self, pid: int, sock: socket.socket) -> None:
        self.pid = pid
        self._sock = sock
        sock.settimeout(_PATIENCE)

    @classmethod
    def fork(cls, log: int) -> Zygote:
        """Fork a zygote whose kernels write to the descriptor `log` what is not theirs to show."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gc.collect()
        gc.freeze()  # what is here now stays, and its memory is shared
        pid = os.fork()
        if pid == 0:
            ours.close()
            _serve(theirs, log)
        theirs.close()
        return cls(pid, ours)

    def spawn(self, channel: socket.socket) -> int:
        """Start a kernel on the private `channel` and return its process id. It blocks for a moment.

        Raises
        ------
        ZygoteError
            There was no answer, or no process could be made.
        """
        try:
            socket.send_fds(self._sock, [b"\0"], [channel.fileno()])
            answer = self._sock.recv(_PID.size)
        except OSError as error:
            raise ZygoteError(f"The process that makes kernels does not answer: {error}.") from error
        pid = int(_PID.unpack(answer)[0]) if len(answer) == _PID.size else 0
        if pid <= 0:
            raise ZygoteError("No process could be made for the kernel.")
        return pid


def _serve(sock: socket.socket, log: int) -> NoReturn:
    _take_own_descriptors(log)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    while True:
        _, fds, _, _ = socket.recv_fds(sock, 1, 1)
        if not fds:
            os._exit(0)
        sock.send(_PID.pack(_fork_twice(sock, fds[0])))
        os.close(fds[0])


def _take_own_descriptors(log: int) -> None:
    # The attached stream, over which the token comes, is the first process's alone.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for fd in (nowhere, log):
        os.close(fd)


def _fork_twice(sock: socket.socket, channel: int) -> int:
    """Return the process id of the grandchild, 0 if there could be none."""
    reading, writing = os.pipe()
    try:
        child = os.fork()
    except OSError:
        child = -1
    if child == 0:
        _fork_once_more(sock, channel, reading, writing)
    os.close(writing)
    answer = os.read(reading, _PID.size)
    os.close(reading)
    if child > 0:
        os.waitpid(child, 0)
    return int(_PID.unpack(answer)[0]) if len(answer) == _PID.size else 0


def _fork_once_more(sock: socket.socket, channel: int, reading: int, writing: int) -> NoReturn:
    try:
        grandchild = os.fork()
    except OSError:
        os._exit(1)
    if grandchild:
        os.write(writing, _PID.pack(grandchild))
        os._exit(0)
    status = 1
    try:
        sock.close()
        os.close(reading)
        os.close(writing)
        _become_kernel(channel)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - nothing may return into the zygote's loop
        sys.excepthook(*sys.exc_info())
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _become_kernel(channel: int) -> None:
    os.setsid()
    confine.hide_memory(hide=False)
    confine.leave_limits_of_others()
    # Where memory is short, the code is what has to go.
    Path("/proc/self/oom_score_adj").write_text(_KILLED_FIRST)
    sock = socket.socket(fileno=channel)
    frame = receive_frame(sock)
    if frame is None:
        return
    spec = frame[0]
    random.seed()
    os.environ.clear()
    os.environ.update(spec["environ"])
    sys.path[:0] = spec["search_path"]
    os.chdir(spec["cwd"])
    kernel.serve(spec, sock, {})

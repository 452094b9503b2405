"""Starting kernels: processes that have imported what they need, and wait for their channel to speak."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from typing import final

_CHANNEL = 3
_PROGRAM = "py_code_mode_jupyter.sandbox.contained"


@final
@dataclass(frozen=True, slots=True)
class Spawned:
    """A process that is to be a kernel.

    Attributes
    ----------
    pid
        Its process id; it leads a session of its own.
    channel
        Our end of its private channel.
    """

    pid: int
    channel: socket.socket


def spawn(mode: str, log: int) -> Spawned:
    """Start a process that will be a kernel once it is told so.

    Parameters
    ----------
    mode
        ``session`` or ``notebook``.
    log
        Where it writes what is not its to show.

    Raises
    ------
    OSError
        No process could be made.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-m", _PROGRAM, str(_CHANNEL), mode],
                dict(os.environ),
                # Nothing else is handed on: the attached stream, over which tokens come, least of all.
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), _CHANNEL),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                setsid=True,
            )
        except BaseException:
            ours.close()
            raise
    return Spawned(pid, ours)

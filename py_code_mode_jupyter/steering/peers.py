"""Who is at the other end of a socket, as the system says and not as it says itself."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")  # unix(7): pid, uid, gid


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Return process and user at the other end; ``(0, own)`` on systems that keep this to themselves.

    For a client it is the process that made the listening socket. There, and where the system does not
    say, the socket's folder is what keeps others out.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return 0, os.getuid()
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(found)
    return pid, uid


def may_steer(connection: socket.socket) -> bool:
    """Whether the client is a process of this user that is not confined where this one is free.

    Code in a confined environment runs as the same user and finds the socket. What confines it cannot be
    taken off again, and everything that it starts inherits it.
    """
    pid, uid = peer_of(connection)
    if uid != os.getuid():
        return False
    return not pid or _is_confined(os.getpid()) or not _is_confined(pid)


def _is_confined(pid: int) -> bool:
    """Whether a process can gain no privileges; one that has ended counts as confined."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return Path("/proc/self/status").exists()
    return "\nNoNewPrivs:\t1\n" in status

"""The kernel of an isolated place: an IPython kernel that knows the host's private channel.

Run as ``python -m py_code_mode_jupyter.sandbox.kernel FD``. The first frame on the descriptor FD
says what to do; limits are set before anything else, and the kernel answers ``ready`` once its
sockets are bound, so that nobody has to try until it works.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import sysconfig
from pathlib import Path
from typing import Any

from . import confine
from .frames import receive_frame


def main() -> None:
    """Read what to do, put the limits on, and serve until told to stop."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    frame = receive_frame(sock)
    if frame is None:
        return
    spec = frame[0]
    measured = _confine(spec)
    serve(spec, sock, measured)


def _confine(spec: dict[str, Any]) -> dict[str, Any]:
    """Put the limits on and measure, before any user code, what then holds."""
    confine.die_with_parent(spec["parent"])
    if spec["writable"] is not None:
        confine.confine_writes(map(Path, spec["writable"]))
    if spec["memory_limit"] is not None:
        confine.limit_memory(spec["memory_limit"])
    libraries = [sysconfig.get_path("purelib"), *spec["base"]]
    return {
        "write_confinement": not confine.can_create_in(Path(spec["outside"])),
        "environment_writable": any(confine.can_create_in(Path(library)) for library in libraries),
        "memory_limit": spec["memory_limit"],
        "landlock_abi": confine.landlock_abi(),
        "uid": os.getuid(),
        "python": sys.version.split()[0],
    }


def serve(spec: dict[str, Any], sock: socket.socket, measured: dict[str, Any]) -> None:
    """Be the kernel that `spec` describes, until told to stop."""
    from .channel import Channel
    from .kernelapp import SandboxApp
    from .namespaces import namespaces

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(sock)
    app = SandboxApp.instance()
    app.prepare(spec, namespaces(channel))
    app.initialize([])
    channel.start()
    channel.tell({"ready": True, "measured": measured, "pid": os.getpid()})
    app.start()


if __name__ == "__main__":
    main()

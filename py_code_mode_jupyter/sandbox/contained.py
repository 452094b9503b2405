"""The kernel of a container: imports all that it needs, and then waits to be told what it is to be.

Run as ``python -I -m py_code_mode_jupyter.sandbox.contained FD MODE`` by the container's first process. It
is a program of its own and no fork, so nothing that the first process knows is in its memory.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

from . import confine, kernel
from .frames import receive_frame

SESSION, NOTEBOOK = "session", "notebook"
_KILLED_FIRST = "500"


def main() -> None:
    """Be ready, take the word that comes over the channel, and serve."""
    _import_all(debugger=sys.argv[2] != SESSION)
    sock = socket.socket(fileno=int(sys.argv[1]))
    frame = receive_frame(sock)
    if frame is None:
        return
    _prepare(frame[0])
    kernel.serve({**frame[0], "is_contained": True}, sock, {})


def _import_all(*, debugger: bool) -> None:
    if not debugger:
        # An agent's session has nobody who debugs, and debugpy takes a sixth of the memory.
        sys.modules["debugpy"] = None  # type: ignore[assignment]
    import ipykernel.debugger  # noqa: F401 - it settles here whether there is a debugger

    from . import kernelapp, namespaces  # noqa: F401

    if not debugger:
        del sys.modules["debugpy"]


def _prepare(spec: dict[str, Any]) -> None:
    confine.leave_others_alone()
    # Where memory is short, the code is what has to go.
    Path("/proc/self/oom_score_adj").write_text(_KILLED_FIRST)
    os.environ.clear()
    os.environ.update(spec["environ"])
    sys.path[:0] = spec["search_path"]
    sys.argv = [""]
    os.chdir(spec["cwd"])


if __name__ == "__main__":
    main()

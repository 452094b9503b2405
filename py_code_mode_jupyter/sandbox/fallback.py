"""A kernel that runs nothing and says why: in place of one that could not start, or may not.

Run as ``python -m py_code_mode_jupyter.sandbox.fallback FD`` by a provisioner, which tells the reason
over the descriptor FD; or with ``-f CONNECTION_FILE`` by a client that ignores provisioners and
starts a kernelspec's command itself. Running the user's code then would promise an isolation that
is not there.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
from traitlets import Unicode

from .. import __version__
from .channel import Channel
from .confine import die_with_parent
from .frames import receive_frame
from .kernelapp import EndingApp, SandboxApp

IGNORED = (
    "This program starts kernels by their command and ignores kernel provisioners, so the isolated "
    "environment would not be made. Nothing is run.\n"
    "Use JupyterLab, Notebook 7, nbclient, papermill or jupyter console (jupyter_client 7 or newer), or pick "
    "the ordinary Python kernel and use %load_ext py_code_mode_jupyter with %%pcm run -e venv."
)
_NO_DEBUGGER = {
    "isStarted": False,
    "hashMethod": "Murmur2",
    "hashSeed": 0,
    "tmpFilePrefix": "",
    "tmpFileSuffix": ".py",
    "breakpoints": [],
    "stoppedThreads": [],
    "exceptionPaths": [],
    "richRendering": False,
    "copyToGlobals": False,
}
"""What JupyterLab reads from the answer to ``debugInfo``."""


class ExplainingKernel(Kernel):
    """Answers every request to run code with the reason why it does not."""

    implementation = "py_code_mode_jupyter"
    implementation_version = __version__
    language_info = {"name": "python", "mimetype": "text/x-python", "file_extension": ".py"}  # noqa: RUF012 - ipykernel's
    reason = Unicode(IGNORED)

    @property
    def banner(self) -> str:  # type: ignore[override]
        """The reason, for clients that show a banner."""
        return self.reason

    async def do_execute(self, code: str, silent: bool, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run nothing; show the reason as an error."""
        headline, _, rest = self.reason.partition("\n")
        error = {
            "ename": "KernelNotStarted",
            "evalue": self.reason,
            "traceback": [f"\x1b[1;31mKernelNotStarted\x1b[0m: {headline}", *rest.splitlines()],
        }
        if not silent:
            self.send_response(self.iopub_socket, "error", error)
        return {"status": "error", "execution_count": self.execution_count, **error}

    async def do_debug_request(self, msg: dict[str, Any]) -> dict[str, Any]:
        """Answer a debugger that asks: there is nothing to debug. JupyterLab would wait for ever."""
        asked = str(msg.get("command"))
        reply = {"type": "response", "request_seq": msg.get("seq", 0), "command": asked}
        return {**reply, "success": asked == "debugInfo", "message": self.reason, "body": _NO_DEBUGGER}


class FallbackApp(SandboxApp):
    """The application of an `ExplainingKernel` that a provisioner starts."""

    def init_kernel(self) -> None:
        """Make the kernel, without what only running code needs."""
        IPKernelApp.init_kernel(self)


def main() -> None:
    """Serve until told to stop."""
    if sys.argv[1:2] == ["-f"]:
        sys.stderr.write(f"{IGNORED}\n")
        EndingApp.launch_instance(argv=sys.argv[1:], kernel_class=ExplainingKernel)
        return
    sock = socket.socket(fileno=int(sys.argv[1]))
    frame = receive_frame(sock)
    if frame is not None:
        _serve(frame[0], sock)


def _serve(spec: dict[str, Any], sock: socket.socket) -> None:
    die_with_parent(spec["parent"])
    channel = Channel(sock)
    app = FallbackApp.instance()
    app.prepare(spec, {})
    app.kernel_class = ExplainingKernel
    app.initialize([])
    app.kernel.reason = spec["reason"]
    channel.start()
    channel.tell({"ready": True, "measured": {}, "pid": os.getpid()})
    app.start()


if __name__ == "__main__":
    main()

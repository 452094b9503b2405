"""What Jupyter and IPython offer without this package, driven in the fastest way they allow."""

from __future__ import annotations

import asyncio
import contextlib
import io
import subprocess
import threading
from collections.abc import Coroutine
from typing import Any, cast

import zmq
import zmq.asyncio
from jupyter_client.manager import AsyncKernelManager

PATIENCE = 60_000  # milliseconds without a message after which something is wrong
RETRY = 20  # milliseconds between attempts to connect: more often was slower, and 100 could wait in vain
CONTENT = {
    "silent": False,
    "store_history": True,
    "user_expressions": {},
    "allow_stdin": False,
    "stop_on_error": True,
}


class StockKernel:
    """The kernel ``python3``, under `LocalProvisioner`, over TCP as Jupyter starts it.

    Its client is a bare socket: the request lies in it before the kernel listens, so nothing is
    asked (``kernel_info``) or waited for (heartbeat, IOPub) that the first reply does not need.
    Another kernel of this machine, by its `name`, is driven in the same way.
    """

    def __init__(self, name: str = "python3") -> None:
        self._context = zmq.asyncio.Context()
        self._context.setsockopt(zmq.RECONNECT_IVL, RETRY)
        self._manager = AsyncKernelManager(kernel_name=name, context=self._context)
        self._sockets: list[zmq.Socket[bytes]] = []

    async def start(self) -> None:
        """Start the process; requests may be sent at once."""
        await self._manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._shell = self._blocking(self._manager.connect_shell())

    def _blocking(self, socket: Any) -> zmq.Socket[bytes]:
        socket.linger = 0
        self._sockets.append(socket)
        return cast("zmq.Socket[bytes]", zmq.Socket.shadow(socket))

    async def run(self, code: str) -> dict[str, Any]:
        """Send a request, wait for its reply and return the content."""
        # Without the loop: an asynchronous client is a little slower.
        session = self._manager.session
        session.send(self._shell, "execute_request", {"code": code, **CONTENT})
        content: dict[str, Any] = self._receive(self._shell)["content"]
        if content["status"] != "ok":
            raise RuntimeError(f"The stock kernel answered {content}")
        return content

    def listen(self) -> None:
        """Subscribe to output, and wait until it comes."""
        self._iopub = self._blocking(self._manager.connect_iopub())
        while self._receive(self._iopub)["msg_type"] != "iopub_welcome":
            pass

    async def output(self, code: str) -> int:
        """Run `code` and return how many characters it printed, read while it prints."""
        self._manager.session.send(self._shell, "execute_request", {"code": code, **CONTENT})
        size, busy = 0, True
        while busy:
            message = self._receive(self._iopub)
            size += len(message["content"].get("text", ""))
            busy = message["content"].get("execution_state") != "idle"
        self._receive(self._shell)
        return size

    def _receive(self, socket: zmq.Socket[bytes]) -> dict[str, Any]:
        if not socket.poll(PATIENCE):
            raise TimeoutError("The stock kernel does not answer.")
        _, message = self._manager.session.recv(socket, mode=0)
        return cast("dict[str, Any]", message)

    @property
    def pid(self) -> int:
        """The kernel's process."""
        return int(cast("Any", self._manager.provisioner).pid)

    async def close(self) -> None:
        """Kill the kernel, which is the fastest way to end it."""
        if self._manager.has_kernel:
            await self._manager.shutdown_kernel(now=True)
        for socket in self._sockets:
            socket.close()
        self._context.term()


class StockShell:
    """IPython's `InteractiveShell` in a worker thread with an event loop; its history is kept in memory."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def start(self) -> None:
        """Make the shell, in its thread."""
        self._thread.start()
        await self._there(self._make())

    async def _make(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        quiet = Config({"HistoryManager": {"enabled": False, "hist_file": ":memory:"}})
        self._shell: Any = InteractiveShell(config=quiet)

    async def _there(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def run(self, code: str) -> Any:
        """Run a cell and return the value of its last expression."""
        # What IPython shows has to go somewhere; nothing is cheaper than a buffer.
        with contextlib.redirect_stdout(io.StringIO()):
            result = await self._there(
                self._shell.run_cell_async(
                    code, store_history=True, transformed_cell=self._shell.transform_cell(code)
                )
            )
        return result.result

    async def close(self) -> None:
        """End the thread."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE / 1000)
        self._loop.close()

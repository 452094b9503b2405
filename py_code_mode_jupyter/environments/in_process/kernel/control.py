"""Requests on the control channel: answered in the hub, whatever the shell is busy with."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from .front import Front, Message
    from .hub import Hub
    from .life import Life

_log = logging.getLogger(__name__)
Content = dict[str, Any]


@final
class Control:
    """Answers control requests for one life of a kernel."""

    def __init__(self, hub: Hub, front: Front, life: Life, end: Callable[[], Awaitable[None]]) -> None:
        self._hub = hub
        self._front = front
        self._life = life
        self._end = end
        self._asked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._handlers: dict[str, Callable[[Content], Awaitable[Content]]] = {
            "kernel_info_request": self._about,
            "interrupt_request": self._interrupt,
            "shutdown_request": self._shutdown,
            "usage_request": self._usage,
            "debug_request": self._debug,
            "create_subshell_request": self._create_subshell,
            "delete_subshell_request": self._delete_subshell,
            "list_subshell_request": self._list_subshells,
        }

    def handles(self, message: Message) -> bool:
        """Whether the message is answered here, and not by the shell."""
        return message["header"]["msg_type"] in self._handlers

    def take(self, idents: list[bytes], message: Message) -> None:
        """Answer a request, soon."""
        task = self._hub.loop.create_task(self._answer(idents, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait_for_shutdown(self, seconds: float) -> None:
        """Wait until a client has asked for the end, but not longer than some seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return

    async def _answer(self, idents: list[bytes], message: Message) -> None:
        kind = message["header"]["msg_type"]
        self._front.publish("status", {"execution_state": "busy"}, message)
        try:
            content = await self._handlers[kind](message["content"])
        except Exception as error:  # noqa: BLE001 - the client is to hear of it
            _log.exception("A %s of a client failed", kind)
            content = {
                "status": "error",
                "ename": type(error).__name__,
                "evalue": str(error),
                "traceback": [],
            }
        reply = kind.removesuffix("_request") + "_reply"
        self._front.send("control", reply, content, message, ident=idents)
        if kind == "shutdown_request":
            self._front.publish(reply, content, message)
        self._front.publish("status", {"execution_state": "idle"}, message)
        if kind == "shutdown_request":
            self._asked.set()
            await self._end()

    async def _about(self, content: Content) -> Content:
        return self._life.view.about()

    async def _interrupt(self, content: Content) -> Content:
        self._life.interrupt()
        return {"status": "ok"}

    async def _shutdown(self, content: Content) -> Content:
        return {"status": "ok", "restart": bool(content.get("restart", False))}

    async def _debug(self, content: Content) -> Content:
        return {
            "type": "response",
            "request_seq": content.get("seq", 0),
            "success": False,
            "command": content.get("command", ""),
            "message": "This kernel has no debugger: stopping its thread would stop the server.",
        }

    async def _usage(self, content: Content) -> Content:
        import psutil

        process, memory = psutil.Process(), psutil.virtual_memory()
        return {
            "hostname": platform.node(),
            "pid": os.getpid(),
            "kernel_cpu": process.cpu_percent(),
            "kernel_memory": process.memory_info().rss,
            "cpu_count": psutil.cpu_count(),
            "host_cpu_percent": psutil.cpu_percent(),
            "host_virtual_memory": memory._asdict(),
        }

    async def _create_subshell(self, content: Content) -> Content:
        return {"status": "ok", "subshell_id": await self._life.add_subshell()}

    async def _delete_subshell(self, content: Content) -> Content:
        name = str(content.get("subshell_id"))
        if await self._life.end_subshell(name):
            return {"status": "ok"}
        return {"status": "error", "evalue": f"There is no subshell {name!r}."}

    async def _list_subshells(self, content: Content) -> Content:
        return {"status": "ok", "subshell_id": [name for name in self._life.lanes if name is not None]}

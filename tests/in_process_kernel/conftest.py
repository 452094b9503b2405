"""Kernels in the process of the tests, driven through unmodified managers and clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from jupyter_client.manager import AsyncKernelManager
from traitlets.config import Config

WAIT = 30.0  # seconds that anything may take
Message = dict[str, Any]


async def until(holds: Callable[[], object], what: str, *, seconds: float = WAIT) -> None:
    """Poll until something holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        await asyncio.sleep(0.01)


@dataclass
class Cell:
    """What one cell showed and was answered."""

    messages: list[Message] = field(default_factory=list)
    reply: Message = field(default_factory=dict)

    def contents(self, kind: str) -> list[Message]:
        return [m["content"] for m in self.messages if m["msg_type"] == kind]

    def stream(self, name: str) -> str:
        return "".join(c["text"] for c in self.contents("stream") if c["name"] == name)

    @property
    def stdout(self) -> str:
        return self.stream("stdout")

    @property
    def value(self) -> str:
        assert self.reply["status"] == "ok", self.reply
        return "".join(c["data"]["text/plain"] for c in self.contents("execute_result"))

    @property
    def error(self) -> str:
        return "\n".join(line for c in self.contents("error") for line in c["traceback"])


class Kernel:
    """A kernel of this process and one client of it."""

    def __init__(self, **traits: Any) -> None:
        config = Config(InProcessProvisioner=traits)
        self.manager = AsyncKernelManager(kernel_name="pcm-in-process", config=config)

    async def start(self, **options: Any) -> None:
        await self.manager.start_kernel(**options)
        self.client = self.manager.client()
        self.client.start_channels()
        await self.client.wait_for_ready(timeout=WAIT)

    async def start_quickly(self) -> None:
        """Start, and trust the kernel to be there: a client's own waiting takes 0.2 s."""
        await self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels(hb=False)

    async def run(
        self,
        code: str,
        *,
        seen: Callable[[Message], object] | None = None,
        answer: Callable[[Message], object] | None = None,
        **options: Any,
    ) -> Cell:
        """Execute a cell; `seen` gets each message as it comes, `answer` each request for input."""
        cell = Cell()

        def take(message: Message) -> None:
            cell.messages.append(message)
            if seen is not None:
                seen(message)

        reply = await self.client.execute_interactive(
            code,
            timeout=WAIT,
            output_hook=take,
            allow_stdin=answer is not None,
            stdin_hook=answer,
            **options,
        )
        cell.reply = reply["content"]
        return cell

    async def value(self, code: str) -> str:
        return (await self.run(code)).value

    async def begun(self, code: str) -> asyncio.Task[Cell]:
        """Begin a cell that prints ``go`` when it is where the test wants it."""
        going = asyncio.Event()

        def look(message: Message) -> None:
            if "go" in message["content"].get("text", ""):
                going.set()

        task = asyncio.create_task(self.run(code, seen=look))
        await asyncio.wait_for(going.wait(), WAIT)
        return task

    async def stop(self, task: asyncio.Task[Cell]) -> tuple[Cell, float]:
        """Interrupt a cell; return it and the seconds until its reply."""
        begun = time.perf_counter()
        await self.manager.interrupt_kernel()
        cell = await asyncio.wait_for(task, WAIT)
        return cell, time.perf_counter() - begun

    async def control(self, kind: str, content: Message | None = None) -> Message:
        """Send a request on the control channel and return the content of the reply."""
        message = self.client.session.msg(kind, content or {})
        self.client.control_channel.send(message)
        while True:
            reply = await self.client.get_control_msg(timeout=WAIT)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return dict(reply["content"])

    async def ask(self, kind: str, content: Message, **header: Any) -> Message:
        """Send a request on the shell channel and return the content of the reply."""
        message = self.client.session.msg(kind, content)
        message["header"].update(header)
        self.client.shell_channel.send(message)
        while True:
            reply = await self.client.get_shell_msg(timeout=WAIT)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return dict(reply["content"])

    async def restart(self, *, now: bool = False) -> None:
        await self.manager.restart_kernel(now=now)
        await self.client.wait_for_ready(timeout=WAIT)

    async def close(self) -> None:
        if hasattr(self, "client"):
            self.client.stop_channels()
        if self.manager.has_kernel:
            await self.manager.shutdown_kernel()


Start = Callable[..., Awaitable[Kernel]]


@pytest_asyncio.fixture
async def start() -> AsyncIterator[Start]:
    """Start kernels; they are closed in the end."""
    kernels: list[Kernel] = []

    async def started(**traits: Any) -> Kernel:
        kernels.append(Kernel(**traits))
        await kernels[-1].start()
        return kernels[-1]

    yield started
    for kernel in kernels:
        await kernel.close()


@pytest_asyncio.fixture
async def kernel(start: Start) -> Kernel:
    return await start()

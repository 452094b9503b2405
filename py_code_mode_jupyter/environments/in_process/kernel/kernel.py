"""A kernel as its provisioner sees it: opened, started, interrupted, ended, closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, final

from . import hub as hubs
from .control import Control
from .front import Front
from .life import Life

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .front import Message
    from .hub import Hub
    from .settings import Settings


@final
class InProcessKernel:
    """A kernel in this process. Its methods are called on any event loop.

    Parameters
    ----------
    key
        Signs its messages.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._hub: Hub | None = None
        self._front: Front | None = None
        self._control: Control | None = None
        self._life: Life | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether it can take requests."""
        return self._life is not None and not self._life.over

    @property
    def connection(self) -> dict[str, Any]:
        """Where it listens, as a connection file says it."""
        assert self._front is not None
        return self._front.connection

    @property
    def cpu(self) -> float:
        """CPU time that its threads have used since it was started, in seconds."""
        return self._life.cpu if self._life is not None else 0.0

    async def start(self, settings: Settings) -> None:
        """Start it, or start it again: clients stay connected, variables are fresh.

        Raises
        ------
        ExecutorStartError
            It could not be made ready in time. Nothing is left behind.
        """
        if self._hub is None:
            self._hub = hubs.acquire()
        try:
            await self._ask(self._start(self._hub, settings))
        except BaseException:
            await asyncio.shield(self.close())
            raise

    async def end(self) -> None:
        """End its threads, or abandon those that cannot be ended; sockets stay."""
        if self._life is not None:
            await self._ask(self._end())

    async def ended(self, seconds: float) -> None:
        """Wait until a client's request has ended it, but not longer than some seconds."""
        if self._control is not None:
            await self._ask(self._control.wait_for_shutdown(seconds))

    async def close(self) -> None:
        """End it and close its sockets. Safe to call twice."""
        hub, self._hub = self._hub, None
        if hub is not None:
            try:
                await asyncio.wrap_future(hub.ask(self._close()))
            finally:
                await hubs.release(hub)

    def interrupt(self) -> None:
        """Interrupt what runs; returns at once."""
        if self._hub is not None and self._life is not None:
            self._hub.soon(self._life.interrupt)

    async def _ask(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._hub is not None
        await asyncio.wrap_future(self._hub.ask(work))

    # In the hub

    async def _start(self, hub: Hub, settings: Settings) -> None:
        hub.route()
        if self._front is None:
            self._front = Front(hub, self._key, self._take)
        self._front.show()
        life = Life(hub, self._front, settings)
        self._control = Control(hub, self._front, life, self._end)
        self._life, self._ending = life, None
        try:
            await life.begin()
        except BaseException:
            life.over = True
            raise

    async def _end(self) -> None:
        """End the life; whoever else asks waits for the same end."""
        if self._life is None:
            return
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._life.end())
        await asyncio.shield(self._ending)

    async def _close(self) -> None:
        try:
            await self._end()
        finally:
            self._life = self._control = self._ending = None
            if self._front is not None:
                self._front.close()
                self._front = None

    def _take(self, channel: str, idents: list[bytes], message: Message) -> None:
        life, control = self._life, self._control
        if life is None or control is None:
            return
        if channel == "stdin":
            life.owner.answers.take(message)
        elif channel == "control" and control.handles(message):
            control.take(idents, message)
        elif not life.over:
            life.take(channel, idents, message)

"""What a kernel has from its start to its end or restart: a shell, threads, comms."""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING, Any, final

from ..crew import Crew
from .comms import CommManager
from .lanes import Lane
from .owner import KernelOwner
from .requests import Request
from .shell import KernelShell
from .view import KernelView

if TYPE_CHECKING:
    from ..interrupts import Gate
    from ..ownership import Owner
    from ..shell import Shell
    from ..worker import Run
    from .front import Front, Message
    from .hub import Hub
    from .settings import Settings

_numbers = itertools.count(1)
_NOTICE = 1.0  # seconds after which an interrupt that had no effect is explained


@final
class Life:
    """One life of a kernel. Its methods are called in the hub, but for `publish`.

    Attributes
    ----------
    owner
        To whom the kernel's code belongs.
    over
        Whether it has ended, or is about to: nothing is shown any more.
    last
        The request that came last.
    """

    def __init__(self, hub: Hub, front: Front, settings: Settings) -> None:
        self.hub = hub
        self.front = front
        self.settings = settings
        self.over = False
        self.last: Message = {}
        self.owner = KernelOwner(f"pcm_kernel_{next(_numbers)}", self)
        self.comms = self.owner.comms = CommManager(self)
        self.view = KernelView(self)
        self.crew = Crew()
        self.main = Lane(self, None)
        self.lanes: dict[str | None, Lane] = {None: self.main}

    @property
    def shell(self) -> Any:
        """The shell, of whichever thread it is at the moment."""
        return self.owner.shell

    @property
    def cpu(self) -> float:
        """CPU time of its threads, in seconds."""
        clocks = (lane.worker.clock for lane in list(self.lanes.values()))
        return sum(clock.seconds() for clock in clocks if clock is not None)

    async def begin(self) -> None:
        """Start the thread and its shell."""
        self.publish("status", {"execution_state": "starting"}, parent=None)
        await self.main.start(self._make_shell, sole=True)

    async def end(self) -> None:
        """End the threads, or abandon them."""
        self.over = True
        for lane in reversed(list(self.lanes.values())):
            await lane.end()
        self.comms.forget()

    def _make_shell(self, owner: Owner, gate: Gate) -> Shell:
        shell = owner.shell = KernelShell(owner, gate, self.settings.namespaces, life=self)
        if self.settings.session_name:
            shell.user_ns["__session__"] = self.settings.session_name
        shell.start()
        return shell

    def lost(self, lane: Lane) -> None:
        """Note that a lane's thread has ended unasked; called in that thread."""
        if lane is self.main:
            self.over = True

    # Messages

    def publish(self, kind: str, content: Message, *, parent: Message | None = None, **options: Any) -> None:
        """Send a message to all listeners, from any thread."""
        if not self.over:
            self.front.publish(kind, content, self.view.get_parent() if parent is None else parent, **options)

    def take(self, channel: str, idents: list[bytes], message: Message) -> None:
        """Take a request for the shell."""
        subshell = message["header"].get("subshell_id")
        lane = self.lanes.get(subshell)
        if lane is None:
            self.front.refuse(channel, idents, message, f"There is no subshell {subshell!r}.")
            return
        lane.put(Request(self, lane, channel, idents, message))

    def tell(self, run: Run, text: str) -> None:
        """Show the user a remark on a run, past what the run is doing."""
        if isinstance(run, Request):
            self.publish("stream", {"name": "stderr", "text": text}, parent=run.message)

    # Interrupting

    def interrupt(self) -> None:
        """Interrupt what runs, in every subshell; explain where that has no effect."""
        for lane in self.lanes.values():
            run = lane.worker.run
            lane.worker.interrupt()
            if run is not None:
                self.hub.loop.call_later(_NOTICE, lane.explain, run)
        self.owner.answers.interrupt()

    # Subshells

    async def add_subshell(self) -> str:
        """Start a subshell: another thread for the same shell. Return its id."""
        name = str(uuid.uuid4())
        lane = Lane(self, name)
        await lane.start(lambda owner, gate: self.shell, sole=False)
        self.lanes[name] = lane
        return name

    async def end_subshell(self, name: str) -> bool:
        """End a subshell; False if there is none of this name."""
        lane = self.lanes.pop(name, None)
        if lane is None or name is None:
            return False
        await lane.end()
        return True

"""What a cell shows, as messages to everybody who listens to its kernel."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, final

from ..ownership import Channel

if TYPE_CHECKING:
    from ....results import Output
    from .front import Message
    from .life import Life

NOBODY: Message = {"header": {}, "metadata": {}, "content": {}}
"""The parent of what no client has asked for."""


@final
class CellChannel(Channel):
    """Takes what code shows that a request of a client has started.

    It stays open: threads and tasks of a cell may outlive it, and what they show belongs to it.

    Attributes
    ----------
    message, idents
        The request, and whose it is.
    """

    def __init__(self, life: Life, message: Message, idents: list[bytes]) -> None:
        self._iopub = IOPub(life, message)
        super().__init__(life.owner, self._iopub, lambda: life.hub.deliver_soon(self))
        self.message = message
        self.idents = idents
        self._hub = life.hub
        life.hub.forks.expect(self)

    def write(self, name: str, text: str) -> None:
        """Take text, also in a forked child."""
        if os.getpid() == self._hub.pid:
            super().write(name, text)
        else:
            self._hub.forks.write(self, name, text)

    def show(self, output: Output) -> None:
        """Take a display; a forked child has only text to show."""
        if os.getpid() == self._hub.pid:
            super().show(output)

    def publish_text(self, name: str, text: str) -> None:
        """Show text without waiting for anybody; called in the hub."""
        if not self.closed:
            self._iopub.write(name, text)


@final
class IOPub:
    """An `OutputSink` that publishes what it is given as caused by one request."""

    def __init__(self, life: Life, parent: Message) -> None:
        self._life = life
        self._parent = parent

    def write(self, name: str, text: str) -> None:
        """Publish text of a stream."""
        self._life.publish("stream", {"name": name, "text": _encodable(text)}, parent=self._parent)

    def show(self, output: Output) -> None:
        """Publish anything else."""
        self._life.publish(output.type, _content(self._life, output), parent=self._parent)


def _content(life: Life, output: Output) -> dict[str, Any]:
    if output.type == "clear_output":
        return {"wait": output.wait}
    if output.type == "error":
        return {
            "ename": output.name,
            "evalue": output.metadata.get("evalue", ""),
            "traceback": output.metadata.get("traceback", [output.text]),
        }
    content = {"data": dict(output.data), "metadata": dict(output.metadata)}
    if output.type == "execute_result":
        return {**content, "execution_count": life.shell.displayhook.prompt_count}
    return {**content, "transient": {"display_id": output.display_id} if output.display_id else {}}


def _encodable(text: str) -> str:
    # Half of a surrogate pair can be printed, but not sent.
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text

"""What a kernel does with each kind of message that clients send to its shell."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

from ..interrupts import Gate, run_open
from ..ownership import call_in_channel
from ..runs import end_figures
from ..shell import text_of
from ..worker import Run
from .output import CellChannel

if TYPE_CHECKING:
    from .front import Message
    from .lanes import Lane
    from .life import Life
    from .shell import KernelShell

_log = logging.getLogger(__name__)
Content = dict[str, Any]


@final
class Request(Run):
    """One message to the shell, from its arrival to its reply.

    Attributes
    ----------
    kind
        The message's type.
    """

    def __init__(self, life: Life, lane: Lane, source: str, idents: list[bytes], message: Message) -> None:
        super().__init__(CellChannel(life, message, idents))
        self.kind: str = message["header"]["msg_type"]
        self.message = message
        self._life = life
        self._lane = lane
        self._source = source
        self._idents = idents
        self._finished = False

    @property
    def is_cell(self) -> bool:
        """Whether it executes a cell."""
        return self.kind == "execute_request"

    @property
    def is_comm(self) -> bool:
        """Whether it is a message on a comm, which has no reply."""
        return self.kind in _COMMS

    @property
    def may_be_joined(self) -> bool:
        """Whether messages of comms may be handled while it waits for something."""
        return self.is_cell

    # As a run of a worker

    async def work(self, shell: Any, gate: Gate) -> Content:
        """Handle the message; return the content of the reply."""
        self._life.last = self.message
        self._status("busy")
        if self.is_cell:
            reply = await _execute(shell, gate, self.message, self._life)
            if os.getpid() != self._life.hub.pid:
                os._exit(0)  # a fork that was left to go on: this loop and these sockets are not its own
            return reply
        value, error = run_open(gate, self._handle, shell)
        end_figures(shell, gate, error)
        return self.failed(shell, error) if error is not None else value

    def failed(self, shell: Any, error: BaseException) -> Content:
        """Return the reply to a request that has failed."""
        if isinstance(error, Exception):
            _log.error("A %s of a client failed", self.kind, exc_info=error)
        return {"status": "error", "ename": type(error).__name__, "evalue": text_of(error), "traceback": []}

    def finish(self, ending: Content) -> None:
        """Reply."""
        if not self._is_first():
            return
        self.channel.flush()
        failed = self.is_cell and ending["status"] == "error"
        if failed and self.message["content"].get("stop_on_error", True):
            self._life.hub.soon(self._lane.abort_waiting, lambda: self._answer(ending))
        else:
            self._answer(ending)
            self._lane.done()

    def die(self, reason: str) -> None:
        """Reply that the thread was ended, or abandoned."""
        if self._is_first() and not self._life.over:
            content = {
                "ename": "Abandoned",
                "evalue": reason,
                "traceback": [f"Abandoned: {reason}"],
            }
            self._life.publish("error", content, parent=self.message)
            self._reply({"status": "error", "execution_count": self._life.shell.execution_count, **content})
            self._status("idle")
            self._lane.done()

    def abort(self) -> None:
        """Reply that it is not run, since one before it has failed."""
        self._status("busy")
        self._reply({"status": "aborted"})
        self._status("idle")

    def run_beside(self) -> None:
        """Handle a message of a comm while a cell waits for something; called in the thread."""
        shell = self._life.shell
        self._status("busy")
        call_in_channel(self.channel, run_open, shell.gate, self._handle, shell)
        self.channel.flush()
        self._status("idle")

    def _handle(self, shell: KernelShell) -> Content:
        handler = _HANDLERS.get(self.kind)
        if handler is None:
            _log.warning("A client sent a message of an unknown type, %r", self.kind)
            return {}
        if self.is_comm:
            getattr(self._life.comms, self.kind)(None, self._idents, self.message)
            return {}
        return handler(shell, self.message["content"])

    def _is_first(self) -> bool:
        first, self._finished = not self._finished, True
        return first

    def _answer(self, content: Content) -> None:
        self._reply(content)
        self._status("idle")

    def _status(self, state: str) -> None:
        self._life.publish("status", {"execution_state": state}, parent=self.message)

    def _reply(self, content: Content) -> None:
        if content and self.kind.endswith("_request") and not self._life.over:
            kind = self.kind.removesuffix("_request") + "_reply"
            metadata = {"status": content.get("status", "ok")}
            self._life.front.send(
                self._source, kind, content, self.message, ident=self._idents, metadata=metadata
            )


async def _execute(shell: KernelShell, gate: Gate, message: Message, life: Life) -> Content:
    content = message["content"]
    silent = content.get("silent", False)
    store = content.get("store_history", not silent)
    count = shell.execution_count
    if not silent:
        life.publish("execute_input", {"code": content["code"], "execution_count": count}, parent=message)
    shell.begin_cell()
    result = await shell.run(
        content["code"],
        store_history=store,
        silent=silent,
        cell_id=message["metadata"].get("cellId"),
    )
    error = result.error_before_exec or result.error_in_exec
    failed = end_figures(shell, gate, error)
    return _reply_to_cell(shell, gate, content, failed if error is None else error)


def _reply_to_cell(shell: KernelShell, gate: Gate, content: Content, error: BaseException | None) -> Content:
    reply: Content = {"status": "ok", "execution_count": shell.execution_count - 1, "user_expressions": {}}
    if error is None and not shell.failed_in_display:
        asked = content.get("user_expressions") or {}
        values, failed = run_open(gate, shell.user_expressions, asked) if asked else ({}, None)
        reply["user_expressions"] = values if failed is None else {}
    else:
        about = {"ename": type(error).__name__, "evalue": "" if error is None else text_of(error)}
        reply |= {"status": "error", "traceback": [], **about, **shell.shown_error}
    reply["payload"] = shell.payload_manager.read_payload()
    shell.payload_manager.clear_payload()
    return reply


def _complete(shell: KernelShell, content: Content) -> Content:
    from IPython.core.completer import provisionalcompleter, rectify_completions

    code, cursor = content["code"], content.get("cursor_pos")
    cursor = len(code) if cursor is None else cursor
    with provisionalcompleter():
        found = list(rectify_completions(code, shell.Completer.completions(code, cursor)))
    kinds = [
        {"start": one.start, "end": one.end, "text": one.text, "type": one.type, "signature": one.signature}
        for one in found
    ]
    return {
        "status": "ok",
        "matches": [one.text for one in found],
        "cursor_start": found[0].start if found else cursor,
        "cursor_end": found[0].end if found else cursor,
        "metadata": {"_jupyter_types_experimental": kinds},
    }


def _inspect(shell: KernelShell, content: Content) -> Content:
    from IPython.utils.tokenutil import token_at_cursor

    name = token_at_cursor(content["code"], content["cursor_pos"])
    omitted = tuple(content.get("omit_sections", ()))
    try:
        data = shell.object_inspect_mime(name, content.get("detail_level", 0), omitted)
    except KeyError:
        return {"status": "ok", "found": False, "data": {}, "metadata": {}}
    if not shell.enable_html_pager:
        data.pop("text/html", None)
    return {"status": "ok", "found": True, "data": data, "metadata": {}}


def _history(shell: KernelShell, content: Content) -> Content:
    manager: Any = shell.history_manager
    raw, output = content.get("raw", True), content.get("output", False)
    access = content.get("hist_access_type")
    found: Any = ()
    if access == "tail":
        found = manager.get_tail(content.get("n"), raw=raw, output=output, include_latest=True)
    elif access == "range":
        start, stop = content.get("start", 0), content.get("stop")
        found = manager.get_range(content.get("session", 0), start, stop, raw=raw, output=output)
    elif access == "search":
        options = {name: content.get(name) for name in ("n", "unique")}
        found = manager.search(content.get("pattern", "*"), raw=raw, output=output, **options)
    return {"status": "ok", "history": list(found)}


def _is_complete(shell: KernelShell, content: Content) -> Content:
    status, indent = shell.input_transformer_manager.check_complete(content["code"])
    return {"status": status, **({"indent": " " * (indent or 0)} if status == "incomplete" else {})}


def _about(shell: KernelShell, content: Content) -> Content:
    return shell.life.view.about()


def _comm_info(shell: KernelShell, content: Content) -> Content:
    wanted = content.get("target_name")
    comms = {
        name: {"target_name": one.target_name}
        for name, one in list(shell.life.comms.comms.items())
        if wanted in (None, one.target_name)
    }
    return {"status": "ok", "comms": comms}


def _connect(shell: KernelShell, content: Content) -> Content:
    ports = {name: port for name, port in shell.life.front.connection.items() if name.endswith("_port")}
    return {"status": "ok", **ports}


_COMMS = ("comm_open", "comm_msg", "comm_close")
_HANDLERS: dict[str, Callable[[Any, Content], Content]] = {
    "complete_request": _complete,
    "inspect_request": _inspect,
    "history_request": _history,
    "is_complete_request": _is_complete,
    "kernel_info_request": _about,
    "comm_info_request": _comm_info,
    "connect_request": _connect,
    **dict.fromkeys(_COMMS, lambda shell, content: {}),
}

"""Jupyter messages from a container: which may pass, and what remains of them.

Source: "Messaging in Jupyter". Kinds that are not named here do not pass.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from ....sandbox.wire import CONTROL, IOPUB, SHELL, STDIN
from .mime import Bundles, harmless_text
from .widgets import Widgets

_log = logging.getLogger(__name__)
_HEADER = ("msg_id", "msg_type", "username", "session", "date", "version")
_HTTPS = re.compile(r"https://[\w.:/?#=&%~+-]{1,500}", re.ASCII)
_REPLIES = frozenset(
    (
        "execute_reply inspect_reply complete_reply history_reply is_complete_reply comm_info_reply "
        "kernel_info_reply shutdown_reply interrupt_reply debug_reply usage_reply create_subshell_reply "
        "delete_subshell_reply list_subshell_reply"
    ).split()
)
_MOST_NOTES = 20
"""What a run's user is told at most of what was not shown."""
Content = dict[str, Any]


@final
@dataclass(slots=True)
class Message:
    """A message taken apart.

    Attributes
    ----------
    channel
        ``shell``, ``iopub``, ``control`` or ``stdin``.
    header, parent, metadata, content
        Its parts.
    buffers
        Its binary parts.
    raw
        The bytes that header, parent, metadata and content were read from; empty where they are others now.
    notes
        What the user is to be told of it.
    """

    channel: str
    header: Content
    parent: Content
    metadata: Content
    content: Content
    buffers: Sequence[Any] = ()
    raw: Sequence[bytes] = (b"", b"", b"", b"")
    notes: list[str] = field(default_factory=list)

    @property
    def msg_type(self) -> str:
        """What kind of message it is."""
        return str(self.header.get("msg_type"))

    def parts(self) -> list[Any]:
        """Return it as the parts that are signed, and its buffers.

        Raises
        ------
        ValueError
            It holds something that not every reader of JSON understands.
        """
        parts = (self.header, self.parent, self.metadata, self.content)
        raws = zip(self.raw, parts, strict=True)
        signed = [raw or json.dumps(part, allow_nan=False).encode() for raw, part in raws]
        return [*signed, *self.buffers]


@final
class Filter:
    """Lets the harmless part of a kernel's messages through.

    Parameters
    ----------
    online
        Whether what is shown may load from the internet.
    extra
        MIME types that an administrator lets pass.
    is_on
        False: only what forges the connection is kept out, and everything is shown as it is.
    """

    def __init__(self, *, online: bool, extra: frozenset[str] = frozenset(), is_on: bool = True) -> None:
        self._widgets = Widgets(online=online)
        self._bundles = Bundles(online=online, extra=extra, knows=self._widgets.knows)
        self._widgets.bundles = self._bundles
        self._is_on = is_on
        self._run = ""
        self._told: set[str] = set()
        self._has_failed = False
        self._on_iopub: dict[str, Callable[[Message], Content | None]] = {
            "stream": self._stream,
            "display_data": self._display,
            "update_display_data": self._display,
            "execute_result": self._display,
            "error": _error,
            "clear_output": lambda message: {"wait": message.content.get("wait") is True},
            "status": lambda message: {"execution_state": str(message.content.get("execution_state"))[:20]},
            "execute_input": _input,
            "comm_open": lambda message: self._widgets.opened(message.content),
            "comm_msg": lambda message: self._widgets.said(message.content),
            "comm_close": lambda message: self._widgets.closed(message.content),
            "debug_event": lambda message: message.content,
            "shutdown_reply": _shutdown,
        }

    def forget(self) -> None:
        """Forget what is known of the kernel: it has ended."""
        self._widgets.forget()
        self._told.clear()
        self._has_failed = False

    def admit(self, message: Message) -> Message | None:
        """Return what may pass of a message, with notes for the user; None if nothing may."""
        try:
            content = self._content(message)
        except Exception:  # noqa: BLE001 - hostile input that was not foreseen is refused
            if not self._has_failed:  # once for each kernel: the log is the host's to fill
                self._has_failed = True
                _log.exception("Messages of a container are dropped, because they cannot be understood")
            return None
        if content is None and not self._is_refused():
            return None
        notes = self._notes(str(message.parent.get("msg_id")))
        header, parent, metadata = (
            _strings(message.header),
            _strings(message.parent),
            _scalars(message.metadata),
        )
        unchanged = (
            header == message.header,
            parent == message.parent,
            metadata == message.metadata,
            content is message.content,
        )
        return Message(
            channel=message.channel if content is not None else "",
            header=header,
            parent=parent,
            metadata=metadata,
            content=content or {},
            buffers=message.buffers,
            raw=[raw if same else b"" for raw, same in zip(message.raw, unchanged, strict=True)],
            notes=notes,
        )

    def _content(self, message: Message) -> Content | None:
        kind = message.msg_type
        if message.channel == IOPUB:
            reduce = self._on_iopub.get(kind)
            if reduce is None:
                return None
            return reduce(message) if self._is_on else message.content
        if message.channel == STDIN:
            return _asks(message.content) if kind == "input_request" else None
        if message.channel not in (SHELL, CONTROL) or kind not in _REPLIES:
            return None
        return self._reply(kind, message.content) if self._is_on else message.content

    def _stream(self, message: Message) -> Content:
        text, name = message.content.get("text"), message.content.get("name")
        if not isinstance(text, str):
            text = ""
        harmless = harmless_text(text)
        if harmless is text and name in ("stdout", "stderr") and len(message.content) == 2:
            return message.content
        return {"name": "stderr" if name == "stderr" else "stdout", "text": harmless}

    def _display(self, message: Message) -> Content:
        given = message.content
        data, metadata = self._bundles.reduce(given.get("data"), given.get("metadata"))
        found: Content = {"data": data, "metadata": metadata, "transient": {}}
        transient = given.get("transient")
        display_id = transient.get("display_id") if isinstance(transient, dict) else None
        if isinstance(display_id, str):
            found["transient"] = {"display_id": display_id[:200]}
        if message.msg_type == "execute_result":
            found["execution_count"] = _count(given)
        return found

    def _reply(self, kind: str, content: Content) -> Content:
        if kind == "execute_reply":
            return self._execute_reply(content)
        if kind == "inspect_reply":
            data, metadata = self._bundles.reduce(content.get("data"), content.get("metadata"))
            return {**content, "data": data, "metadata": metadata}
        if kind == "kernel_info_reply":
            return {**content, "help_links": _links(content.get("help_links"))}
        body = content.get("body")
        if kind == "debug_reply" and isinstance(body, dict) and "data" in body:
            # A variable that the debugger renders, in the page and as trusted.
            data, metadata = self._bundles.reduce(body["data"], body.get("metadata"))
            return {**content, "body": {**body, "data": data, "metadata": metadata}}
        return content

    def _execute_reply(self, content: Content) -> Content:
        found = {**content, "payload": self._payloads(content.get("payload"))}
        if "traceback" in content:
            found["traceback"] = _lines(content["traceback"])
        expressions = content.get("user_expressions")
        if isinstance(expressions, dict):
            found["user_expressions"] = {key: self._expression(one) for key, one in expressions.items()}
        return found

    def _payloads(self, payloads: Any) -> list[Content]:
        """Return what a pager shows; a payload that writes cells, or ends the kernel, does not pass."""
        found = []
        for payload in payloads if isinstance(payloads, list) else ():
            source = payload.get("source") if isinstance(payload, dict) else None
            if source == "page":
                data, _ = self._bundles.reduce(payload.get("data"), {})
                found.append({"source": "page", "data": data, "start": 0})
            else:
                self._bundles.refused.add(f"payload {str(source)[:40]}")
        return found

    def _expression(self, value: Any) -> Content:
        if not isinstance(value, dict) or value.get("status") != "ok":
            return {"status": "error", "ename": "", "evalue": "", "traceback": []}
        data, metadata = self._bundles.reduce(value.get("data"), value.get("metadata"))
        return {"status": "ok", "data": data, "metadata": metadata}

    # Notes

    def _is_refused(self) -> bool:
        return bool(self._bundles.refused or self._widgets.refused)

    def _notes(self, run: str) -> list[str]:
        """Return what a run's user has not been told yet."""
        refused = sorted(self._bundles.refused | self._widgets.refused)
        self._bundles.refused.clear()
        self._widgets.refused.clear()
        if run != self._run:
            self._run = run
            self._told.clear()
        room = _MOST_NOTES - len(self._told)
        fresh = [what for what in refused if what not in self._told][:room]
        self._told.update(fresh)
        return [f"[not shown, because it comes from a container: {what}]" for what in fresh]


def _error(message: Message) -> Content:
    content = message.content
    return {
        "ename": str(content.get("ename", "")),
        "evalue": str(content.get("evalue", "")),
        "traceback": _lines(content.get("traceback")),
    }


def _lines(traceback: Any) -> list[str]:
    return [harmless_text(str(line)) for line in traceback] if isinstance(traceback, list) else []


def _shutdown(message: Message) -> Content:
    return {"status": "ok", "restart": message.content.get("restart") is True}


def _input(message: Message) -> Content:
    return {"code": str(message.content.get("code", "")), "execution_count": _count(message.content)}


def _asks(content: Content) -> Content:
    return {
        "prompt": harmless_text(str(content.get("prompt", ""))),
        "password": content.get("password") is True,
    }


def _count(content: Content) -> int | None:
    count = content.get("execution_count")
    return count if isinstance(count, int) else None


def _links(links: Any) -> list[Content]:
    """Return links of the Help menu that lead to web pages; others could be scripts."""
    return [
        {"text": str(link.get("text"))[:100], "url": link["url"]}
        for link in (links if isinstance(links, list) else ())
        if isinstance(link, dict) and isinstance(link.get("url"), str) and _HTTPS.fullmatch(link["url"])
    ]


def _strings(header: Content) -> Content:
    return {key: value for key in _HEADER if isinstance(value := header.get(key), str)}


def _scalars(metadata: Content) -> Content:
    return {
        key: value for key, value in metadata.items() if isinstance(value, str | int | float | bool | None)
    }

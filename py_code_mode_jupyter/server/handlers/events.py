"""The event stream: who listens need not ask again and again."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ...errors import CodeModeError, RequestRefusedError
from ..base import invalid, told_failure
from ..state.broadcast import TOPICS, chosen_topics

if TYPE_CHECKING:
    from ..state import ServerState
    from ..state.broadcast import Subscriber

_LONGEST_MESSAGE = 4096
_TRY_AGAIN_LATER, _UNSUPPORTED = 1013, 1003  # RFC 6455, and IANA's registry


class EventsHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """GET /pcm/events, a WebSocket."""

    _subscriber: Subscriber | None = None
    _sending: asyncio.Task[None] | None = None

    @property
    def state(self) -> ServerState:
        """The extension's state."""
        return cast("ServerState", self.settings["pcm_state"])

    @property
    def max_message_size(self) -> int:
        """Bytes that a client may send at a time."""
        return _LONGEST_MESSAGE

    def set_default_headers(self) -> None:
        """Set none: a WebSocket's answer has its own."""

    @ws_authenticated
    @authorized("read", resource="pcm:events")
    async def get(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Open the WebSocket."""
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise invalid("This is no WebSocket.")
        self._subscriber = self.state.broadcast.subscribe()
        try:
            await super().get(*args, **kwargs)
        finally:
            if self.ws_connection is None and self._subscriber is not None:
                self.state.broadcast.leave(self._subscriber)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a failure, in the one form that all have; called by tornado."""
        status, told = told_failure(status_code, (kwargs.get("exc_info") or (None, None))[1])
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(told))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Note a failure, unless it is one that was foreseen; called by tornado."""
        if not isinstance(value, CodeModeError):
            super().log_exception(typ, value, tb)

    # While it is open

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Begin to send; called by tornado."""
        super().open(*args, **kwargs)
        assert self._subscriber is not None
        self.set_nodelay(True)
        self._subscriber.put(_hello(self._subscriber))
        self._sending = asyncio.get_running_loop().create_task(self._send(self._subscriber))

    async def _send(self, subscriber: Subscriber) -> None:
        """Send events one after the other, each when the one before has left."""
        try:
            while (event := await subscriber.next()) is not None:
                async with asyncio.timeout(self.state.settings.event_timeout):
                    await self.write_message(json.dumps(event, default=str))
        except TimeoutError:
            subscriber.is_slow = True
        except WebSocketClosedError:
            return
        self._let_go(subscriber)

    def _let_go(self, subscriber: Subscriber) -> None:
        self.state.broadcast.leave(subscriber)
        if not subscriber.is_slow:
            self.close()
            return
        self.close(_TRY_AGAIN_LATER, "too slow: connect again, and read anew")
        # Its buffers are full of what it does not take, so it would not read that either.
        if (connection := self.ws_connection) is not None:
            asyncio.get_running_loop().call_later(1.0, cast("Any", connection)._abort)

    async def on_message(self, message: str | bytes) -> None:
        """Take which topics are wanted; called by tornado."""
        assert self._subscriber is not None
        try:
            asked = json.loads(message)
            if not isinstance(asked, dict) or {*asked} != {"subscribe"}:
                raise invalid("The message does not hold subscribe.")
            self._subscriber.topics = chosen_topics(asked["subscribe"])
        except (ValueError, RecursionError, RequestRefusedError):
            self.close(_UNSUPPORTED, f"send a list of {', '.join(TOPICS)}")
            return
        self._subscriber.put(_hello(self._subscriber))

    def on_close(self) -> None:
        """Forget the client; called by tornado."""
        if self._subscriber is not None:
            self.state.broadcast.leave(self._subscriber)
        super().on_close()


def _hello(subscriber: Subscriber) -> dict[str, Any]:
    return {"topic": "hello", "change": "hello", "id": None, "topics": sorted(subscriber.topics)}

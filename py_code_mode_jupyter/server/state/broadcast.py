"""Events for those who listen: each has a bounded queue, and who is too slow is let go.

Nothing waits for a client. One that does not take its events is disconnected, connects again and reads anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, final

from ...errors import RequestRefusedError
from .. import metrics

if TYPE_CHECKING:
    from ..settings import ServerSettings

TOPICS = ("kernels", "usage", "sessions", "storage", "runs")
_USUAL = frozenset(TOPICS) - {"usage"}
Event = dict[str, Any]


@final
class Subscriber:
    """One client's events.

    Attributes
    ----------
    topics
        What it wants to hear of.
    is_slow
        Whether it has not taken its events in time; it gets no more.
    """

    def __init__(self, room: int) -> None:
        self.topics: frozenset[str] = _USUAL
        self.is_slow = False
        self._room = room
        self._waiting: deque[Event] = deque()
        self._ready = asyncio.Event()
        self._sequence = 0
        self._closed = False

    def put(self, event: Event) -> None:
        """Add an event; nothing waits for room."""
        if self._closed or self.is_slow:
            return
        if len(self._waiting) >= self._room:
            self.is_slow = True
            self._waiting.clear()
        else:
            self._waiting.append(event)
        self._ready.set()

    async def next(self) -> Event | None:
        """Return the next event; None when there is none any more: it was too slow, or all ends."""
        while not self._waiting:
            if self._closed or self.is_slow:
                return None
            self._ready.clear()
            await self._ready.wait()
        event = {**self._waiting.popleft(), "sequence": self._sequence}
        self._sequence += 1
        return event

    def close(self) -> None:
        """Give no more events."""
        self._closed = True
        self._waiting.clear()
        self._ready.set()


@final
class Broadcast:
    """All clients that listen."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._subscribers: set[Subscriber] = set()

    def __len__(self) -> int:
        return len(self._subscribers)

    def wanted(self, topic: str) -> bool:
        """Whether somebody wants to hear of a topic."""
        return any(topic in one.topics for one in self._subscribers)

    def subscribe(self) -> Subscriber:
        """Add a client.

        Raises
        ------
        RequestRefusedError
            There are as many as there may be.
        """
        if len(self) >= self._settings.max_event_clients:
            raise RequestRefusedError(
                503,
                "Busy",
                f"{len(self)} clients listen to events already.",
                remedy="Close some of them, or raise CodeModeExtension.max_event_clients.",
            )
        subscriber = Subscriber(self._settings.event_queue)
        self._subscribers.add(subscriber)
        metrics.EVENT_CLIENTS.set(len(self))
        return subscriber

    def leave(self, subscriber: Subscriber) -> None:
        """Remove a client; fine if it has gone."""
        subscriber.close()
        self._subscribers.discard(subscriber)
        metrics.EVENT_CLIENTS.set(len(self))
        if subscriber.is_slow:
            metrics.DROPPED_CLIENTS.inc()

    def tell(self, topic: str, change: str, id: str | None = None, **more: Any) -> None:
        """Tell everybody who wants to hear of it."""
        event: Mapping[str, Any] = {"topic": topic, "change": change, "id": id, **more}
        for subscriber in self._subscribers:
            if topic in subscriber.topics:
                subscriber.put(dict(event))

    def close(self) -> None:
        """Let all clients go."""
        for subscriber in list(self._subscribers):
            self.leave(subscriber)


def chosen_topics(wanted: object) -> frozenset[str]:
    """Return the topics that a client asks for.

    Raises
    ------
    RequestRefusedError
        It asks for others, or in another way.
    """
    if not isinstance(wanted, Iterable) or isinstance(wanted, str) or not {*map(str, wanted)} <= {*TOPICS}:
        raise RequestRefusedError(
            400, "InvalidRequest", "These are no topics.", remedy=f"There are: {', '.join(TOPICS)}."
        )
    return frozenset(map(str, wanted))

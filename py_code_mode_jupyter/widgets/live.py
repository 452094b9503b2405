"""What a run shows, while it runs: gathered, bounded, and painted a few times a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, final

from ..execution.collector import OutputCollector
from .harmless import PageOutput, note_output, page_outputs

if TYPE_CHECKING:
    from ..results import Output

MOST_SHOWN = 2**20
"""Bytes of one run that a panel shows."""
_PAUSE = 0.1
"""Seconds between two paintings."""
_PACE = 4 * 2**20
"""Bytes that are painted in a second at most: each painting sends everything."""
Paint = Callable[[tuple[PageOutput, ...]], object]


@final
class LiveOutput:
    """The outputs of one run.

    Parameters
    ----------
    paint
        Called with everything that is to be seen, whenever that has changed.
    """

    def __init__(self, paint: Paint) -> None:
        self._paint = paint
        self._collector = OutputCollector(MOST_SHOWN)
        self._changed = asyncio.Event()
        self._size = 0
        self.outputs: tuple[PageOutput, ...] = ()

    async def follow(self, stream: AsyncIterator[Output]) -> None:
        """Take outputs until there are no more."""
        painter = asyncio.create_task(self._paint_on())
        try:
            async for output in stream:
                self._take(output)
        finally:
            painter.cancel()
            await asyncio.wait((painter,))
            self._paint_now()

    def _take(self, output: Output) -> None:
        if output.type == "stream":
            self._collector.write(output.name, output.text)
        else:
            self._collector.show(output)
        self._size = min(MOST_SHOWN, self._size + output.size)
        self._changed.set()

    async def _paint_on(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._paint_now()
            await asyncio.sleep(_PAUSE + self._size / _PACE)

    def _paint_now(self) -> None:
        found = page_outputs(self._collector.outputs())
        if self._collector.dropped:
            found += (note_output(f"[{self._collector.dropped:,} more bytes are not shown here]\n"),)
        if found != self.outputs:
            self.outputs = found
            self._paint(found)

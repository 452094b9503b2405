"""What our provisioners tell of their kernels: limits, use, measured isolation, and why one has ended."""

from __future__ import annotations

import abc
import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, final

from .clock import CellClock

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable

    from ..environments.notebook import NotebookSettings
    from ..errors import CodeModeError

_KINDS = (
    ("memory", ("memory limit",)),
    ("exit", ("ended by itself",)),
    ("crash", ("was killed", "killed by")),
    ("engine", ("container", "stream", "connection")),
)
"""What a sentence about an end is about: kinds, and words of which one is in it."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """Why a kernel has ended that nobody asked to end.

    Attributes
    ----------
    reason
        One sentence.
    kind
        ``memory``, ``timeout``, ``exit``, ``crash``, ``engine`` or ``unknown``.
    at
        When, in UTC.
    """

    reason: str
    kind: str
    at: datetime

    def to_dict(self) -> dict[str, str]:
        """Return it as JSON types."""
        return {"reason": self.reason, "kind": self.kind, "at": self.at.isoformat()}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The limits of a kernel. None: there is none.

    Attributes
    ----------
    memory, disk
        Bytes.
    cpu
        CPUs, such as 0.5.
    processes
        Processes and threads.
    network
        Whether there is one.
    timeout
        Seconds that a cell may take.
    """

    memory: int | None = None
    cpu: float | None = None
    disk: int | None = None
    processes: int | None = None
    network: bool = True
    timeout: float | None = None


class Observed:
    """Mixed into our provisioners: what a monitor may ask them.

    Attributes
    ----------
    place_name
        ``in-process``, ``venv`` or ``container``.
    settable
        What a notebook may set here: fields of `NotebookSettings`.
    settings
        What the notebook asked for at the last start; None before.
    death
        Why the kernel has ended unasked, the last time that it did; None if it never did.
    notice
        What else a user should be told; empty if there is nothing.
    starts, start_seconds
        How many times it was started, those counted in which it only explains; how long the last one took.
    """

    place_name: ClassVar[str]
    settable: ClassVar[tuple[str, ...]]
    settings: NotebookSettings | None = None
    death: Death | None = None
    notice: str = ""
    starts: int = 0
    start_seconds: float = 0.0
    _clock: CellClock | None = None
    _is_ending = False
    _overrun = ""

    @property
    def fault(self) -> CodeModeError | None:
        """What is wrong with its configuration, so that it can start nothing; None if nothing is."""
        return None

    @property
    @abc.abstractmethod
    def explanation(self) -> str:
        """Why there is a kernel that only explains why there is no other; empty if there is another."""

    @abc.abstractmethod
    def limits_with(self, settings: NotebookSettings) -> Limits:
        """Return the limits of a kernel whose notebook asks for these settings.

        Raises
        ------
        ConfigurationError
            It asks for too much, or for what cannot be kept here.
        """

    @abc.abstractmethod
    async def usage(self) -> Mapping[str, Any]:
        """Return memory (bytes), ``memory_limit``, CPU time (s) and processes."""

    @abc.abstractmethod
    async def isolation(self) -> Mapping[str, Any]:
        """Return what was measured before user code ran; under ``outside``, what the host sees now."""

    @contextlib.contextmanager
    def _counted_start(self) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.start_seconds = time.monotonic() - begun
        self.starts += 1

    def _watch(self, died: concurrent.futures.Future[str]) -> None:
        """Take note of why the kernel ends, if nobody asks for it. Called after each start."""
        self._is_ending, self._overrun, self.notice = False, "", ""
        died.add_done_callback(lambda ended: self._note_death(ended.result()))

    def _note_death(self, reason: str) -> None:
        if self._is_ending:
            return
        kind = "timeout" if self._overrun else kind_of(reason)
        self.death = Death(reason=self._overrun or reason, kind=kind, at=datetime.now(UTC))

    def _start_clock(
        self, connection: Mapping[str, Any], interrupt: Callable[[], None], end: Callable[[], None]
    ) -> None:
        """Hold cells to the notebook's own timeout, if it has one."""
        timeout = self.settings.timeout if self.settings is not None else None
        if timeout is None:
            return

        def overrun() -> None:
            self.notice = f"A cell was interrupted: it took longer than the notebook allows, {timeout:g} s."
            interrupt()

        def stubborn() -> None:
            self._overrun = (
                f"The kernel was ended: a cell took longer than the notebook allows, {timeout:g} s, and did"
                " not follow an interrupt."
            )
            end()

        self._clock = CellClock(connection, timeout, overrun, stubborn)
        self._clock.start()

    def _stop_clock(self) -> None:
        clock, self._clock = self._clock, None
        if clock is not None:
            clock.stop()


def kind_of(reason: str) -> str:
    """Return what kind of end a sentence about it tells of."""
    return next((kind for kind, words in _KINDS if any(word in reason for word in words)), "unknown")

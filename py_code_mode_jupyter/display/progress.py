"""A progress bar as HTML and as text, in colours of the theme."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import final

from .text import format_duration, one_line

_WIDTH = 24
_CYCLE = 10.0
"""Seconds in which the bar of unmeasured work passes once."""
_TRACK = (
    "height: 6px; max-width: 30em; overflow: hidden; border-radius: 3px; "
    "background: var(--jp-layout-color3, GrayText)"
)
_FILLED = "height: 100%; background: var(--jp-brand-color1, Highlight)"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressBar:
    """One moment of some work.

    Attributes
    ----------
    what
        The work, such as ``Building the environment``.
    step
        What it is about at the moment; empty if unknown.
    fraction
        How much is done, 0 to 1; None: nobody can say.
    elapsed
        Seconds since it began.
    """

    what: str
    step: str = ""
    fraction: float | None = None
    elapsed: float = 0.0

    @property
    def _start_and_width(self) -> tuple[float, float]:
        """Where the filled part begins, and how wide it is, of 1."""
        if self.fraction is not None:
            return 0.0, min(1.0, max(0.0, self.fraction))
        return 0.75 * (self.elapsed % _CYCLE) / _CYCLE, 0.25

    @property
    def _label(self) -> str:
        percent = f"{100 * self.fraction:.0f} % · " if self.fraction is not None else ""
        step = f" · {one_line(self.step, 100)}" if self.step else ""
        return f"{one_line(self.what, 100)}: {percent}{format_duration(self.elapsed)}{step}"

    def __str__(self) -> str:
        start, width = self._start_and_width
        before, filled = round(start * _WIDTH), round(width * _WIDTH)
        bar = " " * before + "█" * filled
        return f"{self._label}\n[{bar:<{_WIDTH}}]"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        start, width = self._start_and_width
        now = f' aria-valuenow="{100 * width:.0f}"' if self.fraction is not None else ""
        width_and_place = f"width: {100 * width:.0f}%; margin-left: {100 * start:.0f}%"
        bar = f'<div style="{_FILLED}; {width_and_place}"></div>'
        label = f'aria-label="{escape(one_line(self.what, 100))}"'
        role = f'role="progressbar" {label} aria-valuemin="0" aria-valuemax="100"{now}'
        return f'<div>{escape(self._label)}</div><div {role} style="{_TRACK}">{bar}</div>'

"""Python 3.12 alone: getting a thread out of code that catches everything.

There the way out of an ``except`` clause is a jump at which armed exceptions are raised, and CPython 3.12
may count its target as part of the ``try``: what is raised goes to the same clause again, for ever. What
a callback of `sys.monitoring` raises on a line of the clause does leave it. Monitoring slows code down, so
it is turned on only for the frames of a thread that did not leave when it was told to the first time.
"""

from __future__ import annotations

import sys
from _thread import allocate_lock, get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

NEEDED = sys.version_info[:2] == (3, 12)

_monitoring: Any = getattr(sys, "monitoring", None)
_lock = allocate_lock()
_targets: dict[int, Callable[[], type[BaseException] | None]] = {}
_watched: set[CodeType] = set()
_tool: int | None = None


def press(ident: int, ended: Callable[[], type[BaseException] | None], boundary: set[CodeType]) -> None:
    """Raise in the thread, on whichever line it reaches, what `ended` returns there; None: nothing.

    `boundary` are the functions of ours in which its user code runs. Without a free tool of
    `sys.monitoring`, a profiler and debuggers having taken all six, nothing happens.
    """
    global _tool
    with _lock:
        if _tool is None:
            _tool = _take_tool()
        if _tool is None:
            return
        _targets[ident] = ended
        frame = sys._current_frames().get(ident)
        while frame is not None and frame.f_code not in boundary:
            _watched.add(frame.f_code)
            _monitoring.set_local_events(_tool, frame.f_code, _events())
            frame = frame.f_back


def release(ident: int) -> None:
    """Stop what `press` began; called in the thread when it has left."""
    global _tool
    with _lock:
        if _targets.pop(ident, None) is None or _targets or _tool is None:
            return
        while _watched:
            _monitoring.set_local_events(_tool, _watched.pop(), 0)
        for event in _kinds():
            _monitoring.register_callback(_tool, event, None)
        _monitoring.free_tool_id(_tool)
        _tool = None


def _take_tool() -> int | None:
    for number in (4, 3, 1, 2, 0, 5):  # those without a customary user first
        if _monitoring.get_tool(number) is None:
            _monitoring.use_tool_id(number, "py_code_mode_jupyter")
            for event in _kinds():
                _monitoring.register_callback(number, event, _raise_in_target)
            return number
    return None


def _kinds() -> tuple[int, ...]:
    events = _monitoring.events
    return events.LINE, events.JUMP, events.BRANCH


def _events() -> int:
    return sum(_kinds())


def _raise_in_target(*_: object) -> None:
    ended = _targets.get(get_ident())
    if ended is not None and (kind := ended()) is not None:
        raise kind

"""Jupyter messages become outputs and endings. Pure functions; the messages are not trusted.

Source: "Messaging in Jupyter", sections *Messages on the IOPub channel* and *Execution results*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..codec import decode
from ..errors import TransferError
from ..results import ExceptionInfo, Frame, Output, RunEnding, RunStatus, strip_ansi

_DISPLAYS = frozenset({"display_data", "execute_result", "update_display_data"})
_STOPPED = frozenset({"KeyboardInterrupt", "CancelledError"})


def output_of(msg_type: str, content: Mapping[str, Any]) -> Output | None:
    """Return what an IOPub message shows, or None if it shows nothing."""
    if msg_type in _DISPLAYS:
        display_id = _dict(content.get("transient")).get("display_id")
        return Output(
            type=msg_type,  # type: ignore[arg-type]
            data=_dict(content.get("data")),
            metadata=_dict(content.get("metadata")),
            display_id=display_id if isinstance(display_id, str) else None,
        )
    if msg_type == "clear_output":
        return Output(type="clear_output", wait=content.get("wait") is True)
    if msg_type == "error":
        return Output(type="error", name=str(content.get("ename", "")), text=_traceback(content))
    return None


def ending_of(content: Mapping[str, Any], buffers: Sequence[Any]) -> RunEnding:
    """Return how a run ended, from its ``execute_reply`` and the value in the reply's buffers."""
    count = content.get("execution_count")
    count = count if isinstance(count, int) else None
    if content.get("status") == "ok":
        value, is_repr = _value(_dict(content.get("pcm")), buffers)
        return RunEnding(status=RunStatus.OK, value=value, value_is_repr=is_repr, execution_count=count)
    exception = ExceptionInfo(
        name=str(content.get("ename", "Error")),
        message=str(content.get("evalue", "")),
        frames=_frames(_dict(content.get("pcm")).get("frames")),
        traceback=_traceback(content),
    )
    status = RunStatus.INTERRUPTED if exception.name in _STOPPED else RunStatus.ERROR
    return RunEnding(status=status, exception=exception, execution_count=count)


def _value(about: Mapping[str, Any], buffers: Sequence[Any]) -> tuple[Any, bool]:
    """Rebuild the value; where that is not possible here, its text stands in for it."""
    text = about.get("repr")
    if buffers:
        try:
            return decode(buffers), False
        except TransferError:
            return str(text), True
    return (str(text), True) if text is not None else (None, False)


def _traceback(content: Mapping[str, Any]) -> str:
    lines = content.get("traceback")
    if isinstance(lines, list) and lines:
        return "\n".join(map(str, lines))
    return f"{content.get('ename', 'Error')}: {content.get('evalue', '')}"


def _frames(frames: Any) -> tuple[Frame, ...]:
    if not isinstance(frames, list):
        return ()
    return tuple(
        Frame(filename=str(f[0]), lineno=int(f[1]), function=str(f[2]), source=strip_ansi(str(f[3])))
        for f in frames[:1000]
        if isinstance(f, list) and len(f) == 4 and isinstance(f[1], int)
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}

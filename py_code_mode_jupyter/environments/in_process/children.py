"""Child processes of executed code: which there are, and ending them."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ownership import Channel, Owner


def interrupt_children(owner: Owner, channel: Channel) -> None:
    """Send an interrupt to the processes that this run has started, and to theirs."""
    for child, started_by in list(owner.children.items()):
        if started_by is channel and child.returncode is None:
            for pid in _family(child.pid):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGINT)


def kill_children(owner: Owner, *, wait: float = 1.0) -> None:
    """Kill every process that the owner's code has started and that still runs.

    `wait` is how many seconds each is waited for, so that no zombie stays.
    """
    for child in list(owner.children):
        if child.poll() is None:
            for pid in _family(child.pid):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(Exception):  # a child that cannot be waited for is not ours to wait for
                if wait:
                    child.wait(timeout=wait)
    if wait:
        owner.children.clear()


def forget_ended(owner: Owner) -> None:
    """Drop the processes that have ended."""
    for child in list(owner.children):
        if child.returncode is not None:
            owner.children.pop(child, None)


def _family(pid: int) -> list[int]:
    import psutil

    try:
        return [pid, *(one.pid for one in psutil.Process(pid).children(recursive=True))]
    except psutil.Error:
        return [pid]


def remember(child: Any, channel: Channel) -> None:
    """Note that the run of this channel has started `child`."""
    forget_ended(channel.owner)
    channel.owner.children[child] = channel

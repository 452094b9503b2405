"""Waiting that an interrupt can end: sleeping, conditions, joining threads, the run's children.

Owned code alone waits this way; the host's calls reach the original functions. What is built on
these (`Event`, `queue.Queue`, `Semaphore`, `Future.result`, ``subprocess.run``) follows;
``os.system`` runs its command like ``!cmd``. A raw ``Lock.acquire`` and other blocking C calls
cannot be ended: their thread can only be abandoned.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from _thread import LockType, allocate_lock
from typing import TYPE_CHECKING, Any

from .children import remember
from .commands import run_command
from .interrupts import wait_on, waits_on
from .ownership import current

if TYPE_CHECKING:
    from .patches import Patches

_SLICE = 0.05  # seconds between two looks where nothing can wake us


def install(patches: Patches) -> None:
    """Make the waits of owned code interruptible."""
    _sleep(patches)
    _condition(patches)
    _join(patches)
    _popen(patches)
    _system(patches)


def _sleep(patches: Patches) -> None:
    original = time.sleep

    def sleep(seconds: float, /) -> None:
        if current() is None or not 0 < seconds < threading.TIMEOUT_MAX:
            original(seconds)
            return
        # A lock of its own for each sleep: a shared one could be released for somebody else.
        lock = allocate_lock()
        lock.acquire()
        wait_on(lock, seconds)

    sleep.__doc__ = original.__doc__
    patches.set(time, "sleep", sleep)


def _condition(patches: Patches) -> None:
    # Condition.wait makes a lock and waits on it; releasing that lock is what notify() does too.
    allocate = threading._allocate_lock  # type: ignore[attr-defined]
    original = threading.Condition.wait

    def allocate_waiter() -> LockType:
        lock: LockType = allocate()
        if current() is not None:
            waits_on(lock)
        return lock

    def wait(self: threading.Condition, timeout: float | None = None) -> bool:
        if current() is None:
            return original(self, timeout)
        try:
            return original(self, timeout)
        finally:
            waits_on(None)

    patches.set(threading, "_allocate_lock", allocate_waiter)
    patches.set(threading.Condition, "wait", wait)


def _join(patches: Patches) -> None:
    original = threading.Thread.join

    def join(self: threading.Thread, timeout: float | None = None) -> None:
        if current() is None:
            original(self, timeout)
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
            original(self, left)
            if not self.is_alive() or (deadline is not None and time.monotonic() >= deadline):
                return

    patches.set(threading.Thread, "join", join)


def _popen(patches: Patches) -> None:
    start = subprocess.Popen.__init__
    wait = subprocess.Popen.wait
    communicate = subprocess.Popen.communicate

    def owned_start(self: Any, *args: Any, **options: Any) -> None:
        start(self, *args, **options)
        channel = current()
        if channel is not None:
            remember(self, channel)

    def owned_wait(self: Any, timeout: float | None = None) -> int:
        if current() is not None and timeout is None:
            _await_exit(self)
        return wait(self, timeout)

    def owned_communicate(self: Any, input: Any = None, timeout: float | None = None) -> Any:
        if current() is None or timeout is not None:
            return communicate(self, input, timeout)
        while True:
            try:
                return communicate(self, input, _SLICE)
            except subprocess.TimeoutExpired:
                input = None  # it has been taken over; sending it again is an error

    patches.set(subprocess.Popen, "__init__", owned_start)
    patches.set(subprocess.Popen, "wait", owned_wait)
    patches.set(subprocess.Popen, "communicate", owned_communicate)


def _system(patches: Patches) -> None:
    original = os.system

    def system(command: Any) -> int:
        if current() is None or os.name != "posix":
            return original(command)
        code = run_command(os.fsdecode(command), sys.stdout.write, sys.stderr.write)
        return code << 8 if code >= 0 else -code  # as waitpid() encodes it

    patches.set(os, "system", system)


def _await_exit(child: Any) -> None:
    if child.poll() is not None:
        return
    try:
        handle = os.pidfd_open(child.pid)
    except (AttributeError, OSError):
        while child.poll() is None:
            time.sleep(_SLICE)
        return
    try:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        while not poller.poll(_SLICE * 1000):
            continue
    finally:
        os.close(handle)

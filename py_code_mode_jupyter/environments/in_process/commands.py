"""Shell commands of executed code (``!cmd``), with their output in the run."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from codecs import getincrementaldecoder
from contextlib import suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SLICE = 0.05
_GRACE = 0.2  # seconds between asking a command to stop and killing it


def run_command(command: str, out: Callable[[str], object], err: Callable[[str], object]) -> int:
    """Run `command` in the user's shell and pass on its text; return the exit code, negative for a signal."""
    with subprocess.Popen(  # noqa: S602 - a shell is what the user asks for
        command,
        shell=True,
        executable=os.environ.get("SHELL"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            _relay(child, out, err)
            code = child.wait()
        except BaseException:  # an interrupt most of all: the command must not outlive it
            _stop(child)
            raise
    return -(code - 128) if code > 128 else code


def _relay(
    child: subprocess.Popen[bytes], out: Callable[[str], object], err: Callable[[str], object]
) -> None:
    with selectors.DefaultSelector() as selector:
        for stream, target in ((child.stdout, out), (child.stderr, err)):
            if stream is not None:
                decoder = getincrementaldecoder("utf-8")("replace")
                selector.register(stream, selectors.EVENT_READ, (decoder, target))
        while selector.get_map():
            for key, _ in selector.select(_SLICE):
                decoder, target = key.data
                data = _read(key.fileobj)  # type: ignore[arg-type]
                if not data:
                    selector.unregister(key.fileobj)
                if text := decoder.decode(data, final=not data):
                    target(text)


def _read(stream: IO[bytes]) -> bytes:
    return os.read(stream.fileno(), 65_536)


def _stop(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE)
        os.killpg(child.pid, signal.SIGKILL)

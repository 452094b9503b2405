"""Output of a kernel goes to the run that made it, whoever writes it and however late.

ipykernel credits output of threads, and of child processes writing to the descriptors 1 and 2, to
whichever run is the latest. Here a thread belongs to the run that started it, and each run has
descriptors of its own, so that a late line never enters a later result.
"""

from __future__ import annotations

import codecs
import contextvars
import os
import select
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ipykernel.iostream import OutStream

_CHUNK = 256 * 1024
"""Characters in one message: control and results are not stuck behind a huge print."""
_PENDING = 4 * _CHUNK
"""Characters that may wait for the sending thread before a writer has to wait itself."""
_READ = 64 * 1024
_LOOKS, _APART = 50, 0.002
"""How often, and how many seconds apart, it is looked whether a line that was begun has been ended."""

Parent = dict[str, Any]


class RunStream(OutStream):
    """`OutStream` whose writers wait when the reader is slow, and whose text names its run."""

    # A reader that is slow, or stopped in a debugger, must not cost output.
    flush_timeout = 3600
    _pending = 0
    _line = ""
    _in_line_of: Parent | None = None

    @property
    def parent_header(self) -> Parent:
        """The run of the calling thread or task; nothing for one that belongs to no run."""
        return self._parent_header.get({})

    @parent_header.setter
    def parent_header(self, value: Parent) -> None:
        self._parent_header.set(value)

    def write(self, string: str) -> int:
        """Write text for the run that the caller belongs to."""
        if os.getpid() != self._master_pid:
            return self._write_in_child(string)
        with self._buffer_lock:
            self._take(string)
            self._in_line_of = None if string.endswith("\n") else self.parent_header
        self._flush_if_much()
        return len(string)

    def _take(self, string: str) -> None:
        super().write(string)
        self._pending += len(string)

    def _flush_if_much(self) -> None:
        if self._pending > _PENDING:
            self.flush()

    def flush(self) -> None:
        """Pass on what was written. A forked child may find locks that were held, and takes none."""
        if os.getpid() != self._master_pid:
            self._pass_on_in_child()
        else:
            super().flush()

    def _write_in_child(self, string: str) -> int:
        """Write as a forked child: to the descriptor, which still is the pipe of the run that forked."""
        self._line += string
        if "\n" in string:
            self._pass_on_in_child()
        return len(string)

    def _pass_on_in_child(self) -> None:
        # Whole lines: what several children print at once is not mixed.
        data, self._line = memoryview(self._line.encode("utf-8", "replace")), ""
        target = 2 if self.name == "stderr" else 1
        while data:
            data = data[os.write(target, data) :]

    def write_for(self, parent: Parent, text: str, *, waits: bool) -> None:
        """Write text for the run `parent`; if it `waits`, then between two lines where that is soon.

        `print` writes a line and its end one after the other, and text of a child would come between.
        """
        token = self._parent_header.set(parent)
        try:
            looks = _LOOKS if waits else 0
            while not self._took(text, even_in_line=not looks):
                looks -= 1
                time.sleep(_APART)
            self._flush_if_much()
        finally:
            self._parent_header.reset(token)

    def _took(self, text: str, *, even_in_line: bool) -> bool:
        with self._buffer_lock:
            if self._in_line_of == self.parent_header and not even_in_line:
                return False
            self._take(text)
            # Whatever follows has come into that line already, and need not wait.
            self._in_line_of = None
            return True

    def _flush_buffers(self) -> Iterator[tuple[Parent, str]]:
        self._pending = 0
        for parent, written in super()._flush_buffers():
            # Half a character cannot be sent; trying would leave the writer waiting for ever.
            text = written.encode("utf-8", "backslashreplace").decode()
            for start in range(0, len(text), _CHUNK):
                yield parent, text[start : start + _CHUNK]


def let_threads_inherit_their_run() -> None:
    """Make new threads, and work given to pools, run in the context of whoever starts it.

    Python 3.14 does so for threads when told to; a pool's thread may be older than the run.
    """
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def start_in_context(self: threading.Thread) -> None:
        context, run = contextvars.copy_context(), self.run
        self.run = lambda: context.run(run)  # type: ignore[method-assign]
        start(self)

    def submit_in_context(self: ThreadPoolExecutor, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return submit(self, contextvars.copy_context().run, fn, *args, **kwargs)

    threading.Thread.start = start_in_context  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit_in_context  # type: ignore[method-assign,assignment]


class _Pipe:
    """The reading end of one run's descriptor 1 or 2."""

    def __init__(self, fd: int, epoll: select.epoll, stream: RunStream, parent: Parent) -> None:
        self._fd = fd
        self._epoll = epoll
        self._stream = stream
        self._parent = parent
        self._lock = threading.Lock()
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.ended = False

    def pump(self, *, waits: bool = False) -> None:
        """Pass on what has been written until there is no more for now; `waits` as in `write_for`."""
        with self._lock:
            while not self.ended:
                try:
                    data = os.read(self._fd, _READ)
                except BlockingIOError:
                    return
                self.ended = not data
                if text := self._decode(data, not data):
                    self._stream.write_for(self._parent, text, waits=waits)
                if self.ended:
                    # By hand: a forked child may hold a copy, and would keep it registered.
                    self._epoll.unregister(self._fd)
                    os.close(self._fd)


class Descriptors:
    """Gives each run pipes of its own in place of the descriptors 1 and 2 (Linux).

    Between runs the two lead nowhere. A child that lives on keeps the pipe of its own run.
    """

    def __init__(self, stdout: RunStream, stderr: RunStream) -> None:
        self._streams = {1: stdout, 2: stderr}
        self._nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._epoll = select.epoll()
        self._open: dict[int, _Pipe] = {}
        self._of_run: list[_Pipe] = []
        self._rest()
        threading.Thread(target=self._watch, name="pcm-descriptors", daemon=True).start()

    def begin(self, parent: Parent) -> None:
        """Give the run `parent` its descriptors."""
        for target, stream in self._streams.items():
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            os.dup2(writing, target)
            os.close(writing)
            # The number of an ended pipe is used again, so this table stays small.
            pipe = self._open[reading] = _Pipe(reading, self._epoll, stream, parent)
            self._of_run.append(pipe)
            self._epoll.register(reading, select.EPOLLIN)

    def end(self) -> None:
        """Take them back, and pass on what the run has written to them."""
        self._rest()
        for pipe in self._of_run:
            pipe.pump()
        self._of_run.clear()

    def _rest(self) -> None:
        for target in self._streams:
            os.dup2(self._nowhere, target)

    def _watch(self) -> None:
        while True:
            for fd, _ in self._epoll.poll():
                pipe = self._open.get(fd)
                if pipe is not None:
                    pipe.pump(waits=True)

"""One kernel process: started, watched and ended together with all that it started.

Two threads of the host belong to it. The first starts the process and waits for its end; since the
system ties the process to the thread that started it, killing the host kills the process. The
second serves the private channel.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from ..errors import VenvError
from ..sandbox.frames import send_frame
from .conversation import Serve, converse

MARK = "PCM_ENVIRONMENT"
"""Environment variable that every process of one environment carries."""
_SWEEP_SECONDS = 5.0
_LOG_TAIL = 2000
_PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}


class KernelProcess:
    """A kernel started from `command`, told what to do by the frame `spec`.

    Parameters
    ----------
    command
        Program and arguments; the number of the channel's descriptor is appended.
    spec
        The first frame. ``parent`` is added to it.
    serve
        Answers the requests that come over the channel, in a thread of its own.
    log
        File that takes what the process prints before it serves.

    Attributes
    ----------
    ready
        Resolves with the kernel's first frame, or fails with `VenvError` if it ended before.
    died
        Resolves with one sentence when the process has ended.
    """

    def __init__(
        self,
        command: list[str],
        spec: Mapping[str, Any],
        *,
        env: dict[str, str],
        cwd: Path,
        serve: Serve,
        log: Path,
    ) -> None:
        self._command, self._spec, self._env, self._cwd = command, dict(spec), env, cwd
        self._serve, self._log = serve, log
        self.ready: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self.died: concurrent.futures.Future[str] = concurrent.futures.Future()
        self.returncode: int | None = None
        self.pid = 0
        self._sock: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._ending = False
        self._host = os.getpid()

    def start(self) -> None:
        """Start both threads; `ready` tells how it went."""
        atexit.register(self._at_exit)
        self._sock, theirs = socket.socketpair()
        for work, arguments in ((self._own, (theirs,)), (self._converse, ())):
            thread = threading.Thread(
                target=work, args=arguments, name=f"pcm-venv-{work.__name__}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    # Threads

    def _own(self, theirs: socket.socket) -> None:
        """Start the process and wait for it, in the thread that its life is tied to."""
        try:
            log = _new_file(self._log)
        except OSError as error:
            theirs.close()
            self._fail(_not_started(error))
            return
        with log:
            try:
                self.returncode = self._run(theirs, log)
            except OSError as error:
                self._fail(_not_started(error), log)
                return
            self._fail(self._reason(self.returncode), log)

    def _run(self, theirs: socket.socket, log: IO[bytes]) -> int:
        with theirs:
            process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        self.pid = process.pid
        self._tell_spec()
        return process.wait()

    def _tell_spec(self) -> None:
        assert self._sock is not None
        with contextlib.suppress(OSError):  # it ended already; waiting for it says why
            send_frame(self._sock, {**self._spec, "parent": os.getpid()})

    def _fail(self, reason: str, log: IO[bytes] | None = None) -> None:
        if not self.ready.done():
            text = "" if log is None else _last_part(log)
            self.ready.set_exception(VenvError(f"The kernel ended while it started. {reason}", log=text))
        self.died.set_result(reason)

    def _converse(self) -> None:
        """Serve the channel until it ends. What is not a frame ends the process."""
        assert self._sock is not None
        # What was asked before the end is not done after it.
        if not converse(self._sock, self._serve, on_ready=self._on_ready, goes_on=lambda: not self._ending):
            self.signal(signal.SIGKILL)

    def _on_ready(self, header: dict[str, Any]) -> None:
        if not self.ready.done():
            self.ready.set_result(header)

    def _reason(self, code: int) -> str:
        if self._ending:
            return "The process was ended."
        if code >= 0:
            return (
                f"The process ended by itself with status {code} (os._exit, or a crash of the interpreter)."
            )
        name = signal.Signals(-code).name
        hints = {
            "SIGSEGV": ": a segmentation fault in native code",
            "SIGABRT": ": native code aborted",
            "SIGKILL": ": often the system's out-of-memory killer",
        }
        return f"The process was killed by {name}{hints.get(name, '')}."

    # Ending

    def signal(self, number: int) -> None:
        """Send a signal to the process and its group; nothing happens if it has ended."""
        if self.pid and not self.died.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def end(self, *, grace: float = 0.0) -> None:
        """End the process and everything it started, and wait for both threads. It blocks.

        Parameters
        ----------
        grace
            Seconds given to the process to end by itself first.
        """
        if grace and not self.died.done():
            with contextlib.suppress(concurrent.futures.TimeoutError):
                self.died.result(timeout=grace)
        self._ending = True
        # A number that was given back may be another session's by now.
        session = 0 if self.died.done() else self.pid
        self.signal(signal.SIGKILL)
        end_marked(self._env[MARK], session)
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_SWEEP_SECONDS)
        if self._sock is not None:
            self._sock.close()
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        # The host ends without having closed this. What the kernel started would live on.
        if os.getpid() == self._host:  # and not a fork of it
            self.end()


def _not_started(error: OSError) -> str:
    return f"The kernel's process could not be started: {error.strerror or error}."


def _new_file(path: Path) -> IO[bytes]:
    """Open a file in a folder that executed code may write: what it put there is never opened."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b")


def _last_part(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL))
    return log.read().decode(errors="replace")


def ipc_connection(folder: Path, key: bytes | None = None) -> dict[str, Any]:
    """Return connection information for a kernel that listens on sockets in a private `folder`."""
    return {
        "transport": "ipc",
        "ip": str(folder / "k"),
        **_PORTS,
        "key": key or secrets.token_hex(32).encode(),
        "signature_scheme": "hmac-sha256",
    }


def end_marked(mark: str, session: int = 0) -> None:
    """Kill every process that carries `mark` in its environment, wherever it has moved itself to.

    And those of the `session`, unless it is 0, whatever their environment.
    """
    deadline = time.monotonic() + _SWEEP_SECONDS
    while (found := _marked(mark, session)) and time.monotonic() < deadline:
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=0.1)


def _marked(mark: str, session: int = 0) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and (
                (session and os.getsid(process.pid) == session) or process.environ().get(MARK) == mark
            ):
                found.append(process)
    return found

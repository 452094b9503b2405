"""The one kernel of a container: started, connected, interrupted, ended, and started anew."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import zmq

from ..frames import MAX_HEADER, FrameError, Payload, receive_frame, send_frame
from ..sockets import WatchedSocket, send_now
from ..wire import CONTROL, IOPUB, SHELL, STDIN
from . import measure
from .private import ENDED, PlaceError, PrivateChannel, resolve

if TYPE_CHECKING:
    from .spawning import Spawned
from .sweeping import clear, end_all_others

_log = logging.getLogger(__name__)
_PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}
_DELIMITER = b"<IDS|MSG>"
_MARKS = 64  # messages that may wait in a socket: what waits here waits in the kernel instead
_START_SECONDS = 60.0
_SETTLED = 0.01
_BY_ANOTHER = "Another client of the container has ended this kernel."

Listener = Callable[[str, Sequence[Payload]], None]
OnDeath = Callable[[int, str], None]


@final
class Place:
    """Keeps the kernel.

    Parameters
    ----------
    spawn
        Starts a process that is to be a kernel.
    first
        One that has been started already.
    log
        Reading end of the pipe that kernels write to what is not theirs to show.

    Attributes
    ----------
    listener
        Takes what the kernel sends: the channel, and the message's parts (header to buffers).
    on_death
        Takes generation and reason when a kernel has ended, by itself or because a client wished it.
    generation
        The number of the kernel, from 1.
    """

    def __init__(self, spawn: Callable[[], Spawned], first: Spawned, log: int) -> None:
        self.listener: Listener = lambda _channel, _parts: None
        self.on_death: OnDeath = lambda _generation, _reason: None
        self.generation = 0
        self.started = time.monotonic()
        self._spawn = spawn
        self._next: Spawned | None = first
        self._told: dict[str, Any] = {}
        self._log = log
        self._tail = b""
        self._pid = 0
        self._key = b""
        self._sockets: dict[str, WatchedSocket] = {}
        self._private: PrivateChannel | None = None
        self._folder: Path | None = None
        self._context = zmq.Context(io_threads=1)
        self._welcome: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._ending = False
        self._lock = asyncio.Lock()
        self._kills = 0
        self._untold: tuple[int, str] | None = None
        # Made now: when the code has taken all processes there are, no thread could be made any more.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="place")
        self._worker.submit(lambda: None).result()

    def watch(self, told: dict[str, Any]) -> None:
        """Take the ends of processes, and what kernels write to the log, from now on.

        Parameters
        ----------
        told
            What every kernel is told, beside its connection.
        """
        self._told = told
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        # Out of band: `docker kill --signal INT` comes through when the stream is full.
        loop.add_signal_handler(signal.SIGINT, self.interrupt)
        os.set_blocking(self._log, False)
        loop.add_reader(self._log, self._read_log)

    @property
    def alive(self) -> bool:
        """Whether there is a kernel that answers."""
        return self._pid != 0 and bool(self._sockets)

    @property
    def state(self) -> str:
        """``running`` or ``dead``."""
        return "running" if self.alive else "dead"

    @property
    def working_dir(self) -> str:
        """The folder that code starts in."""
        return str(self._told["cwd"])

    @property
    def is_session(self) -> bool:
        """Whether an executor drives the kernel, and not a person."""
        return self._told["is_session"] is True

    @property
    def pid(self) -> int:
        """The kernel's process id, 0 if there is none."""
        return self._pid

    async def off_loop(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do something that blocks in the one thread that there is for it."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, *arguments)

    # Starting and ending

    async def start(self) -> None:
        """Start a kernel, unless there is one or one is being started.

        Raises
        ------
        PlaceError
            It did not become ready.
        """
        async with self._lock:
            if not self.alive:
                await self._end()
                await self._start()

    async def restart(self, reason: str = _BY_ANOTHER) -> None:
        """End the kernel and all that it has started, and start another.

        Parameters
        ----------
        reason
            What those are told who use the kernel there was.

        Raises
        ------
        PlaceError
            It did not become ready.
        """
        async with self._lock:
            await self._end(reason)
            await self._start()

    async def end(self, generation: int | None = None) -> None:
        """End the kernel and all that it has started.

        Parameters
        ----------
        generation
            Which kernel is meant: it may have been replaced meanwhile. None: the one there is.
        """
        async with self._lock:
            if generation in (None, self.generation):
                await self._end()

    async def _end(self, reason: str = _BY_ANOTHER) -> None:
        if self._pid:
            self.on_death(self.generation, reason)
        elif self._untold is not None:
            self._tell_end(*self._untold)
        self._ending = True
        try:
            self._disconnect()
            kept = self._next.pid if self._next is not None else 0
            await self.off_loop(end_all_others, kept)
            self._reap()
            self._pid = 0
            await self.off_loop(clear, Path(self._told["run"]))
        finally:
            self._ending = False

    async def _start(self) -> None:
        self.generation += 1
        self._kills = measure.killed_for_memory()
        self._key = secrets.token_hex(32).encode()
        self._folder = Path(tempfile.mkdtemp(dir=self._told["run"]))
        self._ended = asyncio.get_running_loop().create_future()
        spawned, self._next = self._next, None
        try:
            spawned = spawned or self._spawn()
        except OSError as error:
            raise PlaceError(f"No process could be made for the kernel: {error.strerror}.") from error
        self._pid, ours = spawned.pid, spawned.channel
        self._reap()  # it may have ended before it was known
        try:
            await asyncio.wait_for(self._make_ready(ours), _START_SECONDS)
        except (TimeoutError, OSError, EOFError, FrameError) as error:
            if self._private is None:
                asyncio.get_running_loop().remove_reader(ours)
                ours.close()
            await self._end()
            what = "did not become ready in time" if isinstance(error, TimeoutError) else "ended"
            raise PlaceError(f"The kernel {what} while it started. {self.log_tail()}".strip()) from error

    async def _make_ready(self, ours: socket.socket) -> None:
        """Tell the kernel what it is to be, and connect once it says that it listens."""
        loop = asyncio.get_running_loop()
        first = loop.create_future()
        told = self._spec()
        await self.off_loop(send_frame, ours, told)
        loop.add_reader(ours, resolve, first)
        assert self._ended is not None
        await asyncio.wait((first, self._ended), return_when="FIRST_COMPLETED")
        loop.remove_reader(ours)
        if not first.done() or await self.off_loop(self._first_frame, ours) is None:
            raise EOFError
        self._private = PrivateChannel(ours)
        self._connect()
        assert self._welcome is not None
        await self._welcome

    def _first_frame(self, ours: socket.socket) -> Any:
        ours.settimeout(_START_SECONDS)
        # Nothing but a few words: more would be a kernel that code has changed.
        return receive_frame(ours, max_payload=MAX_HEADER)

    def _spec(self) -> dict[str, Any]:
        connection = {
            "transport": "ipc",
            "ip": str(self._folder / "k") if self._folder is not None else "",
            **_PORTS,
            "key": self._key.decode(),
            "signature_scheme": "hmac-sha256",
        }
        # Nothing that code has left in its files is read by the kernel that follows.
        own = {"IPYTHONDIR": f"{self._folder}/ipython", "MPLCONFIGDIR": f"{self._folder}/matplotlib"}
        environ = {**self._told["environ"], **own}
        return {**self._told, "environ": environ, "connection": connection, "replaces": False}

    def _connect(self) -> None:
        self._welcome = asyncio.get_running_loop().create_future()
        identity = secrets.token_hex(8).encode()
        for number, (channel, kind) in enumerate(
            ((SHELL, zmq.DEALER), (IOPUB, zmq.SUB), (STDIN, zmq.DEALER), (CONTROL, zmq.DEALER)), start=1
        ):
            made = self._context.socket(kind)
            made.set_hwm(_MARKS)
            if kind == zmq.SUB:
                made.setsockopt(zmq.SUBSCRIBE, b"")
            else:
                # One for all channels: the kernel asks for input where the request came from.
                made.setsockopt(zmq.IDENTITY, identity)
            made.connect(f"ipc://{self._folder}/k-{number}")
            self._sockets[channel] = WatchedSocket(made, self._handler(channel))

    def _handler(self, channel: str) -> Callable[[list[zmq.Frame]], None]:
        def handle(frames: list[zmq.Frame]) -> None:
            parts = [frame.buffer for frame in frames]
            start = next((i for i, part in enumerate(parts) if part == _DELIMITER), len(parts))
            # After the delimiter: the signature, and four parts at least.
            if len(parts) < start + 6:
                return
            message = parts[start + 2 :]
            if self._welcome is not None and not self._welcome.done() and channel == IOPUB:
                self._welcome.set_result(None)
            self.listener(channel, message)

        return handle

    def _disconnect(self) -> None:
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()
        self._welcome = None
        if self._private is not None:
            self._private.close()
            self._private = None
        self._folder = None

    # While it runs

    def send(self, channel: str, parts: Sequence[Payload]) -> None:
        """Send a message (header to buffers) to the kernel.

        Raises
        ------
        PlaceError
            There is no kernel, or it does not take messages any more.
        """
        to = self._sockets.get(channel)
        if to is None or channel == IOPUB:
            raise PlaceError("There is no kernel.")
        signed = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts[:4]:
            signed.update(part)
        try:
            send_now(to.zmq, [_DELIMITER, signed.hexdigest().encode(), *parts])
        except zmq.Again:
            raise PlaceError("The kernel takes no messages any more.") from None
        to.poke()

    async def read_private(self, generation: int) -> bytes:
        """Return the next bytes from the private channel of the kernel of this generation.

        Raises
        ------
        PlaceError
            That kernel has ended.
        """
        return await self._private_of(generation).read()

    async def write_private(self, generation: int, data: Payload) -> None:
        """Write bytes to the private channel of the kernel of this generation, and wait until it took them.

        Raises
        ------
        PlaceError
            That kernel has ended.
        """
        await self._private_of(generation).write(memoryview(data))

    def _private_of(self, generation: int) -> PrivateChannel:
        if self._private is None or generation != self.generation:
            raise PlaceError(ENDED)
        return self._private

    def pause(self) -> None:
        """Take nothing that the kernel shows until `resume`; it waits, then."""
        if IOPUB in self._sockets:
            self._sockets[IOPUB].pause()

    def resume(self) -> None:
        """Take again what the kernel shows."""
        if IOPUB in self._sockets:
            self._sockets[IOPUB].resume()

    def interrupt(self) -> None:
        """Send SIGINT to the kernel and its group."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGINT)

    # Ends

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._pid:
                self._note_end(status)
            elif self._next is not None and pid == self._next.pid:
                self._next.channel.close()
                self._next = None

    def _note_end(self, status: int) -> None:
        if self._ended is not None:
            resolve(self._ended)
        self._pid = 0
        if self._welcome is not None and not self._welcome.done():
            self._welcome.set_exception(EOFError())
        if self._ending:
            return
        reason = self._reason(os.waitstatus_to_exitcode(status))
        self._untold = self.generation, reason
        # What it has shown before is still on its way.
        loop = asyncio.get_running_loop()
        loop.call_later(_SETTLED, self._tell_end, *self._untold)

    def _tell_end(self, generation: int, reason: str) -> None:
        if self._untold == (generation, reason):
            self._untold = None
            self._disconnect()
            self.on_death(generation, reason)

    def _reason(self, code: int) -> str:
        limit = measure.limits()["memory_limit"]
        # Others may have been killed for it, and the kernel have ended by itself.
        if code == -signal.SIGKILL and measure.killed_for_memory() > self._kills and limit:
            return (
                f"The kernel was killed: it reached the container's memory limit of {limit / 2**20:,.0f} MiB."
            )
        if code >= 0:
            return f"The kernel ended by itself with status {code} (os._exit, or a crash of the interpreter)."
        name = signal.Signals(-code).name
        hint = {"SIGSEGV": ": a segmentation fault in native code", "SIGABRT": ": native code aborted"}
        return f"The kernel was killed by {name}{hint.get(name, '')}."

    def _read_log(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._tail = (self._tail + os.read(self._log, 65_536))[-2000:]

    def log_tail(self) -> str:
        """Return the last that kernels have written beside what they show; it may be anything."""
        return self._tail.decode(errors="replace").strip()

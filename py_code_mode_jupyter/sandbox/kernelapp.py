"""ipykernel's application, kernel and session, with what a run of ours needs added to them."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
import types
from collections.abc import Iterator, Mapping
from typing import Any

import zmq
from ipykernel.iostream import IOPubThread
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from jupyter_client.session import Session
from traitlets.config import Config

from ..codec import decode, encode
from ..errors import NotPlainError
from .output import Descriptors, RunStream, let_threads_inherit_their_run
from .usage import Usage

_MAX_REPR = 64 * 1024
_MAX_SENT = 256 * 2**20
"""Bytes of one message to our own host, which refuses larger ones; the run would never end for it."""
_CONTROL_SECONDS = 2.0
_RECONNECT_SECONDS = 0.25
"""Within it clients of a kernel come back to the one that replaces it: ZeroMQ tries every 0.1 to 0.2 s."""
_CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


class SandboxSession(Session):
    """A session that can put buffers into an ``execute_reply``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reply_buffers: dict[str, list[Any]] = {}
        self.bounded = False

    def serialize(self, msg: dict[str, Any], ident: Any = None) -> list[bytes]:
        """Return a message as bytes; one that is too large for our host says so instead."""
        parts: list[bytes] = super().serialize(msg, ident)
        size = sum(map(len, parts))
        if not self.bounded or size <= _MAX_SENT:
            return parts
        note = f"[{size:,} bytes: too large to be sent]"
        content = dict(msg["content"])
        if "data" in content:
            content |= {"data": {"text/plain": note}, "metadata": {}}
        if "traceback" in content:
            content |= {"evalue": note, "traceback": [f"{content.get('ename')}: {note}"]}
        return super().serialize({**msg, "content": content}, ident)

    def send(self, stream: Any, msg_or_type: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a message; a reply to a run takes the buffers kept for it along."""
        if msg_or_type == "execute_reply" and len(args) > 1 and self.reply_buffers:
            buffers = self.reply_buffers.pop(args[1]["header"]["msg_id"], None)
            if buffers is not None:
                kwargs["buffers"] = buffers
        return super().send(stream, msg_or_type, *args, **kwargs)


class SandboxKernel(IPythonKernel):
    """An IPython kernel that sets variables before a run and returns its value after it.

    Only a request whose metadata asks for it (``{"pcm": {...}}``) is treated so; a JupyterLab user
    has an ordinary kernel.
    """

    # Our own host matches reply and idle status; a fixed sleep would only delay both.
    _execute_sleep = 0.0
    session: SandboxSession
    shell: Any
    descriptors: Descriptors | None = None
    place = ""
    usage = Usage()
    _interruptible = False
    _missed = False

    @property
    def banner(self) -> str:  # type: ignore[override]
        """IPython's banner, and where this kernel runs."""
        return f"{super().banner}{self.place}\n"

    def start(self) -> None:
        """Serve messages, and let a signal wake the event loop whichever thread the system gives it to.

        Else an interrupt of a top-level ``await`` may wait as long as the ``await`` does. asyncio
        sets its wake-up descriptor for all signals once it handles any; nobody sends SIGURG.
        """
        super().start()
        loop: asyncio.AbstractEventLoop = getattr(self.io_loop, "asyncio_loop")  # noqa: B009 - tornado declares it on a subclass
        loop.add_signal_handler(signal.SIGURG, _nothing)

    async def usage_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Say what the place uses, beside the limit that holds there."""
        self.session.send(stream, "usage_reply", self.usage.content(), parent, ident)

    # Interrupts. One that struck between a request and its reply would cost the reply, and the
    # client would wait for ever; so it raises only while code runs.

    def pre_handler_hook(self) -> None:
        """Take interrupts over, before each request."""
        self._interruptible = self._missed = False
        signal.signal(signal.SIGINT, self._on_interrupt)

    def post_handler_hook(self) -> None:
        """Leave interrupts with the handler, which ignores them between requests."""

    def _on_interrupt(self, number: int, frame: types.FrameType | None) -> None:
        if self._interruptible:
            raise KeyboardInterrupt
        self._missed = True

    async def do_execute(self, code: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a cell; see ``IPythonKernel.do_execute``."""
        parent = self.get_parent("shell")
        self._interruptible = True
        try:
            if self._missed:
                raise KeyboardInterrupt
            reply = await self._run(code, parent, args, kwargs)
            self._interruptible = False
            return reply
        # Whatever it is that went wrong beside the cell's own errors: without a reply the client would wait.
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001
            self._interruptible = False
            self.session.reply_buffers.pop(parent["header"]["msg_id"], None)
            return {"status": "error", "ename": type(error).__name__, "evalue": str(error), "traceback": []}

    async def _run(self, code: str, parent: dict[str, Any], args: Any, kwargs: Any) -> dict[str, Any]:
        about = parent["metadata"].get("pcm")
        if self.descriptors is not None:
            self.descriptors.begin(parent["header"])
        try:
            if about is not None and about.get("variables"):
                self.shell.push(decode(parent["buffers"]))
            reply: dict[str, Any] = await super().do_execute(code, *args, **kwargs)
            if about is not None:
                reply["pcm"] = self._about_run(parent["header"]["msg_id"])
            return reply
        finally:
            if self.descriptors is not None:
                self.descriptors.end()

    def _about_run(self, msg_id: str) -> dict[str, Any]:
        result = self.shell.last_execution_result
        if result is None:
            return {}
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            return {"frames": list(_frames(error.__traceback__, self.shell.compile))}
        if result.result is None:
            return {}
        try:
            buffers = encode(result.result)
        except NotPlainError:
            return {"repr": _text(result.result)}
        if sum(map(len, buffers)) > _MAX_SENT:
            return {"repr": _text(result.result)}
        self.session.reply_buffers[msg_id] = buffers
        # For a host that lacks the library to rebuild it.
        scalar = isinstance(result.result, str | int | float | bool)
        return {} if scalar else {"repr": _text(result.result)}


def _nothing() -> None:
    """Do nothing."""


def _text(value: object) -> str:
    """Return the ``repr`` of a value of the code's, which may fail in any way."""
    try:
        return repr(value)[:_MAX_REPR]
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - it may raise SystemExit as well
        return object.__repr__(value)


def _leave() -> None:
    """End a run of a session that calls ``exit()``, as ``sys.exit()`` does, and not the kernel."""
    raise SystemExit


def _hide_interrupt_handler(shell: Any) -> None:
    """Let the traceback of an interrupt end where the code was, not in our handler."""
    formatter = shell.InteractiveTB
    structured = formatter.structured_traceback
    ours = SandboxKernel._on_interrupt.__code__

    def without_ours(etype: Any, evalue: Any, etb: Any, *args: Any, **kwargs: Any) -> Any:
        frame = etb
        while frame is not None and frame.tb_next is not None:
            if frame.tb_next.tb_frame.f_code is ours:
                frame.tb_next = None
            frame = frame.tb_next
        return structured(etype, evalue, etb, *args, **kwargs)

    formatter.structured_traceback = without_ours


def _frames(traceback: types.TracebackType | None, compiler: Any) -> Iterator[list[Any]]:
    """Yield the frames of the cell and of what it called, not those of IPython around it."""
    inside = False
    while traceback is not None:
        code = traceback.tb_frame.f_code
        cell = compiler.format_code_name(code.co_filename)
        inside = inside or cell is not None
        if inside:
            name = cell[1] if cell else code.co_filename
            yield [name, traceback.tb_lineno, code.co_name, _source(code.co_filename, traceback.tb_lineno)]
        traceback = traceback.tb_next


def _source(filename: str, lineno: int) -> str:
    import linecache

    return linecache.getline(filename, lineno).strip()


class Publisher(IOPubThread):
    """The thread that publishes, and that never overlooks a new subscriber.

    ZeroMQ announces events once. Sending may use up the announcement of a subscription, and the
    subscriber's welcome, which our host waits for, would not be sent until the next one.
    """

    def _really_send(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        super()._really_send(msg, *args, **kwargs)
        if self.socket is not None and self.socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            self._xpub_stream.flush(zmq.POLLIN)


class EndingApp(IPKernelApp):
    """ipykernel's application, which ends as soon as it is told to."""

    def start(self) -> None:
        """Serve until told to stop, and let the control thread finish that request.

        It ends it by flushing streams, and would wait for ever where the interpreter, ending, has
        stopped the thread that sends.
        """
        super().start()
        if self.control_thread is not None and self.control_thread.is_alive():
            self.control_thread.stop()
            self.control_thread.join(_CONTROL_SECONDS)


class SandboxApp(EndingApp):
    """The kernel's application, told everything by the host instead of by files and arguments."""

    def prepare(self, spec: Mapping[str, Any], namespaces: dict[str, Any]) -> None:
        """Take the host's word for connection and behaviour."""
        connection = spec["connection"]
        self.transport, self.ip = connection["transport"], connection["ip"]
        for channel in _CHANNELS:
            setattr(self, f"{channel}_port", connection[f"{channel}_port"])
        self.session = SandboxSession(parent=self, key=connection["key"].encode())
        self.kernel_class = SandboxKernel
        self.outstream_class = f"{RunStream.__module__}.{RunStream.__name__}"
        self.capture_fd_output = sys.platform != "linux"
        self._no_drop = self.session.bounded = spec["no_drop"]
        self._is_session = spec["is_session"]
        self._replaces = spec["replaces"]
        self._place = spec["banner"]
        self._usage = Usage(limit=spec.get("memory_limit"), is_contained=spec.get("is_contained", False))
        self.user_ns = namespaces
        # Nobody browses the history of an agent's session; a person's lies in the private folder.
        self.update_config(Config({"HistoryManager": {"enabled": not self._is_session}}))

    def start(self) -> None:
        """Serve, but no cell before clients of the kernel that was here before can see what it shows."""
        if self._replaces and not self._is_session:  # our own host waits until it is connected
            time.sleep(_RECONNECT_SECONDS)
        super().start()

    def _bind_socket(self, s: zmq.Socket[Any], port: int) -> Any:
        if self._no_drop and s.socket_type == zmq.XPUB:
            # One reader, which always reads: when it is slow, the code waits instead of losing output.
            s.setsockopt(zmq.XPUB_NODROP, 1)
            s.set_hwm(64)
        return super()._bind_socket(s, port)

    def init_iopub(self, context: zmq.Context[Any]) -> None:
        """Open the IOPub channel, without the TCP port that ipykernel opens for forked children.

        Where runs have descriptors of their own, such a child writes to them.
        """
        if sys.platform != "linux":
            super().init_iopub(context)
            return
        self.iopub_socket = context.socket(zmq.XPUB)
        self.iopub_socket.linger = 1000
        self.iopub_port = self._bind_socket(self.iopub_socket, self.iopub_port)
        self.configure_tornado_logger()
        self.iopub_thread = Publisher(self.iopub_socket, session=self.session)
        self.iopub_thread.start()
        self.iopub_socket = self.iopub_thread.background_socket

    def init_connection_file(self) -> None:
        """Do nothing: the host passed the connection on, and no file holds its key."""

    def write_connection_file(self, **kwargs: Any) -> None:
        """Do nothing, as above."""

    def init_poller(self) -> None:
        """Do nothing: the system ends this process with its host, and so does the channel."""
        self.poller = None

    def init_signal(self) -> None:
        """Do nothing: interrupts are ignored until a cell runs, since the process started."""

    def init_kernel(self) -> None:
        """Make the kernel, with descriptors for each run."""
        super().init_kernel()
        let_threads_inherit_their_run()
        self.kernel.place, self.kernel.usage = self._place, self._usage
        _hide_interrupt_handler(self.kernel.shell)
        if self._is_session:
            # A person's kernel ends with exit(); a session would lose its next run to that.
            self.kernel.shell.ask_exit = _leave
        if sys.platform == "linux":
            self.kernel.descriptors = Descriptors(sys.stdout, sys.stderr)  # type: ignore[arg-type]

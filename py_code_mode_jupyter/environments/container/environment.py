"""A container with one kernel in it: created, connected, measured, replaced when it dies, removed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import hashlib
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final
from urllib.parse import urlsplit

from ...errors import (
    AuthenticationError,
    ContainerLostError,
    ContainerRefusedError,
    ExecutorStartError,
    TransferError,
)
from ...sandbox.wire import CONTROL, IOPUB, SHELL, STDIN, WireError
from ..folder import OwnedFolder
from ..process import ipc_connection
from . import images, reaper
from .engine import Engine
from .filtering import Filter, Message
from .link import Link
from .loop import LoopThread
from .options import PORT, container_options, limits_of
from .relay import Relay, parse_object
from .tunnel import Tunnel

if TYPE_CHECKING:
    from ...config import ContainerConfig
    from ..broker import Broker

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_WORD = 10.0
"""Seconds that the supervisor may take for an answer that it has at once."""
_SOON = 0.3
_CHANNELS = frozenset({SHELL, CONTROL, STDIN, IOPUB})
_SLICE = 256 * 1024
_LARGEST_FILE = 2**30


@final
class ContainerEnvironment:
    """A container and its kernel.

    It belongs to no event loop of its caller's: what blocks runs in threads, the container is spoken
    with in a thread of its own, and what happens is told by `concurrent.futures` futures.

    Parameters
    ----------
    config
        What to make.
    is_session
        Whether an executor drives the kernel, and not a person: then ``exit()`` ends a run instead of it.
    extra_mime_types
        What the code shows that is passed on as it is, on an administrator's word.

    Attributes
    ----------
    broker
        Answers the kernel's requests; set before `start`.
    connection
        The connection information of the local sockets, as in a Jupyter connection file.
    died
        Resolves with a sentence when the current kernel has ended.
    container
        The container's id, empty where it is not ours.
    """

    def __init__(
        self, config: ContainerConfig, *, is_session: bool = False, extra_mime_types: Sequence[str] = ()
    ) -> None:
        self.config = config
        self.broker: Broker | None = None
        self.connection: dict[str, Any] = {}
        self.died: concurrent.futures.Future[str] = concurrent.futures.Future()
        self.container = ""
        self.measured: dict[str, Any] = {}
        self._is_session = is_session
        self._folder: OwnedFolder | None = None
        self._engine: Engine | None = None
        self._thread: LoopThread | None = None
        self._stream: socket.socket | None = None
        self._link: Link | None = None
        self._relay: Relay | None = None
        self._tunnel: Tunnel | None = None
        self._filter = Filter(
            online=not config.network_disabled,
            extra=frozenset(extra_mime_types),
            is_on=config.filter_output,
        )
        self._image = config.image
        self._generation = 0
        self._published = ""
        self._environ: Mapping[str, str] = os.environ
        self._closing = False
        self._about: dict[str, Any] = {}

    # Making

    async def start(
        self, *, connection: dict[str, Any] | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        """Make the container and connect with its kernel; on failure or cancellation nothing is left.

        Parameters
        ----------
        connection
            Where the local sockets are to be; None: in a folder of their own, with a random key.
        environ
            The host's environment variables to choose from; None: this process's.

        Raises
        ------
        AuthenticationError
            There is neither a token nor the wish to do without, or the token was not admitted.
        EngineError, ImageError
            The engine cannot be used, or the image not be run.
        ExecutorStartError
            The kernel did not start.
        """
        self._require_authentication()
        self._environ = os.environ if environ is None else environ
        self._closing = False
        try:
            await self._off_loop(self._prepare, connection)
            await self._connect()
        except BaseException:
            await asyncio.shield(self.close())
            raise

    def _require_authentication(self) -> None:
        if self.config.auth_token is None and not self.config.auth_disabled:
            raise AuthenticationError(
                "A container needs an auth_token, and none was given.",
                remedy="Give ContainerConfig(auth_token=secrets.token_urlsafe()); auth_disabled=True does "
                "without, for local development only.",
            )
        if self.config.auth_disabled:
            _log.warning(
                "Authentication is switched off (auth_disabled); only the attached stream is served."
            )

    async def _off_loop(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Run blocking `work` in a thread, and wait for its end even when cancelled."""
        task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait((task,))
            raise

    def _prepare(self, connection: dict[str, Any] | None) -> None:
        """Make what outlives containers: the thread, and the local sockets. It blocks."""
        if connection is None:
            self._folder = OwnedFolder(None)
            self._folder.create()
            connection = ipc_connection(self._folder.sockets())
        self.connection = connection
        self._thread = LoopThread()
        self._thread.begin(self._open_relay()).result()

    async def _open_relay(self) -> None:
        self._relay = Relay(self.connection, self._to_container, self._on_full)
        self._relay.open()

    async def _connect(self) -> None:
        """Make a container, and wait for its kernel."""
        if self.config.remote_url is not None:
            await self._there(self._open_remote())
        else:
            await self._off_loop(self._make)
            await self._there(self._open_attached())
        await self._there(self._begin())
        if self._wants_layer:
            await self.add_layer(self.config.deps)

    async def _there(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await `work` in the container's own thread."""
        if self._thread is None:
            work.close()
            raise ContainerLostError("The container was closed.")
        return await asyncio.wrap_future(self._thread.begin(work))

    def _make(self) -> None:
        """Create a container, attach to it, and start it. It blocks."""
        engine = self._engine = self._engine or Engine(self.config.docker_host)
        reaper.reap_once(engine)
        self._about = images.check_image(engine, self._image)
        self._take_layer(engine)
        network = None if self.config.network_disabled else engine.network()
        # Kept at once: a start that is cancelled here has to find what it is to remove.
        options = container_options(self.config, self._about["Id"], network, is_session=self._is_session)
        self.container = engine.create(options)
        self._stream = engine.attach(self.container)
        engine.start(self.container)
        if self.config.publish is not None:
            self._published = engine.published(self.container, PORT)

    def _take_layer(self, engine: Engine) -> None:
        """Begin with the image that holds the configured packages, if it was made before."""
        if not self._wants_layer:
            return
        wheelhouse = Path(self.config.wheelhouse) if self.config.wheelhouse is not None else None
        name = images.layer_name(self._about["Id"], self.config.deps, wheelhouse)
        if engine.has_image(name):
            self._image, self._about = name, engine.image(name)

    @property
    def _wants_layer(self) -> bool:
        is_locked = not self.config.allow_runtime_deps
        return bool(self.config.deps) and is_locked and self._image == self.config.image

    # Connecting, in the container's thread

    async def _open_attached(self) -> None:
        stream, self._stream = self._stream, None
        link = self._new_link(self._first_line(), is_multiplexed=True)
        await asyncio.get_running_loop().create_connection(lambda: link, sock=stream)
        await link.opened(self.config.startup_timeout)

    async def _open_remote(self) -> None:
        url = urlsplit(str(self.config.remote_url))
        link = self._new_link(b"", is_multiplexed=False, host=url.netloc)
        is_secure = url.scheme == "https"
        port = url.port or (443 if is_secure else 80)
        loop = asyncio.get_running_loop()
        try:
            connecting = loop.create_connection(lambda: link, str(url.hostname), port, ssl=is_secure or None)
            await asyncio.wait_for(connecting, self.config.startup_timeout)
        except (OSError, TimeoutError) as error:
            raise ExecutorStartError(
                f"No container answers at {self.config.remote_url}: {str(error) or 'it took too long'}.",
                remedy="Look whether it runs there, and whether its port is published.",
            ) from error
        await link.opened(self.config.startup_timeout)

    def _new_link(self, first_line: bytes, *, is_multiplexed: bool, host: str = "container") -> Link:
        link = self._link = Link(
            first_line=first_line,
            token=self.config.auth_token,
            is_multiplexed=is_multiplexed,
            on_message=self._from_container,
            on_event=self._on_event,
            host=host,
        )
        link.lost.add_done_callback(lambda lost: self._on_lost(link, lost.result()))
        return link

    def _first_line(self) -> bytes:
        token = self.config.auth_token
        said: dict[str, Any] = {
            "allow_runtime_deps": self.config.allow_runtime_deps,
            "kernel": {
                "environ": self._variables(),
                "is_session": self._is_session,
                "banner": self._banner(),
            },
        }
        if token is None:
            said["auth_disabled"] = True
        else:
            # Only this enters the container, and over this stream alone.
            said["token_sha256"] = hashlib.sha256(token.encode()).hexdigest()
        if self.config.publish is not None:
            said["port"] = PORT
        return json.dumps(said).encode() + b"\n"

    def _variables(self) -> dict[str, str]:
        found = {}
        for entry in self.config.env:
            name, given, value = entry.partition("=")
            if given:
                found[name] = value
            elif name in self._environ:
                found[name] = self._environ[name]
        return found

    def _banner(self) -> str:
        return f"Container {self.container[:12]}, removed with the kernel"

    async def _begin(self) -> None:
        """Wait until the kernel is ready, check what it is in, and let its requests be answered."""
        link = self._connected()
        is_remote = self.config.remote_url is not None
        answer, _ = await self._asked(link.request("restart" if is_remote else "start"))
        info, _ = await self._asked(link.request("info"))
        images.check_content(self._image, str(info.get("content")))
        self.measured = info["measured"] if isinstance(info.get("measured"), dict) else {}
        if not is_remote:
            self._require_limits()
        await self._adopt(link, answer)

    async def _asked(self, request: Coroutine[Any, Any, _T]) -> _T:
        try:
            return await asyncio.wait_for(request, self.config.startup_timeout)
        except TimeoutError:
            raise ExecutorStartError(
                f"The kernel was not ready within {self.config.startup_timeout:g} s.",
                remedy="Raise startup_timeout, or look at the machine's load.",
            ) from None
        except (ContainerRefusedError, ContainerLostError) as error:
            raise ExecutorStartError(f"The kernel did not start. {error}") from error

    def _require_limits(self) -> None:
        """Refuse a container in which a limit that was asked for does not hold."""
        for name, wanted in limits_of(self.config).items():
            found = self.measured.get(name)
            if found != wanted:
                raise ExecutorStartError(
                    f"The engine did not keep {name}: asked for {wanted}, measured {found}.",
                    remedy="`docker info` says which limits it can keep.",
                )

    async def _adopt(self, link: Link, answer: dict[str, Any]) -> None:
        generation = answer.get("generation")
        self._generation = generation if isinstance(generation, int) else 0
        self.died = concurrent.futures.Future()
        self._filter.forget()
        await self._drop_tunnel()
        assert self.broker is not None
        self._tunnel = Tunnel(link, self._generation, self.broker.answer, self._on_nonsense)
        if self._relay is not None:
            self._relay.is_alive = True
            self._relay.show()

    def _connected(self) -> Link:
        if self._link is None:
            raise ContainerLostError("There is no container.")
        return self._link

    # Messages, in the container's thread

    def _to_container(self, channel: str, parts: list[bytes]) -> None:
        link = self._link
        if link is not None and not link.lost.done() and not self.died.done():
            try:
                link.send(channel, parts)
            except WireError as error:
                _log.warning("A message to a kernel was dropped: %s", error)

    def _from_container(self, channel: str, parts: list[memoryview]) -> None:
        relay = self._relay
        if relay is None or channel not in _CHANNELS or len(parts) < 4:
            return
        header, parent, metadata, content = map(parse_object, parts[:4])
        if header is None or parent is None or metadata is None or content is None:
            return
        message = Message(channel, header, parent, metadata, content, parts[4:], bytes(parts[3]))
        passing = self._filter.admit(message)
        if passing is None:
            return
        for note in passing.notes:
            relay.publish("stream", {"name": "stderr", "text": f"{note}\n"}, passing.parent)
        if passing.channel:
            with contextlib.suppress(ValueError):  # not JSON that every reader understands
                relay.deliver(channel, str(parent.get("msg_id")), passing.parts())

    def _on_full(self, is_full: bool) -> None:
        if self._link is not None:
            (self._link.pause if is_full else self._link.resume)()

    def _on_event(self, event: dict[str, Any]) -> None:
        if event.get("event") == "died" and event.get("generation") == self._generation:
            self._die(str(event.get("reason"))[:1000])

    def _on_nonsense(self) -> None:
        """End the kernel whose private channel brought what is no request; called in the tunnel's thread."""
        thread, link = self._thread, self._link
        if thread is not None and link is not None:
            thread.soon(link.end, "What came over the private channel was no request.")

    def _on_lost(self, link: Link, reason: str) -> None:
        if link is self._link:
            self._die(reason)

    def _die(self, reason: str) -> None:
        if self._relay is not None:
            self._relay.is_alive = False
        if not self.died.done():
            self.died.set_result(reason)

    # Signals and the end

    async def interrupt(self) -> None:
        """Interrupt what the kernel runs."""
        await self._off_loop(self._interrupt)

    def send_signal(self, number: int) -> None:
        """Interrupt for SIGINT, end the kernel for everything else that ends a process."""
        thread, link = self._thread, self._link
        if thread is None or link is None or link.lost.done():
            return
        if number == signal.SIGINT:
            thread.begin(_forgiven(self._interrupt_there(link)))
        elif number in (signal.SIGTERM, signal.SIGKILL):
            thread.begin(_forgiven(self._end_there(link)))

    def _interrupt(self) -> None:
        thread, link = self._thread, self._link
        if thread is None or link is None or link.lost.done():
            return
        asked = thread.begin(_forgiven(link.request("interrupt")))
        try:
            asked.result(_SOON)
        except concurrent.futures.TimeoutError:
            # The stream is full: the engine has a way of its own.
            if self._engine is not None and self.container:
                self._engine.signal(self.container, "SIGINT")

    async def _interrupt_there(self, link: Link) -> None:
        await link.request("interrupt")

    async def _end_there(self, link: Link) -> None:
        await link.request("end")
        self._die("The kernel was ended.")

    @property
    def returncode(self) -> int | None:
        """How the kernel ended, None while it runs."""
        return 1 if self.died.done() else None

    async def end(self, grace: float = 0.0) -> None:
        """End the kernel and everything it started, after `grace` seconds; the container stays."""
        if grace:
            await asyncio.wait((asyncio.wrap_future(self.died),), timeout=grace)
        await self.kill()

    async def relaunch(self) -> None:
        """Start another kernel, in the container that is there or, if it has gone, in a new one."""
        link = self._link
        if link is not None and not link.lost.done():
            with contextlib.suppress(ContainerRefusedError, ContainerLostError, TimeoutError):
                answer, _ = await self._there(_within(link.request("restart"), self.config.startup_timeout))
                await self._there(self._adopt(link, answer))
                return
        await self._off_loop(self._discard)
        await self._connect()

    async def kill(self) -> None:
        """End the kernel and everything that it started; the container stays."""
        link = self._link
        if link is None or link.lost.done():
            return
        try:
            await self._there(_within(link.request("end"), _WORD))
        except (ContainerRefusedError, ContainerLostError, TimeoutError):
            await self._off_loop(self._discard)
        self._die("The kernel was ended.")

    async def discard(self) -> None:
        """Remove the container; `relaunch` makes another."""
        await self._off_loop(self._discard)
        self._die("The container was used for one run only.")

    def _discard(self) -> None:
        """Remove the container; the local sockets stay. It blocks."""
        link, self._link = self._link, None
        container, self.container = self.container, ""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        if self._thread is not None:
            self._thread.begin(self._let_go(link)).result()
        if self._engine is not None and container:
            self._engine.remove(container)

    async def _let_go(self, link: Link | None) -> None:
        await self._drop_tunnel()
        if link is not None:
            link.end("The container was closed.")

    async def _drop_tunnel(self) -> None:
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            await tunnel.close()

    async def close(self) -> None:
        """End everything and remove every trace."""
        await self._off_loop(self._close)

    def _close(self) -> None:
        self._closing = True
        try:
            self._discard()
        finally:
            self._die("The session was closed.")
            if self._thread is not None:
                self._thread.begin(self._close_relay()).result()
                self._thread.stop()
                self._thread = None
            if self._engine is not None:
                self._engine.close()
                self._engine = None
            if self._folder is not None:
                self._folder.remove()
                self._folder = None

    async def _close_relay(self) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()

    # Packages

    async def add_layer(self, specs: Sequence[str]) -> None:
        """Go on in a container of an image with these packages added; what was in this one is lost.

        Raises
        ------
        ExecutorStartError
            They could not be installed; this container has gone as well.
        """
        name = await self._off_loop(self._make_layer, tuple(specs))
        await self._off_loop(self._discard)
        self._image = name
        await self._connect()

    def _make_layer(self, specs: Sequence[str]) -> str:
        from .packages import make_layer

        assert self._engine is not None
        return make_layer(self._engine, self.config, self._about, self.measured, specs)

    def ask(self, op: str, payload: Any = b"", *, timeout: float = _WORD, **params: Any) -> dict[str, Any]:
        """Ask the supervisor something from any thread but the container's. It blocks.

        Raises
        ------
        ContainerLostError, ContainerRefusedError
            The container has gone, or refused.
        """
        return self._ask(op, payload, timeout, **params)[0]

    def _ask(self, op: str, payload: Any, timeout: float, **params: Any) -> tuple[dict[str, Any], memoryview]:
        thread, link = self._thread, self._link
        if thread is None or link is None:
            raise ContainerLostError("There is no container.")
        try:
            return thread.begin(_within(link.request(op, payload, **params), timeout)).result()
        except TimeoutError:
            raise ContainerRefusedError(f"The container did not answer within {timeout:g} s.") from None

    # Files

    def upload(self, source: Path, to: str) -> None:
        """Copy the host's file `source` to the path `to` in the working folder. It blocks."""
        try:
            with source.open("rb") as file:
                unfinished = ""
                while True:
                    data = file.read(_SLICE)
                    is_last = len(data) < _SLICE
                    answer = self.ask("write", data, path=to, unfinished=unfinished, is_last=is_last)
                    unfinished = str(answer.get("unfinished"))
                    if is_last:
                        return
        except (OSError, ContainerRefusedError, ContainerLostError) as error:
            raise _not_copied(str(source), to, error) from error

    def download(self, path: str, target: Path) -> None:
        """Copy the file `path` of the working folder to the host's `target`. It blocks."""
        making = target.with_name(f"{target.name}.part")
        try:
            with making.open("xb") as file:
                while True:
                    _, data = self._ask("read", b"", _WORD, path=path, offset=file.tell(), size=_SLICE)
                    file.write(data)
                    if len(data) < _SLICE:
                        break
                    if file.tell() > _LARGEST_FILE:
                        raise ContainerRefusedError("it is larger than 1 GiB")
            making.replace(target)
        except (OSError, ContainerRefusedError, ContainerLostError) as error:
            making.unlink(missing_ok=True)
            raise _not_copied(path, str(target), error) from error

    # What a monitor asks

    async def stats(self) -> Mapping[str, Any]:
        """Return memory (bytes), CPU time (s), processes and process id of the container."""
        told = await self._off_loop(self._stats)
        own = {"memory_limit": self.config.memory_limit, "container": self.container}
        return {**told, **own, **({"published": self._published} if self._published else {})}

    def _stats(self) -> dict[str, Any]:
        found: dict[str, Any] = {"memory": 0, "cpu": 0.0, "processes": 0, "pid": 0}
        with contextlib.suppress(ContainerRefusedError, ContainerLostError):
            told = self.ask("stats")
            found |= {key: told[key] for key in found if isinstance(told.get(key), int | float)}
        if self._engine is not None and self.container:
            about = self._engine.inspect(self.container)
            found["pid"] = about["State"]["Pid"] if about is not None else 0
        return found

    async def probe(self) -> Mapping[str, Any]:
        """Return what was measured inside before any user code ran, and what the engine says outside."""
        outside = await self._off_loop(self._outside)
        return {**self.measured, "deps_lock_enforced": self._is_locked(), "outside": outside}

    def _is_locked(self) -> bool:
        return not self.config.allow_runtime_deps and self.measured.get("root_writable") is False

    def _outside(self) -> dict[str, Any]:
        if self._engine is None or not self.container:
            return {}
        about = self._engine.inspect(self.container)
        return {} if about is None else reaper.outside_view(about)


async def _within(work: Coroutine[Any, Any, _T], seconds: float) -> _T:
    return await asyncio.wait_for(work, seconds)


async def _forgiven(work: Coroutine[Any, Any, object]) -> None:
    """Do something for a container that may be ending."""
    with contextlib.suppress(ContainerRefusedError, ContainerLostError):
        await work


def _not_copied(source: str, target: str, error: BaseException) -> TransferError:
    said = getattr(error, "strerror", None) or error
    return TransferError(
        f"{source!r} could not be copied to {target!r}: {said}.",
        remedy="Give an existing file, and a place in an existing folder that can be written.",
    )

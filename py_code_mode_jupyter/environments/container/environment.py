"""A container with one kernel in it: created, connected, measured, replaced when it dies, removed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

from ...errors import (
    AuthenticationError,
    ContainerLostError,
    ContainerRefusedError,
    EngineError,
    ExecutorStartError,
)
from ..folder import OwnedFolder
from ..process import ipc_connection
from . import images, reaper
from .connection import WORD, Connection
from .engine import Engine
from .filtering import Filter
from .options import PORT, chosen_variables, container_options, first_line, limits_of

if TYPE_CHECKING:
    import socket

    from ...config import ContainerConfig
    from ..broker import Broker

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_SOON = 0.3
_GONE = (ContainerRefusedError, ContainerLostError, TimeoutError)


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
    container
        The container's id, empty where it is not ours.
    measured
        What the first process inside has measured before any user code ran.
    """

    def __init__(
        self, config: ContainerConfig, *, is_session: bool = False, extra_mime_types: Sequence[str] = ()
    ) -> None:
        self.config = config
        self.broker: Broker | None = None
        self.connection: dict[str, Any] = {}
        self.container = ""
        self.measured: dict[str, Any] = {}
        self._is_session = is_session
        self._extra = frozenset(extra_mime_types)
        self._never: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._folder: OwnedFolder | None = None
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._stream: socket.socket | None = None
        self._image = config.image
        self._about: dict[str, Any] = {}
        self._published = ""
        self._environ: Mapping[str, str] = os.environ

    @property
    def died(self) -> concurrent.futures.Future[str]:
        """Resolves with a sentence when the current kernel has ended."""
        return self._never if self._connection is None else self._connection.died

    @property
    def returncode(self) -> int | None:
        """How the kernel ended, None while it runs."""
        return 1 if self.died.done() else None

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
        try:
            await self._off_loop(self._prepare, connection)
            await self._launch()
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
        """Make what outlives containers. It blocks."""
        if connection is None:
            self._folder = OwnedFolder(None)
            self._folder.create()
            connection = ipc_connection(self._folder.sockets())
        self.connection = connection
        online = not self.config.network_disabled
        screen = Filter(online=online, extra=self._extra, is_on=self.config.filter_output)
        assert self.broker is not None
        self._connection = Connection(
            connection, screen, self.broker.answer, shows_death=not self._is_session
        )

    async def _launch(self) -> None:
        """Make a container, or go to the one that is published, and wait for its kernel."""
        connection, timeout = self._connected(), self.config.startup_timeout
        if self.config.remote_url is not None:
            await connection.connect(self.config.remote_url, self.config.auth_token, timeout)
        else:
            await self._off_loop(self._make)
            stream, self._stream = self._stream, None
            assert stream is not None
            await connection.attach(stream, self._first_line(), self.config.auth_token, timeout)
        await self._begin(connection)
        if self._wants_layer:
            await self.take_layer(self.config.deps)
            await self._launch()

    def _connected(self) -> Connection:
        if self._connection is None:
            raise ContainerLostError("There is no container.")
        return self._connection

    def _make(self) -> None:
        """Create a container, attach to it, and start it. It blocks."""
        engine = self._engine = self._engine or Engine(self.config.docker_host)
        reaper.reap_once(engine)
        self._about = images.check_image(engine, self._image)
        self._take_ready_layer(engine)
        network = None if self.config.network_disabled else engine.network()
        options = container_options(self.config, self._about["Id"], network, is_session=self._is_session)
        # Each is kept at once: a start that is cancelled here has to find what it is to remove.
        self.container = engine.create(options)
        self._stream = engine.attach(self.container)
        engine.start(self.container)
        if self.config.publish is not None:
            self._published = engine.published(self.container, PORT)

    def _first_line(self) -> bytes:
        kernel = {
            "environ": chosen_variables(self.config.env, self._environ),
            "is_session": self._is_session,
            "banner": f"Container {self.container[:12]}, removed with the kernel",
        }
        return first_line(self.config, kernel)

    async def _begin(self, connection: Connection) -> None:
        """Wait until the kernel is ready, check what it is in, and let its requests be answered."""
        is_remote = self.config.remote_url is not None
        answer = await self._asked(connection, "restart" if is_remote else "start")
        info = await self._asked(connection, "info")
        images.check_content(self._image, str(info.get("content")))
        self.measured = info["measured"] if isinstance(info.get("measured"), dict) else {}
        if not is_remote:
            self._require_limits()
        await connection.adopt(answer.get("generation"))

    async def _asked(self, connection: Connection, op: str) -> dict[str, Any]:
        try:
            return await connection.request(op, timeout=self.config.startup_timeout)
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

    # Signals and the end

    async def interrupt(self) -> None:
        """Interrupt what the kernel runs."""
        await self._off_loop(self._interrupt)

    def _interrupt(self) -> None:
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        try:
            connection.tell("interrupt").result(_SOON)
        except concurrent.futures.TimeoutError:
            # The stream is full: the engine has a way of its own.
            if self._engine is not None and self.container:
                self._engine.signal(self.container, "SIGINT")

    def send_signal(self, number: int) -> None:
        """Interrupt for SIGINT, end the kernel for everything else that ends a process; returns at once."""
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        if number == signal.SIGINT:
            connection.tell("interrupt")
        elif number in (signal.SIGTERM, signal.SIGKILL):
            connection.tell("end").add_done_callback(lambda _: connection.die("The kernel was ended."))

    async def end(self, grace: float = 0.0) -> None:
        """End the kernel and everything it started, after `grace` seconds; the container stays."""
        if grace:
            await asyncio.wait((asyncio.wrap_future(self.died),), timeout=grace)
        await self.kill()

    async def kill(self) -> None:
        """End the kernel and everything that it started; the container stays."""
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        try:
            await connection.request("end", timeout=WORD)
        except _GONE:
            await self._off_loop(self._discard)
        connection.die("The kernel was ended.")

    async def relaunch(self) -> None:
        """Start another kernel, in the container that is there or, if it has gone, in a new one."""
        connection = self._connected()
        if connection.is_open:
            with contextlib.suppress(*_GONE):
                answer = await connection.request("restart", timeout=self.config.startup_timeout)
                await connection.adopt(answer.get("generation"))
                return
        await self._off_loop(self._discard)
        await self._launch()
        if self.config.deps and self.config.allow_runtime_deps and self.broker is not None:
            await self._off_loop(self.broker.deps.install, self.config.deps)

    async def discard(self) -> None:
        """Remove the container; `relaunch` makes another."""
        await self._off_loop(self._discard)
        self._connected().die("The container was for one run only.")

    def _discard(self) -> None:
        """Remove the container; the local sockets stay. It blocks."""
        container, self.container = self.container, ""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        if self._connection is not None:
            self._connection.drop()
        if self._engine is not None and container:
            self._engine.remove(container)

    async def close(self) -> None:
        """End everything and remove every trace."""
        await self._off_loop(self._close)

    def _close(self) -> None:
        connection, engine, folder = self._connection, self._engine, self._folder
        try:
            self._discard()
        except EngineError as error:
            # It ends with our end of the stream, and the engine removes it when it can.
            _log.warning("A container could not be removed: %s `jupyter pcm reap` looks for it.", error)
        finally:
            self._connection = self._engine = self._folder = None
            if connection is not None:
                connection.die("The session was closed.")
                self._never = connection.died
                connection.close()
            if engine is not None:
                engine.close()
            if folder is not None:
                folder.remove()

    # Packages

    def _take_ready_layer(self, engine: Engine) -> None:
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

    async def take_layer(self, specs: Sequence[str]) -> None:
        """Remove the container, and have `relaunch` make one of an image with these packages added.

        Raises
        ------
        DependencyInstallError
            They could not be installed; the container is still there.
        """
        name = await self._off_loop(self._make_layer, tuple(specs))
        await self._off_loop(self._discard)
        self._image = name

    def _make_layer(self, specs: Sequence[str]) -> str:
        from .packages import make_layer

        assert self._engine is not None
        return make_layer(self._engine, self.config, self._about, self.measured, specs)

    def ask(
        self, op: str, payload: Any = b"", *, timeout: float = WORD, **params: Any
    ) -> tuple[dict[str, Any], memoryview]:
        """Ask the supervisor something, as `Connection.ask`. It blocks."""
        return self._connected().ask(op, payload, timeout=timeout, **params)

    # What a monitor asks

    async def stats(self) -> Mapping[str, Any]:
        """Return memory (bytes), CPU time (s), processes and process id of the container."""
        told = await self._off_loop(self._stats)
        own = {"memory_limit": self.config.memory_limit, "container": self.container}
        return {**told, **own, **({"published": self._published} if self._published else {})}

    def _stats(self) -> dict[str, Any]:
        found: dict[str, Any] = {"memory": 0, "cpu": 0.0, "processes": 0, "pid": 0}
        with contextlib.suppress(ContainerRefusedError, ContainerLostError):
            told, _ = self.ask("stats")
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

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

from ...dependency import parse_dependency
from ...errors import (
    AuthenticationError,
    ContainerLostError,
    ContainerRefusedError,
    EngineError,
    ExecutorStartError,
    UnsupportedCapabilityError,
)
from ..reporting import report
from . import images, reaper
from .connection import WORD, Connection
from .engine import Engine
from .filtering import Filter
from .handover import Handover
from .options import PORT, chosen_variables, container_options, first_line, limits_of

if TYPE_CHECKING:
    import socket

    from ...config import ContainerConfig
    from ..broker import Broker

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_SOON, _LATER = 0.3, 1.0
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
    container
        The container's id, empty where it is not ours.
    measured
        What the first process inside has measured before any user code ran.
    added
        Packages that another container gets again when this one has gone: specs by name.
    on_close
        Called when everything is to end, before it is waited for.
    """

    def __init__(
        self, config: ContainerConfig, *, is_session: bool = False, extra_mime_types: Sequence[str] = ()
    ) -> None:
        self.config = config
        self.broker: Broker | None = None
        self.container = ""
        self.measured: dict[str, Any] = {}
        self._is_session = is_session
        self._extra = frozenset(extra_mime_types)
        self._never: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._stream: socket.socket | None = None
        self._image = config.image
        self._about: dict[str, Any] = {}
        self._base: dict[str, Any] = {}
        self._layers: tuple[str, ...] = () if config.allow_runtime_deps else config.deps
        self._allows_deps = config.allow_runtime_deps
        self.added: dict[str, str] = {}
        self.on_close: list[Callable[[], object]] = []
        if config.allow_runtime_deps:
            self.keep(config.deps)
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

    @property
    def handover(self) -> Handover:
        """The way to the kernel for a session in this process."""
        clients = self._connected().clients
        assert isinstance(clients, Handover)
        return clients

    # Making

    async def start(
        self, *, connection: dict[str, Any] | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        """Make the container and connect with its kernel; on failure or cancellation nothing is left.

        Parameters
        ----------
        connection
            Where local sockets are to be, as in a Jupyter connection file; None: there is `handover`.
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
        online = not self.config.network_disabled
        screen = Filter(online=online, extra=self._extra, is_on=self.config.filter_output)
        assert self.broker is not None
        self._connection = Connection(connection, screen, self.broker.answer)

    async def _launch(self) -> None:
        """Make a container that has all it is to have; one that has not is removed."""
        try:
            await self._open()
            if self._wants_layer:
                await self.take_layer(())
                await self._open()
            if self.added and self.broker is not None:
                await self._off_loop(self.broker.deps.install, tuple(self.added.values()))
        except BaseException:
            await asyncio.shield(self._off_loop(self._discard, "The container could not be used."))
            raise

    async def _open(self) -> None:
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

    def _connected(self) -> Connection:
        if self._connection is None:
            raise ContainerLostError("There is no container.")
        return self._connection

    def _make(self) -> None:
        """Create a container, attach to it, and start it. It blocks."""
        engine = self._engine = self._engine or Engine(self.config.docker_host)
        reaper.reap_soon(engine)
        if self._image != self.config.image and not engine.has_image(self._image):
            self._image = self.config.image  # its layer was removed, and is made again
        self._about = images.check_image(engine, self._image)
        self._take_ready_layer(engine)
        network = None if self.config.network_disabled else engine.network()
        report("creating the container")
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
        report("starting the kernel")
        answer = await self._asked(connection, "restart" if is_remote else "start")
        info = await self._asked(connection, "info")
        images.check_content(self._image, str(info.get("content")))
        self.measured = info["measured"] if isinstance(info.get("measured"), dict) else {}
        self._allows_deps = info.get("allow_runtime_deps") is not False
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
        disk = self.measured.get("disk_limit")
        if not isinstance(disk, int) or not 0 < disk <= int(self.config.disk_limit):
            raise ExecutorStartError(
                f"The engine did not keep disk_limit: asked for {self.config.disk_limit}, measured {disk}.",
                remedy="The engine has to support sizes of tmpfs.",
            )

    # Signals and the end

    async def interrupt(self) -> None:
        """Interrupt what the kernel runs."""
        await self._off_loop(self._interrupt)

    def _interrupt(self) -> None:
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        told = connection.tell("interrupt")
        if concurrent.futures.wait((told,), _SOON).done:
            return
        # The stream is full: the engine has a way of its own.
        if self._engine is not None and self.container:
            self._engine.signal(self.container, "SIGINT")
        # Then it empties, and what was told arrives: now, and not in the midst of a later run.
        concurrent.futures.wait((told,), _LATER)

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
        if connection is None:
            return
        if connection.is_open:
            try:
                await connection.request("end", timeout=WORD)
            except _GONE:
                await self._off_loop(self._discard, "The kernel was ended.")
        connection.die("The kernel was ended.")

    async def relaunch(self) -> None:
        """Start another kernel, in the container that is there or, if it has gone, in a new one."""
        connection = self._connected()
        if connection.is_open:
            with contextlib.suppress(*_GONE):
                answer = await connection.request("restart", timeout=self.config.startup_timeout)
                await connection.adopt(answer.get("generation"))
                return
        await self._off_loop(self._discard, "The container was replaced.")
        await self._launch()

    async def discard(self) -> None:
        """Remove the container; `relaunch` makes another."""
        await self._off_loop(self._discard, "The container was for one run only.")

    def _discard(self, reason: str) -> None:
        """Remove the container, whose kernel ends for this `reason`; the local sockets stay. It blocks."""
        container, self.container = self.container, ""
        stream, self._stream = self._stream, None
        connection = self._connection
        if stream is not None:
            stream.close()
        if connection is not None:
            connection.drop()
            connection.die(reason)
        if self._engine is not None and container:
            self._engine.remove(container)

    async def close(self) -> None:
        """End everything and remove every trace."""
        await self._off_loop(self._close)

    def _close(self) -> None:
        connection, engine = self._connection, self._engine
        for call in self.on_close:
            call()
        try:
            self._discard("The session was closed.")
        except EngineError as error:
            # It ends with our end of the stream, and the engine removes it when it can.
            _log.warning("A container could not be removed: %s `jupyter pcm reap` looks for it.", error)
        finally:
            self._connection = self._engine = None
            if connection is not None:
                self._never = connection.died
                connection.close()
            if engine is not None:
                engine.close()

    # Packages

    def _take_ready_layer(self, engine: Engine) -> None:
        """Begin with the image that holds the packages, if it was made before."""
        if self._image == self.config.image:
            self._base = self._about
        if not self._wants_layer:
            return
        wheelhouse = Path(self.config.wheelhouse) if self.config.wheelhouse is not None else None
        name = images.layer_name(self._about["Id"], self._layers, wheelhouse)
        if engine.has_image(name):
            self._image, self._about = name, engine.image(name)

    @property
    def _wants_layer(self) -> bool:
        return bool(self._layers) and self._image == self.config.image

    def is_layered(self, spec: str) -> bool:
        """Whether the image was made with this package."""
        return spec in self._layers and self._image != self.config.image

    def keep(self, specs: Sequence[str]) -> None:
        """Install these packages again in every container that takes the place of this one."""
        self.added |= {parse_dependency(spec).name: spec for spec in specs}

    async def take_layer(self, specs: Sequence[str]) -> None:
        """Remove the container, and have `relaunch` make one of an image with these packages as well.

        Raises
        ------
        DependencyInstallError
            They could not be installed; the container is still there.
        UnsupportedCapabilityError
            The container is another machine's.
        """
        layers = (*self._layers, *specs)
        name = await self._off_loop(self._make_layer, layers)
        await self._off_loop(self._discard, "The container was replaced by one with more packages.")
        self._image, self._layers = name, layers

    def _make_layer(self, specs: Sequence[str]) -> str:
        from .packages import make_layer

        if self._engine is None:
            raise UnsupportedCapabilityError(
                "runtime_deps",
                "Packages cannot be added to a locked container of remote_url.",
                remedy="Name them in deps where that container is started.",
            )
        report(f"adding to the image: {', '.join(specs)}")
        return make_layer(self, self._engine, self._base, specs)

    def ask(
        self, op: str, payload: Any = b"", *, timeout: float = WORD, **params: Any
    ) -> tuple[dict[str, Any], memoryview]:
        """Ask the supervisor something, as `Connection.ask`. It blocks."""
        return self._connected().ask(op, payload, timeout=timeout, **params)

    # What a monitor asks

    async def stats(self) -> Mapping[str, Any]:
        """Return memory (bytes), CPU time (s), processes and process id of the container."""
        told = await self._off_loop(self._stats)
        own = {"memory_limit": self.measured.get("memory_limit"), "container": self.container}
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
        return {**self.measured, "deps_lock_enforced": self.is_locked, "outside": outside}

    @property
    def is_locked(self) -> bool:
        """Whether nothing can be added to what is installed, as measured."""
        return not self._allows_deps and self.measured.get("root_writable") is False

    def _outside(self) -> dict[str, Any]:
        if self._engine is None or not self.container:
            return {}
        about = self._engine.inspect(self.container)
        return {} if about is None else reaper.outside_view(about)

"""The container engine: Docker's API, with its failures told apart and said with a remedy. It blocks."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, final

from ...errors import EngineError, ImageError
from .sockets import plain_socket

if TYPE_CHECKING:
    import docker

NAME = "io.github.py_code_mode_jupyter"
"""Begins the labels of what we make."""
TITLE = "org.opencontainers.image.title"
OWNER = f"{NAME}.owner"
_TIMEOUT = 60
_NETWORK = "py-code-mode"
_USUAL = "unix:///var/run/docker.sock"
_INSTALL = "Install it: pip install 'py_code_mode_jupyter[container]'."
_REMEDIES = (
    (re.compile("runtime"), "`docker info` lists the runtimes that this engine has."),
    (
        re.compile("already allocated|already in use"),
        "Publish another port; publish=0 takes a free one, which stats() names.",
    ),
)
"""What to do where an engine's refusal matches."""
_versions: dict[str, str] = {}


@final
class Engine:
    """A connection to an engine.

    Parameters
    ----------
    docker_host
        Its address; None: what the environment variables of Docker say.

    Raises
    ------
    EngineError
        It cannot be reached, may not be used, or the package docker is missing.
    """

    def __init__(self, docker_host: str | None = None) -> None:
        self.docker_host = docker_host or os.environ.get("DOCKER_HOST", "")
        with self.told():
            self.client = _client(docker_host)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Turn failures of the library, of the connection and of the engine into ours."""
        try:
            import docker.errors
            import requests.exceptions
        except ImportError as error:
            raise EngineError("The Python package docker is missing.", remedy=_INSTALL) from error
        try:
            self._knock()
            yield
        except docker.errors.APIError as error:
            said = str(error.explanation or error)
            raise EngineError(
                f"The container engine refused: {said}",
                docker_host=self.docker_host,
                remedy=next((remedy for words, remedy in _REMEDIES if words.search(said)), ""),
            ) from error
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            raise self._unreachable(error) from error

    def _knock(self) -> None:
        """Fail at once, and cleanly, where nobody listens: the library leaves a socket open then."""
        scheme, _, path = (self.docker_host or _USUAL).partition("://")
        if scheme == "unix":
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(_TIMEOUT)
                sock.connect(path)

    def _unreachable(self, error: BaseException) -> EngineError:
        number = _errno(error)
        where = self.docker_host or "its usual address"
        if number in (errno.EACCES, errno.EPERM):
            message = f"This user may not use the container engine at {where}."
            remedy = "Add the user to the group docker (sudo usermod -aG docker $USER) and log in again."
        elif number in (errno.ENOENT, errno.ECONNREFUSED):
            message = f"No container engine answers at {where}."
            remedy = "Install Docker, or start it: sudo systemctl start docker."
        else:
            message = f"The container engine at {where} cannot be used: {error}."
            remedy = "Look at `docker version`."
        return EngineError(message, docker_host=self.docker_host, remedy=remedy)

    def version(self) -> dict[str, Any]:
        """Return which engine it is."""
        with self.told():
            return dict(self.client.version())

    def info(self) -> dict[str, Any]:
        """Return what the engine can do."""
        with self.told():
            return dict(self.client.info())

    # Images

    def images(self) -> list[dict[str, Any]]:
        """Return all images with our label."""
        with self.told():
            return list(
                self.client.images(filters={"label": "org.opencontainers.image.title=py_code_mode_jupyter"})
            )

    def image(self, name: str) -> dict[str, Any]:
        """Return what the engine knows of an image.

        Raises
        ------
        ImageError
            It is not there.
        """
        import docker.errors

        with self.told():
            try:
                return dict(self.client.inspect_image(name))
            except docker.errors.ImageNotFound as error:
                raise ImageError(name, f"There is no image {name}.", remedy=_how_to_get(name)) from error

    def remove_image(self, name: str) -> bool:
        """Remove an image if no container uses it, and return whether that was so."""
        import docker.errors

        with self.told():
            try:
                self.client.remove_image(name)
            except docker.errors.APIError as error:
                if error.status_code != 409:
                    raise
                return False
        return True

    def has_image(self, name: str) -> bool:
        """Return whether there is an image of this name."""
        try:
            self.image(name)
        except ImageError:
            return False
        return True

    # Containers

    def create(self, options: Mapping[str, Any]) -> str:
        """Create a container and return its id.

        Raises
        ------
        EngineError
            It was refused, or one of its limits would have been ignored.
        """
        with self.told():
            config = self.client.create_container_config(**options["config"])
            config["HostConfig"] = self.client.create_host_config(**options["host"])
            made = self.client.create_container_from_config(config)
        number = str(made["Id"])
        if warnings := made.get("Warnings"):
            self.remove(number)
            raise EngineError(
                f"The container engine does not keep a limit: {' '.join(warnings)}",
                docker_host=self.docker_host,
                remedy="Enable it on the engine's machine, or choose another engine.",
            )
        return number

    def attach(self, number: str) -> socket.socket:
        """Return the stream of a container's standard input and outputs, as a plain socket of our own."""
        with self.told():
            streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            attached = self.client.attach_socket(number, params=streams)
            return plain_socket(attached)

    def start(self, number: str) -> None:
        """Start a container."""
        with self.told():
            self.client.start(number)

    def inspect(self, number: str) -> dict[str, Any] | None:
        """Return what the engine knows of a container, None if it has gone."""
        import docker.errors

        with self.told():
            try:
                return dict(self.client.inspect_container(number))
            except docker.errors.NotFound:
                return None

    def published(self, number: str, port: int) -> str:
        """Return where the `port` of a container can be reached, as ``host:port``."""
        about = self.inspect(number)
        bound = (about or {}).get("NetworkSettings", {}).get("Ports", {}).get(f"{port}/tcp")
        return f"{bound[0]['HostIp']}:{bound[0]['HostPort']}" if bound else ""

    def signal(self, number: str, name: str) -> None:
        """Send a signal to a container's first process; nothing happens if it does not run."""
        with self._forgiving():
            self.client.kill(number, name)

    def remove(self, number: str) -> None:
        """Remove a container, whatever its state, and wait until it has gone."""
        with self._forgiving():
            self.client.remove_container(number, force=True, v=True)
        while self.inspect(number) is not None:
            # Somebody else is removing it, the engine itself mostly.
            with self._forgiving():
                self.client.wait(number, timeout=_TIMEOUT, condition="removed")

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Forgive the engine that what is to go has gone, or is going."""
        import docker.errors

        with self.told():
            try:
                yield
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):
                    raise

    def containers(self) -> list[dict[str, Any]]:
        """Return all containers that we made, of every state."""
        with self.told():
            return list(self.client.containers(all=True, filters={"label": OWNER}))

    # Networks

    def network(self) -> str:
        """Return the network for containers that may have one, made if it is missing.

        It is a bridge of our own, over which containers cannot reach each other.
        """
        with self.told():
            if not self.client.networks(names=[_NETWORK]):
                self._make_network()
        return _NETWORK

    def _make_network(self) -> None:
        import docker.errors

        try:
            self.client.create_network(
                _NETWORK,
                driver="bridge",
                options={"com.docker.network.bridge.enable_icc": "false"},
                labels={f"{NAME}.network": "1"},
                check_duplicate=True,
            )
        except docker.errors.APIError as error:
            if error.status_code != 409:  # another start has made it meanwhile
                raise

    def remove_network(self) -> bool:
        """Remove the network if no container uses it, and return whether that was so."""
        import docker.errors

        with self.told():
            try:
                self.client.remove_network(_NETWORK)
            except docker.errors.APIError:
                return False
        return True


def _how_to_get(name: str) -> str:
    usual = {"py-code-mode:base": "", "py-code-mode:tools": " tools"}
    if name in usual:
        return f"Build it: jupyter pcm image build{usual[name]}."
    return f"`jupyter pcm image list` shows which there are; jupyter pcm image build --tag {name} makes it."


def _client(docker_host: str | None) -> docker.APIClient:
    from docker.utils import kwargs_from_env

    import docker

    options: dict[str, Any] = {**kwargs_from_env(), **({"base_url": docker_host} if docker_host else {})}
    address = str(options.get("base_url", ""))
    client = docker.APIClient(**options, version=_versions.get(address, "auto"), timeout=_TIMEOUT)
    # Asked once for each engine: it costs a round trip.
    _versions[address] = client.api_version
    return client


def _errno(error: BaseException | None) -> int:
    """Return the error number below an exception; libraries wrap it several times."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and isinstance(one.errno, int):
            return one.errno
        waiting += [one.__cause__, one.__context__, *one.args, getattr(one, "reason", None)]
    return 0

"""Configurations of the executors: frozen, keyword-only, validated when they are made.

Fields and defaults are those of the specification; what is added here is said in each docstring.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, final

from .dependency import parse_dependency
from .errors import ConfigurationError, InvalidDependencyError

_VERSION = re.compile(r"3\.(\d{1,2})(\.\d{1,2})?")
_OLDEST_MINOR = 11
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(=.*)?", re.DOTALL)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_MIB = 2**20
_LARGEST = 2**63 - 1
_SMALLEST_QUOTA = 1000
_FEWEST_PROCESSES = 32
_SMALLEST_DISK = 32 * _MIB
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,1024}")
_PUBLISH = re.compile(r"(?:(?P<host>[0-9A-Za-z.-]+|\[[0-9A-Fa-f:]+\]):)?(?P<port>\d{1,5})")
_URL = re.compile(r"https?://[0-9A-Za-z.\[\]:-]+/?")
_HIDDEN = "***"
_KERNEL_MEMORY = 128 * _MIB
"""Below it the threads of a kernel cannot start; 96 MiB were measured to be too little."""
_LONGEST_WAIT = 86_400.0
"""A day. Systems count some waits in milliseconds and can count no more than 24 days."""


def seconds(field: str, value: object) -> float:
    """Return `value` as a number of seconds above zero; infinity means no limit.

    Raises
    ------
    ConfigurationError
        It is not a number, or not above zero.
    """
    number = _number(field, value)
    if number <= 0:
        raise ConfigurationError(
            field, value, "must be above zero.", remedy="Give seconds, or math.inf for no limit."
        )
    return number


def _short_seconds(field: str, value: object) -> float:
    number = _number(field, value)
    if not 0 < number <= _LONGEST_WAIT:
        problem = f"must be above zero, and at most {_LONGEST_WAIT:,.0f} (a day)."
        raise ConfigurationError(field, value, problem, remedy="Give seconds, e.g. 30.0.")
    return number


def _number(field: str, value: object) -> float:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value):
            return float(value)
    except OverflowError:  # an int beyond all floats
        pass
    raise ConfigurationError(field, value, "not a number of seconds.", remedy="Give e.g. 30.0.")


def size_in_bytes(field: str, value: object) -> int:
    """Return `value` (bytes, or text such as ``"512m"`` in Docker's notation) as bytes.

    Raises
    ------
    ConfigurationError
        It cannot be read as a size, is not above zero, or is beyond 2**63 - 1.
    """
    size = 0
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        size = int(float(match[1]) * _UNITS[match[2].lower()])
    if not 0 < size <= _LARGEST:
        raise ConfigurationError(
            field, value, "not a possible size.", remedy='Give bytes, or text such as "512m" or "2g".'
        )
    return size


def variable_name(field: str, value: object) -> str:
    """Return `value` if Python code can name a variable so.

    Raises
    ------
    ConfigurationError
        It is not an identifier, or a word that Python keeps for itself.
    """
    if not isinstance(value, str) or not value.isidentifier() or keyword.iskeyword(value):
        remedy = "Give letters, digits and '_', with no digit first, and no word of Python's own."
        raise ConfigurationError(field, value, "not a variable's name.", remedy=remedy)
    return value


def _flag(field: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(field, value, "not a bool.", remedy="Give True or False.")


def _sequence(field: str, value: object, remedy: str, *, is_secret: bool = False) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        shown = f"<{type(value).__name__}>" if is_secret else value
        raise ConfigurationError(field, shown, "not a sequence.", remedy=remedy)
    return tuple(value)


def _dependencies(value: object) -> tuple[str, ...]:
    remedy = 'Give names with version specifiers, e.g. ("pandas>=2", "six").'
    specs = _sequence("deps", value, remedy)
    for spec in specs:
        try:
            parse_dependency(spec)
        except InvalidDependencyError as error:
            raise ConfigurationError("deps", spec, "not a dependency.", remedy=error.remedy) from error
    return specs


def _variables(value: object) -> tuple[str, ...]:
    remedy = 'Give texts, e.g. ("NAME", "NAME=value").'
    entries = _sequence("env", value, remedy, is_secret=True)
    for entry in entries:
        # Whatever is wrong with it, what follows the name may be a secret.
        if not isinstance(entry, str):
            raise ConfigurationError("env", f"<{type(entry).__name__}>", "not text.", remedy=remedy)
        if not _VARIABLE.fullmatch(entry) or "\0" in entry:
            name = entry.partition("=")[0]
            raise ConfigurationError("env", name, "not an environment variable.", remedy=remedy)
    return entries


def _folder(field: str, value: object) -> Path:
    if not isinstance(value, str | Path) or "\0" in str(value) or not str(value):
        raise ConfigurationError(field, value, "not a path.", remedy="Give a folder's path.")
    return Path(value).expanduser().absolute()


def _folders(field: str, value: object) -> tuple[Path, ...]:
    return tuple(_folder(field, path) for path in _sequence(field, value, 'Give folders, e.g. ("out",).'))


def _enough_memory(value: object) -> int:
    size = size_in_bytes("memory_limit", value)
    if size < _KERNEL_MEMORY:
        raise ConfigurationError(
            "memory_limit", value, "too little for a kernel to start.", remedy="Give at least 128m."
        )
    return size


def _whole(field: str, value: object, least: int, unit: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _LARGEST:
        raise ConfigurationError(
            field, value, f"not a whole number of {unit}, at least {least:,}.", remedy=f"Give e.g. {least:,}."
        )
    return value


def _matching(field: str, value: object, pattern: re.Pattern[str], remedy: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ConfigurationError(field, value, "cannot be used.", remedy=remedy)
    return value


class _Base:
    """Validation that every configuration shares, and a way to normalise a frozen field."""

    __slots__ = ()

    def _set(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)

    def _check_common(self, timeout_field: str) -> None:
        if getattr(self, timeout_field) is None:
            self._set(timeout_field, math.inf)
        self._set(timeout_field, seconds(timeout_field, getattr(self, timeout_field)))
        for name in ("startup_timeout", "interrupt_grace"):
            self._set(name, _short_seconds(name, getattr(self, name)))
        _flag("allow_runtime_deps", self.allow_runtime_deps)  # type: ignore[attr-defined]
        self._set("deps", _dependencies(self.deps))  # type: ignore[attr-defined]
        self._set("max_output", size_in_bytes("max_output", self.max_output))  # type: ignore[attr-defined]

    def public(self) -> dict[str, Any]:
        """Return the fields as a dict for display and records, without the values of `env`."""
        shown = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        if "env" in shown:
            shown["env"] = tuple(entry.partition("=")[0] for entry in shown["env"])
        if shown.get("auth_token") is not None:
            shown["auth_token"] = _HIDDEN
        return shown

    def secrets(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the texts that no record may hold: the token, and the values of `env`.

        Parameters
        ----------
        environ
            The host's environment variables, for those that `env` passes on by name.
        """
        entries = (entry.partition("=") for entry in getattr(self, "env", ()))
        values = (value if given else environ.get(name, "") for name, given, value in entries)
        return tuple(filter(None, (getattr(self, "auth_token", None), *values)))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class InProcessConfig(_Base):
    """Configuration of the in-process executor.

    Attributes
    ----------
    default_timeout
        Seconds that a run may take where it is not told otherwise; None or ``math.inf``: no limit.
    allow_runtime_deps
        Whether executed code may install packages through ``deps``. There is no way to hold it
        below that namespace in the host's own process.
    deps
        Packages to install (name and version specifiers) when the session starts.
    startup_timeout
        Seconds that starting may take, installation of `deps` not counted.
    interrupt_grace
        Seconds between asking code to stop and abandoning its thread.
    max_output
        Bytes of output that one result keeps; the rest is counted in ``truncated``. Ten times as
        much may pass by in all, where displays are updated or cleared.
    """

    default_timeout: float | None = 30.0
    allow_runtime_deps: bool = True
    deps: tuple[str, ...] = ()
    startup_timeout: float = 10.0
    interrupt_grace: float = 1.0
    max_output: int | str = 10 * _MIB

    def __post_init__(self) -> None:
        self._check_common("default_timeout")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SubprocessConfig(_Base):
    """Configuration of the subprocess executor (a kernel in a fresh virtual environment).

    Attributes
    ----------
    python_version
        ``"3.12"`` or ``"3.12.1"``, 3.11 or newer; None: the version that runs this.
    default_timeout
        Seconds that a run may take where it is not told otherwise; None or ``math.inf``: no limit.
    allow_runtime_deps
        Whether packages may be added while it runs. False also confines writing (see
        `confine_writes`) where the platform can, so that the lock holds below ``deps``.
    venv_dir
        Parent folder in which the executor makes, and removes, a folder of its own; None: the
        system's folder for temporary files.
    deps
        Packages to install (name and version specifiers) when the session starts.
    env
        Environment variables the code may see beside a short list of harmless ones:
        ``"NAME"`` passes the host's value on, ``"NAME=value"`` sets it.
    working_dir
        Folder the code starts in. None: the host's current folder, or a private folder where
        writing is confined.
    memory_limit
        Bytes, or text such as ``"512m"``, that each process of the session may allocate, at least
        128 MiB; None: no limit.
    confine_writes
        True: the code can write only in its private folders and `writable_paths`, and cannot
        signal processes outside; needs Landlock (Linux 5.13), else starting raises. False: never.
        None: confined exactly if `allow_runtime_deps` is False and the platform can.
    writable_paths
        Folders that confined code may write besides its own.
    startup_timeout
        Seconds that building the environment and starting the kernel may take.
    interrupt_grace
        Seconds between interrupting code and killing its process.
    max_output
        Bytes of output that one result keeps, as for `InProcessConfig`.
    """

    python_version: str | None = None
    default_timeout: float | None = 120.0
    allow_runtime_deps: bool = True
    venv_dir: Path | str | None = None
    deps: tuple[str, ...] = ()
    env: tuple[str, ...] = field(default=(), repr=False)
    working_dir: Path | str | None = None
    memory_limit: int | str | None = None
    confine_writes: bool | None = None
    writable_paths: tuple[Path | str, ...] = ()
    startup_timeout: float = 120.0
    interrupt_grace: float = 1.0
    max_output: int | str = 10 * _MIB

    def __post_init__(self) -> None:
        self._check_common("default_timeout")
        self._check_python()
        self._set("env", _variables(self.env))
        for name in ("venv_dir", "working_dir"):
            if getattr(self, name) is not None:
                self._set(name, _folder(name, getattr(self, name)))
        self._set("writable_paths", _folders("writable_paths", self.writable_paths))
        if self.memory_limit is not None:
            self._set("memory_limit", _enough_memory(self.memory_limit))
        if self.confine_writes is not None:
            _flag("confine_writes", self.confine_writes)

    def _check_python(self) -> None:
        version = self.python_version
        match = _VERSION.fullmatch(version) if isinstance(version, str) else None
        if version is not None and (match is None or int(match[1]) < _OLDEST_MINOR):
            oldest = f"3.{_OLDEST_MINOR}"
            remedy = f'Give text such as "3.12"; kernels run on {oldest} and newer.'
            raise ConfigurationError("python_version", version, "not a usable Python version.", remedy=remedy)


_REMOTE_SAYS = (
    *("allow_runtime_deps", "network_disabled", "memory_limit", "cpu_quota", "disk_limit", "pids_limit"),
    *("fresh_per_run", "image", "deps", "env", "wheelhouse", "docker_host", "publish", "runtime"),
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerConfig(_Base):
    """Configuration of the container executor.

    Neither `auth_token` nor ``auth_disabled=True``: nothing starts.

    Attributes
    ----------
    timeout
        Seconds that a run may take where it is not told otherwise; None or ``math.inf``: no limit.
    allow_runtime_deps
        Whether packages may be added while it runs. False: nothing can be added to the environment.
    auth_token
        Bearer token (RFC 6750) of the container's HTTP API, 1 to 1024 visible ASCII characters. Only
        its SHA-256 enters the container.
    auth_disabled
        Do without authentication, for local development. Then nothing but the attached stream is served.
    network_disabled
        Whether the container has no network but its own loopback.
    memory_limit
        Bytes, or text such as ``"512m"``, at least 128 MiB, that the container may use, files in
        memory included; there is no swap beyond.
    cpu_quota
        Microseconds of CPU time per 100 ms, as Docker counts them (100 000 is one CPU); None: no limit.
    disk_limit
        Bytes, or text, that the code may write in all. There is no disk: it is memory, too.
    pids_limit
        How many processes and threads there may be, at least 32.
    fresh_per_run
        Give every run a container of its own; variables and files do not outlive it. False: the
        session has one container.
    image
        The image to run; it has to be one of this package's, see ``jupyter pcm image``.
    deps
        Packages to install (name and version specifiers) before the session starts. They become a
        layer of an image, built once for each set.
    env
        Environment variables the code may see, each as ``"NAME=value"``, or ``"NAME"`` for the host's.
    wheelhouse
        Folder of wheels to install packages from, instead of from an index.
    docker_host
        Address of the engine, such as ``"unix:///var/run/docker.sock"``; None: what the environment
        variables of Docker say.
    publish
        ``"host:port"`` or a port of the loopback interface at which the HTTP API is to be served as well,
        for a client on another machine. Put TLS in front: the token crosses it in clear.
    remote_url
        ``"https://host:port"`` of a container that was published elsewhere, to be used instead of one
        of our own. Its limits are decided where it was started, so none may be set here.
    runtime
        The engine's runtime, such as ``"runsc"`` or ``"kata"``; None: its default.
    filter_output
        Whether what the code shows is made harmless before it reaches a notebook's page.
    startup_timeout
        Seconds that creating the container and starting the kernel may take.
    interrupt_grace
        Seconds between interrupting code and killing its kernel.
    max_output
        Bytes of output that one result keeps, as for `InProcessConfig`.
    """

    timeout: float | None = 60.0
    allow_runtime_deps: bool = False
    auth_token: str | None = field(default=None, repr=False)
    auth_disabled: bool = False
    network_disabled: bool = False
    memory_limit: int | str = "512m"
    cpu_quota: int | None = None
    disk_limit: int | str = "256m"
    pids_limit: int = 256
    fresh_per_run: bool = False
    image: str = "py-code-mode:base"
    deps: tuple[str, ...] = ()
    env: tuple[str, ...] = field(default=(), repr=False)
    wheelhouse: Path | str | None = None
    docker_host: str | None = None
    publish: str | int | None = None
    remote_url: str | None = None
    runtime: str | None = None
    filter_output: bool = True
    startup_timeout: float = 60.0
    interrupt_grace: float = 1.0
    max_output: int | str = 10 * _MIB

    def __post_init__(self) -> None:
        self._check_remote()
        self._check_common("timeout")
        for name in ("auth_disabled", "network_disabled", "fresh_per_run", "filter_output"):
            _flag(name, getattr(self, name))
        self._check_authentication()
        self._check_limits()
        self._set("env", _variables(self.env))
        _matching("image", self.image, _IMAGE, 'Give e.g. "py-code-mode:base".')
        for name in ("docker_host", "runtime"):
            if getattr(self, name) is not None:
                _matching(name, getattr(self, name), re.compile(r"\S+"), "Give text without spaces.")
        if self.wheelhouse is not None:
            self._set("wheelhouse", _folder("wheelhouse", self.wheelhouse))
        self._check_publish()

    def _check_authentication(self) -> None:
        token = self.auth_token
        if token is None:
            return
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            problem = "not 1 to 1024 visible ASCII characters."
            remedy = "Give e.g. secrets.token_urlsafe()."
            raise ConfigurationError("auth_token", _HIDDEN, problem, remedy=remedy)
        if self.auth_disabled:
            remedy = "Leave one of them out."
            raise ConfigurationError("auth_disabled", True, "an auth_token is given as well.", remedy=remedy)

    def _check_limits(self) -> None:
        self._set("memory_limit", _enough_memory(self.memory_limit))
        disk = size_in_bytes("disk_limit", self.disk_limit)
        if disk < _SMALLEST_DISK:
            raise ConfigurationError(
                "disk_limit", self.disk_limit, "too little.", remedy="Give at least 32m."
            )
        self._set("disk_limit", disk)
        _whole("pids_limit", self.pids_limit, _FEWEST_PROCESSES, "processes")
        if self.cpu_quota is not None:
            unit = "microseconds per 100 ms (100,000 is one CPU)"
            _whole("cpu_quota", self.cpu_quota, _SMALLEST_QUOTA, unit)

    def _check_publish(self) -> None:
        if self.publish is None:
            return
        match = _PUBLISH.fullmatch(str(self.publish)) if not isinstance(self.publish, bool) else None
        if match is None or int(match["port"]) > 65_535:
            remedy = 'Give e.g. 8765 or "127.0.0.1:8765"; port 0 takes a free one.'
            raise ConfigurationError("publish", self.publish, "not an address.", remedy=remedy)
        self._set("publish", f"{match['host'] or '127.0.0.1'}:{match['port']}")
        if self.auth_disabled:
            problem = "without authentication nothing may be published."
            raise ConfigurationError("publish", self.publish, problem, remedy="Give an auth_token.")
        if self.network_disabled:
            problem = "a container without network cannot be reached."
            raise ConfigurationError("publish", self.publish, problem, remedy="Leave one of them out.")

    def _check_remote(self) -> None:
        if self.remote_url is None:
            return
        _matching("remote_url", self.remote_url, _URL, 'Give e.g. "https://host:8765".')
        defaults = {item.name: item.default for item in fields(self)}
        for name in _REMOTE_SAYS:
            if getattr(self, name) != defaults[name]:
                raise ConfigurationError(
                    name,
                    "..." if name == "env" else getattr(self, name),
                    "it is decided where the container of remote_url was started.",
                    remedy="Leave it out here.",
                )
        if self.auth_token is None:
            raise ConfigurationError(
                "auth_token", None, "remote_url needs one.", remedy="Give the token it was started with."
            )

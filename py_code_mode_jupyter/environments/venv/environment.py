"""A fresh virtual environment with one kernel in it: made, launched, measured, removed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from ...errors import ConfigurationError, UnsupportedCapabilityError, VenvError
from ...sandbox.confine import landlock_abi
from ..deps import InterpreterSite
from ..folder import OwnedFolder
from ..process import MARK, KernelProcess, ipc_connection
from ..reporting import report
from ..uv import run_uv
from .base import Base, discard_if_changed, ensure_base
from .interpreters import find_interpreter

if TYPE_CHECKING:
    from ...config import SubprocessConfig
    from ..broker import Broker

_log = logging.getLogger(__name__)
_HARMLESS = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TZ", "LANG", "LANGUAGE", "TERM"),
        # Paths of public certificates: without them nothing behind a company's proxy can be reached.
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    }
)
"""Variables of the host that code may see without being asked for; LC_* besides."""
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm")  # noqa: S108 - named, not used


def can_confine() -> bool:
    """Return whether this machine can confine what a process writes."""
    return landlock_abi() >= 1


class VenvEnvironment(InterpreterSite):
    """A fresh environment and its kernel.

    It belongs to no event loop: whatever blocks runs in a thread, and what happens is told by
    `concurrent.futures` futures.

    Parameters
    ----------
    config
        What to make.
    cache
        Folder that keeps the shared bases.
    is_session
        Whether one reader that always reads drives the kernel, and not a person: then code waits for a
        slow reader instead of losing output, and ``exit()`` ends a run instead of the kernel.

    Attributes
    ----------
    broker
        Answers the kernel's requests; set before `start`.
    connection
        The kernel's connection information, as in a Jupyter connection file.
    base
        The base in use, after `start`.
    """

    def __init__(self, config: SubprocessConfig, *, cache: Path, is_session: bool = False) -> None:
        self.config = config
        self.broker: Broker | None = None
        self.connection: dict[str, Any] = {}
        self.base: Base | None = None
        self.died: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._cache = cache
        self._is_session = is_session
        self._folder = OwnedFolder(config.venv_dir)  # type: ignore[arg-type]
        self._process: KernelProcess | None = None
        self._measured: dict[str, Any] = {}
        self._environ: Mapping[str, str] = os.environ
        self._cwd: Path | None = None
        self._host_cwd = Path()
        self._granted: list[Path] = []
        self._replaces = False

    @property
    def confined(self) -> bool:
        """Whether writing is, or will be, confined."""
        wanted = self.config.confine_writes
        return can_confine() and not self.config.allow_runtime_deps if wanted is None else wanted

    # Making and launching

    async def start(
        self,
        *,
        connection: dict[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Make the environment and launch its kernel; on failure or cancellation nothing is left.

        Parameters
        ----------
        connection
            Where the kernel is to listen; None: in the environment's own folder, with a random key.
        environ
            The host's environment variables to choose from; None: this process's.
        cwd
            Where the code starts, if the configuration does not say; None: the current folder.
        """
        self._environ = os.environ if environ is None else environ
        # The host may go elsewhere later; the code stays where it is.
        self._cwd, self._host_cwd = cwd, Path.cwd()
        try:
            await self._off_loop(self._make)
            self.connection = connection or ipc_connection(self._folder.sockets())
            await self.relaunch()
        except BaseException:
            await asyncio.shield(self.close())
            raise

    async def _off_loop(self, work: Any, *arguments: Any) -> Any:
        """Run blocking `work` in a thread, and wait for its end even when cancelled."""
        task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait((task,))
            raise

    def _make(self) -> None:
        """Make folder, base and environment. It blocks."""
        if self.config.confine_writes and not can_confine():
            raise UnsupportedCapabilityError(
                "write_confinement",
                "confine_writes=True needs Landlock, which this machine does not have.",
                remedy="Use Linux 5.13 or newer with Landlock enabled, or leave confine_writes out.",
            )
        interpreter = self._take_base()
        self._folder.create()
        self._check_writable()
        self._make_venv(interpreter, self.config.startup_timeout)

    def _take_base(self) -> Path:
        """Find or build the base, and return its interpreter."""
        timeout = self.config.startup_timeout
        interpreter = find_interpreter(self.config.python_version, timeout=timeout)
        self.base = ensure_base(self._cache, interpreter, timeout=timeout)
        return interpreter

    def _check_writable(self) -> None:
        """Refuse a writable path that would open what the confinement has to close.

        Where each leads is settled here: code may later put a link in place of one inside of another.
        """
        assert self.base is not None
        closed = (self._folder.path, *self.base.search_path)
        named = [*self.config.writable_paths, *([self.config.working_dir] if self.config.working_dir else [])]
        self._granted = [Path(path).resolve() for path in named]
        for path in self._granted:
            if self.confined and any(place.resolve().is_relative_to(path) for place in closed):
                raise ConfigurationError(
                    "writable_paths",
                    str(path),
                    "holds the environment itself, so its packages could be changed.",
                    remedy="Name a folder beside it, or give a venv_dir elsewhere.",
                )

    def _make_venv(self, interpreter: Path, timeout: float) -> None:
        assert self.base is not None
        report("making the virtual environment")
        options: list[str | Path] = ["--python", interpreter, "--no-project", "--offline", "--quiet"]
        outcome = run_uv(["venv", *options, self._venv], timeout=timeout)
        if not outcome.ok:
            raise VenvError("The virtual environment could not be made.", log=outcome.log)
        self._link_base()

    def _link_base(self) -> None:
        assert self.base is not None
        lines = list(self.base.search_path)
        if self.config.allow_runtime_deps:
            lines.append(self.base.installer)
        (self._site_packages() / "pcm_base.pth").write_text("".join(f"{line}\n" for line in lines))

    def _renew_base(self) -> None:
        """Take a new base where the end of another session discarded ours, because code had changed it."""
        if self.base is not None and not all(path.exists() for path in self.base.search_path):
            self._take_base()
            if self._venv.exists():
                self._link_base()

    @property
    def _venv(self) -> Path:
        return self._folder.path / "venv"

    def _site_packages(self) -> Path:
        return next((self._venv / "lib").glob("python3.*")) / "site-packages"

    async def relaunch(self) -> None:
        """Launch a kernel in the environment that is there, in place of one that may have died."""
        await self.kill()
        await self._off_loop(self._renew_base)
        report("starting the kernel")
        process = await self._off_loop(self._launch)
        self.died = process.died
        try:
            ready = await asyncio.wait_for(asyncio.wrap_future(process.ready), self.config.startup_timeout)
        except TimeoutError:
            await self._off_loop(process.end)
            raise VenvError(
                f"The kernel was not ready within {self.config.startup_timeout:g} s.",
                remedy="Raise startup_timeout, or look at the machine's load.",
            ) from None
        self._measured = ready["measured"]
        self._replaces = True

    def _launch(self) -> KernelProcess:
        assert self.broker is not None
        command = [str(self.interpreter()), "-I", "-m", "py_code_mode_jupyter.sandbox.kernel"]
        # Kept before it starts: a start that is cancelled here has to find what it is to end.
        process = self._process = KernelProcess(
            command,
            self._spec(),
            env=self._environment(),
            cwd=self.working_dir,
            serve=self.broker.answer,
            log=self._folder.path / "start.log",
        )
        process.start()
        return process

    def _spec(self) -> dict[str, Any]:
        assert self.base is not None
        return {
            "connection": {**self.connection, "key": self.connection["key"].decode()},
            "writable": self._writable() if self.confined else None,
            "memory_limit": self.config.memory_limit,
            "base": [str(path) for path in self.base.search_path],
            "outside": str(self._folder.path),
            "no_drop": self._is_session,
            "is_session": self._is_session,
            "replaces": self._replaces,
            "banner": f"Isolated environment, removed with the kernel: {self._venv}",
        }

    def _writable(self) -> list[str]:
        own = [self._folder.sub(name) for name in ("tmp", "work", "home")]
        own.append(Path(self.connection["ip"]).parent)
        devices = [Path(device) for device in _DEVICES if Path(device).exists()]
        return [*(str(path.resolve()) for path in (*own, *devices)), *map(str, self._granted)]

    @property
    def working_dir(self) -> Path:
        """The folder the code starts in."""
        if self.config.working_dir is not None:
            return Path(self.config.working_dir)
        if self._cwd is not None:
            return self._cwd
        return self._folder.sub("work") if self.confined else self._host_cwd

    def _environment(self) -> dict[str, str]:
        """Return the variables the code sees: harmless ones, those asked for, and its own folders."""
        host = self._environ
        env = {name: value for name, value in host.items() if name in _HARMLESS or name.startswith("LC_")}
        for entry in self.config.env:
            name, given, value = entry.partition("=")
            if given:
                env[name] = value
            elif name in host:
                env[name] = host[name]
        env["PATH"] = f"{self._venv / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
        env["VIRTUAL_ENV"] = str(self._venv)
        env["TMPDIR"] = str(self._folder.sub("tmp"))
        env["IPYTHONDIR"] = env["MPLCONFIGDIR"] = str(self._folder.sub("home"))
        env[MARK] = self._folder.mark
        return env

    # Where packages go

    def interpreter(self) -> Path:
        """Return the environment's own interpreter."""
        return self._venv / "bin" / "python"

    def search_path(self) -> Sequence[str]:
        """Return the folders in which a package counts as present."""
        assert self.base is not None
        return [str(self._site_packages()), *map(str, self.base.search_path)]

    def variables(self) -> dict[str, str]:
        """Return the mark: an installer that is at work ends with the environment."""
        return {MARK: self._folder.mark}

    # Signals and the end

    async def interrupt(self) -> None:
        """Send SIGINT to the kernel and its group."""
        self.send_signal(signal.SIGINT)

    def send_signal(self, number: int) -> None:
        """Send a signal to the kernel and its group."""
        if self._process is not None:
            self._process.signal(number)

    @property
    def returncode(self) -> int | None:
        """How the kernel's process ended, None while it runs."""
        if not self.died.done():
            return None
        return 0 if self._process is None else self._process.returncode

    async def end(self, grace: float = 0.0) -> None:
        """End the kernel and everything it started, after `grace` seconds; the environment stays."""
        if self._process is not None:
            await self._off_loop(functools.partial(self._process.end, grace=grace))

    async def kill(self) -> None:
        """End the kernel and everything it started, and forget it; the environment stays."""
        process, self._process = self._process, None
        if process is not None:
            await self._off_loop(process.end)

    async def close(self) -> None:
        """End everything and remove the environment."""
        await self.kill()
        await self._off_loop(self._remove)

    def _remove(self) -> None:
        self._folder.remove()
        # Confined code could not write there, so there is nothing to look for.
        if self.base is not None and not self.confined and discard_if_changed(self.base):
            _log.warning("The base environment had been changed by executed code, and was removed.")
        self.base = None

    # What a monitor asks

    @property
    def process(self) -> KernelProcess | None:
        """The kernel's process, None before the start and after the end."""
        return self._process

    @property
    def pid(self) -> int:
        """The kernel's process id, 0 if there is none."""
        return self._process.pid if self._process is not None else 0

    async def stats(self) -> Mapping[str, Any]:
        """Return memory (bytes) and CPU time (s) of the kernel and its children."""
        return await asyncio.to_thread(_usage, self.pid, self.config.memory_limit)

    async def probe(self) -> Mapping[str, Any]:
        """Return what the kernel measured before any user code ran, and what is seen of it from outside."""
        return {
            "process_isolation": self.pid != os.getpid(),
            "deps_lock_enforced": not self.config.allow_runtime_deps
            and not self._measured["environment_writable"],
            "network_isolation": False,
            "filesystem_isolation": False,
            **self._measured,
            "outside": await asyncio.to_thread(_seen_from_outside, self.pid),
        }


def _usage(pid: int, limit: object) -> dict[str, Any]:
    memory, cpu, processes = 0, 0.0, 0
    try:
        kernel = psutil.Process(pid)
        for process in (kernel, *kernel.children(recursive=True)):
            memory += process.memory_info().rss
            cpu += sum(process.cpu_times()[:2])
            processes += 1
    except psutil.Error:
        # It ended while we looked; what was counted stands.
        pass
    return {"pid": pid, "memory": memory, "memory_limit": limit, "cpu": cpu, "processes": processes}


def _seen_from_outside(pid: int) -> dict[str, Any]:
    """Return what the system says of a kernel's process: its limits are there, whatever it claims."""
    try:
        kernel = psutil.Process(pid)
        if pid == 0 or kernel.status() == psutil.STATUS_ZOMBIE:
            return {}
        found: dict[str, Any] = {"process_isolation": pid != os.getpid(), "uid": kernel.uids().real}
        if hasattr(kernel, "rlimit"):
            bound = kernel.rlimit(psutil.RLIMIT_DATA)[1]
            found["memory_limit"] = None if bound == psutil.RLIM_INFINITY else bound
            found["no_new_privileges"] = _is_held(pid)
    except psutil.Error:
        return {}
    return found


def _is_held(pid: int) -> bool:
    """Whether a process can gain no rights; without that nothing confines what it writes."""
    try:
        return "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def cache_folder() -> Path:
    """Return the folder of the user that keeps bases."""
    return Path.home() / ".cache" / "py_code_mode_jupyter"

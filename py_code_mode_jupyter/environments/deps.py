"""Adds packages to a place and removes them, and ``deps`` as code in this process sees it."""

from __future__ import annotations

import abc
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..dependency import Dependency, parse_dependency
from ..errors import DependencyInstallError, RuntimeDepsDisabledError, VenvError
from ..results import DepsChange
from .reporting import report
from .uv import Outcome, run_uv

if TYPE_CHECKING:
    from ..storage import Storage

_log = logging.getLogger(__name__)
INSTALL_TIMEOUT = 600.0
"""Seconds that installing one package may take."""


class Record(Protocol):
    """The list of dependencies that a storage keeps."""

    def add(self, spec: str) -> object:
        """Keep `spec`, in place of one of the same name."""

    def remove(self, name: str) -> object:
        """Forget the spec of this name."""

    def list(self) -> list[str]:
        """Return all specs."""


class MemoryDeps:
    """A record for a session without storage."""

    def __init__(self) -> None:
        self._specs: dict[str, str] = {}

    def add(self, spec: str) -> None:
        """Keep `spec`."""
        self._specs[parse_dependency(spec).name] = spec

    def remove(self, name: str) -> None:
        """Forget the spec of this name."""
        self._specs.pop(parse_dependency(name).name, None)

    def list(self) -> list[str]:
        """Return all specs."""
        return list(self._specs.values())


def record_of(storage: Storage | None) -> Record:
    """Return the list of dependencies of `storage`, or one in memory."""
    return MemoryDeps() if storage is None else storage.deps


class Site(Protocol):
    """Where packages go."""

    def has(self, wanted: Dependency) -> bool:
        """Return whether a package of this version is there."""

    def install(self, specs: Sequence[str], *, wheels_only: bool) -> Outcome:
        """Install packages; with `wheels_only` none that has to be built."""

    def uninstall(self, name: str) -> Outcome:
        """Remove a package."""


class InterpreterSite(abc.ABC):
    """A `Site` that is an interpreter of this machine, and the folders it imports from."""

    @abc.abstractmethod
    def interpreter(self) -> Path:
        """Return the interpreter to install for."""

    @abc.abstractmethod
    def search_path(self) -> Sequence[str]:
        """Return the folders in which an installed package counts as present."""

    @abc.abstractmethod
    def variables(self) -> dict[str, str]:
        """Return environment variables for the installer, by which whoever ends the place finds it."""

    def has(self, wanted: Dependency) -> bool:
        """Return whether a package of this version is there."""
        if wanted.extras:
            return False
        path = list(self.search_path())
        found = next(iter(metadata.distributions(name=wanted.name, path=path)), None)
        return found is not None and wanted.admits(found.version)

    def install(self, specs: Sequence[str], *, wheels_only: bool) -> Outcome:
        """Install packages; with `wheels_only` none that has to be built."""
        options = ["--link-mode", "copy", *(["--only-binary", ":all:"] if wheels_only else [])]
        return self._uv("install", [*options, "--", *specs])

    def uninstall(self, name: str) -> Outcome:
        """Remove a package."""
        return self._uv("uninstall", ["--", name])

    def _uv(self, action: str, arguments: Sequence[str]) -> Outcome:
        command: list[str | Path] = ["pip", action, "--python", self.interpreter(), *arguments]
        return run_uv(command, timeout=INSTALL_TIMEOUT, variables=self.variables())


class OwnSite(InterpreterSite):
    """The environment that this very process runs in."""

    def interpreter(self) -> Path:
        """Return the running interpreter."""
        return Path(sys.executable)

    def search_path(self) -> Sequence[str]:
        """Return the running interpreter's path."""
        return sys.path

    def variables(self) -> dict[str, str]:
        """Return nothing: nobody ends this environment."""
        return {}


class Deps:
    """The packages of one place, as the host and its broker handle them.

    Parameters
    ----------
    record
        The storage's list.
    site
        Where to install.
    allowed
        ``allow_runtime_deps``.
    wheels_only
        Refuse packages that have to be built: building runs their code outside of a confinement.
    """

    def __init__(self, record: Record, site: Site, *, allowed: bool, wheels_only: bool = False) -> None:
        self._record = record
        self._site = site
        self._allowed = allowed
        self._wheels_only = wheels_only

    def list(self) -> list[str]:
        """Return the recorded packages."""
        return self._record.list()

    def add(self, spec: str) -> DepsChange:
        """Install a package, record it, and say which it was.

        Raises
        ------
        RuntimeDepsDisabledError
            The session was configured with ``allow_runtime_deps=False``.
        InvalidDependencyError
            `spec` is not a name with version specifiers.
        DependencyInstallError
            The installer failed; nothing was recorded.
        """
        spec = str(parse_dependency(spec))
        self._require_allowed(spec)
        change = self.install((spec,))
        self._record.add(spec)
        return change

    def remove(self, spec: str) -> DepsChange:
        """Uninstall a package and forget it; one that every kernel contains stays, and counts as failed.

        Raises
        ------
        RuntimeDepsDisabledError, InvalidDependencyError
            As for `add`.
        DependencyInstallError
            The installer failed; nothing was forgotten.
        """
        package = Dependency(name=parse_dependency(spec).name)
        self._require_allowed(package.name)
        was_present = self._has(package)
        if was_present:
            outcome = self._try(lambda: self._site.uninstall(package.name), package.name)
            if not outcome.ok:
                problem = f"{package.name} could not be removed."
                raise DependencyInstallError(package.name, problem, log=outcome.log)
        self._record.remove(package.name)
        if was_present and self._has(package):
            return DepsChange(failed=(package.name,))
        return DepsChange(removed=(package.name,) if was_present else ())

    def sync(self) -> DepsChange:
        """Install all recorded packages."""
        self._require_allowed("")
        return self.sync_recorded()

    def sync_recorded(self) -> DepsChange:
        """Install all recorded packages on the host's own behalf, which the lock does not bind."""
        installed: list[str] = []
        present: list[str] = []
        failed: list[str] = []
        recorded = self._record.list()
        for number, spec in enumerate(recorded):
            report(f"installing {spec}", number / len(recorded))
            try:
                change = self.install((spec,))
            except DependencyInstallError as error:
                _log.warning("%s", error)
                failed.append(spec)
                continue
            installed += change.installed
            present += change.already_present
        return DepsChange(installed=tuple(installed), already_present=tuple(present), failed=tuple(failed))

    def install(self, specs: Iterable[str]) -> DepsChange:
        """Install what is not there yet, without recording it."""
        missing, present = self.missing(specs)
        if missing:
            self._run_installer(missing)
        return DepsChange(installed=missing, already_present=present)

    def missing(self, specs: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return which packages are not there yet, and which are."""
        wanted = [parse_dependency(spec) for spec in specs]
        missing = [one for one in wanted if not self._has(one)]
        return tuple(map(str, missing)), tuple(str(one) for one in wanted if one not in missing)

    def _has(self, wanted: Dependency) -> bool:
        return self._site.has(wanted)

    def _run_installer(self, specs: Sequence[str]) -> None:
        text = ", ".join(specs)
        report(f"installing {text}")
        outcome = self._try(lambda: self._site.install(specs, wheels_only=self._wheels_only), text)
        if outcome.ok:
            return
        message, remedy = f"{text} could not be installed.", "Check the name and the version."
        if outcome.unreachable:
            message = f"{text} could not be installed: the package index cannot be reached."
            remedy = (
                "Check the network, or give the packages with the configuration's deps while there is one."
            )
        elif self._wheels_only:
            remedy = f"{remedy} Where code is isolated, only packages that need no building can be added."
        raise DependencyInstallError(text, message, log=outcome.log, remedy=remedy)

    def _try(self, work: Callable[[], Outcome], spec: str) -> Outcome:
        try:
            return work()
        except VenvError as error:
            raise DependencyInstallError(spec, error.message, log=error.log, remedy=error.remedy) from error

    def _require_allowed(self, spec: str) -> None:
        if not self._allowed:
            raise RuntimeDepsDisabledError(
                spec,
                "Packages cannot be changed in this session: it was started with allow_runtime_deps=False.",
                remedy="Name what is needed in the configuration's deps, or have the storage record it and "
                "start the session with sync_deps_on_start=True.",
            )


class DepsNamespace:
    """``deps`` in code that runs in this process: what it may call, and nothing of the host's.

    Parameters
    ----------
    deps
        What does the work.
    """

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def list(self) -> list[str]:
        """Return the recorded packages."""
        return self._deps.list()

    def add(self, spec: str) -> DepsChange:
        """Install a package and record it; see `Deps.add`."""
        return self._deps.add(spec)

    def remove(self, spec: str) -> DepsChange:
        """Uninstall a package and forget it; see `Deps.remove`."""
        return self._deps.remove(spec)

    def sync(self) -> DepsChange:
        """Install all recorded packages."""
        return self._deps.sync()

    def __repr__(self) -> str:
        return "<deps: add, list, remove, sync>"

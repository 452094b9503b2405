"""What subcommands work with: the notebook's sessions, its storage, its variables, and waiting for work."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, final

from ..environments.reporting import listening
from ..errors import ConfigurationError, RunFailedError
from ..storage.root import storage_root
from .lifetime import Lifetime
from .loop import Background
from .names import did_you_mean, known_executor
from .progress import Progress
from .sessions import NotebookSessions

if TYPE_CHECKING:
    from ..session import Session
    from ..storage import FileStorage
    from ..widgets.panel import Panel

_T = TypeVar("_T")


class Settings(Protocol):
    """What ``%config PcmMagics`` says."""

    executor: str
    storage_root: str
    closing_timeout: float
    timeout: Any
    no_raise: bool
    rows: int
    in_process: dict[str, Any]
    venv: dict[str, Any]
    container: dict[str, Any]


@final
class Notebook:
    """One shell with the sessions that it has made.

    Parameters
    ----------
    shell
        The shell; None: there are no variables.
    settings
        The magic's traits.
    """

    def __init__(self, shell: Any, settings: Settings) -> None:
        self.shell = shell
        self.settings = settings
        self.background = Background("pcm-magic")
        self.sessions: NotebookSessions = NotebookSessions(self.defaults)
        self.panels = OpenPanels()
        self._lifetime = Lifetime(self.close_sessions)

    def defaults(self, executor: str) -> Mapping[str, Any]:
        """Return the configured fields of new sessions of an executor."""
        fields: dict[str, Any] = getattr(self.settings, executor.replace("-", "_"))
        return fields

    # Storage

    @property
    def storage_folder(self) -> Path:
        """The folder of the storage."""
        return storage_root(os.environ, self.settings.storage_root)

    @property
    def storage(self) -> FileStorage:
        """The notebook's storage. Reading and writing it blocks."""
        return self.sessions.storage_in(self.storage_folder)

    # Sessions

    @property
    def current(self) -> str:
        """The name of the session that is meant where none is named."""
        return self.sessions.current or self.settings.executor

    def running(self, name: str | None) -> Session:
        """Return the running session of this name, or the current one.

        Raises
        ------
        ConfigurationError
            No such session is running.
        """
        return self.sessions.running(self.current if name is None else name)

    def obtain(self, name: str | None, executor: str | None) -> Session:
        """Return the session that ``-s NAME -e EXECUTOR`` means, made if it does not run yet.

        Raises
        ------
        CodeModeError
            The names do not go together, or the session could not be made.
        """
        executor = None if executor is None else known_executor(executor)
        choice = self.sessions.choose(name, executor, self.settings.executor)
        work = self.sessions.obtain(choice, self.storage_folder)
        self.begin()
        return self.wait(work, f"Starting {choice.name}")

    def begin(self) -> None:
        """Watch for the end of the process: sessions are made from now on."""
        self._lifetime.begin()

    # Waiting

    def wait(self, work: Coroutine[Any, Any, _T], what: str) -> _T:
        """Do `work` where the sessions live, with a progress bar if it takes long; return its result.

        Raises
        ------
        RunFailedError
            The user interrupted it.
        """
        try:
            with Progress(what) as progress:
                return self.background.call(reporting(work, progress), meanwhile=progress.tick)
        except KeyboardInterrupt:
            raise RunFailedError(f"{what}: interrupted.") from None

    def wait_for(self, work: Callable[..., _T], *arguments: Any, what: str) -> _T:
        """Do work that blocks in a thread, as `wait` does."""
        return self.wait(asyncio.to_thread(work, *arguments), what)

    # Variables

    @property
    def variables(self) -> dict[str, Any]:
        """The notebook's variables."""
        return {} if self.shell is None else self.shell.user_ns

    @property
    def names(self) -> list[str]:
        """The variables that the user has set."""
        hidden = getattr(self.shell, "user_ns_hidden", {})
        return [name for name in self.variables if not name.startswith("_") and name not in hidden]

    def value(self, name: str) -> Any:
        """Return a variable of the notebook.

        Raises
        ------
        ConfigurationError
            There is none of this name.
        """
        known = self.variables
        if name not in known:
            hint = did_you_mean(name, self.names, "Set it in the notebook first.")
            raise ConfigurationError("variable", name, "the notebook has no such variable.", remedy=hint)
        return known[name]

    def bind(self, name: str, value: Any) -> None:
        """Set a variable of the notebook."""
        if self.shell is not None:
            self.shell.push({name: value})

    # End

    def close(self) -> None:
        """Close every session, end the thread they lived on, and watch for the process's end no longer."""
        self.close_sessions()
        self._lifetime.end()

    def close_sessions(self) -> None:
        """Close every session, the panels that show them, and end the thread they lived on."""
        self.panels.close()
        self.background.close(self.sessions.close, timeout=self.settings.closing_timeout)


@final
class OpenPanels:
    """The panels of a notebook that are open. They would ask for sessions for as long as they are seen."""

    def __init__(self) -> None:
        self._panels: list[Panel] = []

    def __iter__(self) -> Iterator[Panel]:
        return iter([*self._panels])

    def add(self, panel: Panel) -> None:
        """Remember a panel, to close it."""
        self._panels.append(panel)

    def close(self) -> None:
        """Close them all; they leave the page."""
        while self._panels:
            self._panels.pop().close()


async def reporting(work: Coroutine[Any, Any, _T], progress: Progress) -> _T:
    """Do `work`; what it reports is shown by `progress`."""
    with listening(progress.report):
        return await work

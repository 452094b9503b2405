"""The sessions of one notebook: found by name, made on first use, stopped."""

from __future__ import annotations

import asyncio
import difflib
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

from ..display import SessionRow, SessionTable
from ..errors import CodeModeError, ConfigurationError

if TYPE_CHECKING:
    from ..execution import Executor
    from ..session import Session

_NAME_LENGTH = 64


def _in_process() -> Executor:
    from ..execution.in_process import InProcessExecutor

    return InProcessExecutor()


def _venv() -> Executor:
    from ..execution.subprocess import SubprocessExecutor

    return SubprocessExecutor()


def _container() -> Executor:
    from ..config import ContainerConfig
    from ..execution.container import ContainerExecutor

    token = os.environ.get("PCM_AUTH_TOKEN") or secrets.token_urlsafe(32)
    return ContainerExecutor(ContainerConfig(auth_token=token))


EXECUTORS: Mapping[str, Callable[[], Executor]] = MappingProxyType(
    {"in-process": _in_process, "venv": _venv, "container": _container}
)
"""The words for ``-e``, and what makes the executor each one names."""
_OTHER_WORDS = {
    "inprocess": "in-process",
    "process": "in-process",
    "subprocess": "venv",
    "virtualenv": "venv",
    "docker": "container",
}


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return the question with the nearest known word, or else `otherwise`."""
    near = difflib.get_close_matches(word, [*known], n=1)
    return f"Did you mean {near[0]!r}?" if near else otherwise


def known_executor(word: str) -> str:
    """Return `word` if it names an executor that there can be here.

    Raises
    ------
    ConfigurationError
        It does not; the remedy names those there are.
    """
    if word in EXECUTORS:
        if word != "in-process" and os.environ.get("PCM_PLACE") == "container":
            problem = "inside of a container there is only the place in-process."
            raise ConfigurationError("executor", word, problem, remedy="Give -e in-process.")
        return word
    there_are = f"There are: {', '.join(EXECUTORS)}."
    meant = _OTHER_WORDS.get(word.lower())
    hint = f"Did you mean {meant!r}?" if meant else did_you_mean(word, EXECUTORS, there_are)
    raise ConfigurationError("executor", word, "no such executor.", remedy=hint)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which session a cell means.

    Attributes
    ----------
    name, executor
        The session's name, and what runs its code.
    is_new
        Whether there is no such session yet.
    is_guess
        Whether nobody said which executor a new session of this name is to have.
    """

    name: str
    executor: str
    is_new: bool
    is_guess: bool = False


@final
class NotebookSessions:
    """Every session that one shell has made. Its coroutines run on one loop.

    A session's executor is remembered when it stops: its name never comes to mean a less isolated place
    by itself.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._executors: dict[str, str] = {}
        self._making = asyncio.Lock()
        self._closed = False

    @property
    def names(self) -> list[str]:
        """Names of the running sessions, the oldest first."""
        return [*self._sessions]

    def choose(self, name: str | None, executor: str | None, default: str) -> Choice:
        """Return the session that ``-s NAME -e EXECUTOR`` means, either of them left out or not.

        Parameters
        ----------
        name, executor
            What the user wrote; None: nothing.
        default
            The executor of the session that is meant when nothing is written.

        Raises
        ------
        ConfigurationError
            The name cannot be used, or does not go with the executor.
        """
        if name is None:
            name = executor or default
        is_new = name not in self._sessions
        known = name if name in EXECUTORS else self._executors.get(name)
        if known is None:
            self._check_new(_usable(name), executor)
            return Choice(name=name, executor=executor or default, is_new=True, is_guess=executor is None)
        if executor not in (None, known):
            if name in EXECUTORS or not is_new:
                raise _conflict(name, known, is_new)
            known = executor
        return Choice(name=name, executor=known, is_new=is_new)

    def _check_new(self, name: str, executor: str | None) -> None:
        if executor is None and difflib.get_close_matches(name, self._executors, n=1):
            hint = did_you_mean(name, self._executors, "")
            to_make = f"To make a new one, say where it runs: -e {' or -e '.join(EXECUTORS)}."
            raise ConfigurationError("session", name, "no such session.", remedy=f"{hint} {to_make}")

    async def obtain(self, choice: Choice, storage: Path) -> Session:
        """Return the session, made over the storage in the folder `storage` if it does not run yet."""
        async with self._making:
            session = self._sessions.get(choice.name)
            if session is None:
                session = await self._make(choice, storage)
            return session

    async def _make(self, choice: Choice, storage: Path) -> Session:
        from ..session import Session
        from ..storage import FileStorage

        executor = EXECUTORS[choice.executor]()
        session = Session(await asyncio.to_thread(FileStorage, storage), executor, name=choice.name)
        await session.start()
        if self._closed:
            await session.close()
            raise ConfigurationError("session", choice.name, "the notebook's sessions have been closed.")
        self._sessions[choice.name] = session
        self._executors[choice.name] = choice.executor
        return session

    async def stop(self, names: Iterable[str]) -> list[str]:
        """Close the sessions of these names and return one line for each.

        Raises
        ------
        ConfigurationError
            No session has the name.
        """
        wanted = [self._running(name) for name in names]
        await asyncio.gather(*(self._close(session) for session in wanted))
        return [f"Stopped {session.name} ({session.executor.name})." for session in wanted]

    def _running(self, name: str) -> Session:
        if name not in self._sessions:
            running = ", ".join(self._sessions) or "none"
            hint = did_you_mean(name, self._sessions, f"Running: {running}.")
            raise ConfigurationError("session", name, "no such session is running.", remedy=hint)
        return self._sessions[name]

    async def _close(self, session: Session) -> None:
        try:
            await session.close()
        finally:
            self._sessions.pop(session.name, None)

    async def close(self) -> None:
        """Close every session; one that is being made closes itself."""
        self._closed = True
        await asyncio.gather(*map(self._close, [*self._sessions.values()]), return_exceptions=True)

    async def table(self, current: str) -> SessionTable:
        """Return what each session is doing and uses; `current` is marked."""
        stats = await asyncio.gather(*map(_stats, self._sessions.values()))
        return SessionTable(tuple(_row(each, current) for each in stats))


def _usable(name: str) -> str:
    if not name.strip() or len(name) > _NAME_LENGTH or not name.isprintable() or name.startswith("-"):
        remedy = f"Give 1 to {_NAME_LENGTH} printable characters that do not begin with '-'."
        raise ConfigurationError("session", name, "cannot be a session's name.", remedy=remedy)
    return name


def _conflict(name: str, known: str, is_new: bool) -> ConfigurationError:
    if is_new or name in EXECUTORS:
        problem, remedy = f"this name is kept for {known}.", "Choose another name, or leave -s or -e out."
    else:
        problem = f"this session runs in {known}."
        remedy = f"Leave -e out, choose another name, or `%pcm stop {name}` first."
    return ConfigurationError("session", name, problem, remedy=remedy)


async def _stats(session: Session) -> dict[str, Any]:
    about = {"name": session.name, "executor": session.executor.name, "state": "closed"}
    try:
        return {**about, **await session.stats()}
    except CodeModeError:  # it ended while we asked
        return about


def _row(stats: Mapping[str, Any], current: str) -> SessionRow:
    return SessionRow(
        name=stats["name"],
        executor=stats["executor"],
        state=stats["state"],
        runs=stats.get("runs", 0),
        memory=stats.get("memory"),
        memory_limit=stats.get("memory_limit"),
        uptime=stats.get("uptime", 0.0),
        is_current=stats["name"] == current,
    )

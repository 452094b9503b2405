"""Turns what a session does into rows of the run ledger: bounded, without secrets, and as data only."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from ..errors import (
    ConfigurationError,
    ExecutorError,
    ExecutorStartError,
    ExecutorStateError,
    TransferError,
)
from ..owner import owner
from ..results import RunStatus
from .kept import (
    HIDDEN,
    MOST_CODE,
    MOST_TEXT,
    clean,
    kept,
    kept_outputs,
    plain,
    shortened,
)
from .runs import PUT, REPLAY, RESET, RUN, RUNNING

if TYPE_CHECKING:
    from ..results import ExecutionResult
    from .writer import Writer

_SHORTEST_SECRET = 6
"""Characters below which a secret is a word like any other."""
_LEFT = "Whoever had started it stopped waiting for it."
# Nothing of the code ran: an argument could not be used, or there was no place.
_NOT_BEGUN = (ConfigurationError, TransferError, ExecutorStateError, ExecutorStartError)
_NOTHING = {"outputs": (), "error": None, "exception": None, "stdout": "", "stderr": "", "truncated": 0}
_ROW = """
    INSERT INTO runs (session_id, kind, number, status, started, size, deps, variables, given, code,
                      code_is_whole, replay_of)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ENDING = """
    UPDATE runs SET status = ?, execution_time = ?, size = size + ?, state_preserved = ?, truncated = ?,
                    value = ?, error = ?, stdout = ?, stderr = ?, outputs = ? WHERE id = ?
"""


@final
class Incarnation:
    """What is the same for everything that one incarnation of a session does.

    Parameters
    ----------
    limits
        The configuration without secrets; converted to JSON here.
    deps
        Returns the packages in force; called in the writing thread.
    secrets
        Texts that must not be kept, wherever executed code may have put them.
    """

    def __init__(
        self,
        *,
        session: str,
        session_id: str,
        executor: str,
        limits: Mapping[str, Any],
        deps: Callable[[], Sequence[str]],
        secrets: Iterable[str] = (),
    ) -> None:
        self.id = session_id
        self.deps = deps
        found = {text for text in secrets if len(text) >= _SHORTEST_SECRET}
        # Longer ones first: one may be a part of another.
        self._secrets = sorted(found, key=len, reverse=True)
        self._row = (session_id, clean(session), executor, json.dumps(plain(limits)), owner(), time.time())
        self._numbers = itertools.count(1)

    def number(self) -> int:
        """Return the number of the next record."""
        return next(self._numbers)

    def write(self, connection: sqlite3.Connection) -> None:
        """Make it known, unless it is."""
        connection.execute("INSERT OR IGNORE INTO sessions VALUES (?, ?, ?, ?, ?, ?)", self._row)

    def hide(self, text: str) -> str:
        """Return text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def hide_in_json(self, text: str) -> str:
        """Return JSON without secrets, which are written there with escapes."""
        for secret in self._secrets:
            text = text.replace(json.dumps(secret)[1:-1], HIDDEN)
        return text


@final
class Begun:
    """A run that has begun; `id` is its number in the ledger once it is written."""

    def __init__(
        self,
        incarnation: Incarnation,
        kind: str,
        code: str,
        variables: Mapping[str, Any] | None,
        replay_of: int | None,
    ) -> None:
        self.id: int | None = None
        self.size = 0
        self._incarnation = incarnation
        self._about = (incarnation.id, kind, incarnation.number(), RUNNING if kind in (RUN, REPLAY) else "ok")
        self._started = time.time()
        # What cannot be used is refused by the executor.
        handed_in = variables if isinstance(variables, Mapping) else {}
        self._code = code if isinstance(code, str) else ""
        self._names = [name for name in handed_in if isinstance(name, str)]
        self._given = kept(handed_in) if handed_in else {}
        self._replay_of = replay_of
        self._row: tuple[Any, ...] = ()

    def prepare(self) -> None:
        """Make the row."""
        about = self._incarnation
        code = clean(about.hide(self._code[:MOST_CODE]))
        texts = (
            _json([*about.deps()]),
            _json(self._names),
            about.hide_in_json(_json(self._given)),
            code,
        )
        is_whole = code == self._code
        self.size = sum(map(len, texts)) + 200
        self._row = (*self._about, self._started, self.size, *texts, is_whole, self._replay_of)
        self._code, self._given = "", {}

    def write(self, connection: sqlite3.Connection) -> None:
        """Insert it."""
        self._incarnation.write(connection)
        self.id = connection.execute(_ROW, self._row).lastrowid


def _json(value: list[str] | dict[str, Any]) -> str:
    """Return JSON; most runs are handed nothing."""
    return json.dumps(value) if value else "[]" if isinstance(value, list) else "{}"


@final
class Ended:
    """The ending of a run."""

    def __init__(self, begun: Begun, incarnation: Incarnation, **ending: Any) -> None:
        self.size = 0
        self._begun = begun
        self._incarnation = incarnation
        self._ending: dict[str, Any] = ending
        self._row: tuple[Any, ...] = ()

    def prepare(self) -> None:
        """Make the columns out of objects that executed code may have made."""
        ending, hide = self._ending, self._incarnation.hide
        outputs = kept_outputs(ending["outputs"], ending["exception"])
        lost = ending["truncated"] + outputs.lost
        shown = self._incarnation.hide_in_json(outputs.json)
        value = clean(hide(outputs.value))
        texts = []
        for text in (ending["error"], ending["stdout"], ending["stderr"]):
            short = None if text is None else shortened(text, MOST_TEXT)
            texts.append(None if short is None else clean(hide(short)))
        self.size = len(shown) + len(value) + sum(len(text or "") for text in texts)
        numbers = (
            ending["execution_time"],
            self.size,
            ending["state_preserved"],
            lost,
        )
        self._row = (str(ending["status"]), *numbers, value, *texts, shown)
        self._ending = {}

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it into the row of the run."""
        connection.execute(_ENDING, (*self._row, self._begun.id))


@final
class Forgotten:
    """A run that never came to run."""

    size = 0

    def __init__(self, begun: Begun) -> None:
        self._begun = begun

    def prepare(self) -> None:
        """Do nothing."""

    def write(self, connection: sqlite3.Connection) -> None:
        """Take it out."""
        connection.execute("DELETE FROM runs WHERE id = ?", (self._begun.id,))


@final
class Recorder:
    """Records what one incarnation of a session does. Calling it costs microseconds and never blocks.

    Only the host has one: code in an isolated place cannot reach it.
    """

    def __init__(self, writer: Writer, incarnation: Incarnation) -> None:
        self._writer = writer
        self._incarnation = incarnation
        self._is_open = True
        self._last: tuple[Begun | None, int | None] = (None, None)
        writer.hold()

    @property
    def last_id(self) -> int | None:
        """The id of the latest run that is written, None before the first."""
        begun, before = self._last
        return before if begun is None or begun.id is None else begun.id

    def begin(
        self,
        code: str,
        *,
        variables: Mapping[str, Any] | None = None,
        kind: str = RUN,
        replay_of: int | None = None,
    ) -> Begun:
        """Record that `code` begins to run."""
        begun = Begun(self._incarnation, kind, code, variables, replay_of)
        self._writer.put(begun)
        return begun

    @contextlib.contextmanager
    def recorded(
        self, code: str, variables: Mapping[str, Any] | None = None, *, replay_of: int | None = None
    ) -> Iterator[Callable[[ExecutionResult], None]]:
        """Record a run that takes place within; call what this yields with the result.

        Without a result it counts as interrupted (its caller has left), as died (its place failed), or
        not at all (it could not begin).
        """
        begun = self.begin(code, variables=variables, replay_of=replay_of)
        self._last = (begun, self.last_id)
        started = time.monotonic()
        try:
            yield functools.partial(self.finish, begun)
        except _NOT_BEGUN:
            self.forget(begun)
            raise
        except ExecutorError as error:
            self.give_up(begun, RunStatus.DIED, str(error), time.monotonic() - started)
            raise
        except BaseException:
            self.give_up(begun, RunStatus.INTERRUPTED, _LEFT, time.monotonic() - started)
            raise

    def finish(self, begun: Begun, result: ExecutionResult) -> None:
        """Record how it ended."""
        self._end(
            begun,
            status=result.status,
            error=result.error,
            exception=result.exception,
            stdout=result.stdout,
            stderr=result.stderr,
            outputs=result.outputs,
            execution_time=result.execution_time,
            state_preserved=result.state_preserved,
            truncated=result.truncated,
        )

    def give_up(self, begun: Begun, status: RunStatus, error: str | None, seconds: float) -> None:
        """Record that it ended without a result, as a run does whose caller has left."""
        preserved = status is not RunStatus.DIED
        self._end(begun, status=status, error=error, execution_time=seconds, state_preserved=preserved)

    def forget(self, begun: Begun) -> None:
        """Record nothing of it: it never came to run."""
        self._writer.put(Forgotten(begun))

    def mark(
        self,
        kind: str,
        text: str = "",
        *,
        variables: Mapping[str, Any] | None = None,
        replay_of: int | None = None,
    ) -> None:
        """Record something that is no run: `RESET`, or a `PUT` of variables."""
        assert kind in (PUT, RESET)
        self.begin(f"# {text}" if text else "", variables=variables, kind=kind, replay_of=replay_of)

    def close(self) -> None:
        """Write what waits. It blocks. Calling it again does nothing."""
        if self._is_open:
            self._is_open = False
            self._writer.release()

    def _end(self, begun: Begun, **ending: Any) -> None:
        nothing = {
            "outputs": (),
            "error": None,
            "exception": None,
            "stdout": "",
            "stderr": "",
            "truncated": 0,
        }
        self._writer.put(Ended(begun, self._incarnation, **{**nothing, **ending}))

"""What the ledger knows about a run, and about the sessions that it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, final

RUN, PUT, RESET, REPLAY = "run", "put", "reset", "replay"
"""Kinds of records: code that ran, a variable set from outside, a fresh start, a replay from begin to end."""
RUNNING = "running"


@final
@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class RunRecord:
    """One run, or one event between runs, as the ledger keeps it. Texts are data that executed code wrote.

    Attributes
    ----------
    id
        Its number in the ledger; later ones are larger.
    session, session_id
        The session's name, and the one incarnation of it that ran this.
    executor, limits
        ``in-process``, ``venv`` or ``container``, and its configuration without secrets.
    deps
        The packages that the configuration asked for and the storage recorded.
    kind
        ``run``; ``put`` (a variable set from outside); ``reset`` (a fresh start by `reset` or
        `restart`); ``replay`` (earlier runs are run again from here on).
    number
        Its place in the incarnation, from 1. A gap means that something is no longer kept.
    code
        The source; for the other kinds what happened, as a comment.
    code_is_whole
        False where it was too long to be kept to its end.
    variables, given
        The names of variables handed in, and the values of those that are plain JSON and small.
    status
        How it ended, as in `RunStatus`; ``running`` while it runs. A run whose process has ended
        without a word counts as ``died``.
    started, execution_time
        When it began (UTC), and the seconds that it took; None as long as it runs.
    value
        The last expression's value as text, empty if there was none.
    stdout, stderr, error
        Bounded texts.
    outputs
        Everything shown, as output objects of the notebook format, bounded; empty in listings.
    truncated
        Bytes of output that were not kept.
    state_preserved
        False where variables from before this run were lost.
    replay_of
        The id of the record that this one repeats, or None.
    """

    id: int
    session: str
    session_id: str
    executor: str
    started: datetime
    limits: Mapping[str, Any] = field(default_factory=dict)
    deps: tuple[str, ...] = ()
    kind: str = RUN
    number: int = 0
    code: str = ""
    code_is_whole: bool = True
    variables: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    status: str = RUNNING
    execution_time: float | None = None
    value: str = ""
    stdout: str = ""
    stderr: str = ""
    error: str | None = None
    outputs: tuple[Mapping[str, Any], ...] = ()
    truncated: int = 0
    state_preserved: bool = True
    replay_of: int | None = None

    def __repr__(self) -> str:
        first = next(iter(self.code.strip().splitlines()), "")
        return f"<RunRecord {self.id}, {self.session!r}, {self.status}: {first[:80]!r}>"

    @property
    def reset(self) -> bool:
        """Whether this only marks that the session was made fresh."""
        return self.kind == RESET

    @property
    def is_ok(self) -> bool:
        """Whether the code ran to its end without an exception."""
        return self.status == "ok"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; `started` in ISO 8601."""
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        plain = {key: list(item) if isinstance(item, tuple) else item for key, item in found.items()}
        return plain | {"started": self.started.isoformat(), "reset": self.reset}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSummary:
    """A session's name, and what the ledger holds of all its incarnations.

    Attributes
    ----------
    name, executor
        Its name, and where its latest incarnation ran.
    ids
        The incarnations that are kept, the latest first.
    runs
        How many runs are kept.
    first, last
        When the first and the last of them began (UTC).
    """

    name: str
    executor: str
    ids: tuple[str, ...]
    runs: int
    first: datetime
    last: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; times in ISO 8601."""
        return {
            "name": self.name,
            "executor": self.executor,
            "ids": list(self.ids),
            "runs": self.runs,
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
        }

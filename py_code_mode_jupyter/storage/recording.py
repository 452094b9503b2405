"""Turns what a session does into rows of the run ledger: bounded, without secrets, and as data only."""

from __future__ import annotations

import base64
import itertools
import json
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from ..owner import owner
from ..results import Output, RunStatus, size_of_text
from .runs import PUT, REPLAY, RESET, RUN, RUNNING

if TYPE_CHECKING:
    from ..results import ExecutionResult
    from .writer import Writer

MOST_CODE = 2**20
"""Characters of a run's code."""
MOST_TEXT = 2**16
"""Characters of each of stdout, stderr and the error."""
MOST_VALUE = 2**12
"""Characters of the value."""
MOST_OUTPUTS = 2**20
"""Bytes of all outputs of a run as JSON."""
MOST_GIVEN = 2**18
"""Bytes of all variables handed to a run."""
_SHORTEST_SECRET = 6
"""Characters below which a secret is a word like any other."""
_HIDDEN = "***"
_DEEPEST = 50
_SCALARS = (str, int, float, bool, type(None))
_ROW = """
    INSERT INTO runs (session_id, kind, number, status, started, size, deps, variables, given, code,
                      code_is_whole, replay_of)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ENDING = """
    UPDATE runs SET status = ?, execution_time = ?, size = size + ?, state_preserved = ?, truncated = ?,
                    value = ?, error = ?, stdout = ?, stderr = ?, outputs = ? WHERE id = ?
"""


def kept(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return copies of those variables that are plain JSON and, together, small enough to keep."""
    room = _Room(MOST_GIVEN)
    found = {}
    for name, value in variables.items():
        try:
            found[name] = room.copy(value)
        except ValueError:
            continue
    return found


class _Room:
    """Copies plain values as long as there is room for them."""

    def __init__(self, size: int) -> None:
        self._left = size

    def copy(self, value: object, depth: int = 0) -> object:
        """Return a copy that shares nothing; `ValueError` for what is not exactly JSON, or too much."""
        kind = type(value)
        self._take(size_of_text(value) + 2 if isinstance(value, str) else 8)
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        if kind is list:
            return [self.copy(item, depth + 1) for item in value]  # type: ignore[attr-defined]
        if kind is dict:
            return {self._key(key): self.copy(item, depth + 1) for key, item in value.items()}  # type: ignore[attr-defined]
        if kind is int and value.bit_length() > 4096:  # type: ignore[attr-defined]
            raise ValueError("too large a number")
        if kind not in _SCALARS or (kind is float and not math.isfinite(value)):  # type: ignore[arg-type]
            raise ValueError("not JSON")
        return value

    def _key(self, key: object) -> str:
        if type(key) is not str:
            raise ValueError("not JSON")
        self._take(size_of_text(key) + 4)
        return key

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError("too large")


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
            text = text.replace(secret, _HIDDEN)
        return text

    def hide_in_json(self, text: str) -> str:
        """Return JSON without secrets, which are written there with escapes."""
        for secret in self._secrets:
            text = text.replace(json.dumps(secret)[1:-1], _HIDDEN)
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
        self._code = code
        self._names = list(variables or ())
        self._given = kept(variables) if variables else {}
        self._replay_of = replay_of
        self._row: tuple[Any, ...] = ()

    def prepare(self) -> None:
        """Make the row."""
        about = self._incarnation
        code = clean(about.hide(self._code[:MOST_CODE]))
        texts = (
            json.dumps([*about.deps()]),
            json.dumps(self._names),
            about.hide_in_json(json.dumps(self._given)),
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
        outputs, lost = nbformat_outputs(ending["outputs"])
        shown = self._incarnation.hide_in_json(json.dumps(outputs))
        value = clean(hide(_value_text(outputs)))[:MOST_VALUE]
        texts = []
        for text in (ending["error"], ending["stdout"], ending["stderr"]):
            short = None if text is None else shortened(text, MOST_TEXT)
            texts.append(None if short is None else clean(hide(short)))
        self.size = len(shown) + len(value) + sum(len(text or "") for text in texts)
        numbers = (ending["execution_time"], self.size, ending["state_preserved"], ending["truncated"] + lost)
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
        writer.hold()

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

    def finish(self, begun: Begun, result: ExecutionResult) -> None:
        """Record how it ended."""
        self._end(
            begun,
            status=result.status,
            error=result.error,
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
        nothing = {"outputs": (), "error": None, "stdout": "", "stderr": "", "truncated": 0}
        self._writer.put(Ended(begun, self._incarnation, **{**nothing, **ending}))


# What is kept of outputs


def nbformat_outputs(outputs: Iterable[Output]) -> tuple[list[dict[str, Any]], int]:
    """Return output objects of the notebook format, and how many bytes of outputs were left out."""
    found, left, lost = [], MOST_OUTPUTS, 0
    for output in outputs:
        shown = _nbformat_output(output)
        size = _json_size(shown)
        if size > left:
            lost += output.size
            continue
        left -= size
        found.append(shown)
    return found, lost


def _nbformat_output(output: Output) -> dict[str, Any]:
    if output.type == "stream":
        return {"output_type": "stream", "name": output.name, "text": shortened(output.text, MOST_TEXT)}
    if output.type == "error":
        message = output.text.strip().rpartition("\n")[2]
        return {
            "output_type": "error",
            "ename": output.name,
            "evalue": message.partition(": ")[2],
            "traceback": shortened(output.text, MOST_TEXT).split("\n"),
        }
    kind = "execute_result" if output.type == "execute_result" else "display_data"
    bundle = {"output_type": kind, "data": plain(output.data), "metadata": plain(output.metadata)}
    return bundle | ({"execution_count": None} if kind == "execute_result" else {})


def _json_size(shown: object) -> int:
    return len(json.dumps(shown))


def _value_text(outputs: Iterable[Mapping[str, Any]]) -> str:
    results = (shown for shown in outputs if shown["output_type"] == "execute_result")
    return next((str(shown["data"].get("text/plain", "")) for shown in results), "")


def plain(value: object, depth: int = 0) -> Any:
    """Return `value` as exact JSON types. What is none becomes text; it may be an object of executed code."""
    try:
        if depth > _DEEPEST:
            return "..."
        if isinstance(value, Mapping):
            return {str(key): plain(item, depth + 1) for key, item in [*value.items()]}
        if isinstance(value, list | tuple | set | frozenset):
            return [plain(item, depth + 1) for item in [*value]]
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        if type(value) is float and not math.isfinite(value):
            return None  # as for a limit that is none
        return value if type(value) in _SCALARS else str(value)
    except Exception:  # noqa: BLE001 - whatever it does when it is looked at, the ledger goes on
        return f"<{type(value).__name__}>"


def shortened(text: str, most: int) -> str:
    """Return text of at most about `most` characters: its beginning and its end."""
    if len(text) <= most:
        return text
    head, tail = most * 3 // 4, most // 4
    return f"{text[:head]}\n... {len(text) - head - tail:,} characters are not kept ...\n{text[-tail:]}"


def clean(text: str) -> str:
    """Return text that UTF-8 can hold: halves of characters become their escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text

"""The host's side of the private channel: answers what isolated code may ask, and nothing else.

The operation is looked up in a table, `requests` judges what it holds, and an error goes back as its
class name and fields. A place that asks without end gets its answers slower, and what is refused is
logged so often and no more.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import (
    BrokerError,
    CodeModeError,
    InvalidArtifactNameError,
    InvalidWorkflowError,
    WorkflowProtectedError,
)
from .requests import Answer, ArtifactRequests, Table, WorkflowRequests, take

if TYPE_CHECKING:
    from ..results import DepsChange
    from ..storage import Storage
    from .deps import Deps

_log = logging.getLogger(__name__)
_PLAIN = (str, int, float, bool, type(None), list, tuple, dict)
_SUSPECT = (BrokerError, InvalidArtifactNameError, InvalidWorkflowError, WorkflowProtectedError)
FAILED = "The host failed; see its log."
MOST_LOGGED = 20
"""Refusals of one place that are logged."""
WORK_AHEAD, WORK_SHARE = 3.0, 0.5
"""Seconds of the host's work that a place may ask for at once, and which part of the time afterwards."""
LONGEST_WAIT = 1.0
"""Seconds that one answer is held back at most; what is left of the wait goes to the next ones."""


class Broker:
    """Answers one place's requests, one after the other.

    Parameters
    ----------
    storage
        Where artifacts and workflows are kept; None: asking for them is an error that says so.
    deps
        What installs packages.
    place
        The kind of the place: ``venv`` or ``container``.
    """

    def __init__(self, storage: Storage | None, deps: Deps, *, place: str) -> None:
        self.deps = deps
        self._place = place
        self._table = ArtifactRequests(storage).table() | WorkflowRequests(storage, place).table()
        self._table |= _deps_table(deps)
        self._work = Allowance(WORK_AHEAD, WORK_SHARE)
        self._logged = 0

    def answer(self, header: dict[str, Any], payload: bytearray) -> Answer:
        """Return the answer to one request; it never raises for what the request holds."""
        self._work.begin()
        try:
            return self._answer(header, payload)
        finally:
            if wait := self._work.overdrawn():
                time.sleep(wait)

    def _answer(self, header: dict[str, Any], payload: bytearray) -> Answer:
        number = header.get("id")
        number = number if isinstance(number, int) else 0
        op = header.get("op")
        asked = op[:80] if isinstance(op, str) else type(op).__name__
        try:
            operation = self._table.get(asked)
            params = header.get("params")
            if operation is None or not isinstance(params, dict):
                raise BrokerError(f"There is no operation {asked!r}.")
            answer, data = operation(params, payload)
        except CodeModeError as error:
            if isinstance(error, _SUSPECT):
                self._note(asked, error.message)
            return {"id": number, "error": _describe(error)}, b""
        except Exception as error:  # noqa: BLE001 - the host must outlive whatever isolated code sends
            self._note(asked, repr(error), error)
            return {"id": number, "error": {"kind": "BrokerError", "message": FAILED}}, b""
        return {"id": number, **answer}, data

    def _note(self, asked: str, problem: str, failure: Exception | None = None) -> None:
        self._logged += 1
        if self._logged > MOST_LOGGED:
            return
        last = " Its further refusals are not logged." if self._logged == MOST_LOGGED else ""
        level = logging.WARNING if failure is None else logging.ERROR
        # As reprs: what isolated code sent may hold lines that look like others of the log.
        _log.log(
            level,
            "Code in a %s was refused %r: %.300r.%s",
            self._place,
            asked,
            problem,
            last,
            exc_info=failure,
        )


class Allowance:
    """The processor time that a thread may use: some at once, and then a part of the time.

    Parameters
    ----------
    ahead
        Seconds at once.
    share
        Seconds that come back in each second.
    """

    def __init__(self, ahead: float, share: float) -> None:
        self._ahead = self._left = ahead
        self._share = share
        self._since = time.monotonic()
        self._thread, self._used = 0, 0.0

    def begin(self) -> None:
        """Count from here, unless this thread's use is counted already, between requests as well."""
        if self._thread != threading.get_ident():
            self._thread, self._used = threading.get_ident(), time.thread_time()

    def overdrawn(self) -> float:
        """Return for how many seconds the thread has to wait before it may go on."""
        now, used = time.monotonic(), time.thread_time()
        spent = max(0.0, used - self._used)  # a thread may have the number of one that has ended
        self._left = min(self._ahead, self._left + (now - self._since) * self._share) - spent
        self._since, self._used = now, used
        return min(LONGEST_WAIT, max(0.0, -self._left / self._share))


def _deps_table(deps: Deps) -> Table:
    return {
        "deps.add": lambda p, _: _change(deps.add(take(p, "spec", str))),
        "deps.remove": lambda p, _: _change(deps.remove(take(p, "spec", str))),
        "deps.sync": lambda _p, _b: _change(deps.sync()),
        "deps.list": lambda _p, _b: ({"result": deps.list()}, b""),
    }


def _change(change: DepsChange) -> Answer:
    return {"result": asdict(change)}, b""


def _describe(error: CodeModeError) -> dict[str, Any]:
    fields = {key: value for key, value in vars(error).items() if isinstance(value, _PLAIN)}
    return {"kind": type(error).__name__, "message": error.message, "fields": fields}

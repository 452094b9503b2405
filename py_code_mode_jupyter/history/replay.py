"""Runs recorded runs again, to rebuild the state of a session that was lost."""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, final

from ..dependency import parse_dependency
from ..errors import DependencyError, ReplayConsentError, ReplayError, RunNotFoundError
from ..results import DepsChange
from ..storage.kept import MOST_TEXT, kept_outputs, shortened
from ..storage.runs import PUT, REPLAY, RUN, RunRecord
from .isolation import is_less_isolated
from .nondeterminism import Reader

if TYPE_CHECKING:
    from ..execution.protocol import Executor
    from ..journal import Journal
    from ..results import ExecutionResult
    from ..storage import RunLedger, SessionRegistry, Storage

_log = logging.getLogger(__name__)
_WHOLE = frozenset({"ok", "error"})
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")
_SHORT = 80


class Replayable(Protocol):
    """What a replay needs of a session."""

    storage: Storage
    executor: Executor
    journal: Journal

    async def rerun(self, record: RunRecord) -> ExecutionResult:
        """Run a recorded run again."""

    async def put(self, name: str, value: Any) -> None:
        """Set a variable."""

    async def reset(self) -> None:
        """Forget all variables."""

    async def add_dep(self, spec: str) -> DepsChange:
        """Install a package and record it."""

    async def sync_deps(self) -> DepsChange:
        """Install every package that the storage records."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """What became of one record.

    Attributes
    ----------
    record
        The record.
    outcome
        ``same``, ``differs``, ``failed`` (it had not, or its executor could not run it) or ``skipped``.
    why
        What differs, why it failed, or why it was left out; empty for ``same``.
    uncertain
        Why it cannot be trusted to do the same again; empty if nothing speaks against it.
    """

    record: RunRecord
    outcome: str
    why: str = ""
    uncertain: tuple[str, ...] = ()

    def __str__(self) -> str:
        first = next(iter(self.record.code.strip().splitlines()), "")
        said = "; ".join(filter(None, (self.why, *self.uncertain)))
        return f"run {self.record.id} {self.outcome}: {first[:_SHORT]}" + (f"  ({said})" if said else "")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayReport:
    """What a replay did, in the order of the records.

    Attributes
    ----------
    runs
        What became of each.
    deps
        What was installed first; None where there was nothing to install.
    notes
        What else may make the session another one than it was.
    """

    runs: tuple[Replayed, ...] = ()
    deps: DepsChange | None = None
    notes: tuple[str, ...] = ()

    @property
    def ran(self) -> tuple[Replayed, ...]:
        """Those that were run again."""
        return tuple(run for run in self.runs if run.outcome in ("same", "differs"))

    @property
    def differ(self) -> tuple[Replayed, ...]:
        """Those that ran again and showed something else."""
        return tuple(run for run in self.runs if run.outcome == "differs")

    @property
    def failed(self) -> tuple[Replayed, ...]:
        """Those that failed now."""
        return tuple(run for run in self.runs if run.outcome == "failed")

    @property
    def skipped(self) -> tuple[Replayed, ...]:
        """Those that were left out."""
        return tuple(run for run in self.runs if run.outcome == "skipped")

    @property
    def uncertain(self) -> tuple[Replayed, ...]:
        """Those that are not deterministic, as far as their code tells."""
        return tuple(run for run in self.runs if run.uncertain)

    @property
    def is_exact(self) -> bool:
        """Whether nothing is known that would make the state another one."""
        return not self.notes and all(run.outcome == "same" and not run.uncertain for run in self.runs)

    def __str__(self) -> str:
        lines = [f"{len(self.ran)} of {len(self.runs)} runs were run again."]
        if self.deps is not None:
            lines.append(f"Packages: {self.deps}.")
        lines += self.notes
        lines += [str(run) for run in self.runs if run.outcome != "same" or run.uncertain]
        return "\n".join(lines)


async def replay(
    session: Replayable,
    records: Sequence[RunRecord],
    *,
    consent: bool = False,
    install: bool = True,
    reset: bool = False,
) -> ReplayReport:
    """Run recorded runs again, in order, in a running session.

    Runs that were stopped, or died, before their end are left out, and so are those whose code or
    variables are not kept whole.

    Parameters
    ----------
    session
        Where; usually a fresh one.
    records
        What `RunLedger.of_session` returns.
    consent
        Whether code from a more isolated place may run here.
    install
        Whether packages that the records name are installed first. Where the session's configuration
        forbids it, they are not, and the report says so.
    reset
        Whether the session forgets first what it has.

    Raises
    ------
    ReplayConsentError
        A record comes from a more isolated place than the session's, without `consent`. Nothing ran.
    """
    _require_consent(session.executor.name, records, consent)
    if reset:
        await session.reset()
    with session.journal.replaying():
        deps, notes = await _install(session, records) if install else (None, ())
        reader = Reader()
        runs = [await _replay_one(session, record, reader) for record in records if record.kind != REPLAY]
    return ReplayReport(runs=tuple(runs), deps=deps, notes=(*_missing(records), *notes))


def lost_runs(ledger: RunLedger, name: str, session_id: str) -> list[RunRecord]:
    """Return what the incarnation `session_id` of a session has lost.

    Its own runs if its place died since its last fresh start, else those of the incarnation before.

    Raises
    ------
    RunNotFoundError
        There is nothing.
    """
    with contextlib.suppress(RunNotFoundError):
        own = ledger.of_session(name, session_id=session_id)
        if any(not record.state_preserved for record in own):
            return own
    return ledger.of_session(name, excluding=session_id)


def _require_consent(place: str, records: Iterable[RunRecord], consent: bool) -> None:
    origin = next((record.executor for record in records if is_less_isolated(place, record.executor)), None)
    if origin is not None and not consent:
        raise ReplayConsentError(origin, place)


def require_repeatable(record: RunRecord) -> None:
    """Raise `ReplayError` if a record is no run, or is not kept whole."""
    if record.kind != RUN:
        raise ReplayError(f"Record {record.id} is no run.")
    if why := not_whole(record):
        raise ReplayError(f"Run {record.id} cannot be repeated: {why}.")


def not_whole(record: RunRecord) -> str:
    """Return why a record does not hold all that is needed to repeat it; empty if it does."""
    if not record.code_is_whole:
        return "its code is not kept whole, being too long or holding a secret"
    if lost := [name for name in record.variables if name not in record.given]:
        return f"it was handed {', '.join(lost)}, which is not plain JSON or too large and was not kept"
    return ""


async def _replay_one(session: Replayable, record: RunRecord, reader: Reader) -> Replayed:
    if record.reset:
        await session.reset()
        return Replayed(record=record, outcome="same")
    if why := not_whole(record):
        reader.read(record.code, assigns=record.variables)
        return Replayed(record=record, outcome="skipped", why=why)
    if record.kind == PUT:
        for name, value in record.given.items():
            await session.put(name, value)
        return Replayed(record=record, outcome="same")
    uncertain = reader.read(record.code)
    if record.status not in _WHOLE:
        why = f"it did not come to its end ({record.status})"
        return Replayed(record=record, outcome="skipped", why=why, uncertain=uncertain)
    result = await session.rerun(record)
    outcome, why = _compared(record, result)
    return Replayed(record=record, outcome=outcome, why=why, uncertain=uncertain)


def _compared(record: RunRecord, result: ExecutionResult) -> tuple[str, str]:
    if str(result.status) != record.status:
        last = _last_line(result.error)
        outcome = "differs" if result.is_ok else "failed"
        return outcome, f"{record.status} became {result.status}" + (f": {last}" if last else "")
    shown = kept_outputs(result.outputs).value
    pairs = (
        ("value", record.value, shown),
        ("stdout", record.stdout, shortened(result.stdout, MOST_TEXT)),
        ("error", _last_line(record.error), _last_line(result.error)),
    )
    changed = [name for name, old, new in pairs if _normal(old) != _normal(new)]
    return ("differs", f"another {' and '.join(changed)}") if changed else ("same", "")


def _last_line(text: str | None) -> str:
    return (text or "").strip().rpartition("\n")[2]


def _normal(text: str) -> str:
    """Return text without the addresses of objects, which are other ones every time."""
    return _ADDRESS.sub("0x...", text)


def _missing(records: Sequence[RunRecord]) -> Iterator[str]:
    if records and records[0].number > 1 and not records[0].reset:
        yield f"The first {records[0].number - 1} records of the session may be missing: no longer kept."


# Dependencies


async def _install(
    session: Replayable, records: Sequence[RunRecord]
) -> tuple[DepsChange | None, tuple[str, ...]]:
    """Install what the records name and the session was not configured with."""
    wanted = {parse_dependency(spec).name: spec for record in records for spec in record.deps}
    for spec in session.executor.config.deps:
        wanted.pop(parse_dependency(spec).name, None)
    if not wanted:
        return None, ()
    found = await _asked(session, wanted)
    missing = found.failed
    notes = (f"Packages that could not be installed: {', '.join(missing)}.",) if missing else ()
    return found, notes


async def _asked(session: Replayable, wanted: Mapping[str, str]) -> DepsChange:
    changes = [await session.sync_deps()]
    said = {parse_dependency(spec).name for spec in (*changes[0].installed, *changes[0].already_present)}
    for name, spec in wanted.items():
        if name in said:
            continue
        try:
            changes.append(await session.add_dep(spec))
        except DependencyError as error:
            _log.info("A recorded package was not installed: %s", error)
            changes.append(DepsChange(failed=(spec,)))
    return DepsChange(
        installed=tuple(spec for change in changes for spec in change.installed),
        already_present=tuple(spec for change in changes for spec in change.already_present),
        failed=tuple(spec for change in changes for spec in change.failed),
    )


# A session like the one that was


def require_ended(registry: SessionRegistry, record: RunRecord) -> None:
    """Raise `ReplayError` if the incarnation that a record is of still runs, in whatever process."""
    for entry in registry.entries():
        if entry.id == record.session_id:
            raise ReplayError(
                f"The session {record.session!r} still runs, in {entry.owner_what} ({entry.owner_pid}).",
                remedy="Stop it first, or give the new one another name and replay into that.",
            )


def executor_like(record: RunRecord) -> Executor:
    """Return an executor of the kind, and with the limits, that a record names; it is not started.

    A container gets a new token. Variables of ``env`` that were given a value are left out: values are
    not recorded.

    Raises
    ------
    ReplayError
        The record names no executor that can be made again without being told a secret.
    ConfigurationError
        The limits cannot be used, here or by this version.
    """
    from .. import config
    from ..execution import ContainerExecutor, InProcessExecutor, SubprocessExecutor

    makers: dict[str, tuple[type[Any], type[Any]]] = {
        "in-process": (InProcessExecutor, config.InProcessConfig),
        "venv": (SubprocessExecutor, config.SubprocessConfig),
        "container": (ContainerExecutor, config.ContainerConfig),
    }
    if record.executor not in makers or record.limits.get("remote_url"):
        raise ReplayError(
            f"The place of session {record.session!r} cannot be made again from what is recorded.",
            remedy="Give an executor=.",
        )
    executor, configuration = makers[record.executor]
    known = {item.name for item in fields(configuration)}
    limits = {name: value for name, value in record.limits.items() if name in known}
    limits["env"] = [entry for entry in limits.get("env", ()) if "=" not in entry]
    if record.executor == "in-process":
        del limits["env"]
    if record.executor == "container" and not limits.get("auth_disabled"):
        limits["auth_token"] = secrets.token_urlsafe(32)
    made: Executor = executor(configuration(**limits))
    return made

"""``history``: what the run ledger knows, as a list, as a notebook that runs again, and run again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.display import display

from ...display import RunDetail, lines_of, one_line, run_table
from ...errors import ConfigurationError, ReplayConsentError, RunNotFoundError
from ...results import RunStatus
from ..asking import may_run
from ..names import known_executor
from ..options import count_of
from ..parser import Subcommand, argument

if TYPE_CHECKING:
    from ...storage import RunRecord
    from ..notebook import Notebook
    from ..parser import Request

_ABOUT = """\
Lists what ran, the newest first, of all sessions over the storage. --export and --replay mean one session:
the one that -s names, else the current one, since it last began afresh."""
_NOTES = """\
A notebook that is exported runs again from top to bottom. A replay gives a session that was lost its
variables again, and names the runs that may not do the same again. Runs that come from a more isolated
place are shown first, and run when you agree."""


def history(notebook: Notebook, request: Request) -> None:
    """List runs, show one, export them, or run them again."""
    given = request.given
    if given.export is not None:
        _export(notebook, request)
    elif given.replay:
        _replay(notebook, request)
    elif given.show is not None:
        number = count_of("show", given.show, 1)
        display(RunDetail(notebook.wait_for(notebook.storage.runs.get, number, what="Reading the run")))
    else:
        _list(notebook, request)


def _list(notebook: Notebook, request: Request) -> None:
    given, runs = request.given, notebook.storage.runs
    limit = min(1_000, count_of("limit", given.limit, notebook.settings.rows))

    def look() -> list[RunRecord]:
        return runs.list(session=given.session, search=given.search, status=given.status, limit=limit)

    display(run_table(notebook.wait_for(look, what="Reading the ledger")))


def _records(notebook: Notebook, name: str) -> list[RunRecord]:
    """Return what one incarnation of a session did: of one that runs here, if it did anything, its own."""
    runs, sessions = notebook.storage.runs, notebook.sessions
    if name not in sessions.names:
        return notebook.wait_for(runs.of_session, name, what="Reading the ledger")
    own = sessions.running(name).id

    def look() -> list[RunRecord]:
        try:
            return runs.of_session(name, session_id=own) or runs.of_session(name, excluding=own)
        except RunNotFoundError:
            return runs.of_session(name, excluding=own)

    return notebook.wait_for(look, what="Reading the ledger")


def _export(notebook: Notebook, request: Request) -> None:
    from ...history import export_notebook

    given = request.given
    target = Path(given.export).expanduser()
    if target.suffix != ".ipynb":
        raise ConfigurationError("export", given.export, "not a notebook.", remedy="Give a FILE.ipynb.")
    if target.exists() and not given.overwrite:
        remedy = "Give another file, or --overwrite."
        raise ConfigurationError("export", given.export, "there is such a file.", remedy=remedy)
    name = given.session or notebook.current
    records = _records(notebook, name)
    text = json.dumps(export_notebook(records, title=f"Session {name}"), indent=1, ensure_ascii=False)
    try:
        target.write_text(f"{text}\n", "utf-8")
    except OSError as error:
        problem = f"cannot be written: {error.strerror}."
        raise ConfigurationError("export", given.export, problem, remedy="Give another file.") from None
    print(f"Wrote {len(records)} runs of {one_line(name)} to {target}.")


def _replay(notebook: Notebook, request: Request) -> None:
    given, sessions = request.given, notebook.sessions
    name = given.session or notebook.current
    executor = None if given.executor is None else known_executor(given.executor)
    records = _records(notebook, name)
    if not records:
        raise RunNotFoundError(name)
    if name in sessions.names:
        sessions.choose(name, executor, executor or notebook.settings.executor)  # refuses another executor
        place = sessions.running(name).executor.name
    else:
        place = executor or records[0].executor
    _require_consent(place, records, agreed=given.yes)
    notebook.begin()
    work = sessions.resume(name, notebook.storage, records, executor)
    print(lines_of(notebook.wait(work, f"Replaying {one_line(name)}")))


def _require_consent(place: str, records: Sequence[RunRecord], *, agreed: bool) -> None:
    """Ask, where runs come from a more isolated place than they would run in."""
    from ...history import is_less_isolated

    foreign = [record for record in records if is_less_isolated(place, record.executor)]
    if not foreign or agreed:
        return
    origin = foreign[0].executor
    source = "\n\n".join(record.code for record in foreign)
    what = f"These runs come from a place of kind {one_line(origin)}, more isolated than {place}:"
    if not may_run(what, source, place):
        refused = ReplayConsentError(origin, place)
        refused.remedy = f"Read them with `%pcm history --export FILE.ipynb`, and give --yes; or -e {origin}."
        raise refused


COMMANDS = (
    Subcommand(
        path="history",
        about=_ABOUT,
        do=history,
        notes=_NOTES,
        arguments=(
            argument("-n", "--limit", metavar="NUMBER", help="how many (default: %%config PcmMagics.rows)"),
            argument("-s", "--session", completes="recorded", metavar="NAME", help="only this session's"),
            argument("--search", default="", metavar="TEXT", help="only those whose code or results hold it"),
            argument(
                "--status",
                choices=(*map(str, RunStatus), "running"),
                metavar="STATUS",
                help="only those that ended so: ok, error, timeout, interrupted, died, running",
            ),
            argument("--show", metavar="ID", help="all of one run"),
            argument(
                "--export", completes="file", metavar="FILE.ipynb", help="write a notebook that runs again"
            ),
            argument("--overwrite", action="store_true", help="replace a file that is there"),
            argument("--replay", action="store_true", help="run the session's runs again"),
            argument(
                "-e",
                "--executor",
                completes="executor",
                metavar="EXECUTOR",
                help="where a replay runs (default: where the runs come from)",
            ),
            argument("--yes", action="store_true", help="agree, without being asked"),
        ),
        exclusive=(("--show", "--export", "--replay"),),
        examples=(
            "%pcm history -n 5",
            "%pcm history --search penguins --status error",
            "%pcm history --export analysis.ipynb -s lab",
            "%pcm history --replay -s lab",
        ),
    ),
)

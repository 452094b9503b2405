"""Sessions: starting, choosing, watching, interrupting and ending them."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from IPython.display import display

from ...display import Table, probe_table, status_table
from ...display.artifacts import MOMENT
from ...errors import ConfigurationError, ImageError
from ..configuring import CONFIGURATIONS, Field, fields_of, read_field
from ..names import did_you_mean, known_executor
from ..options import EXECUTOR, SESSION
from ..parser import Argument, Subcommand, argument

if TYPE_CHECKING:
    from ...session import Session
    from ..notebook import Notebook
    from ..parser import Request

_NOT_GIVEN: Any = None
_START = """\
Starts a session with settings of its own. Each option below is a field of the executors' configurations
and says who takes it; what is not given is %config PcmMagics.in_process, .venv or .container, else the
field's default."""
_SECRETS = """\
A container's token is PCM_AUTH_TOKEN, or one that is made: secrets do not stand in notebooks. --env NAME
hands the value of this process on without writing it down."""
_FOLDERS = frozenset({"venv_dir", "working_dir", "writable_paths", "wheelhouse"})


def start(notebook: Notebook, request: Request) -> None:
    """Start a session."""
    given = request.given
    executor = known_executor(given.executor or notebook.settings.executor)
    names = dict.fromkeys(name for kind in CONFIGURATIONS for name in fields_of(kind))
    typed = {name: getattr(given, f"field_{name}") for name in names}
    settings = {
        _field_name(executor, name): read_field(executor, name, value)
        for name, value in typed.items()
        if value is not _NOT_GIVEN
    }
    choice = notebook.sessions.choose(given.name, executor, executor)
    if given.build:
        _build(notebook, executor, settings)
    notebook.begin()
    work = notebook.sessions.start(choice, notebook.storage_folder, settings, sync=given.sync)
    session = notebook.wait(work, f"Starting {choice.name}")
    if given.use:
        notebook.sessions.current = session.name
    print(f"Started {session.name} ({session.executor.name}).")


def _build(notebook: Notebook, executor: str, settings: Mapping[str, Any]) -> None:
    """Build the image that the session is to run, if it is missing or was made from other code."""
    from ...environments.container import images

    fields = {**notebook.defaults(executor), **settings}
    image = str(fields.get("image", images.BASE))
    kind = {images.BASE: "base", images.TOOLS: "tools"}.get(image)
    if executor != "container" or kind is None:
        problem = f"only {images.BASE} and {images.TOOLS} of the container can be built."
        raise ConfigurationError("build", image, problem, remedy="Leave --build out.")
    host = fields.get("docker_host")
    notebook.wait_for(_build_missing, kind, image, host, what=f"Building {image}")


def _build_missing(kind: str, image: str, docker_host: str | None) -> None:
    from ...environments.container import images
    from ...environments.container.engine import Engine

    with contextlib.closing(Engine(docker_host)) as engine:
        try:
            about = images.check_image(engine, image)
            images.check_content(image, images.content_of(engine, image, about["Config"]["Labels"]))
        except ImageError:
            images.build(engine, kind, say=lambda _line: None)


def _field_name(executor: str, name: str) -> str:
    """Return how the executor's configuration calls a field: its limit of time has two names."""
    timeouts = {"timeout", "default_timeout"}
    known = fields_of(executor)
    return next(iter(timeouts & known.keys())) if name in timeouts and name not in known else name


def _start_arguments() -> tuple[Argument, ...]:
    takers: dict[str, list[str]] = {}
    known: dict[str, Field] = {}
    for executor in CONFIGURATIONS:
        for name, field in fields_of(executor).items():
            takers.setdefault(name, []).append(executor)
            known.setdefault(name, field)
    return tuple(_option(field, takers[name]) for name, field in known.items())


def _option(field: Field, takers: list[str]) -> Argument:
    everywhere = len(takers) == len(CONFIGURATIONS)
    who = "" if everywhere else f" ({', '.join(takers)})"
    about: dict[str, Any] = {"help": f"{field.about}{who}".replace("%", "%%"), "default": _NOT_GIVEN}
    name, dest = f"--{field.name.replace('_', '-')}", f"field_{field.name}"
    if field.kind == "flag":
        return argument(name, dest=dest, action=argparse.BooleanOptionalAction, **about)
    if field.kind == "many":
        about |= {"action": "append", "help": f"{about['help']}; may be given again"}
    metavar = {"number": "SECONDS", "count": "NUMBER"}.get(field.kind, "VALUE")
    completes = "file" if field.name in _FOLDERS else "dependency" if field.name == "deps" else ""
    return argument(name, dest=dest, metavar=metavar, completes=completes, **about)


def sessions(notebook: Notebook, request: Request) -> None:
    """List the notebook's sessions, or those of every process."""
    if not request.given.all:
        display(notebook.background.call(notebook.sessions.table(notebook.current)))
        return
    found = notebook.wait_for(notebook.storage.sessions.entries, what="Looking for sessions")
    rows = tuple(
        (
            entry.name,
            entry.executor,
            entry.owner_what,
            str(entry.owner_pid),
            f"{entry.started.astimezone():{MOMENT}}",
        )
        for entry in found
    )
    headings = ("name", "executor", "lives in", "process", "started")
    display(Table(headings=headings, rows=rows, numbers=("process",), empty="No session is running."))


def use(notebook: Notebook, request: Request) -> None:
    """Make a session the current one."""
    name = request.given.name
    if name is None:
        print(f"The current session is {notebook.current}.")
        return
    known = notebook.sessions.known
    if name not in known:
        remedy = did_you_mean(name, known, f"Make it: %pcm start {name} --use.")
        raise ConfigurationError("session", name, "no such session.", remedy=remedy)
    notebook.sessions.current = name
    print(f"The current session is {name}.")


def status(notebook: Notebook, request: Request) -> None:
    """Show everything about one session."""
    session = notebook.running(request.given.name)
    stats = notebook.wait(session.stats(), f"Asking {session.name}")
    display(status_table(stats, session.executor.config.public(), session.last_result))


def probe(notebook: Notebook, request: Request) -> None:
    """Show the isolation that was measured, beside what was configured."""
    given = request.given
    if given.all:
        chosen = notebook.sessions.all()
    else:
        chosen = [notebook.obtain(given.session, given.executor)]
    probes = {session.name: notebook.wait(session.probe(), f"Probing {session.name}") for session in chosen}
    if not probes:
        print("No session is running.")
        return
    display(probe_table(probes))


def _wanted(notebook: Notebook, request: Request) -> list[str]:
    """Return the names of the sessions that ``NAME`` or ``--all`` means; none where none is running."""
    name, running = request.given.name, notebook.sessions.names
    if name is not None:
        return [name]
    if request.given.all or not running:
        return running
    if notebook.current not in running:
        remedy = f"Running: {', '.join(running)}. Name one, or give --all."
        problem = "the current session is not running."
        raise ConfigurationError("session", notebook.current, problem, remedy=remedy)
    return [notebook.current]


def _each(
    done: str, doing: str, do: Callable[[Notebook], Callable[[Session], Awaitable[object]]]
) -> Callable[[Notebook, Request], None]:
    """Return what does the same with the sessions that are meant, and says it of each."""

    def work(notebook: Notebook, request: Request) -> None:
        names = _wanted(notebook, request)
        asked = notebook.sessions.each(names, do(notebook))
        sessions = notebook.wait(asked, f"{doing} {', '.join(names)}")
        _say(done, sessions)

    return work


def _say(done: str, sessions: Iterable[Session]) -> None:
    lines = [f"{done} {session.name} ({session.executor.name})." for session in sessions]
    print("\n".join(lines) if lines else "No session is running.")


_ALL = argument("--all", action="store_true", help="every session of this notebook")
_NAME = argument(
    "name", nargs="?", completes="session", metavar="NAME", help="the session (default: the current one)"
)


def _about_each(path: str, about: str, do: Callable[[Notebook, Request], None]) -> Subcommand:
    return Subcommand(
        path=path,
        about=about,
        do=do,
        arguments=(_NAME, _ALL),
        exclusive=(("name", "--all"),),
        examples=(f"%pcm {path}", f"%pcm {path} lab", f"%pcm {path} --all"),
    )


COMMANDS = (
    Subcommand(
        path="start",
        about=_START,
        do=start,
        notes=_SECRETS,
        arguments=(
            argument("name", metavar="NAME", completes="session", help="its name"),
            EXECUTOR,
            argument("--use", action="store_true", help="make it the current session"),
            argument(
                "--build",
                action="store_true",
                help="build the container's image first, if it is missing or made from other code",
            ),
            argument(
                "--sync", action="store_true", help="install every package that the storage records, first"
            ),
            *_start_arguments(),
        ),
        examples=(
            "%pcm start lab -e venv --memory-limit 1g --use",
            "%pcm start locked -e container --network-disabled --deps pandas --deps pyarrow",
        ),
    ),
    Subcommand(
        path="use",
        about="Makes a session the current one. Without NAME it says which that is.",
        do=use,
        arguments=(argument("name", nargs="?", completes="session", metavar="NAME", help="the session"),),
        examples=("%pcm use lab", "%pcm use venv"),
    ),
    Subcommand(
        path="sessions",
        about="Lists this notebook's sessions. * marks the current one; memory is that of their processes.",
        do=sessions,
        arguments=(
            argument("--all", action="store_true", help="those of every process that uses the storage"),
        ),
        examples=("%pcm sessions", "%pcm sessions --all"),
    ),
    Subcommand(
        path="status",
        about="Shows one session: state, memory, time, its last run and its configuration.",
        do=status,
        arguments=(_NAME,),
        examples=("%pcm status", "%pcm status lab"),
    ),
    _about_each(
        "interrupt",
        "Interrupts what a session runs, from another cell or thread. Its variables stay.",
        _each("Interrupted", "Interrupting", lambda notebook: lambda session: session.interrupt()),
    ),
    _about_each(
        "reset",
        "Lets a session forget its variables. Packages and storage stay.",
        _each("Reset", "Resetting", lambda notebook: lambda session: session.reset()),
    ),
    _about_each(
        "restart",
        "Gives a session a fresh place: another process or container with the same settings.",
        _each("Restarted", "Restarting", lambda notebook: notebook.sessions.restart),
    ),
    _about_each(
        "stop",
        "Stops a session and removes what it made. What it saved stays in the storage.",
        _each("Stopped", "Stopping", lambda notebook: notebook.sessions.stop),
    ),
    Subcommand(
        path="probe",
        about="Shows which isolation was measured in a session, beside what was configured.",
        do=probe,
        arguments=(
            SESSION,
            EXECUTOR,
            argument("--all", action="store_true", help="every running session, side by side"),
        ),
        exclusive=(("--session", "--all"),),
        examples=("%pcm probe", "%pcm probe -e venv", "%pcm probe --all"),
    ),
)

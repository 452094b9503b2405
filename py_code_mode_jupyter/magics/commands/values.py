"""Variables and files between the notebook and a session."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ...config import variable_name
from ...display import one_line
from ...errors import ConfigurationError
from ..options import EXECUTOR, SESSION
from ..parser import Subcommand, argument

if TYPE_CHECKING:
    from ..notebook import Notebook
    from ..parser import Request

_PUT = """\
Sets variables of a session to those of the notebook. Plain data, arrays and tables are copied; in-process it
is the very object."""
_GET = """\
Sets variables of the notebook to those of a session. Out of an isolated place come plain data, arrays and
tables, rebuilt without executing anything."""


def put(notebook: Notebook, request: Request) -> None:
    """Set variables of a session to those of the notebook."""
    given = request.given
    names = _renamed(given.names, given.to)
    values = {there: notebook.value(here) for here, there in names.items()}
    session = notebook.obtain(given.session, given.executor)
    for name, value in values.items():
        notebook.wait(session.put(name, value), f"Putting {name}")
    print(f"Set {', '.join(values)} in {session.name}.")


def get(notebook: Notebook, request: Request) -> None:
    """Set variables of the notebook to those of a session."""
    names = _renamed(request.given.names, request.given.to)
    session = notebook.running(request.given.session)
    values = {here: notebook.wait(session.get(there), f"Getting {there}") for there, here in names.items()}
    for name, value in values.items():
        notebook.bind(name, value)
    print(f"Set {', '.join(values)} from {session.name}.")


def _renamed(names: list[str], to: str | None) -> dict[str, str]:
    """Return what each name is to be called on the other side."""
    checked = [variable_name("name", name) for name in names]
    if to is None:
        return {name: name for name in checked}
    if len(checked) > 1:
        problem = f"{len(checked)} variables cannot all be called so."
        raise ConfigurationError("as", to, problem, remedy="Name one variable, or leave --as out.")
    return {checked[0]: variable_name("as", to)}


def upload(notebook: Notebook, request: Request) -> None:
    """Copy a file into a session's working folder."""
    given = request.given
    source = Path(given.path).expanduser()
    to = given.to or source.name
    session = notebook.obtain(given.session, given.executor)
    notebook.wait(session.upload(source, to), f"Copying {source.name}")
    print(f"Copied {source} to {to} in {session.name}.")


def download(notebook: Notebook, request: Request) -> None:
    """Copy a file out of a session's working folder."""
    given = request.given
    target = Path(given.to or PurePosixPath(given.path).name).expanduser()
    if target.is_dir():
        target = target / PurePosixPath(given.path).name
    if target.exists() and not given.overwrite:
        remedy = "Give another TO, or --overwrite."
        raise ConfigurationError("to", str(target), "there is such a file.", remedy=remedy)
    session = notebook.running(given.session)
    notebook.wait(session.download(given.path, target), f"Copying {one_line(given.path)}")
    print(f"Copied {one_line(given.path)} in {session.name} to {target}.")


COMMANDS = (
    Subcommand(
        path="put",
        about=_PUT,
        do=put,
        arguments=(
            argument("names", nargs="+", completes="variable", metavar="NAME", help="a notebook's variable"),
            argument("--as", dest="to", metavar="OTHER", help="what to call it in the session"),
            SESSION,
            EXECUTOR,
        ),
        examples=("%pcm put table -s lab", "%pcm put table --as penguins"),
    ),
    Subcommand(
        path="get",
        about=_GET,
        do=get,
        arguments=(
            argument("names", nargs="+", metavar="NAME", help="a variable of the session"),
            argument("--as", dest="to", completes="variable", metavar="OTHER", help="what to call it here"),
            SESSION,
        ),
        examples=("%pcm get sizes -s lab", "%pcm get sizes --as mean_sizes"),
    ),
    Subcommand(
        path="upload",
        about="Copies a file into a session's working folder.",
        do=upload,
        arguments=(
            argument("path", completes="file", metavar="PATH", help="the file"),
            argument("to", nargs="?", metavar="TO", help="where to, in that folder (default: its name)"),
            SESSION,
            EXECUTOR,
        ),
        examples=("%pcm upload data/penguins.csv -s lab", '%pcm upload "my data.csv" data.csv'),
    ),
    Subcommand(
        path="download",
        about="Copies a file out of a session's working folder.",
        do=download,
        arguments=(
            argument("path", metavar="PATH", help="the file, in the session's working folder"),
            argument(
                "to", nargs="?", completes="file", metavar="TO", help="where to (default: its name, here)"
            ),
            argument("--overwrite", action="store_true", help="replace a file that is there"),
            SESSION,
        ),
        examples=("%pcm download report.html -s lab", "%pcm download out/plot.png plots/"),
    ),
)

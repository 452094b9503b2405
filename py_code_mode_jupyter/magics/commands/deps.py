"""Packages that the storage records, and that sessions install."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.display import display

from ...dependency import parse_dependency
from ...display import Table
from ...errors import DependencyInstallError
from ..options import EXECUTOR, SESSION
from ..parser import Subcommand, argument

if TYPE_CHECKING:
    from ...results import DepsChange
    from ..notebook import Notebook
    from ..parser import Request


def add(notebook: Notebook, request: Request) -> None:
    """Install packages in a session and record them."""
    specs = [str(parse_dependency(spec)) for spec in request.given.specs]
    session = notebook.obtain(request.given.session, request.given.executor)
    for spec in specs:
        _say(session.name, notebook.wait(session.add_dep(spec), f"Installing {spec}"))


def ls(notebook: Notebook, request: Request) -> None:
    """List the packages that the storage records."""
    found = notebook.wait_for(notebook.storage.deps.list, what="Listing packages")
    display(
        Table(headings=("package",), rows=tuple((spec,) for spec in found), empty="No package is recorded.")
    )


def rm(notebook: Notebook, request: Request) -> None:
    """Uninstall packages in a session and forget them."""
    names = [parse_dependency(name).name for name in request.given.names]
    session = notebook.obtain(request.given.session, request.given.executor)
    for name in names:
        _say(session.name, notebook.wait(session.remove_dep(name), f"Removing {name}"))


def sync(notebook: Notebook, request: Request) -> None:
    """Install in a session every package that the storage records."""
    session = notebook.obtain(request.given.session, request.given.executor)
    change = notebook.wait(session.sync_deps(), "Installing packages")
    _say(session.name, change)
    if change.failed:
        failed = ", ".join(change.failed)
        raise DependencyInstallError(failed, f"Not installed: {failed}.", remedy="The kernel's log says why.")


def _say(session: str, change: DepsChange) -> None:
    print(f"{session}: {change}.")


_SPECS = argument(
    "specs", nargs="+", metavar="SPEC", completes="dependency", help="a name with version specifiers"
)

COMMANDS = (
    Subcommand(
        path="deps add",
        about="Installs packages in a session, and records them in the storage.",
        do=add,
        arguments=(_SPECS, SESSION, EXECUTOR),
        examples=("%pcm deps add pandas -s lab", '%pcm deps add "numpy>=2" pyarrow'),
    ),
    Subcommand(
        path="deps ls",
        about="Lists the packages that the storage records.",
        do=ls,
        examples=("%pcm deps ls",),
    ),
    Subcommand(
        path="deps rm",
        about="Uninstalls packages in a session, and forgets them.",
        do=rm,
        arguments=(
            argument("names", nargs="+", metavar="NAME", completes="dependency", help="a package"),
            SESSION,
            EXECUTOR,
        ),
        examples=("%pcm deps rm pandas -s lab",),
    ),
    Subcommand(
        path="deps sync",
        about="Installs in a session every package that the storage records.",
        do=sync,
        arguments=(SESSION, EXECUTOR),
        examples=("%pcm deps sync -e venv",),
    ),
)

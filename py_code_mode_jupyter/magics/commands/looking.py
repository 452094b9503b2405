"""``panel`` and ``doctor``: looking at sessions, storage and the installation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from IPython.display import display

from ...display import Table
from ..parser import Subcommand, argument

if TYPE_CHECKING:
    from ...diagnostics import Finding
    from ..notebook import Notebook
    from ..parser import Request


def panel(notebook: Notebook, request: Request) -> None:
    """Show panels of the sessions and of the storage."""
    from ...widgets import SessionPanel, StoragePanel

    which, panels = request.given.which, notebook.panels
    panels.close()
    if which != "storage":
        notebook.begin()
        sessions = notebook.sessions
        panels.add(
            SessionPanel(
                sessions.all,
                submit=notebook.background.submit,
                storage=notebook.storage,
                stop=sessions.stop,
                restart=sessions.restart,
            )
        )
    if which != "sessions":
        panels.add(StoragePanel(notebook.storage))
    display(*panels)


def doctor(notebook: Notebook, request: Request) -> None:
    """Show what was found."""
    found = notebook.wait(_examine(request.given.docker_host), "Looking")
    rows = tuple(("ok" if f.is_good else "PROBLEM", f.name, f.detail, f.remedy) for f in found)
    display(Table(headings=("", "what", "found", "remedy"), rows=rows, widest=200))


async def _examine(docker_host: str | None) -> list[Finding]:
    from ...diagnostics import examine
    from ...environments.reporting import report

    found: list[Finding] = []
    left = examine(docker_host)
    while (finding := await asyncio.to_thread(next, left, None)) is not None:
        found.append(finding)
        report(finding.name)
    return found


COMMANDS = (
    Subcommand(
        path="panel",
        about="Shows panels of this notebook's sessions and of the storage. They need ipywidgets.",
        do=panel,
        arguments=(
            argument(
                "which",
                nargs="?",
                choices=("sessions", "storage"),
                metavar="WHICH",
                help="sessions or storage (default: both)",
            ),
        ),
        examples=("%pcm panel", "%pcm panel storage"),
    ),
    Subcommand(
        path="doctor",
        about="Says what works here, what does not, and how to mend it.",
        do=doctor,
        arguments=(
            argument(
                "--docker-host", metavar="ADDRESS", help="the container engine (default: the usual one)"
            ),
        ),
        examples=("%pcm doctor",),
    ),
)

"""Workflows of the storage: listed, shown, written, run, removed."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from IPython.display import display

from ...config import variable_name
from ...display import WorkflowView, one_line, workflow_table
from ...errors import ConfigurationError, InvalidWorkflowError, WorkflowConsentError, WorkflowExistsError
from ..asking import may_run
from ..options import (
    EXECUTOR,
    FILE,
    NO_RAISE,
    OUTPUT,
    SESSION,
    TIMEOUT,
    RunOptions,
    count_of,
    text_of,
    timeout_of,
)
from ..parser import Subcommand, argument
from .running import follow

if TYPE_CHECKING:
    from ...workflow import Workflow
    from ..notebook import Notebook
    from ..parser import Request

_NEW = """\
Keeps the lines below it, or a file, as a workflow. They hold one `def run(...)` or `async def run(...)`; its
signature and docstring say how it is called and what it does."""
_RUN = """\
Runs a workflow in a session. One that was written in a more isolated place is shown first, and runs when
you agree."""


def ls(notebook: Notebook, request: Request) -> None:
    """List workflows."""
    limit = count_of("limit", request.given.limit, notebook.settings.rows)
    found = notebook.wait_for(notebook.storage.workflows.list, what="Listing workflows")
    display(workflow_table(found, limit=limit))


def show(notebook: Notebook, request: Request) -> None:
    """Show what is known about a workflow, and its source."""
    display(WorkflowView(notebook.storage.workflows.get(request.given.name)))


def new(notebook: Notebook, request: Request) -> None:
    """Keep a workflow."""
    given = request.given
    source = _source(request)
    try:
        info = notebook.storage.workflows.create(
            given.name, source, description=given.description, overwrite=given.overwrite
        )
    except WorkflowExistsError as error:
        remedy = "Choose another name, or give --overwrite."
        raise ConfigurationError("name", error.name, "there is such a workflow.", remedy=remedy) from None
    except InvalidWorkflowError as error:
        if error.line is None or request.cell is None:
            raise
        # The cell's first line is that of the magic.
        raise InvalidWorkflowError(error.name, error.problem, line=error.line + 1, text=error.text) from None
    print(f"Kept workflow {info.signature}.")


def _source(request: Request) -> str:
    file, cell = request.given.file, request.cell
    if file is not None and not (cell or "").strip():
        return text_of(file)
    if file is not None:
        remedy = "Leave one of them out."
        raise ConfigurationError("file", file, "a file is given, and lines below.", remedy=remedy)
    if cell is None or not cell.strip():
        remedy = "Write `def run(...)` below `%%pcm workflows new NAME`, or name a -f FILE."
        raise ConfigurationError("source", "", "there is none.", remedy=remedy)
    return cell


def run(notebook: Notebook, request: Request) -> None:
    """Run a workflow in a session and show what it shows."""
    given = request.given
    arguments = dict(_argument(text) for text in given.arguments)
    workflow = notebook.storage.workflows.get(given.name)
    session = notebook.obtain(given.session, given.executor)
    place, workflows = session.executor.name, session.storage.workflows
    if workflows is not notebook.storage.workflows:  # it was started before the storage was another
        workflow = workflows.get(given.name)
    options = RunOptions(
        code=_call(workflow, arguments),
        session=given.session,
        executor=given.executor,
        timeout=timeout_of(notebook, request),
        variable=None if given.output is None else variable_name("output", given.output),
        raises=not (given.no_raise or notebook.settings.no_raise) and given.output is None,
    )
    if workflows.needs_consent(given.name, place):
        if not given.yes:
            _ask(workflow, place)
        workflows.approve(given.name, place, sha256=workflow.info.sha256)
    follow(notebook, options)


def _call(workflow: Workflow, arguments: dict[str, Any]) -> str:
    given = "".join(f", {name}={value!r}" for name, value in arguments.items())
    return f"{'await ' if workflow.info.is_async else ''}workflows.invoke({workflow.info.name!r}{given})"


def _argument(text: str) -> tuple[str, Any]:
    """Return name and value of ``NAME=VALUE``: a literal of Python, or else text."""
    name, equals, value = text.partition("=")
    if not equals:
        remedy = "Write e.g. days=3 or city=Oslo."
        raise ConfigurationError("argument", text, "not NAME=VALUE.", remedy=remedy)
    try:
        return variable_name("argument", name), ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return variable_name("argument", name), value


def _ask(workflow: Workflow, place: str) -> None:
    """Show a workflow that isolated code wrote, and ask whether it may run here.

    Raises
    ------
    WorkflowConsentError
        The answer was no, or nobody can answer.
    """
    info, name = workflow.info, one_line(workflow.info.name)
    what = f"Workflow {name} was written in a place of kind {info.origin}, more isolated than {place}:"
    if not may_run(what, workflow.source, place):
        refused = WorkflowConsentError(info.name, origin=info.origin, place=place, sha256=info.sha256)
        read = f"Read it with `%pcm workflows show {name}`, and give --yes"
        refused.remedy = f"{read}; or run it with -e {info.origin}."
        raise refused


def rm(notebook: Notebook, request: Request) -> None:
    """Delete workflows, all of them or none if a name is wrong."""
    workflows = notebook.storage.workflows
    names = dict.fromkeys(request.given.names)
    for name in names:
        if not workflows.exists(name):
            workflows.get(name)  # raises, and says what there is
    for name in names:
        workflows.delete(name)
        print(f"Deleted {one_line(name)}.")


def search(notebook: Notebook, request: Request) -> None:
    """List the workflows that fit a question, the best first."""
    limit = count_of("limit", request.given.limit, notebook.settings.rows)
    query = " ".join(request.given.query)

    def look() -> Any:
        return notebook.storage.workflows.search(query, limit=limit)

    display(workflow_table(notebook.wait_for(look, what="Searching"), limit=limit))


_NAME = argument("name", completes="workflow", metavar="NAME", help="the workflow")
_LIMIT = argument("-n", "--limit", metavar="NUMBER", help="how many (default: %%config PcmMagics.rows)")

COMMANDS = (
    Subcommand(
        path="workflows ls",
        about="Lists workflows by name.",
        do=ls,
        arguments=(_LIMIT,),
        examples=("%pcm workflows ls",),
    ),
    Subcommand(
        path="workflows show",
        about="Shows what is known about a workflow, and its source.",
        do=show,
        arguments=(_NAME,),
        examples=("%pcm workflows show forecast",),
    ),
    Subcommand(
        path="workflows new",
        about=_NEW,
        do=new,
        takes_cell=True,
        arguments=(
            _NAME,
            argument("-d", "--description", default="", metavar="TEXT", help="what it is for"),
            argument("--overwrite", action="store_true", help="replace a workflow of this name"),
            FILE,
        ),
        examples=("%%pcm workflows new forecast", "%pcm workflows new forecast -f forecast.py"),
    ),
    Subcommand(
        path="workflows run",
        about=_RUN,
        do=run,
        arguments=(
            _NAME,
            argument(
                "arguments",
                nargs="*",
                completes="parameter",
                metavar="NAME=VALUE",
                help="what `run` is called with",
            ),
            SESSION,
            EXECUTOR,
            TIMEOUT,
            OUTPUT,
            NO_RAISE,
            argument("--yes", action="store_true", help="agree, without being asked"),
        ),
        examples=("%pcm workflows run forecast city=Oslo days=3", "%pcm workflows run report -s lab --yes"),
    ),
    Subcommand(
        path="workflows rm",
        about="Deletes workflows.",
        do=rm,
        arguments=(argument("names", nargs="+", completes="workflow", metavar="NAME", help="a workflow"),),
        examples=("%pcm workflows rm forecast",),
    ),
    Subcommand(
        path="workflows search",
        about="Lists the workflows that fit a question, the best first.",
        do=search,
        arguments=(
            argument("query", nargs="+", metavar="WORD", help="what is looked for"),
            _LIMIT,
        ),
        examples=("%pcm workflows search weather of the next days",),
    ),
)

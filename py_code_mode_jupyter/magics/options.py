"""What running code was told, checked once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ..config import seconds, variable_name
from ..errors import ConfigurationError
from .names import known_executor
from .parser import argument

if TYPE_CHECKING:
    from .notebook import Notebook
    from .parser import Request

SESSION = argument(
    "-s", "--session", completes="session", metavar="NAME", help="the session (default: the current one)"
)
EXECUTOR = argument(
    "-e",
    "--executor",
    completes="executor",
    metavar="EXECUTOR",
    help="where it runs: in-process, venv or container",
)
TIMEOUT = argument(
    "-t",
    "--timeout",
    metavar="SECONDS",
    help="seconds it may take, or inf (default: %%config PcmMagics.timeout, else the session's own limit)",
)
VARIABLES = argument(
    "--var",
    completes="variable",
    action="append",
    default=[],
    metavar="NAME",
    help="hand this variable of the notebook in; may be given again",
)
FILE = argument("-f", "--file", completes="file", metavar="FILE", help="run this file instead")
OUTPUT = argument(
    "-o",
    "--output",
    completes="variable",
    metavar="VAR",
    help="bind the ExecutionResult to this variable; a failed run does not end the cell then",
)
NO_RAISE = argument("--no-raise", action="store_true", help="let the notebook go on if the run fails")
_LARGEST_FILE = 2**24


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """What ``run`` was told, checked.

    Attributes
    ----------
    code
        The code.
    session, executor
        As written; None: not given.
    timeout
        Seconds; None: the executor's default.
    variable
        The name to bind the result to; None: none.
    raises
        Whether a failed run ends the cell.
    variables
        Variables of the notebook to set before it runs.
    streams
        Whether outputs appear while it runs.
    is_fresh
        Whether the session forgets its variables first.
    heading
        What stands above the code where the user sees it.
    """

    code: str
    heading: str = ""
    session: str | None = None
    executor: str | None = None
    timeout: float | None = None
    variable: str | None = None
    raises: bool = True
    variables: Mapping[str, Any] = field(default_factory=dict)
    streams: bool = True
    is_fresh: bool = False


def run_options(notebook: Notebook, request: Request) -> RunOptions:
    """Check the arguments of ``run``.

    Raises
    ------
    ConfigurationError
        A value cannot be used, or there is no code.
    """
    given = request.given
    return RunOptions(
        code=code_of(request, "run"),
        heading=heading_of(request),
        session=given.session,
        executor=None if given.executor is None else known_executor(given.executor),
        timeout=timeout_of(notebook, request),
        variable=None if given.output is None else variable_name("output", given.output),
        raises=not (given.no_raise or notebook.settings.no_raise) and given.output is None,
        variables=variables_of(notebook, request),
        streams=given.stream,
        is_fresh=given.fresh,
    )


def variables_of(notebook: Notebook, request: Request) -> dict[str, Any]:
    """Return the notebook's variables that ``--var`` names."""
    return {variable_name("var", name): notebook.value(name) for name in request.given.var}


def timeout_of(notebook: Notebook, request: Request) -> float | None:
    """Return the seconds that ``-t`` says, or the configured ones; None: the executor's default."""
    text = request.given.timeout
    if text is None:
        default: float | None = notebook.settings.timeout
        return default
    try:
        value = math.inf if text == "inf" else float(text)
    except ValueError:
        remedy = "Give e.g. -t 30, or -t inf for no limit."
        raise ConfigurationError("timeout", text, "not a number of seconds.", remedy=remedy) from None
    return seconds("timeout", value)


def code_of(request: Request, name: str) -> str:
    """Return the code that stands on the line, below it, or in the file that is named.

    Raises
    ------
    ConfigurationError
        It stands nowhere, or in two places.
    """
    file = request.given.file
    if file is not None:
        if request.code or (request.cell or "").strip():
            problem = "a file is given, and code besides."
            raise ConfigurationError("file", file, problem, remedy="Leave one of them out.")
        return text_of(file)
    if request.cell is None:
        if not request.code:
            remedy = f"Write it behind the options, or below %%pcm {name}, or name a -f FILE."
            raise ConfigurationError("code", "", "there is nothing to run.", remedy=remedy)
        return request.code
    if request.code:
        remedy = "Write all of it below; options begin with '-'."
        raise ConfigurationError("code", request.code, f"stands on the line of %%pcm {name}.", remedy=remedy)
    if not request.cell.strip():
        remedy = f"Write it below the line of %%pcm {name}."
        raise ConfigurationError("code", "", "there is nothing to run.", remedy=remedy)
    return request.cell


def heading_of(request: Request) -> str:
    """Return the line that stands above the code where the user sees it; empty if none does."""
    return f"%%pcm {request.line}" if request.cell is not None and request.given.file is None else ""


def text_of(file: str) -> str:
    """Return the text of a file; raises `ConfigurationError` where there is none."""
    path = Path(file).expanduser()
    if path.suffix == ".ipynb":
        remedy = "Make a script of it first: jupyter nbconvert --to script."
        raise ConfigurationError("file", file, "a notebook is no Python file.", remedy=remedy)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigurationError("file", file, "too large for code.", remedy="Import it as a module.")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        problem = f"cannot be read: {reason}."
        raise ConfigurationError("file", file, problem, remedy="Give a Python file.") from None


def count_of(name: str, text: str | None, default: int) -> int:
    """Return the whole number above zero that an option says."""
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:9]):
        raise ConfigurationError(name, text, "not a whole number above zero.", remedy="Give e.g. 20.")
    return int(text[:9])

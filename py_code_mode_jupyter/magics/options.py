"""What ``%pcm run`` was told, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from ..config import seconds, variable_name
from ..errors import ConfigurationError
from .sessions import known_executor

if TYPE_CHECKING:
    from .parser import Command


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
    """

    code: str
    session: str | None
    executor: str | None
    timeout: float | None
    variable: str | None
    raises: bool


def run_options(command: Command, line: str, cell: str | None) -> RunOptions:
    """Check the arguments of ``run``.

    Parameters
    ----------
    command
        The line, taken apart.
    line
        The line.
    cell
        The lines below it; None for a line magic.

    Raises
    ------
    ConfigurationError
        A value cannot be used, or there is no code.
    """
    given = command.arguments
    return RunOptions(
        code=_code(command.code, line, cell),
        session=given.session,
        executor=None if given.executor is None else known_executor(given.executor),
        timeout=None if given.timeout is None else _timeout(given.timeout),
        variable=None if given.output is None else variable_name("output", given.output),
        raises=not given.no_raise and given.output is None,
    )


def _code(code: str, line: str, cell: str | None) -> str:
    if cell is None:
        if not code:
            remedy = "Write it behind the options, or below %%pcm run."
            raise ConfigurationError("code", "", "there is nothing to run.", remedy=remedy)
        return code
    if code:
        remedy = "Write all of it below; options begin with '-'."
        raise ConfigurationError("code", code, "stands on the line of %%pcm run.", remedy=remedy)
    if not cell.strip():
        remedy = "Write it below the line of %%pcm run."
        raise ConfigurationError("code", "", "there is nothing to run.", remedy=remedy)
    return _numbered_as_typed(line, cell)


def _numbered_as_typed(line: str, cell: str) -> str:
    """Put a line where ``%%pcm`` stood, so that line numbers are those that the user sees."""
    body = cell.lstrip()
    if body.startswith("%%"):  # a cell magic has to come first
        return cell
    first = cell[: len(cell) - len(body)].rpartition("\n")[2]
    return f"{first}# %%pcm {line}\n{cell}"


def _timeout(text: str) -> float:
    try:
        value = math.inf if text == "inf" else float(text)
    except ValueError:
        remedy = "Give e.g. -t 30, or -t inf for no limit."
        raise ConfigurationError("timeout", text, "not a number of seconds.", remedy=remedy) from None
    return seconds("timeout", value)

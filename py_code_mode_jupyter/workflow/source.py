"""Reads a workflow's source: its ``run``, what that takes, and what it says about itself.

The source may be hostile. It is parsed and never compiled: the compiler can be made to work without
end by a small source (a ``finally`` in a ``finally`` doubles its code each time). What the parser
takes for `MAX_SOURCE` bytes, and how it refuses depth, was measured with every kind of nesting.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, final

from ..errors import InvalidWorkflowError
from .info import KINDS, MAX_DESCRIPTION, WorkflowParameter

MAX_SOURCE = 2**16
"""Bytes of a source in UTF-8."""
MAX_PARAMETERS = 64
FILE = "<workflow "
"""How the names begin that tracebacks give to the files of workflows."""
MAX_SHOWN = 200
"""Characters of an annotation or a default that are kept."""

# Control characters (a terminal would obey them), and those that order text otherwise than it is read.
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a source says.

    Attributes
    ----------
    description
        The docstring of ``run``, else the source's own, perhaps cut.
    parameters
        What ``run`` takes.
    is_async
        Whether ``run`` is a coroutine function.
    """

    description: str
    parameters: tuple[WorkflowParameter, ...]
    is_async: bool


def visible(text: str) -> str:
    """Return `text` with a mark in place of each character that nobody sees, or that is half a one."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def file_name(name: str) -> str:
    """Return what tracebacks and warnings name as the file of a workflow."""
    return f"{FILE}{name}>"


def read_source(name: str, source: object) -> Reading:
    """Return what the source of workflow `name` says, without running any of it.

    Raises
    ------
    InvalidWorkflowError
        It is too large, no Python, or has not one ``run`` that can be called by parameters' names.
    """
    text = _text(name, source)
    lines = _LINE_END.split(text)
    module = _parse(name, text, lines)
    run = _the_run(name, module, lines)
    doc = ast.get_docstring(run) or ast.get_docstring(module) or ""
    return Reading(
        description=visible(doc[:MAX_DESCRIPTION]),
        parameters=tuple(_parameters(name, run, lines)),
        is_async=isinstance(run, ast.AsyncFunctionDef),
    )


def _text(name: str, source: object) -> str:
    if not isinstance(source, str):
        raise InvalidWorkflowError(name, "its source is not text")
    try:
        size = len(source.encode()) if len(source) <= MAX_SOURCE else len(source)
    except UnicodeEncodeError:
        raise InvalidWorkflowError(name, "its source holds half a character") from None
    if size > MAX_SOURCE:
        raise InvalidWorkflowError(name, f"its source is larger than {MAX_SOURCE // 1024} KiB")
    if unseen := _UNSEEN.search(source):
        line = len(_LINE_END.findall(source, 0, unseen.start())) + 1
        problem = (
            f"its source holds a character that nobody sees, U+{ord(unseen[0]):04X}; write it as an escape"
        )
        raise InvalidWorkflowError(name, problem, line=line)
    return source


def _parse(name: str, source: str, lines: list[str]) -> ast.Module:
    silence_warnings()
    try:
        return ast.parse(source, file_name(name))
    except SyntaxError as error:
        # Some messages quote the source at any length, or its characters.
        problem = "".join(c for c in error.msg[:MAX_SHOWN] if c.isprintable())
        raise _at(name, problem or "invalid syntax", error.lineno, lines) from None
    except (MemoryError, RecursionError, OverflowError, ValueError):
        raise InvalidWorkflowError(name, "its source is nested too deep for Python") from None


def silence_warnings() -> None:
    """Keep what Python warns about in workflows off the host's own error stream, which it would fill."""
    # A filter for their names alone, because setting filters for a moment would affect other threads.
    if _WARNED not in warnings.filters:
        warnings.filterwarnings("ignore", module=_WARNED[3].pattern)


_WARNED = ("ignore", None, Warning, re.compile(FILE), 0)
"""As `warnings` keeps the filter."""


def _the_run(name: str, module: ast.Module, lines: list[str]) -> _Function:
    found = [node for node in module.body if isinstance(node, _Function) and node.name == "run"]
    if not found:
        raise InvalidWorkflowError(
            name, "its source has no function run at the top, such as 'def run(city, days=3)'"
        )
    others = [line for line in _bindings(module, "run") if line != found[0].lineno]
    if len(found) > 1 or others:
        where = found[1].lineno if len(found) > 1 else others[0]
        raise _at(name, "its source gives the name run more than once", where, lines)
    return found[0]


def _bindings(module: ast.Module, name: str) -> Iterator[int]:
    """Yield the lines at which the module itself, and not a function in it, binds `name`."""
    waiting: list[ast.AST] = list(module.body)
    while waiting:
        node = waiting.pop()
        if _binds(node, name):
            yield getattr(node, "lineno", 1)
        if not isinstance(node, _SCOPES):
            waiting.extend(ast.iter_child_nodes(node))


def _binds(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Name):
        return node.id == name and not isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return any((alias.asname or alias.name.partition(".")[0]) == name for alias in node.names)
    return isinstance(node, _Function | ast.ClassDef) and node.name == name


def _parameters(name: str, run: _Function, lines: list[str]) -> Iterator[WorkflowParameter]:
    arguments = run.args
    if arguments.posonlyargs or arguments.vararg:
        problem = "run takes parameters that have no name to give them by (before a '/', or '*args')"
        raise _at(name, problem, run.lineno, lines)
    if len(arguments.args) + len(arguments.kwonlyargs) > MAX_PARAMETERS:
        raise _at(name, f"run takes more than {MAX_PARAMETERS} parameters", run.lineno, lines)
    required = len(arguments.args) - len(arguments.defaults)
    defaults = [*[None] * required, *arguments.defaults, *arguments.kw_defaults]
    kinds = [KINDS[0]] * len(arguments.args) + [KINDS[1]] * len(arguments.kwonlyargs)
    for argument, default, kind in zip(
        [*arguments.args, *arguments.kwonlyargs], defaults, kinds, strict=True
    ):
        yield WorkflowParameter(
            name=argument.arg,
            annotation=_segment(argument.annotation, lines) or "",
            default=_segment(default, lines),
            kind=kind,
        )
    if arguments.kwarg:
        annotation = _segment(arguments.kwarg.annotation, lines) or ""
        yield WorkflowParameter(name=arguments.kwarg.arg, annotation=annotation, kind=KINDS[2])


def _segment(node: ast.expr | None, lines: list[str]) -> str | None:
    """Return the beginning of an expression as it is written, on one line."""
    if node is None:
        return None
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    # An expression of many lines is cut long before its end.
    last = min(node.end_lineno, node.lineno + MAX_SHOWN)
    parts = [line.encode() for line in lines[node.lineno - 1 : last]]
    if last == node.end_lineno:
        parts[-1] = parts[-1][: node.end_col_offset]
    parts[0] = parts[0][node.col_offset :]
    text = " ".join(b" ".join(parts).decode("utf-8", "replace").split())
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _at(name: str, problem: str, line: int | None, lines: list[str]) -> InvalidWorkflowError:
    text = lines[line - 1] if line is not None and 0 < line <= len(lines) else ""
    return InvalidWorkflowError(name, problem, line=line, text=text)

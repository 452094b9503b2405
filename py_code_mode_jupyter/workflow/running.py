"""Runs a workflow where it is called: with that place's namespaces, and lines that tracebacks can show."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import inspect
import io
import linecache
import sys
import types
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InvalidWorkflowError
from .source import file_name, silence_warnings

if TYPE_CHECKING:
    from .info import Workflow

MAX_DEPTH = 100
"""Workflows that may be calling each other at a time, so that a circle ends before Python's own limit."""
_callers: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("callers", default=())


def compile_source(name: str, source: str) -> types.CodeType:
    """Return the code of a workflow. Only where its source came from does anybody compile it.

    Raises
    ------
    InvalidWorkflowError
        It is no Python; the message quotes the line to blame.
    """
    return _compile(name, source, hashlib.sha256(source.encode()).digest())


# Sources are short and calls may be many; the digest keeps the cache from comparing sources.
@functools.lru_cache(maxsize=64)
def _compile(name: str, source: str, _digest: bytes) -> types.CodeType:
    silence_warnings()
    try:
        return compile(source, file_name(name), "exec", dont_inherit=True)
    except SyntaxError as error:
        text = error.text or ""
        raise InvalidWorkflowError(name, error.msg, line=error.lineno, text=text) from None
    except (MemoryError, RecursionError, OverflowError, ValueError):
        raise InvalidWorkflowError(name, "its source is nested too deep for Python") from None


def call(
    workflow: Workflow, args: tuple[Any, ...], kwargs: Mapping[str, Any], namespaces: Mapping[str, Any]
) -> Any:
    """Call a workflow's ``run`` in a module of its own, and return what it returns.

    Parameters
    ----------
    workflow
        What to run.
    args, kwargs
        Arguments of ``run``.
    namespaces
        What it sees beside Python's own: ``artifacts`` and the like.

    Raises
    ------
    InvalidWorkflowError
        It cannot be compiled, or leaves no function ``run``.
    RecursionError
        Too many workflows call each other.
    """
    __tracebackhide__ = True
    name = workflow.info.name
    callers = _callers.get()
    if len(callers) >= MAX_DEPTH:
        raise RecursionError(
            f"More than {MAX_DEPTH} workflows call each other: {' > '.join(callers[-4:])} > {name}."
        )
    code = compile_source(name, workflow.source)
    _keep_lines(name, workflow.source)
    module = types.ModuleType(f"workflow:{name}", workflow.info.description)
    module.__dict__.update(namespaces)
    module.__file__ = file_name(name)
    with contextlib.ExitStack() as afterwards:
        afterwards.callback(_enter(module))
        token = _callers.set((*callers, name))
        try:
            exec(code, module.__dict__)  # noqa: S102 - running code is the purpose
            result = _run_of(module, name)(*args, **kwargs)
        finally:
            _callers.reset(token)
        if inspect.iscoroutine(result):
            # It goes on until it ends, or until nobody can await it any more.
            leave = afterwards.pop_all().close
            weakref.finalize(result, leave).atexit = False
        return result


def _run_of(module: types.ModuleType, name: str) -> Any:
    run = module.__dict__.get("run")
    if not callable(run):
        raise InvalidWorkflowError(name, "running its source leaves no function run")
    if isinstance(run, types.FunctionType):
        run.__qualname__ = f"workflows.{name}"  # what Python calls it when arguments do not fit
    return run


def _keep_lines(name: str, source: str) -> None:
    """Let tracebacks show the lines of a file that is nowhere."""
    lines = io.StringIO(source, newline=None).readlines()
    linecache.cache[file_name(name)] = (len(source), None, lines, file_name(name))


def _enter(module: types.ModuleType) -> functools.partial[None]:
    """Make a module known while it runs, as dataclasses and pickle expect, and return what ends that."""
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    return functools.partial(_leave, module, before)


def _leave(module: types.ModuleType, before: types.ModuleType | None) -> None:
    if sys.modules.get(module.__name__) is not module:
        return  # another call of the same workflow has begun meanwhile, and ends it
    if before is None:
        del sys.modules[module.__name__]
    else:
        sys.modules[module.__name__] = before

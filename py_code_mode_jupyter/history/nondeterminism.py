"""Why a run cannot be trusted to do the same again, read from its code and never by running it.

It is a reading, not a proof. What it finds is there; that it finds nothing does not mean that there is
nothing. So it names what it cannot look into: other modules than well-known ones, code made of text,
and magics.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterable, Iterator
from typing import final

from .catalogue import BUILTINS, CALLS, KNOWN, MAGICS, MAKERS, METHODS, MODULES, SAFE, SEEDS, USUAL_NAMES

_TOO_DEEP = "unknown: its code is nested too deeply to be read"
_UNREADABLE = "unknown: its code cannot be read as Python"
_SCOPES = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
_NOT_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)
_UNORDERED = "order: a set of texts comes in another order in every process"
_INDIFFERENT = frozenset({"sorted", "len", "sum", "min", "max", "any", "all", "set", "frozenset"})


def nondeterminism(code: str) -> tuple[str, ...]:
    """Return why a run of `code` may not do the same again, each reason with its kind in front.

    The kinds: ``time``, ``random`` (without a seed), ``network``, ``files``, ``input``, ``uuid``,
    ``subprocess``, ``environment``, ``storage``, ``threads``, ``order``, and ``unknown`` for what
    reading cannot tell.

    Parameters
    ----------
    code
        A cell, magics and all.
    """
    return Reader().read(code)


@final
class Reader:
    """Reads the runs of one session in order, and remembers what they imported, seeded and made."""

    def __init__(self) -> None:
        self._names: dict[str, str] = dict(USUAL_NAMES)  # what a name stands for, dotted
        self._seeded: set[str] = set()
        self._tainted: dict[str, str] = {}  # names that hold, or do, something that may differ, and why

    def read(self, code: str, *, assigns: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the reasons of one run, as `nondeterminism` does.

        Parameters
        ----------
        assigns
            Names that it sets in a way that is not known.
        """
        for name in assigns:
            self._tainted[name] = "unknown: it was handed in, and is not kept"
        tree = _parsed(code)
        if tree is None:
            return (_UNREADABLE,)
        reasons: list[str] = []
        for statement in tree.body:
            try:
                found = [*self._visit(statement)]
                self._remember(statement, found)
            except RecursionError:
                found = [_TOO_DEEP]
            if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                reasons += found  # what is only defined does nothing yet
        return tuple(dict.fromkeys(reasons))

    def _remember(self, statement: ast.stmt, reasons: list[str]) -> None:
        """Note what a statement sets and changes, and whether that may differ."""
        if isinstance(statement, ast.Import | ast.ImportFrom):
            return
        for name in _set_by(statement):
            self._tainted.pop(name, None)
            self._names[name] = ""
        if reasons:
            changed = (name for name in _changed_by(statement) if not self._names.get(name, name))
            self._tainted |= dict.fromkeys({*_set_by(statement), *changed}, reasons[0])

    # One statement

    def _visit(self, node: ast.AST) -> Iterator[str]:
        """Yield the reasons in a node and all below it."""
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from self._imported(node)
        elif isinstance(node, ast.Call):
            yield from self._called(node)
        elif isinstance(node, ast.Attribute | ast.Name):
            yield from self._named(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from self._inside(node)
        elif isinstance(node, ast.Compare):
            yield from self._visit(node.left)
            yield from self._visit_indifferent(node.comparators)
        else:
            if isinstance(node, ast.Set | ast.SetComp) and _may_hold_text(node):
                yield _UNORDERED
            yield from self._visit_all(ast.iter_child_nodes(node))

    def _visit_all(self, nodes: Iterable[ast.AST]) -> Iterator[str]:
        for node in nodes:
            yield from self._visit(node)

    def _visit_indifferent(self, nodes: Iterable[ast.AST]) -> Iterator[str]:
        """Visit what is used in a way for which the order of a set does not matter."""
        for node in nodes:
            yield from (reason for reason in self._visit(node) if reason != _UNORDERED)

    def _inside(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
        """Visit a function, whose parameters and variables hide what is outside."""
        outside = self._names, self._tainted
        own = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        body = node.body if isinstance(node.body, list) else [node.body]
        own = own.union(*map(_set_by, (part for part in body if isinstance(part, ast.stmt))))
        self._names = {**self._names, **dict.fromkeys(own, "")}
        self._tainted = {name: why for name, why in self._tainted.items() if name not in own}
        yield from self._visit_all(ast.iter_child_nodes(node))
        self._names, self._tainted = outside

    def _imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        for module, name, meaning in _imports(node):
            self._names[name] = meaning
            self._tainted.pop(name, None)
            head = module.partition(".")[0]
            if head not in KNOWN and not _kind_of(f"{module}.*"):
                yield f"unknown: what {module[:60]} does is not looked into"

    def _called(self, node: ast.Call) -> Iterator[str]:
        target = self._dotted(node.func)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if (magic := _magic(node)) is not None:
            yield from filter(None, (magic,))
        elif target in SEEDS and arguments:
            self._seeded.add(SEEDS[target])
        elif target in BUILTINS:
            yield f"{BUILTINS[target]}: {target}()"
        elif target in ("set", "frozenset") and arguments:
            yield _UNORDERED
        elif not (target in MAKERS and arguments):
            yield from self._visit(node.func)
            if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and not _kind_of(target):
                yield f"{METHODS[node.func.attr]}: .{node.func.attr}()"
        visit = self._visit_indifferent if target in _INDIFFERENT else self._visit_all
        yield from visit(arguments)

    def _named(self, node: ast.Attribute | ast.Name) -> Iterator[str]:
        base = _base(node)
        if not isinstance(base, ast.Name):
            yield from self._visit(base)
        elif isinstance(base.ctx, ast.Load) and base.id in self._tainted:
            kind, _, what = self._tainted[base.id].partition(": ")
            yield f"{kind}: {base.id} ({_innermost(what)})"
        elif isinstance(base.ctx, ast.Load):
            target = self._dotted(node)
            kind = _kind_of(target)
            if kind and not (kind == "random" and self._is_seeded(target)):
                yield f"{kind}: {target}"

    def _is_seeded(self, target: str) -> bool:
        return any(target.startswith(f"{generator}.") for generator in self._seeded)

    def _dotted(self, node: ast.expr) -> str:
        """Return what an expression names, with aliases resolved; empty if that is not known."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        named = self._names.get(node.id, node.id)
        return ".".join([named, *parts]) if named else ""


def _parsed(code: str) -> ast.Module | None:
    """Return a cell's syntax tree, its magics turned into calls as IPython does it; None if it has none."""
    with contextlib.suppress(*_NOT_PYTHON):
        return ast.parse(code)
    from IPython.core.inputtransformer2 import TransformerManager

    with contextlib.suppress(*_NOT_PYTHON):
        return ast.parse(TransformerManager().transform_cell(code))
    return None


def _magic(node: ast.Call) -> str | None:
    """Return the reason that a call of a magic is, empty for a harmless one; None if it is none."""
    function = node.func
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Call):
        return None
    if function.attr in ("system", "getoutput"):
        return "subprocess: a shell command"
    name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    if function.attr not in ("run_line_magic", "run_cell_magic") or not isinstance(name, str):
        return None
    name = name[:40]
    kind = MAGICS.get(name, "unknown")
    return f"{kind}: the magic %{name}" if kind else ""


def _kind_of(target: str) -> str:
    """Return the kind of what a dotted name stands for: its own, or that of a module it is in."""
    if not target or target in SAFE:
        return ""
    parts = target.split(".")
    above = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    kinds = (CALLS.get(name) or (MODULES.get(name) if name != target else None) for name in above)
    return next(filter(None, kinds), "")


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str, str]]:
    """Yield the module, the name that is set, and what that name stands for."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module, alias.asname or alias.name, f"{module}.{alias.name}"
        else:
            head = alias.name.partition(".")[0]
            yield alias.name, alias.asname or head, alias.name if alias.asname else head


def _base(node: ast.expr) -> ast.expr:
    """Return what an attribute, of an attribute, ... is of."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def _innermost(what: str) -> str:
    return what.rpartition("(")[2].rstrip(")") or what


def _may_hold_text(node: ast.Set | ast.SetComp) -> bool:
    """Whether a set may hold texts, whose hashes differ between processes; those of numbers do not."""
    if isinstance(node, ast.SetComp):
        return True
    return not all(isinstance(item, ast.Constant) and not isinstance(item.value, str) for item in node.elts)


def _set_by(statement: ast.stmt) -> set[str]:
    """Return the names that a statement gives something new to stand for."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    names = (node for node in _in_scope(statement) if isinstance(node, ast.Name))
    return {node.id for node in names if isinstance(node.ctx, ast.Store)}


def _in_scope(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all below it whose names are not those of a scope of their own."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _SCOPES):
            yield from _in_scope(child)


def _changed_by(statement: ast.stmt) -> set[str]:
    """Return the names whose objects a statement may change, as do ``x[0] = ...`` and ``x.append()``."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return set()
    found: set[str] = set()
    for node in ast.walk(statement):
        place: ast.expr | None = None
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            place = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            place = node.func.value
        while isinstance(place, ast.Subscript | ast.Attribute):
            place = place.value
        if isinstance(place, ast.Name):
            found.add(place.id)
    return found

"""Completion of what is typed behind ``%pcm``, through IPython's matchers (API version 2)."""

from __future__ import annotations

import argparse
import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from ..errors import CodeModeError
from .names import EXECUTORS
from .parser import Grammar, Parser, split

if TYPE_CHECKING:
    from .notebook import Notebook

_MAGIC = re.compile(r"^\s*(?:[\w, ]+=\s*)?%{1,2}pcm(?:\s+|$)")
_MOST = 500
_PLAIN = re.compile(r"[\w.:/@~+<>=!-]+")
_PRIORITY = 200.0
"""Before all of IPython's own, which take a subcommand for a Python name."""


def _artifacts(notebook: Notebook, words: Sequence[str]) -> Iterable[str]:
    return (info.name for info in notebook.storage.artifacts.list())


def _recorded(notebook: Notebook, words: Sequence[str]) -> Iterable[str]:
    return dict.fromkeys((*notebook.sessions.names, *(s.name for s in notebook.storage.runs.sessions())))


def _workflows(notebook: Notebook, words: Sequence[str]) -> Iterable[str]:
    return (info.name for info in notebook.storage.workflows.list())


def _variables(notebook: Notebook, words: Sequence[str]) -> Iterable[str]:
    return notebook.names


def _executors(notebook: Notebook, words: Sequence[str]) -> Iterable[str]:
    return EXECUTORS


def _sessions(notebook: Notebook, words: Sequence[str]) -> Iterable[str]:
    return notebook.sessions.known


def _dependencies(notebook: Notebook, words: Sequence[str]) -> Iterable[str]:
    return notebook.storage.deps.list()


def _parameters(notebook: Notebook, words: Sequence[str]) -> Iterable[str]:
    """Return ``name=`` for what the workflow takes that was named before."""
    name = next((word for word in words if not word.startswith("-")), "")
    given = {word.partition("=")[0] for word in words}
    parameters = notebook.storage.workflows.get(name).info.parameters
    return (f"{each.name}=" for each in parameters if each.name not in given and "**" not in str(each))


Source = Callable[["Notebook", Sequence[str]], Iterable[str]]
"""Returns names, given the words between the subcommand and the cursor."""
SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "session": _sessions,
        "executor": _executors,
        "artifact": _artifacts,
        "workflow": _workflows,
        "parameter": _parameters,
        "recorded": _recorded,
        "variable": _variables,
        "dependency": _dependencies,
    }
)
"""What completes an argument. ``file`` is not among them: it depends on what is typed."""


@final
class Matcher:
    """Completes subcommands, options, choices, and names of sessions, artifacts and the like.

    Parameters
    ----------
    notebook
        Whose names.
    grammar
        What may be typed.
    """

    def __init__(self, notebook: Notebook, grammar: Grammar) -> None:
        self._notebook = notebook
        self._grammar = grammar
        # The decorator writes attributes, which a bound method does not take.
        self._match = context_matcher(identifier="pcm", priority=_PRIORITY)(
            lambda context: self.match(context)
        )

    def register(self, shell: Any) -> None:
        """Complete in this shell from now on."""
        completer = getattr(shell, "Completer", None)
        if completer is not None:
            completer.custom_matchers.append(self._match)

    def unregister(self, shell: Any) -> None:
        """Complete no longer."""
        completer = getattr(shell, "Completer", None)
        if completer is not None and self._match in completer.custom_matchers:
            completer.custom_matchers.remove(self._match)

    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """Return what may stand where the cursor is; nothing outside of ``%pcm`` and inside of code."""
        text = context.text_until_cursor
        magic = _MAGIC.match(text)
        if magic is None or (text[magic.start() :].lstrip().startswith("%%") and context.cursor_line > 0):
            return SimpleMatcherResult(completions=[], suppress=False)
        typed = text[magic.end() :]
        found = self.candidates(typed) if text[magic.end() - 1 : magic.end()].isspace() else []
        fragment = _fragment(typed)
        # IPython replaces its own token, which may begin later than our word does: behind a quote or a "=".
        keep = max(0, len(fragment) - len(context.token)) if fragment.endswith(context.token) else 0
        completions = [SimpleCompletion(text=word[keep:], type="param") for word in found]
        return SimpleMatcherResult(completions=completions, suppress=bool(found), ordered=True)

    def candidates(self, typed: str) -> list[str]:
        """Return what the last word of `typed`, the text behind ``%pcm``, may become; quoted where needed."""
        fragment = _fragment(typed)
        quote = fragment[:1] if fragment[:1] in ("'", '"') else ""
        before = split(typed[: len(typed) - len(fragment)])
        option, equals, value = fragment.partition("=")
        if equals and option.startswith("--"):
            found = _beginning(self._after([*before, option], value), value.strip("'\""), value[:1])
            return [f"{option}={word}" for word in found]
        part = fragment.strip("'\"")
        return _beginning(self._after(before, part), part, quote)

    def _after(self, words: Sequence[str], part: str) -> list[str]:
        words = [*words]
        while words and words[0] == "--debug":
            del words[0]
        if not words:
            return [*self._grammar.whole.options] if part.startswith("-") else self._grammar.words
        first = words.pop(0)
        below = self._grammar.below(first)
        if below and not words:
            return below
        path = f"{first} {words.pop(0)}" if below else first
        if path not in self._grammar.subcommands:
            return []
        return self._arguments(self._grammar.parser(path), words, part)

    def _arguments(self, parser: Parser, words: Sequence[str], part: str) -> list[str]:
        if words and (action := parser.options.get(words[-1])) is not None and action.nargs is None:
            return self._values(parser, action, words, part)
        if _in_code(parser, words):
            return []
        if part.startswith("-"):
            return _left(parser, words)
        action = _positional(parser, words)
        return [] if action is None else self._values(parser, action, words, part)

    def _values(self, parser: Parser, action: argparse.Action, words: Sequence[str], part: str) -> list[str]:
        if action.choices is not None:
            return [str(choice) for choice in action.choices]
        kind = parser.completes.get(action.dest, "")
        if kind == "file":
            return _files(part)
        if kind not in SOURCES:
            return []
        try:
            return [name for name in SOURCES[kind](self._notebook, words) if name.isprintable()]
        except CodeModeError:  # a storage that cannot be read has nothing to offer
            return []


def _fragment(typed: str) -> str:
    """Return the word that is being typed, with the quote it began with."""
    opened = ""
    start = 0
    for index, character in enumerate(typed):
        if opened:
            opened = "" if character == opened else opened
        elif character in "'\"":
            opened = character
        elif character.isspace():
            start = index + 1
    return typed[start:]


def _beginning(words: Iterable[str], part: str, quote: str) -> list[str]:
    """Return the words that begin so as they may be typed; those that cannot be are left out."""
    found = (_quoted(word, quote) for word in words if word.startswith(part))
    return [word for word in found if word][:_MOST]


def _quoted(word: str, quote: str) -> str:
    """Return a word with the quote that was begun, else with one if it needs it; nothing if none will do."""
    if quote not in ("'", '"'):
        if _PLAIN.fullmatch(word):
            return word
        quote = "'" if '"' in word else '"'
    return "" if quote in word else f"{quote}{word}{quote}"


def _takes_value(action: argparse.Action | None) -> bool:
    return action is not None and action.nargs is None


def _positionals(parser: Parser, words: Sequence[str]) -> int:
    """Return how many of the words are no options and no values of options."""
    count = 0
    is_value = False
    for word in words:
        if is_value:
            is_value = False
        elif word.startswith("-"):
            is_value = _takes_value(parser.options.get(word))
        else:
            count += 1
    return count


def _in_code(parser: Parser, words: Sequence[str]) -> bool:
    has_code = any(action.nargs == argparse.REMAINDER for action in parser.positionals)
    return has_code and ("--" in words or _positionals(parser, words) > 0)


def _positional(parser: Parser, words: Sequence[str]) -> argparse.Action | None:
    index = _positionals(parser, words)
    if index < len(parser.positionals):
        return parser.positionals[index]
    last = parser.positionals[-1] if parser.positionals else None
    return last if last is not None and last.nargs in ("+", "*") else None


def _left(parser: Parser, words: Sequence[str]) -> list[str]:
    """Return the options that may still be given: not those that stand there, unless they may be repeated."""
    given = {id(parser.options[word]) for word in words if word in parser.options}
    repeated = {id(a) for a in parser.options.values() if isinstance(a, argparse._AppendAction)}
    return [name for name, action in parser.options.items() if id(action) not in given - repeated]


def _files(part: str) -> list[str]:
    """Return files and folders that begin so, folders with a slash."""
    pattern = f"{glob.escape(os.path.expanduser(part))}*"  # noqa: PTH111 - the text as it is typed
    found = sorted(glob.glob(pattern))[:_MOST]  # noqa: PTH207 - as above
    home = os.path.expanduser("~")  # noqa: PTH111 - as above
    if part.startswith("~"):
        found = [f"~{path.removeprefix(home)}" for path in found]
    return [f"{path}/" if os.path.isdir(os.path.expanduser(path)) else path for path in found]  # noqa: PTH111, PTH112

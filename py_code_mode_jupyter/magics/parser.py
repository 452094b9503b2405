"""What may be typed behind ``%pcm``: argparse's help and syntax, without its exits.

Each subcommand says in a `Subcommand` what it takes, with what it is completed, and what it does; help,
parsing and completion are made of that.
"""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, final

from ..display import one_line
from ..errors import ConfigurationError
from .names import did_you_mean

if TYPE_CHECKING:
    from .notebook import Notebook

_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+|\S+""")
_QUOTED = re.compile(r""""([^"]*)"|'([^']*)'""")
_COLUMN = 20


class HelpShown(Exception):
    """Raised where argparse would end the process after showing help."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Argument:
    """One argument of a subcommand.

    Attributes
    ----------
    names
        As argparse takes them: option strings, or one name.
    completes
        What completes it, a key of `completion.SOURCES`; empty: its choices, or nothing.
    about
        Everything else that argparse takes: ``help``, ``nargs`` and so on.
    """

    names: tuple[str, ...]
    completes: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)


def argument(*names: str, completes: str = "", **about: Any) -> Argument:
    """Return an `Argument`; `about` is what `argparse.ArgumentParser.add_argument` takes."""
    return Argument(names=names, completes=completes, about=about)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What was typed, taken apart.

    Attributes
    ----------
    line, cell
        The line behind ``%pcm``, and the lines below it; None for a line magic.
    given
        The arguments as argparse found them.
    code
        The rest of the line behind the options, as it was typed.
    """

    line: str
    cell: str | None
    given: argparse.Namespace
    code: str = ""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Subcommand:
    """One subcommand.

    Attributes
    ----------
    path
        Its words: ``run``, ``artifacts ls``.
    about
        What it does. The first sentence stands in lists.
    examples
        Lines that could be typed.
    do
        Does it.
    arguments
        What it takes, in order.
    exclusive
        Groups of names of arguments of which only one may be given.
    notes
        Said below its arguments.
    takes_cell
        Whether lines may stand below it.
    """

    path: str
    about: str
    examples: tuple[str, ...]
    do: Callable[[Notebook, Request], None]
    arguments: tuple[Argument, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    notes: str = ""
    takes_cell: bool = False

    @property
    def summary(self) -> str:
        """Its first sentence."""
        return f"{self.about.partition('.')[0]}."


class Parser(argparse.ArgumentParser):
    """Raises where argparse would exit, and knows its options and what completes each argument.

    Attributes
    ----------
    options
        Every option string, with its action.
    positionals
        The actions without option string, in order.
    completes
        What completes an action, by its ``dest``.
    """

    def __init__(self, prog: str, about: str, *, epilog: str = "") -> None:
        self.options: dict[str, argparse.Action] = {}
        self.positionals: list[argparse.Action] = []
        self.completes: dict[str, str] = {}
        super().__init__(
            prog=prog,
            description=about,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def add_argument(self, *names: Any, **about: Any) -> argparse.Action:
        """Add an argument; see `argparse.ArgumentParser.add_argument`."""
        return self.know(super().add_argument(*names, **about))

    def know(self, action: argparse.Action) -> argparse.Action:
        """Remember an action, which a group of arguments may have made."""
        self.options.update(dict.fromkeys(action.option_strings, action))
        if not action.option_strings:
            self.positionals.append(action)
        return action

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Leave the parser, not the process."""
        raise HelpShown

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found wrong."""
        raise ConfigurationError("arguments", self.prog, f"{message}.", remedy=f"See `{self.prog} --help`.")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse words, and refuse options that do not exist.

        Raises
        ------
        ConfigurationError
            An option or argument is wrong or missing.
        """
        self._refuse_unknown_options(words)
        found, left = self.parse_known_args(words)
        if left:
            self._refuse("option" if left[0].startswith("-") else "argument", str(left[0]))
        for name, value in vars(found).items():
            if name != "code":  # whose words say where they stood
                setattr(found, name, _plain(value))
        return found

    def _refuse_unknown_options(self, words: Sequence[str]) -> None:
        # Before argparse complains of an argument that only seems to be missing.
        for word in self._before_code(words):
            name = word.partition("=")[0]
            if name.startswith("--") and len(name) > 2 and name not in self.options:
                self._refuse("option", name)

    def _before_code(self, words: Sequence[str]) -> Sequence[str]:
        if not any(action.nargs == argparse.REMAINDER for action in self.positionals):
            return words
        index = 0
        while index < len(words) and words[index].startswith("-") and words[index] != "--":
            action = self.options.get(words[index])
            index += 2 if action is not None and action.nargs is None else 1
        return words[:index]

    def _refuse(self, what: str, word: str) -> NoReturn:
        hint = did_you_mean(word, self.options, f"See `{self.prog} --help`.")
        if word == "--debug":
            hint = "It stands before the subcommand: `%pcm --debug ...`."
        raise ConfigurationError(what, word, f"unknown to {self.prog}.", remedy=hint)


def make_parser(subcommand: Subcommand) -> Parser:
    """Return the parser of a subcommand."""
    examples = "\n".join(f"  {example}" for example in subcommand.examples)
    notes = f"{subcommand.notes}\n\n" if subcommand.notes else ""
    parser = Parser(f"%pcm {subcommand.path}", subcommand.about, epilog=f"{notes}examples:\n{examples}")
    groups = {
        name: group
        for names in subcommand.exclusive
        for group in [parser.add_mutually_exclusive_group()]
        for name in names
    }
    for each in subcommand.arguments:
        group = groups.get(each.names[-1])
        add = parser.add_argument if group is None else group.add_argument
        action = add(*each.names, **each.about)
        parser.know(action) if group is not None else None
        if each.completes:
            parser.completes[action.dest] = each.completes
    return parser


class _Word(str):
    """A word of a line that knows where it stood."""

    __slots__ = ("start",)
    start: int


@final
class Grammar:
    """All that may be typed behind ``%pcm``.

    Parameters
    ----------
    subcommands
        Every subcommand.
    about
        What the whole is for.
    """

    def __init__(self, subcommands: Iterable[Subcommand], about: str) -> None:
        self.subcommands = {each.path: each for each in subcommands}
        self._about = about
        self.parser = functools.cache(self._make_parser)

    def _make_parser(self, path: str) -> Parser:
        return make_parser(self.subcommands[path])

    @property
    def words(self) -> list[str]:
        """What may be the first word."""
        return [*dict.fromkeys(path.partition(" ")[0] for path in self.subcommands)]

    def below(self, group: str) -> list[str]:
        """Return what may stand behind the first word of a subcommand of two; nothing for others."""
        return [path.partition(" ")[2] for path in self.subcommands if path.startswith(f"{group} ")]

    @functools.cached_property
    def whole(self) -> Parser:
        """The parser of what may stand before the subcommand."""
        parser = Parser("%pcm", self._about, epilog=self._list_of(self.words))
        debug = "show whole tracebacks of this package's errors"
        parser.add_argument("--debug", action="store_true", help=debug)
        parser.usage = "%(prog)s [-h] [--debug] SUBCOMMAND ..."
        return parser

    def _list_of(self, names: Iterable[str]) -> str:
        lines = "\n".join(f"  {name:<{_COLUMN}}{self._summary(name)}" for name in names)
        return f"subcommands:\n{lines}\n\n`%pcm SUBCOMMAND --help` says more about each."

    def _summary(self, name: str) -> str:
        if name in self.subcommands:
            return self.subcommands[name].summary
        return f"{', '.join(self.below(name))}."

    def parse(self, line: str, cell: str | None = None) -> tuple[Subcommand | None, Request]:
        """Take a line apart; help that it asks for is printed.

        Returns
        -------
        tuple
            The subcommand, None if help was shown and nothing is left to do; and what was typed.

        Raises
        ------
        ConfigurationError
            A subcommand, option or argument is wrong.
        """
        words = split(line)
        before = next((i for i, word in enumerate(words) if not word.startswith("-")), len(words))
        try:
            self.whole.read(words[:before])
            if before == len(words):
                self.whole.print_help()
                raise HelpShown
            subcommand, rest = self.find(words[before:])
            given = self.parser(subcommand.path).read(rest)
        except HelpShown:
            return None, Request(line=line, cell=cell, given=argparse.Namespace())
        return subcommand, Request(line=line, cell=cell, given=given, code=_rest(line, given))

    def find(self, words: Sequence[str]) -> tuple[Subcommand, Sequence[str]]:
        """Return the subcommand that the words begin with, and the words behind it.

        Raises
        ------
        ConfigurationError
            There is no such subcommand.
        """
        first = words[0]
        if first in self.subcommands:
            return self.subcommands[first], words[1:]
        if not self.below(first):
            self._refuse(first, self.words)
        if len(words) == 1 or words[1] in ("-h", "--help"):
            Parser(f"%pcm {first}", "", epilog=self._list_of(self._paths(first))).print_help()
            raise HelpShown
        path = f"{first} {words[1]}"
        if path not in self.subcommands:
            self._refuse(path, self._paths(first))
        return self.subcommands[path], words[2:]

    def _paths(self, first: str) -> list[str]:
        return [f"{first} {name}" for name in self.below(first)]

    def _refuse(self, name: str, known: Sequence[str]) -> NoReturn:
        hint = did_you_mean(name, known, f"There are: {', '.join(known)}.")
        raise ConfigurationError("subcommand", one_line(name), "unknown to %pcm.", remedy=hint)


def _plain(value: Any) -> Any:
    """Return words as plain text: they may become names, and values of configurations."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, str) else value


def split(line: str) -> list[_Word]:
    """Return the words of a line without their quotes."""
    words = []
    for match in _WORD.finditer(line):
        word = _Word(_QUOTED.sub(lambda quoted: quoted[1] or quoted[2] or "", match[0]))
        word.start = match.start()
        words.append(word)
    return words


def _rest(line: str, given: argparse.Namespace) -> str:
    """Return the code as it was typed: splitting it into words has lost quotes and spaces."""
    words = list(getattr(given, "code", ()))
    if words and words[0] == "--":
        del words[0]
    return line[words[0].start :].rstrip() if words else ""

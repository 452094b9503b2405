"""What may be typed behind ``%pcm``: argparse's help and syntax, without its exits.

Each subcommand has a parser of its own, so that what completes names later can read options from it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn, final

from ..errors import ConfigurationError
from .sessions import EXECUTORS, did_you_mean

_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+|\S+""")
_QUOTED = re.compile(r""""([^"]*)"|'([^']*)'""")

_ABOUT = """\
Runs code in sessions: in this process, in a virtual environment of its own, or in a container. A session
keeps its variables from run to run; all of them are closed when the notebook's kernel ends."""
_RUN = """\
Runs the code behind the options, or the lines below %%pcm run. What it shows appears while it runs; the
interrupt button stops it, and pressed twice gives it up. A run that fails ends the cell with an error."""
_WHERE = """\
which session:
  Without -s and -e it is the notebook's current session: the one named like the default executor
  (%config PcmMagics.executor, in-process at first). -e alone means the session named like that
  executor; both are made on first use. -s names a session. A new NAME makes one, which runs where -e
  says, else in the default executor; if NAME looks like another session's, -e is required. An existing
  session keeps its executor, also after a stop: a different -e is an error until it is stopped.

examples:
  %pcm run -e venv import sys; print(sys.prefix)
  %%pcm run -e venv -s lab -t 300
  %%pcm run -o result"""
_SESSIONS = (
    "Lists this notebook's sessions; * marks the current one. Memory is that of the session's processes."
)
_STOP = "Stops a session and removes what it made; what it saved stays in the storage."


class _HelpShown(Exception):
    """Raised where argparse would end the process after showing help."""


class Parser(argparse.ArgumentParser):
    """Raises where argparse would exit, and knows the names of its options.

    Attributes
    ----------
    options
        Every option string.
    """

    def __init__(self, prog: str, about: str, *, epilog: str = "") -> None:
        self.options: list[str] = []
        super().__init__(
            prog=prog,
            description=about,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def add_argument(self, *names: Any, **about: Any) -> argparse.Action:
        """Add an argument; see `argparse.ArgumentParser.add_argument`."""
        action = super().add_argument(*names, **about)
        self.options.extend(action.option_strings)
        return action

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Leave the parser, not the process."""
        raise _HelpShown

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
        found, left = self.parse_known_args(words)
        if left:
            see = f"See `{self.prog} --help`."
            what = "option" if left[0].startswith("-") else "argument"
            raise ConfigurationError(
                what,
                str(left[0]),
                f"unknown to {self.prog}.",
                remedy=did_you_mean(left[0], self.options, see),
            )
        return found


def _run_parser() -> Parser:
    parser = Parser("%pcm run", _RUN, epilog=_WHERE)
    parser.add_argument(
        "-e", "--executor", metavar="EXECUTOR", help=f"where it runs: {' or '.join(EXECUTORS)}"
    )
    parser.add_argument("-s", "--session", metavar="NAME", help="the session; see below")
    timeout = "seconds it may take, or inf; default: 30 in-process, 120 in a venv, 60 in a container"
    parser.add_argument("-t", "--timeout", metavar="SECONDS", help=timeout)
    bind = "bind the ExecutionResult to this variable; a failed run does not end the cell then"
    parser.add_argument("-o", "--output", metavar="VAR", help=bind)
    parser.add_argument("--no-raise", action="store_true", help="let the notebook go on if the run fails")
    parser.add_argument(
        "code", nargs=argparse.REMAINDER, metavar="CODE", help="the code, for %%pcm with one %%"
    )
    parser.usage = "%(prog)s [-h] [-e EXECUTOR] [-s NAME] [-t SECONDS] [-o VAR] [--no-raise] [CODE]"
    return parser


def _sessions_parser() -> Parser:
    return Parser("%pcm sessions", _SESSIONS)


def _stop_parser() -> Parser:
    parser = Parser("%pcm stop", _STOP)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("name", nargs="?", metavar="NAME", help="the session; default: the current one")
    which.add_argument("--all", action="store_true", help="every session of this notebook")
    parser.options.append("--all")
    return parser


COMMANDS: Mapping[str, Parser] = MappingProxyType(
    {"run": _run_parser(), "sessions": _sessions_parser(), "stop": _stop_parser()}
)
"""The parser of each subcommand."""


def _whole_parser() -> Parser:
    lines = "\n".join(
        f"  {name:<10}{(p.description or '').partition('.')[0]}." for name, p in COMMANDS.items()
    )
    more = f"subcommands:\n{lines}\n\n`%pcm SUBCOMMAND --help` says more about each."
    parser = Parser("%pcm", _ABOUT, epilog=more)
    parser.add_argument("--debug", action="store_true", help="show whole tracebacks of this package's errors")
    parser.usage = "%(prog)s [-h] [--debug] SUBCOMMAND ..."
    return parser


WHOLE = _whole_parser()
"""The parser of what may stand before the subcommand."""


class _Word(str):
    """A word of a line that knows where it stood."""

    __slots__ = ("start",)
    start: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A line behind ``%pcm``, taken apart.

    Attributes
    ----------
    name
        The subcommand; empty if help was shown and nothing is left to do.
    arguments
        Its arguments as argparse found them.
    code
        The rest of the line behind the options, as it was typed.
    debug
        Whether errors are to be shown with whole tracebacks.
    """

    name: str
    arguments: argparse.Namespace
    code: str = ""
    debug: bool = False


_NOTHING_TO_DO = Command(name="", arguments=argparse.Namespace())


def parse(line: str) -> Command:
    """Take a line apart; help that it asks for is printed.

    Raises
    ------
    ConfigurationError
        A subcommand, option or argument is wrong.
    """
    words = _words(line)
    before = next((i for i, word in enumerate(words) if not word.startswith("-")), len(words))
    try:
        debug = WHOLE.read(words[:before]).debug
        if before == len(words):
            WHOLE.print_help()
            return _NOTHING_TO_DO
        name = str(words[before])
        arguments = _parser_of(name).read(words[before + 1 :])
    except _HelpShown:
        return _NOTHING_TO_DO
    return Command(name=name, arguments=arguments, code=_rest(line, arguments), debug=debug)


def _parser_of(name: str) -> Parser:
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS, f"There are: {', '.join(COMMANDS)}.")
        raise ConfigurationError("subcommand", name, "unknown to %pcm.", remedy=hint)
    return COMMANDS[name]


def _words(line: str) -> list[_Word]:
    words = []
    for match in _WORD.finditer(line):
        word = _Word(_QUOTED.sub(lambda quoted: quoted[1] or quoted[2] or "", match[0]))
        word.start = match.start()
        words.append(word)
    return words


def _rest(line: str, arguments: argparse.Namespace) -> str:
    """Return the code as it was typed: splitting it into words has lost quotes and spaces."""
    words = list(getattr(arguments, "code", ()))
    if words and words[0] == "--":
        del words[0]
    return line[words[0].start :].rstrip() if words else ""

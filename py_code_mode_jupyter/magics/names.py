"""Words that a person types: the nearest known one, and the names of executors."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

from ..errors import ConfigurationError

EXECUTORS = ("in-process", "venv", "container")
"""The words for ``-e``, the least isolated place first."""
_OTHER_WORDS = {
    "inprocess": "in-process",
    "process": "in-process",
    "subprocess": "venv",
    "virtualenv": "venv",
    "docker": "container",
}


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return the question with the nearest known word, or else `otherwise`."""
    near = difflib.get_close_matches(word, [*known], n=1)
    return f"Did you mean {near[0]!r}?" if near else otherwise


def known_executor(word: str) -> str:
    """Return `word` if it names an executor that there can be here.

    Raises
    ------
    ConfigurationError
        It does not; the remedy names those there are.
    """
    if word in EXECUTORS:
        if word != "in-process" and os.environ.get("PCM_PLACE") == "container":
            problem = "inside of a container there is only the place in-process."
            raise ConfigurationError("executor", word, problem, remedy="Give -e in-process.")
        return word
    there_are = f"There are: {', '.join(EXECUTORS)}."
    meant = _OTHER_WORDS.get(word.lower())
    hint = f"Did you mean {meant!r}?" if meant else did_you_mean(word, EXECUTORS, there_are)
    raise ConfigurationError("executor", word, "no such executor.", remedy=hint)

"""Asking a person whether what isolated code wrote may run in a less isolated place."""

from __future__ import annotations

from IPython.core.error import StdinNotImplementedError

from ..display import lines_of
from ..display.text import LONGEST_TEXT


def may_run(what: str, source: str, place: str) -> bool:
    """Show source, ask whether it may run in `place`, and return whether the answer is yes.

    It is no where nobody can answer, and where there is more source than can be shown.

    Parameters
    ----------
    what
        A sentence on what it is and where it comes from.
    source
        All that would run.
    place
        Where.
    """
    if len(source) > LONGEST_TEXT:
        return False
    print(f"{what}\n\n{lines_of(source)}\n")
    try:
        answer = input(f"Run it in {place}? [y/N] ")
    except (StdinNotImplementedError, EOFError):
        return False
    return answer.strip().lower() in ("y", "yes")

"""Every subcommand of ``%pcm``, a module for each group."""

from __future__ import annotations

from ..parser import Grammar
from . import artifacts, control, deps, history, looking, running, values, workflows

_ABOUT = """\
Runs code in sessions: in this process, in a virtual environment of its own, or in a container. A session
keeps its variables from run to run; all of them are closed when the notebook's kernel ends."""

GRAMMAR = Grammar(
    (
        *running.COMMANDS,
        *control.COMMANDS,
        *values.COMMANDS,
        *artifacts.COMMANDS,
        *workflows.COMMANDS,
        *deps.COMMANDS,
        *history.COMMANDS,
        *looking.COMMANDS,
    ),
    _ABOUT,
)
"""All that may be typed behind ``%pcm``."""

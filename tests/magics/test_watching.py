"""What a session is and does, what its isolation was measured to be, and how it begins afresh."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Shell


def test_the_status_shows_what_a_session_is_and_does(lab: Shell) -> None:
    lab.said("%pcm run -s lab 6 * 7")
    shown = lab.said("%pcm status lab")
    for line in (
        "executor +venv",
        "state +idle",
        "last run +ok",
        "configured: startup_timeout +120.0",
        "pid +[0-9]+",
    ):
        assert re.search(line, shown), shown


def test_the_probe_shows_what_was_measured_beside_what_was_configured(lab: Shell) -> None:
    shown = lab.said("%pcm probe --all")
    head, *rows = [line.split() for line in shown.splitlines()]
    assert head == ["what", "in-process", "lab"]
    assert ["measured", "process", "isolation", "no", "yes"] in rows
    assert ["configured", "default", "timeout", "30.0", "120.0"] in rows
    assert "in-process" not in lab.said("%pcm probe -s lab").splitlines()[0]


def test_reset_forgets_variables(lab: Shell) -> None:
    lab.said("%pcm run -s lab kept = 1")
    assert lab.said("%pcm reset lab") == "Reset lab (venv)."
    assert "NameError" in lab.failing("%pcm run -s lab kept")


def test_restart_gives_a_session_another_process_with_the_same_settings(lab: Shell) -> None:
    config = lab.notebook.running("lab").executor.config
    pid = lab.said("%pcm run -s lab __import__('os').getpid()")
    assert lab.said("%pcm restart lab") == "Restarted lab (venv)."
    assert lab.said("%pcm run -s lab __import__('os').getpid()") != pid
    assert lab.notebook.running("lab").executor.config == config

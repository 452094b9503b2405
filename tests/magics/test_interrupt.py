"""The interrupt button, while a cell waits for a run."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import Kernel, Place, until

LOOP = """%%pcm run -e {place} -t 60
kept = "before"
print("begun", flush=True)
while True:
    pass"""
STUBBORN = """%%pcm run -e {place} -t 60
import time
print("begun", flush=True)
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("ignored", flush=True)"""


class Presser:
    """Presses the button when a text has appeared, and notes when."""

    def __init__(self, kernel: Kernel, *texts: str) -> None:
        self._kernel = kernel
        self._texts = list(texts)
        self.pressed = 0.0

    def __call__(self, kind: str, content: dict[str, Any]) -> None:
        if self._texts and self._texts[0] in content.get("text", ""):
            del self._texts[0]
            self.pressed = time.monotonic()
            self._kernel.interrupt()

    @property
    def since(self) -> float:
        assert not self._texts
        return time.monotonic() - self.pressed


def test_the_button_interrupts_the_run_and_the_session_keeps_its_variables(place: Place) -> None:
    presser = Presser(place.kernel, "begun")
    cell = place.kernel(LOOP.format(place=place.executor), seen=presser)
    assert presser.since < 2
    assert cell.error == "RunFailedError: The run was interrupted."
    assert "KeyboardInterrupt" in cell.stderr
    assert "Traceback" in cell.stderr
    assert place.kernel(f"%pcm run -e {place.executor} kept").bundles() == ["'before'"]


def test_a_second_press_gives_the_run_up_at_once(place: Place) -> None:
    presser = Presser(place.kernel, "begun", "ignored")
    cell = place.kernel(STUBBORN.format(place=place.executor), seen=presser)
    assert presser.since < 1
    assert cell.error.startswith("RunFailedError: The run was given up.")
    again = place.kernel(f"%pcm run -e {place.executor} 6 * 7")
    assert again.bundles() == ["42"]
    assert "ignored" not in again.stdout


@pytest.mark.parametrize("option", ["--no-raise", "-o result"])
def test_the_button_stops_the_cell_even_where_failures_do_not(stock: Kernel, option: str) -> None:
    cell = stock(LOOP.format(place=f"venv {option}") + "\n", seen=Presser(stock, "begun"))
    assert cell.error == "RunFailedError: The run was interrupted."


def test_the_result_of_an_interrupted_run_is_bound(stock: Kernel) -> None:
    stock(LOOP.format(place="venv -o stopped"), seen=Presser(stock, "begun"))
    assert stock("stopped.status.value").bundles() == ["'interrupted'"]


def test_the_button_while_a_session_is_made_leaves_nothing(fresh: Kernel, tmp_path: Path) -> None:
    def press_once_it_is_made() -> None:
        until(lambda: list(tmp_path.glob("pcm-venv-*")), "the environment's folder is there")
        os.kill(pid, signal.SIGINT)

    pid = fresh.pid()
    thread = threading.Thread(target=press_once_it_is_made)
    thread.start()
    cell = fresh("%pcm run -e venv 1")
    thread.join()
    assert cell.error == "RunFailedError: Interrupted before the code began to run."
    until(lambda: not list(tmp_path.glob("pcm-venv-*")), "the folder is gone")
    assert fresh("%pcm sessions").bundles() == ["No session is running."]
    assert fresh("%pcm run -e venv 6 * 7").bundles() == ["42"]


def test_the_button_reaches_a_run_inside_an_in_process_run(stock: Kernel) -> None:
    stock("%pcm run %load_ext py_code_mode_jupyter")
    nested = LOOP.format(place="venv").partition("\n")
    code = f"%%pcm run -t 60\nget_ipython().run_cell_magic('pcm', 'run -e venv -t 60', {nested[2]!r})"
    presser = Presser(stock, "begun")
    cell = stock(code, seen=presser)
    assert presser.since < 3
    assert "RunFailedError" in cell.error
    assert "KeyboardInterrupt" in cell.stderr


def test_the_button_ends_work_that_is_no_run_of_a_cell(fresh: Kernel, tmp_path: Path) -> None:
    def press_once_it_runs() -> None:
        until((tmp_path / "begun").exists, "the code runs")
        os.kill(pid, signal.SIGINT)

    pid = fresh.pid()
    thread = threading.Thread(target=press_once_it_runs)
    thread.start()
    code = f"from pathlib import Path\nPath('{tmp_path}/begun').touch()\nwhile True: pass"
    cell = fresh(f"%%pcm compare -e in-process -e venv -t 60\n{code}")
    thread.join()
    assert cell.error == "RunFailedError: Running in in-process: interrupted."
    assert fresh("%pcm run -e in-process 6 * 7").bundles() == ["42"]

"""Sessions end with the notebook's kernel, however that ends, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import WAIT, Kernel, gone, until


def session_pid(kernel: Kernel) -> int:
    """Start a venv session and return its process."""
    cell = kernel("%%pcm run -e venv -o r\nimport os\nos.getpid()")
    assert cell.ok
    return int(cell.bundles()[0])


def left(folder: Path) -> list[Path]:
    """Return what was left of environments."""
    return list(folder.glob("pcm-*"))


def test_shutting_the_kernel_down_closes_every_session(fresh: Kernel, tmp_path: Path) -> None:
    fresh("%pcm run 1")
    pid = session_pid(fresh)
    assert left(tmp_path)
    fresh.manager.shutdown_kernel()
    until(lambda: gone(pid), "the session's process is gone")
    until(lambda: not left(tmp_path), "the session's folder is gone")


def test_restarting_the_kernel_closes_every_session(fresh: Kernel, tmp_path: Path) -> None:
    pid = session_pid(fresh)
    fresh.manager.restart_kernel()
    fresh.client.wait_for_ready(timeout=WAIT)
    until(lambda: gone(pid) and not left(tmp_path), "process and folder are gone")
    assert fresh("%load_ext py_code_mode_jupyter\n%pcm sessions").bundles() == ["No session is running."]


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_kernel_that_is_asked_to_end_by_a_signal_cleans_up(
    fresh: Kernel, tmp_path: Path, busy: bool
) -> None:
    pid, kernel_pid = session_pid(fresh), fresh.pid()
    if busy:
        fresh.client.execute("%pcm run -e venv -t 60 while True: pass")
        until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "R", "the code runs")
    os.kill(kernel_pid, signal.SIGTERM)
    until(lambda: not fresh.manager.is_alive(), "the kernel has ended", seconds=10)
    assert gone(pid)
    assert not left(tmp_path)


def test_after_a_kill_the_process_dies_and_the_folder_goes_at_the_next_start(
    fresh: Kernel, stock: Kernel, tmp_path: Path
) -> None:
    pid = session_pid(fresh)
    fresh.send(signal.SIGKILL)
    until(lambda: gone(pid), "the session's process is gone")
    orphans = left(tmp_path)
    assert orphans
    other = Kernel("python3", {"TMPDIR": str(tmp_path)})
    try:
        session_pid(other)
        assert not set(orphans) & set(left(tmp_path))
    finally:
        other.close()
    until(lambda: not left(tmp_path), "nothing is left")


def test_unloading_closes_every_session_and_the_thread_they_lived_on(fresh: Kernel, tmp_path: Path) -> None:
    before = fresh("import threading; sorted(t.name for t in threading.enumerate())").bundles()
    pid = session_pid(fresh)
    fresh("%pcm run 1")
    assert fresh("%unload_ext py_code_mode_jupyter").ok
    assert gone(pid)
    assert not left(tmp_path)
    assert fresh("sorted(t.name for t in threading.enumerate())").bundles() == before
    assert fresh("import signal; signal.getsignal(signal.SIGTERM) is signal.SIG_DFL").bundles() == ["True"]
    assert "not found" in fresh("%pcm sessions").stderr
    assert fresh("%load_ext py_code_mode_jupyter\n%pcm run -e venv 6 * 7").bundles() == ["42"]


def test_a_session_made_inside_a_session_ends_with_it(fresh: Kernel, tmp_path: Path) -> None:
    fresh("%pcm run %load_ext py_code_mode_jupyter")
    pid = int(fresh("%pcm run %pcm run -e venv __import__('os').getpid()").bundles()[0])
    assert not gone(pid)
    assert fresh("%pcm stop").ok
    until(lambda: gone(pid) and not left(tmp_path), "process and folder are gone", seconds=10)


def test_a_reload_starts_with_no_session(fresh: Kernel, tmp_path: Path) -> None:
    pid = session_pid(fresh)
    assert fresh("%reload_ext py_code_mode_jupyter").ok
    assert gone(pid)
    assert fresh("%pcm sessions").bundles() == ["No session is running."]


def test_a_forked_child_leaves_the_sessions_alone(fresh: Kernel) -> None:
    pid = session_pid(fresh)
    cell = fresh(
        "import os, signal, sys, time, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(5)\n"
        "    os._exit(1)\n"
        "os.waitpid(child, 0)[1] == signal.SIGTERM"
    )
    assert cell.bundles() == ["True"]
    assert fresh("%pcm run -e venv os.getpid()").bundles() == [str(pid)]


def test_a_handler_of_somebody_else_stays(fresh: Kernel) -> None:
    fresh("import signal\nmine = lambda *_: None\nprevious = signal.signal(signal.SIGTERM, mine)")
    assert fresh("%pcm run -e venv 6 * 7").bundles() == ["42"]
    assert fresh("signal.getsignal(signal.SIGTERM) is mine").bundles() == ["True"]


@pytest.mark.parametrize("last", ["exit", "raise SystemExit(3)", ""], ids=["exit", "status", "end"])
def test_ipython_without_a_kernel_cleans_up_when_it_ends(tmp_path: Path, last: str) -> None:
    lines = [
        "%load_ext py_code_mode_jupyter",
        "%pcm run -e venv print('ran in', __import__('os').getpid())",
        last,
    ]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "IPython",
            "--simple-prompt",
            "--no-banner",
            "--colors=nocolor",
            "--HistoryManager.enabled=False",
        ],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    pid = int(done.stdout.rpartition("ran in ")[2].split()[0])
    assert gone(pid)
    assert not left(tmp_path)
    assert "Traceback" not in done.stderr

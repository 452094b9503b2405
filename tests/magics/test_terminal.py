"""%pcm at a person's terminal, and several shells in one process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from .conftest import WAIT

OPTIONS = ["--simple-prompt", "--no-banner", "--colors=nocolor", "--HistoryManager.enabled=False"]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[pexpect.spawn]:
    """IPython in a terminal, with the extension loaded."""
    child = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", *OPTIONS],
        encoding="utf-8",
        timeout=WAIT,
        env={**os.environ, "TMPDIR": str(tmp_path), "TERM": "dumb"},
        dimensions=(40, 150),
        echo=False,
    )
    child.expect(r"In \[1\]: ")
    child.sendline("%load_ext py_code_mode_jupyter")
    child.expect(r"In \[2\]: ")
    yield child
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()
    assert list(tmp_path.glob("pcm-*")) == []


@pytest.mark.parametrize("place", ["in-process", "venv"])
def test_output_values_errors_and_lists_are_plain_text(terminal: pexpect.spawn, place: str) -> None:
    terminal.sendline(f"%pcm run -e {place} print('printed'); 6 * 7")
    terminal.expect("printed")
    terminal.expect("42")
    terminal.sendline(f"%pcm run -e {place} 1 / 0")
    terminal.expect("ZeroDivisionError")
    terminal.expect("RunFailedError: ZeroDivisionError: division by zero")
    terminal.sendline("%pcm sessions")
    terminal.expect(f"{place} +{place} +idle +2 ")
    terminal.sendline("%pcm stop --all")
    terminal.expect_exact(f"Stopped {place} ({place}).")


@pytest.mark.parametrize("place", ["in-process", "venv"])
def test_control_c_interrupts_the_run(terminal: pexpect.spawn, place: str) -> None:
    terminal.sendline(f"%pcm run -e {place} exec('print(\"begun\", flush=True)\\nwhile True: pass')")
    terminal.expect("begun\r\n")
    terminal.sendintr()
    terminal.expect("KeyboardInterrupt")
    terminal.expect("RunFailedError: The run was interrupted.", timeout=5)
    terminal.sendline(f"%pcm run -e {place} 6 * 7")
    terminal.expect("42")

"""Programs that know nothing of this package run code in the isolated kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pexpect
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import v4

from .conftest import WAIT, left_in

PREFIX = "import sys; print(sys.prefix)"


def written(path: Path, *cells: nbformat.NotebookNode) -> Path:
    about = {
        "kernelspec": {"name": "pcm-venv", "display_name": "Python (isolated venv)", "language": "python"}
    }
    nbformat.write(v4.new_notebook(cells=list(cells), metadata=about), path)
    return path


def test_nbclient_runs_a_notebook_in_an_environment_of_its_own(temp: Path) -> None:
    notebook = v4.new_notebook(cells=[v4.new_code_cell(PREFIX), v4.new_code_cell("len(sys.prefix)")])
    NotebookClient(notebook, kernel_name="pcm-venv", timeout=WAIT).execute()
    prefix = notebook.cells[0].outputs[0].text.strip()
    assert Path(prefix).is_relative_to(temp)
    assert notebook.cells[1].outputs[0].data["text/plain"] == str(len(prefix))
    assert left_in(temp) == []


def test_nbclient_reports_the_error_of_a_cell(temp: Path) -> None:
    notebook = v4.new_notebook(cells=[v4.new_code_cell("raise LookupError('on purpose')")])
    with pytest.raises(CellExecutionError, match=r"LookupError.*: on purpose"):
        NotebookClient(notebook, kernel_name="pcm-venv", timeout=WAIT).execute()
    assert left_in(temp) == []


def test_papermill_runs_a_notebook_with_parameters(temp: Path, tmp_path: Path) -> None:
    parameters = v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})
    given = written(tmp_path / "in.ipynb", parameters, v4.new_code_cell(f"{PREFIX}\nx * 6"))
    done = subprocess.run(
        [sys.executable, "-m", "papermill", given, tmp_path / "out.ipynb", "-p", "x", "7"],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "encryption" not in done.stderr
    printed, value = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs
    assert Path(printed.text.strip()).is_relative_to(temp)
    assert value.data["text/plain"] == "42"
    assert left_in(temp) == []


@pytest.fixture
def console(temp: Path) -> Iterator[pexpect.spawn]:
    """``jupyter console`` in a person's terminal."""
    child = pexpect.spawn(
        sys.executable,
        ["-m", "jupyter_console", "--kernel=pcm-venv", "--simple-prompt", "--no-confirm-exit"],
        encoding="utf-8",
        timeout=WAIT,
        env={**os.environ, "TERM": "dumb"},
        dimensions=(40, 200),
        echo=False,
    )
    child.expect(r"In \[1\]: ")
    yield child
    child.close(force=True)


def test_jupyter_console_runs_code_and_leaves_nothing(console: pexpect.spawn, temp: Path) -> None:
    banner = console.before
    assert f"Isolated environment, removed with the kernel: {temp}" in banner
    assert "encryption" not in banner
    console.sendline("x = 6")
    console.expect(r"In \[2\]: ")
    console.sendline("x * 7")
    console.expect(r"Out\[2\]: 42")
    console.expect(r"In \[3\]: ")
    console.sendline("exit")
    console.expect(pexpect.EOF)
    assert left_in(temp) == []


def test_control_c_in_jupyter_console_interrupts_the_code(console: pexpect.spawn) -> None:
    console.sendline("exec('print(\"begun\", flush=True)\\nwhile True: pass')")
    console.expect("begun\r\n")
    console.sendintr()
    console.expect("KeyboardInterrupt")
    console.expect(r"In \[2\]: ")
    console.sendline("print(6 * 7)")
    console.expect("42")

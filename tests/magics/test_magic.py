"""Which session a cell means, what is listed and stopped, and how errors look: in a shell of this process."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import pytest

from py_code_mode_jupyter.errors import (
    CodeModeError,
    ConfigurationError,
    RunFailedError,
    StorageUnavailableError,
)
from py_code_mode_jupyter.magics.sessions import Choice, NotebookSessions

from .conftest import Shell, until


@pytest.fixture
def sessions() -> NotebookSessions:
    return NotebookSessions()


@pytest.mark.parametrize(
    ("name", "executor", "default", "meant"),
    [
        (None, None, "in-process", ("in-process", "in-process")),
        (None, None, "venv", ("venv", "venv")),
        (None, "venv", "in-process", ("venv", "venv")),
        ("venv", None, "in-process", ("venv", "venv")),
        ("lab", "venv", "in-process", ("lab", "venv")),
        ("lab", None, "venv", ("lab", "venv")),
    ],
)
def test_which_session_is_meant(
    sessions: NotebookSessions, name: str | None, executor: str | None, default: str, meant: tuple[str, str]
) -> None:
    choice = sessions.choose(name, executor, default)
    assert (choice.name, choice.executor) == meant
    assert choice.is_new


def test_a_name_kept_for_one_executor_never_means_another(sessions: NotebookSessions) -> None:
    with pytest.raises(ConfigurationError, match="session='venv': this name is kept for venv"):
        sessions.choose("venv", "in-process", "in-process")


@pytest.mark.parametrize("name", ["", " ", "-x", "a\nb", "n" * 65])
def test_some_names_cannot_be_used(sessions: NotebookSessions, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a session's name"):
        sessions.choose(name, "venv", "in-process")


async def test_a_session_keeps_its_executor_also_after_a_stop(
    sessions: NotebookSessions, tmp_path: Path
) -> None:
    made = await sessions.obtain(Choice(name="lab", executor="in-process", is_new=True), tmp_path)
    assert sessions.choose("lab", None, "venv").executor == "in-process"
    with pytest.raises(ConfigurationError, match=r"runs in in-process.*%pcm stop lab"):
        sessions.choose("lab", "venv", "in-process")
    assert await sessions.obtain(sessions.choose("lab", None, "venv"), tmp_path) is made
    await sessions.each(["lab"], sessions.stop)
    again = sessions.choose("lab", None, "venv")
    assert (again.executor, again.is_new, again.is_guess) == ("in-process", True, False)
    assert sessions.choose("lab", "venv", "in-process").executor == "venv"
    with pytest.raises(ConfigurationError, match=r"Did you mean 'lab'\?.*-e in-process or -e venv"):
        sessions.choose("lba", None, "in-process")
    assert sessions.choose("lba", "venv", "in-process").is_new
    await sessions.close()


async def test_two_cells_at_once_share_one_session(sessions: NotebookSessions, tmp_path: Path) -> None:
    import asyncio

    choice = sessions.choose(None, None, "in-process")
    first, second = await asyncio.gather(*(sessions.obtain(choice, tmp_path) for _ in range(2)))
    assert first is second
    await sessions.close()


async def test_no_session_is_made_once_they_have_been_closed(
    sessions: NotebookSessions, tmp_path: Path
) -> None:
    await sessions.close()
    with pytest.raises(ConfigurationError, match="have been closed"):
        await sessions.obtain(sessions.choose(None, None, "in-process"), tmp_path)


def test_code_runs_and_its_variables_stay_in_the_session(shell: Shell) -> None:
    assert shell("%pcm run x = 6")[1] is None
    shown, error = shell("%%pcm run\nprint('printed')\nx * 7")
    assert error is None
    assert "printed" in shown
    assert "42" in shown
    assert "x" not in shell.shell.user_ns


def test_a_new_name_without_executor_says_where_it_runs(shell: Shell) -> None:
    assert "New session 'lab', in-process" in shell("%pcm run -s lab 1")[0]
    assert "New session" not in shell("%pcm run -s lab 1")[0]
    assert "New session" not in shell("%pcm run -s other -e in-process 1")[0]


def test_sessions_are_listed_and_stopped(shell: Shell) -> None:
    assert "No session is running." in shell("%pcm sessions")[0]
    assert "No session is running." in shell("%pcm stop")[0]
    shell("%pcm run 1")
    shell("%pcm run -s <b> -e in-process 1")
    listed = shell("%pcm sessions")[0]
    assert "*  in-process" in listed
    assert "<b>" in listed
    assert "Stopped in-process (in-process)." in shell("%pcm stop")[0]
    assert "Running: <b>. Name one, or give --all." in shell.failing("%pcm stop")
    shell("%pcm run 1")
    stopped = shell("%pcm stop --all")[0]
    assert "Stopped in-process" in stopped
    assert "Stopped <b>" in stopped
    assert "No session is running." in shell("%pcm stop --all")[0]


def test_an_unknown_session_cannot_be_stopped(shell: Shell) -> None:
    assert shell.failing("%pcm stop lab").endswith("no such session is running. Running: none.")
    shell("%pcm run -s lab 1")
    assert "Did you mean 'lab'?" in shell.failing("%pcm stop lba")


@pytest.mark.parametrize(
    "code",
    [
        "%pcm rnu",
        "%pcm run",
        "%pcm run -t -1 x",
        "%pcm run -o 1x y",
        "%pcm run -e contaner 1",
        "%%pcm run\n\n",
        "%%pcm run x\ny",
        "%%pcm sessions\nx",
        "%%pcm\nx",
        "%pcm stop nobody",
    ],
)
def test_bad_input_is_one_line_in_the_cell(shell: Shell, code: str) -> None:
    shown = shell.failing(code)
    assert shown.startswith("ConfigurationError: ")
    assert "\n" not in shown


def test_a_storage_that_cannot_be_used_is_one_line(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PCM_STORAGE", str(tmp_path / "file" / "storage"))
    shown, error = shell("%pcm run 1")
    assert isinstance(error, StorageUnavailableError)
    assert shown.strip().startswith("StorageUnavailableError: ")
    assert "Traceback" not in shown


def test_the_storage_is_the_variables_or_the_configured_one(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCM_STORAGE", str(tmp_path / "variable"))
    shell(f"%config PcmMagics.storage_root = {str(tmp_path / 'configured')!r}")
    shell("%pcm run artifacts.save('one', 1)")
    assert (tmp_path / "variable").is_dir()
    monkeypatch.delenv("PCM_STORAGE")
    shell("%pcm run -s second -e in-process artifacts.save('two', 2)")
    assert (tmp_path / "configured").is_dir()


def test_the_default_executor_is_configurable_and_checked(
    shell: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    shell("%config PcmMagics.executor = 'vnev'")
    assert "expected any of ['in-process', 'venv', 'container'], not the str 'vnev'" in caplog.text
    shell("%config PcmMagics.executor = 'venv'")
    assert "Running: in-process." in (shell("%pcm run -e in-process 1")[0] + shell.failing("%pcm stop"))


@pytest.mark.parametrize(
    "how", ["%pcm --debug stop nobody", "%config PcmMagics.debug = True\n%pcm stop nobody"]
)
def test_whole_tracebacks_are_shown_on_demand(shell: Shell, how: str) -> None:
    assert "Traceback" in shell.failing(how)


@pytest.mark.parametrize(
    "line", ["%pcm", "%pcm --help", "%pcm run --help", "%pcm stop -h", "%pcm sessions --help"]
)
def test_help_neither_raises_nor_ends_the_process(shell: Shell, line: str) -> None:
    shown, error = shell(line)
    assert error is None
    assert shown.startswith("usage: %pcm")


def test_help_of_ipython_says_what_it_is_for(shell: Shell) -> None:
    assert "%pcm run" in (shell.shell.find_line_magic("pcm").__doc__ or "")


def test_a_failed_run_can_be_caught_and_pickled(shell: Shell) -> None:
    error = shell("%pcm run 1 / 0")[1]
    assert isinstance(error, RunFailedError)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made a line above
    assert isinstance(copy, CodeModeError)
    assert str(copy) == "ZeroDivisionError: division by zero"


def test_a_failed_run_without_message_names_the_exception(shell: Shell) -> None:
    assert str(shell("%pcm run raise ValueError")[1]) == "ValueError"


def test_a_long_message_is_cut_to_a_line(shell: Shell) -> None:
    error = shell("%pcm run raise ValueError('x' * 500 + '\\n' + 'y')")[1]
    assert len(str(error)) == 200


def test_dropped_output_is_said(shell: Shell) -> None:
    shown, error = shell("%pcm run print('x' * 11_000_000)")
    assert error is None
    assert "bytes of output dropped" in shown


def test_a_run_in_another_thread_of_the_notebook_works(shell: Shell) -> None:
    work = threading.Thread(target=shell.shell.run_line_magic, args=("pcm", "run -o r 6 * 7"))
    work.start()
    work.join(30)
    assert shell.shell.user_ns["r"].value == 42


@pytest.fixture
def others() -> set[threading.Thread]:
    """The threads that an earlier test of this process may have left. To be asked for before the shell."""
    return set(threading.enumerate())


def test_unloading_leaves_no_thread_and_no_magic(others: set[threading.Thread], shell: Shell) -> None:
    shell("%pcm run 1")
    assert any(thread.name.startswith("pcm") for thread in set(threading.enumerate()) - others)
    shell("%unload_ext py_code_mode_jupyter")
    until(
        lambda: not [t for t in set(threading.enumerate()) - others if t.name.startswith("pcm")],
        "every thread has ended",
    )
    assert shell.shell.find_line_magic("pcm") is None
    assert "PcmMagics" not in shell("%config")[0]


def test_the_extension_works_inside_a_session_of_its_own(others: set[threading.Thread], shell: Shell) -> None:
    assert shell("%pcm run %load_ext py_code_mode_jupyter")[1] is None
    shown, error = shell("%%pcm run\n%pcm run -o inner 6 * 7\n%pcm sessions\ninner.value")
    assert error is None
    assert shown.count("42") == 2
    assert "in-process" in shown
    failed = shell.failing("%%pcm run\n%pcm run 1 / 0")
    assert failed.startswith("RunFailedError: RunFailedError: ZeroDivisionError: division by zero")
    shell("%pcm stop")
    until(
        lambda: not [t for t in set(threading.enumerate()) - others if t.name.startswith("pcm_session")],
        "nested sessions have ended",
    )


def test_unloading_leaves_no_matcher(shell: Shell) -> None:
    before = len(shell.shell.Completer.custom_matchers)
    shell("%unload_ext py_code_mode_jupyter")
    assert len(shell.shell.Completer.custom_matchers) == before - 1
    shell("%load_ext py_code_mode_jupyter")
    assert len(shell.shell.Completer.custom_matchers) == before


def test_a_fresh_run_has_none_of_the_earlier_variables(shell: Shell) -> None:
    shell.said("%pcm run kept = 1")
    assert "NameError" in shell.failing("%pcm run --fresh kept")


def test_without_streaming_the_same_is_shown_at_the_end(shell: Shell) -> None:
    code = "print('a')\nprint('b')\n6 * 7"
    assert shell.said(f"%%pcm run --no-stream\n{code}") == shell.said(f"%%pcm run\n{code}")


def test_a_message_that_isolated_code_chose_is_one_clean_line(shell: Shell) -> None:
    error = shell("%pcm run raise ValueError('\\x1b[2J\\x1b]0;title\\x07fine')")[1]
    assert str(error) == "ValueError: fine"


def test_a_configured_timeout_holds_for_every_run(shell: Shell) -> None:
    shell.said("%config PcmMagics.timeout = 0.3")
    assert "longer than 0.3 s" in shell.failing("%pcm run exec('while True: pass')")
    shell.said("%config PcmMagics.no_raise = True")
    shell.said("%pcm run 1 / 0")

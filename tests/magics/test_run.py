"""Running code from cells of real kernels, in every executor."""

from __future__ import annotations

import base64
import time

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from .conftest import Kernel, Place, until


def test_output_and_value_appear_as_if_the_cell_had_run_here(place: Place) -> None:
    cell = place.kernel(
        f"%%pcm run -e {place.executor}\nimport sys\nprint('out')\n"
        "print('err', file=sys.stderr)\n{'answer': 6 * 7}"
    )
    assert cell.ok
    assert cell.stdout == "out\n"
    assert "err\n" in cell.stderr
    assert cell.bundles() == ["{'answer': 42}"]


def test_a_session_keeps_its_variables_apart_from_the_notebook_and_from_other_sessions(place: Place) -> None:
    place.kernel("kept = 'notebook'")
    place.kernel(f"%pcm run -e {place.executor} kept = 'session'")
    place.kernel(f"%pcm run -e {place.executor} -s {place.executor}-other kept = 'other'")
    assert place.kernel(f"%pcm run -e {place.executor} kept").bundles() == ["'session'"]
    assert place.kernel(f"%pcm run -s {place.executor}-other kept").bundles() == ["'other'"]
    assert place.kernel("kept").bundles() == ["'notebook'"]
    assert place.kernel(f"%pcm stop {place.executor}-other").ok


def test_a_line_runs_as_it_was_typed(place: Place) -> None:
    assert (
        place.kernel(f"%pcm run -e {place.executor} print('two  blanks', \"$x {{y}}\")").stdout
        == "two  blanks $x {y}\n"
    )


def test_output_appears_while_the_code_runs(place: Place) -> None:
    place.kernel(f"%pcm run -e {place.executor} 1")
    times: list[float] = []
    place.kernel(
        f"%%pcm run -e {place.executor}\nimport time\nprint('a', flush=True)\ntime.sleep(1.5)\nprint('b')",
        seen=lambda *_: times.append(time.monotonic()),
    )
    assert times[-1] - times[0] > 1


def test_progress_lines_keep_their_carriage_returns(place: Place) -> None:
    cell = place.kernel(
        f"%%pcm run -e {place.executor}\nfor i in range(3):\n    print(f'\\r{{i}}/3', end='')"
    )
    assert cell.stdout == "\r0/3\r1/3\r2/3"


def test_displays_are_updated_and_cleared_in_place(place: Place) -> None:
    cell = place.kernel(
        f"""%%pcm run -e {place.executor}
from IPython.display import HTML, clear_output, display
handle = display("first", display_id=True)
handle.update("second")
clear_output(wait=True)
display(HTML("<b>third</b>"))"""
    )
    assert cell.kinds == ["display_data", "update_display_data", "clear_output", "display_data"]
    first, second = (content["transient"]["display_id"] for _, content in cell.messages[:2])
    assert first == second
    assert cell.messages[2][1]["wait"] is True
    assert cell.bundles("text/html") == ["<b>third</b>"]


def test_a_display_of_an_earlier_cell_is_updated(place: Place) -> None:
    place.kernel(f"%%pcm run -e {place.executor}\nhandle = display('first', display_id='shared')")
    cell = place.kernel(f"%pcm run -e {place.executor} handle.update('second')")
    assert [(kind, content["transient"]["display_id"]) for kind, content in cell.messages] == [
        ("update_display_data", "shared")
    ]


def test_a_picture_arrives_as_one(place: Place) -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8)).decode()
    cell = place.kernel(
        f"%%pcm run -e {place.executor}\nimport base64\n"
        f"from IPython.display import Image\nImage(base64.b64decode('{png}'))"
    )
    assert cell.bundles("image/png")[0].strip() == png


def test_a_failed_run_ends_the_cell_in_one_line_below_its_own_traceback(place: Place) -> None:
    cell = place.kernel(f"%%pcm run -e {place.executor}\n\nprint('before')\nraise ValueError('on purpose')")
    assert not cell.ok
    assert cell.reply["ename"] == "RunFailedError"
    assert cell.error == "RunFailedError: ValueError: on purpose"
    assert cell.stdout == "before\n"
    assert "Traceback" in cell.stderr
    assert "line 4" in cell.stderr
    assert "py_code_mode_jupyter" not in cell.stderr


def test_a_syntax_error_names_the_line_that_the_user_sees(place: Place) -> None:
    cell = place.kernel(f"%%pcm run -e {place.executor}\nx = 1\nx = = 2")
    assert "SyntaxError" in cell.error
    assert "line 3" in cell.stderr


def test_no_raise_lets_the_notebook_go_on(place: Place) -> None:
    cell = place.kernel(f"%%pcm run -e {place.executor} --no-raise\n1 / 0")
    assert cell.ok
    assert "ZeroDivisionError" in cell.stderr


def test_the_result_is_bound_and_still_shown(place: Place) -> None:
    cell = place.kernel(f"%%pcm run -e {place.executor} -o bound\nprint('shown')\n[1, 2]")
    assert cell.stdout == "shown\n"
    assert cell.bundles() == ["[1, 2]"]
    assert place.kernel("bound.status.value, bound.value, bound.stdout").bundles() == [
        "('ok', [1, 2], 'shown\\n')"
    ]


def test_a_failed_run_is_bound_instead_of_raised(place: Place) -> None:
    assert place.kernel(f"%%pcm run -e {place.executor} -o bound\n1 / 0").ok
    assert place.kernel("bound.status.value, bound.exception.name").bundles() == [
        "('error', 'ZeroDivisionError')"
    ]


def test_a_run_that_takes_too_long_is_stopped_and_says_so(place: Place) -> None:
    place.kernel(f"%pcm run -e {place.executor} kept = 1")
    cell = place.kernel(f"%%pcm run -e {place.executor} -t 0.5\nwhile True:\n    pass")
    assert cell.error.startswith("RunFailedError: The run took longer than 0.5 s.")
    assert place.kernel(f"%pcm run -e {place.executor} kept").bundles() == ["1"]
    cell = place.kernel(f"%%pcm run -e {place.executor} -t 0.5 --no-raise\nwhile True:\n    pass")
    assert cell.ok
    assert "longer than 0.5 s" in cell.stderr


def test_a_crash_of_the_venv_is_told_and_the_next_run_works(stock: Kernel) -> None:
    stock("%pcm run -e venv kept = 1")
    cell = stock("%%pcm run -e venv\nimport os\nos._exit(3)")
    assert cell.error.startswith("RunFailedError: ")
    assert "status 3" in cell.error
    assert "\n" not in cell.error
    assert stock("%pcm run -e venv 6 * 7").bundles() == ["42"]


def test_a_process_that_died_between_two_runs_is_told(stock: Kernel) -> None:
    stock("%%pcm run -e venv -o r\nimport os\nos.getpid()")
    stock("import os, signal; os.kill(r.value, signal.SIGKILL)")
    until(lambda: "dead" in stock("%pcm sessions").bundles()[0], "the session is listed as dead")
    cell = stock("%pcm run -e venv 6 * 7")
    assert cell.bundles() == ["42"]
    assert "'venv' had to start afresh" in cell.stderr


def test_the_value_of_an_in_process_run_is_the_very_object(stock: Kernel) -> None:
    stock("%pcm run -o r shared = [1]\n%pcm run -o r shared")
    stock("r.value.append(2)")
    assert stock("%pcm run shared").bundles() == ["[1, 2]"]


def test_artifacts_go_from_one_session_to_another(stock: Kernel) -> None:
    assert stock("%pcm run artifacts.save('numbers', [1, 2, 3])").ok
    assert stock("%pcm run -e venv artifacts.load('numbers')").bundles() == ["[1, 2, 3]"]


@pytest.mark.parametrize("name", ["python3", "pcm-venv"])
def test_run_all_stops_at_a_failed_run(name: str) -> None:
    sources = ["%load_ext py_code_mode_jupyter", "%pcm run 1 / 0", "after = 1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    with pytest.raises(CellExecutionError, match="RunFailedError: ZeroDivisionError: division by zero"):
        NotebookClient(notebook, kernel_name=name, timeout=60).execute()
    assert notebook.cells[1].outputs[-1].output_type == "error"
    assert notebook.cells[2].execution_count is None

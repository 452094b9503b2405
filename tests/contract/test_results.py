"""Rule 1: failure of the code is a result. What a result holds, and how it shows itself."""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from py_code_mode_jupyter import FileStorage, Output, RunStatus, Session
from py_code_mode_jupyter.errors import ConfigurationError, NotPlainError, TransferError

if TYPE_CHECKING:
    from py_code_mode_jupyter.execution import Executor


async def test_the_last_expression_is_the_value(session: Session) -> None:
    result = await session.run("a = 20\na + 22")
    assert (result.value, result.is_ok, result.status, result.error) == (42, True, RunStatus.OK, None)
    assert not result.value_is_repr
    assert result.execution_time > 0
    assert session.last_result is result


async def test_a_statement_has_no_value(session: Session) -> None:
    assert (await session.run("a = 1")).value is None
    assert (await session.run("")).is_ok


async def test_variables_stay_from_run_to_run(session: Session) -> None:
    await session.run("def double(x): return 2 * x")
    assert (await session.run("double(21)")).value == 42


async def test_an_exception_is_a_result_with_traceback_and_frames(session: Session) -> None:
    result = await session.run("def inner():\n    raise ValueError('seven')\n\ninner()")
    assert result.status is RunStatus.ERROR
    assert result.error is not None
    assert "ValueError: seven" in result.error
    assert "\x1b" not in result.error
    assert result.exception is not None
    assert (result.exception.name, result.exception.message) == ("ValueError", "seven")
    assert [(f.function, f.lineno) for f in result.exception.frames] == [("<module>", 4), ("inner", 2)]
    assert result.state_preserved
    assert [o.type for o in result.outputs] == ["error"]


async def test_a_heading_counts_in_line_numbers_and_changes_nothing_else(session: Session) -> None:
    heading = "%%pcm run"
    result = await session.run("\n    x = 1\n    1 / 0", heading=heading)
    assert result.exception is not None
    assert [frame.lineno for frame in result.exception.frames] == [4]
    result = await session.run("x = = 1", heading=heading)
    assert result.error is not None
    assert "line 2" in result.error
    assert (await session.run("%%time\nx", heading=heading)).is_ok
    assert (await session.run("6 * 7", heading=heading)).value == 42
    assert [record.code for record in await session.history(limit=4)][::-1] == [
        "\n    x = 1\n    1 / 0",
        "x = = 1",
        "%%time\nx",
        "6 * 7",
    ]


async def test_a_syntax_error_is_a_result(session: Session) -> None:
    result = await session.run("def (:")
    assert result.exception is not None
    assert result.exception.name == "SyntaxError"
    assert (await session.run("1 + 1")).value == 2


async def test_top_level_await_works(session: Session) -> None:
    result = await session.run("import asyncio\nawait asyncio.sleep(0.01, 'slept')")
    assert result.value == "slept"


async def test_magics_work(session: Session) -> None:
    result = await session.run("%timeit -n 1 -r 1 pass")
    assert "per loop" in result.stdout
    assert "value-7" in (await session.run("!echo value-$((3 + 4))")).stdout


async def test_streams_are_told_apart_and_kept_in_order(session: Session) -> None:
    code = "import sys\nprint('one')\nprint('two', file=sys.stderr)\nprint('three')\n'four'"
    result = await session.run(code)
    assert (result.stdout, result.stderr) == ("one\nthree\n", "two\n")
    assert result.outputs[-1].type == "execute_result"
    assert result.outputs[-1].data["text/plain"] == "'four'"


async def test_rich_output_keeps_its_bundle_and_its_place(session: Session) -> None:
    code = """
from IPython.display import HTML, display
print("before")
display(HTML("<b>x</b>"))
print("after")
"""
    outputs = (await session.run(code)).outputs
    assert [o.type for o in outputs] == ["stream", "display_data", "stream"]
    assert outputs[1].data["text/html"] == "<b>x</b>"


async def test_a_display_is_updated_in_place(session: Session) -> None:
    code = """
from IPython.display import display
h = display("old", display_id=True)
print("-")
h.update("new")
"""
    outputs = (await session.run(code)).outputs
    assert [o.data.get("text/plain") for o in outputs if o.data] == ["'new'"]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def session(used_session: Session) -> Session:
    return used_session


async def test_cleared_output_is_gone(session: Session) -> None:
    code = "from IPython.display import clear_output\nprint('old')\nclear_output(wait=True)\nprint('new')"
    assert (await session.run(code)).stdout == "new\n"


async def test_a_trailing_semicolon_hides_the_value(session: Session) -> None:
    result = await session.run("6 * 7;")
    assert result.value is None
    assert not result.outputs


PLAIN: list[Any] = [
    None,
    True,
    -7,
    10**40,
    1.5,
    "text \u2713",
    b"\x00\xff",
    [1, [2, {"a": None}]],
    {"x": (1, 2), 3: {4, 5}},
    complex(1, -1),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
async def test_plain_data_crosses_unchanged_both_ways(session: Session, value: Any) -> None:
    await session.put("v", value)
    assert (await session.run("v")).value == value
    assert type(await session.get("v")) is type(value)
    assert (await session.run(repr(value))).value == value


async def test_a_value_of_many_parts_crosses_both_ways(session: Session) -> None:
    many = [bytes([number % 256]) for number in range(20_000)]
    result = await session.run("many, len(many)", variables={"many": many}, timeout=30)
    assert result.value == (many, 20_000)


async def test_infinity_and_nan_cross(session: Session) -> None:
    value = (await session.run("[float('inf'), float('nan')]")).value
    assert value[0] == math.inf
    assert math.isnan(value[1])


async def test_an_object_crosses_as_itself_or_as_its_repr(session: Session) -> None:
    code = "class Thing:\n    def __repr__(self): return '<thing>'\nThing()"
    result = await session.run(code)
    if session.supports("object_values"):
        assert type(result.value).__name__ == "Thing"
        assert not result.value_is_repr
    else:
        assert (result.value, result.value_is_repr) == ("<thing>", True)
        with pytest.raises(TransferError, match="not plain data"):
            await session.run("t = Thing()")
            await session.get("t")


@pytest.mark.parametrize("body", ["raise ValueError('boo')", "return 7", "raise SystemExit"])
async def test_a_value_whose_repr_fails_costs_nothing_but_its_text(session: Session, body: str) -> None:
    await session.run(f"class Bad:\n    def __repr__(self): {body}")
    result = await session.run("Bad()", timeout=20)
    assert result.status in (RunStatus.OK, RunStatus.ERROR)  # IPython shows some of these as errors
    assert "Bad" in repr(result) or result.exception is not None
    assert str(result)
    assert (await session.run("[Bad()]; 1", timeout=20)).value == 1


async def test_a_table_for_a_place_without_its_library_is_a_typed_error(session: Session) -> None:
    table = pd.DataFrame({"a": [1]})
    if session.supports("object_values"):
        await session.put("table", table)
        assert await session.get("table") is table
        return
    with pytest.raises(TransferError, match=r"'table'.*pandas, which is not installed.*add_dep\('pandas'\)"):
        await session.put("table", table)
    await session.add_dep("pandas")
    await session.put("table", table)
    pd.testing.assert_frame_equal(await session.get("table"), table)


async def test_variables_are_set_before_the_code_runs(session: Session) -> None:
    assert (await session.run("x + y", variables={"x": 1, "y": 2})).value == 3


async def test_a_missing_variable_is_a_typed_error(session: Session) -> None:
    with pytest.raises(TransferError, match="no variable 'nowhere'"):
        await session.get("nowhere")


@pytest.mark.parametrize("name", ["1x", "a.b", "", "x y", "import os", "class", "None"])
async def test_names_that_are_not_variables_are_refused(session: Session, name: str) -> None:
    with pytest.raises(ConfigurationError, match="variable's name"):
        await session.put(name, 1)
    with pytest.raises(ConfigurationError, match="variable's name"):
        await session.get(name)
    with pytest.raises(ConfigurationError, match="variable's name"):
        await session.run("1", variables={name: 1})


async def test_variables_without_names_are_refused(session: Session) -> None:
    with pytest.raises(ConfigurationError, match="not a mapping"):
        await session.run("1", variables=["x"])  # type: ignore[arg-type]


async def test_a_variable_that_cannot_cross_is_named(session: Session) -> None:
    value = object()
    if session.supports("object_values"):
        await session.put("thing", value)
        assert await session.get("thing") is value
        return
    with pytest.raises(NotPlainError, match=r"'thing'.*type object.*artifact"):
        await session.run("1", variables={"fine": 1, "thing": value})
    with pytest.raises(NotPlainError, match="'thing'"):
        await session.put("thing", value)


async def test_setting_and_reading_variables_is_no_run(session: Session) -> None:
    before, runs = await session.run("1"), (await session.stats())["runs"]
    await session.put("x", 1)
    await session.get("x")
    assert (await session.stats())["runs"] == runs
    assert before.execution_count is not None
    assert (await session.run("x")).execution_count == before.execution_count + 1


async def test_a_result_reads_well_as_text(session: Session) -> None:
    result = await session.run("print('hello')\n[1, 2]")
    assert str(result) == "hello\n[1, 2]"
    assert repr(result).startswith("<ExecutionResult ok")
    assert "ZeroDivisionError" in str(await session.run("1/0"))


async def test_a_result_shows_itself_as_the_original_would(session: Session) -> None:
    result = await session.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\n1/0")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        result._ipython_display_()
    assert out.getvalue() == "out\n"
    assert err.getvalue().startswith("err\n")
    assert "ZeroDivisionError" in err.getvalue()


async def test_a_plot_is_shown_as_an_image(session: Session) -> None:
    if session.supports("process_isolation"):
        await session.add_dep("matplotlib")
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nprint('drawn')"
    result = await session.run(code)
    assert any("image/png" in output.data for output in result.outputs), (result, result.outputs)


async def test_files_go_in_and_come_out(session: Session, tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("carried")
    assert Path.cwd() == tmp_path  # the host has gone elsewhere since the session was started
    await session.upload(source, "inside.txt")
    assert (await session.run("import pathlib; pathlib.Path('inside.txt').read_text()")).value == "carried"
    await session.run("pathlib.Path('made.txt').write_text('made inside')")
    await session.download("made.txt", tmp_path / "back.txt")
    assert (tmp_path / "back.txt").read_text() == "made inside"
    with pytest.raises(TransferError, match=r"nowhere.txt.*No such file.*existing"):
        await session.download("nowhere.txt", tmp_path / "x.txt")
    assert not list(tmp_path.glob("**/.pcm-*"))


@pytest.mark.parametrize(
    "path", ["../outside.txt", "/tmp/outside.txt", "link.txt", "folder/outside.txt", "", "a\0b"]
)
async def test_files_stay_inside_the_working_folder(
    make: Callable[..., Executor], storage: FileStorage, tmp_path: Path, path: str
) -> None:
    """Code may have made links in it, to have the host write where the code may not."""
    outside = tmp_path / "outside.txt"
    outside.write_text("the host's")
    (tmp_path / "work").mkdir()
    os.chdir(tmp_path / "work")
    async with Session(storage, make()) as session:
        await session.run(f"import os; os.symlink({str(outside)!r}, 'link.txt'); os.symlink('..', 'folder')")
        with pytest.raises(TransferError, match="path"):
            await session.upload(__file__, path)
        with pytest.raises(TransferError, match="path"):
            await session.download(path, tmp_path / "copy.txt")
    assert outside.read_text() == "the host's"
    assert not (tmp_path / "copy.txt").exists()


async def test_outputs_can_be_streamed_while_the_code_runs(session: Session) -> None:
    code = "import time\nprint('first', flush=True)\ntime.sleep(30)"
    seen: list[Output] = []
    async for output in session.stream(code):
        seen.append(output)
        if output.text == "first\n":
            await session.interrupt()
    assert seen[0].text == "first\n"
    assert session.last_result is not None
    assert session.last_result.status is RunStatus.INTERRUPTED
    assert session.last_result.execution_time < 10


async def test_code_that_is_not_text_is_refused(session: Session) -> None:
    with pytest.raises(ConfigurationError, match="not text"):
        await session.run(b"1")  # type: ignore[arg-type]

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from py_code_mode_jupyter.config import InProcessConfig
from py_code_mode_jupyter.environments.in_process import InProcessEnvironment
from py_code_mode_jupyter.errors import ExecutorStateError
from py_code_mode_jupyter.results import RunRequest, RunStatus

if TYPE_CHECKING:
    from .conftest import Place


async def test_the_value_is_the_very_object(place: Place) -> None:
    thing = object()
    assert await place.value("thing", thing=thing) is thing
    assert await place.value("_") is thing


async def test_a_semicolon_hides_the_result(place: Place) -> None:
    ending, kept = await place.run("6 * 7;")
    assert ending.value is None
    assert kept.outputs == []


async def test_results_are_shown_as_bundles_in_order_and_counted_from_one(place: Place) -> None:
    ending, kept = await place.run(
        "class Table:\n    def _repr_html_(self): return '<table>'\nprint('before')\nTable()"
    )
    assert ending.execution_count == 1
    assert [one.type for one in kept.outputs] == ["stream", "execute_result"]
    assert kept.outputs[1].data["text/html"] == "<table>"
    assert (await place.run("1"))[0].execution_count == 2


async def test_displays_updates_and_clearing_arrive_in_order(place: Place) -> None:
    _, kept = await place.run(
        "from IPython.display import clear_output\n"
        "shown = display('a', display_id=True)\nprint('x')\nshown.update('b')\nclear_output(wait=True)"
    )
    assert [one.type for one in kept.outputs] == [
        "display_data",
        "stream",
        "update_display_data",
        "clear_output",
    ]
    assert kept.outputs[0].display_id == kept.outputs[2].display_id is not None
    assert kept.outputs[3].wait


async def test_bytes_in_a_bundle_become_base64_text(place: Place) -> None:
    _, kept = await place.run("display({'image/png': b'abc'}, raw=True)")
    assert kept.outputs[0].data["image/png"] == "YWJj"


async def test_top_level_await_and_tasks_share_one_loop(place: Place) -> None:
    code = (
        "import asyncio\nloop = asyncio.get_running_loop()\n"
        "task = asyncio.create_task(asyncio.sleep(0, 'done'))"
    )
    await place.run(code)
    assert await place.value("await task, loop is asyncio.get_running_loop()") == ("done", True)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("%timeit -n1 -r1 pass", "per loop"),
        ("%%time\nx = 1", "Wall time"),
        ("!echo from the shell", "from the shell\n"),
        ("import os; _ = os.system('echo from os.system')", "from os.system\n"),
        ("%%bash\necho from bash", "from bash\n"),
        ("%who", "Interactive namespace is empty."),
    ],
)
async def test_magics_and_commands_print_into_the_run(place: Place, code: str, text: str) -> None:
    ending, kept = await place.run(code)
    assert ending.status is RunStatus.OK
    assert text in kept.text()


async def test_output_of_a_command_can_be_assigned_and_its_exit_code_read(place: Place) -> None:
    assert list(await place.value("lines = !printf 'a\\nb\\n'\nlines")) == ["a", "b"]
    assert await place.value("!exit 3\n_exit_code") == 3


async def test_capture_keeps_text_and_displays_of_its_cell(place: Place) -> None:
    _, kept = await place.run("%%capture got\nprint('text')\ndisplay(3)\n5")
    assert kept.outputs == []
    assert await place.value("got.stdout, len(got.outputs)") == ("text\n", 2)
    assert (await place.run("print('again')"))[1].text() == "again\n"


async def test_an_error_has_only_the_frames_of_the_user(place: Place) -> None:
    ending, kept = await place.run("import json\ndef load():\n    return json.loads('{')\nload()")
    assert ending.status is RunStatus.ERROR
    assert ending.exception is not None
    assert ending.exception.name == "JSONDecodeError"
    assert [(frame.filename, frame.lineno, frame.function) for frame in ending.exception.frames] == [
        ("Cell In[1]", 4, "<module>"),
        ("Cell In[1]", 3, "load"),
    ]
    assert ending.exception.frames[1].source == "return json.loads('{')"
    (error,) = kept.of_type("error")
    assert error.name == "JSONDecodeError"
    assert error.text == ending.exception.traceback
    assert "in_process" not in error.text


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("1 +", "SyntaxError"),
        ("  x = 1\n y = 2", "IndentationError"),
        ("%nonsense", "UsageError"),
        ("raise ExceptionGroup('several', [ValueError('one')])", "ExceptionGroup"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("exit()", "SystemExit"),
        ("quit", "SystemExit"),
        ("input('name? ')", "StdinNotImplementedError"),
        ("import sys; sys.stdin.readline()", "StdinNotImplementedError"),
        ("import getpass; getpass.getpass()", "StdinNotImplementedError"),
    ],
)
async def test_failures_are_contained_and_shown_once(place: Place, code: str, name: str) -> None:
    ending, kept = await place.run(code)
    assert ending.status is RunStatus.ERROR
    assert ending.exception is not None
    assert ending.exception.name == name
    assert [one.name for one in kept.of_type("error")] == [name]
    assert await place.value("'alive'") == "alive"


async def test_sys_exit_in_a_task_leaves_the_loop_running(place: Place) -> None:
    ending, _ = await place.run(
        "import asyncio, sys\nasync def leave(): sys.exit(1)\nawait asyncio.create_task(leave())"
    )
    assert ending.exception is not None
    assert ending.exception.name == "SystemExit"
    assert await place.value("await asyncio.sleep(0, 'alive')") == "alive"


async def test_an_exception_whose_text_fails_is_reported(place: Place) -> None:
    ending, _ = await place.run("class Bad(Exception):\n    def __str__(self): raise ValueError\nraise Bad")
    assert ending.exception is not None
    assert ending.exception.name == "Bad"


async def test_classes_pickle_and_dataclasses_work_while_main_is_the_hosts(place: Place) -> None:
    main = sys.modules["__main__"]
    await place.run("import pickle, dataclasses\n@dataclasses.dataclass\nclass Point:\n    x: int = 1")
    assert await place.value("pickle.loads(pickle.dumps(Point(3))) == Point(3)")
    assert sys.modules["__main__"] is main
    assert not hasattr(main, "Point")


async def test_the_main_guard_holds(place: Place) -> None:
    assert (await place.run("if __name__ == '__main__':\n    print('main')"))[1].text() == "main\n"


async def test_libraries_find_the_shell_of_the_code_that_calls(place: Place, other: Place) -> None:
    from IPython import get_ipython

    code = "import IPython\nIPython.get_ipython() is get_ipython()"
    assert await place.value(code)
    assert await other.value(code)
    assert await place.value("get_ipython()") is not await other.value("get_ipython()")
    assert get_ipython() is None


async def test_namespaces_are_there_again_after_reset_and_replace() -> None:
    from .conftest import Place

    one = Place(artifacts="stored")
    await one.environment.start()
    try:
        for renew in (one.environment.reset, one.environment.replace):
            assert await one.value("x = 1\nartifacts") == "stored"
            await renew()
            assert await one.value("artifacts, 'x' in globals()") == ("stored", False)
    finally:
        await one.environment.close()


async def test_the_working_directory_is_the_environments_own(
    place: Place, other: Place, tmp_path: Path
) -> None:
    here = Path.cwd()
    await place.run("import os; os.chdir(folder)", folder=str(tmp_path))
    seen = "import os, threading\nseen = []\n"
    seen += (
        "thread = threading.Thread(target=lambda: seen.append(os.getcwd()))\nthread.start(); thread.join()\n"
    )
    assert await place.value(seen + "seen") == [str(tmp_path)]
    assert Path.cwd() == here
    assert await other.value("import os; os.getcwd()") == str(here)
    await place.environment.reset()
    assert await place.value("import os; os.getcwd()") == str(here)


async def test_nothing_is_written_to_the_ipython_folder(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("HOME", str(tmp_path))
    await place.environment.reset()
    await place.run("%cd /\n%history\nimport time")
    assert list(tmp_path.iterdir()) == []


async def test_what_is_not_started_or_busy_refuses_to_begin(place: Place) -> None:
    fresh = InProcessEnvironment(InProcessConfig())
    with pytest.raises(ExecutorStateError, match="start"):
        place_of(fresh)
    future, _ = place.begin("import time; time.sleep(30)")
    with pytest.raises(ExecutorStateError, match="under way"):
        place.begin("1")
    await place.stop(future)


def place_of(environment: InProcessEnvironment) -> None:
    from .conftest import Kept

    environment.begin(RunRequest(code="1"), Kept())


async def test_statistics_and_probe_tell_the_truth(place: Place) -> None:
    await place.run("sum(range(3_000_000))")
    stats = await place.environment.stats()
    assert stats["memory"] > 2**20
    assert stats["cpu"] > 0.01
    assert stats["abandoned_threads"] == 0
    probe = await place.environment.probe()
    assert probe["process_isolation"] is False


async def test_an_environment_runs_inside_another(place: Place) -> None:
    code = """
from py_code_mode_jupyter.config import InProcessConfig
from py_code_mode_jupyter.environments.in_process import InProcessEnvironment
from py_code_mode_jupyter.results import RunRequest
class Sink:
    def __init__(self): self.got = []
    def write(self, name, text): self.got.append(text)
    def show(self, output): self.got.append(output)
inner, sink = InProcessEnvironment(InProcessConfig()), Sink()
await inner.start()
ending = await inner.begin(RunRequest(code="print('inner')\\n6*7"), sink)
await inner.close()
print('outer')
ending.value, sink.got[0]
"""
    ending, kept = await place.run(code)
    assert ending.value == (42, "inner\n")
    assert kept.text() == "outer\n"


async def test_a_run_is_quick(place: Place) -> None:
    await place.run("1+1")
    times = []
    for _ in range(50):
        begun = time.perf_counter()
        await place.run("1+1")
        times.append(time.perf_counter() - begun)
    assert sorted(times)[25] < 0.02

"""Everything a notebook does with its kernel."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from py_code_mode_jupyter.results import strip_ansi

from .conftest import WAIT, Kernel, Message, Start, until


async def test_streams_come_apart_and_in_order(kernel: Kernel) -> None:
    cell = await kernel.run(
        "import sys\nprint('a'); print('b', file=sys.stderr); print('c', end=''); display(7); print('d')"
    )
    assert cell.stdout == "a\ncd\n"
    assert cell.stream("stderr") == "b\n"
    kinds = [m["msg_type"] for m in cell.messages if m["msg_type"] in ("stream", "display_data")]
    assert kinds == ["stream", "stream", "stream", "display_data", "stream"]


async def test_every_message_of_a_cell_names_it(kernel: Kernel) -> None:
    cell = await kernel.run("print(1); display(2)\n3")
    parents = {m["parent_header"]["msg_id"] for m in cell.messages}
    assert len(parents) == 1
    states = [c["execution_state"] for c in cell.contents("status")]
    assert states == ["busy", "idle"]


async def test_displays_can_be_updated(kernel: Kernel) -> None:
    cell = await kernel.run("h = display('one', display_id='x'); h.update('two')")
    [shown], [updated] = cell.contents("display_data"), cell.contents("update_display_data")
    assert shown["transient"] == updated["transient"] == {"display_id": "x"}
    assert updated["data"]["text/plain"] == "'two'"


async def test_a_result_has_its_number(kernel: Kernel) -> None:
    await kernel.run("1")
    cell = await kernel.run("2")
    assert cell.contents("execute_result")[0]["execution_count"] == 2
    assert cell.reply["execution_count"] == 2
    assert cell.contents("execute_input") == [{"code": "2", "execution_count": 2}]
    assert await kernel.value("_ + _1") == "3"


async def test_an_error_is_told_twice(kernel: Kernel) -> None:
    cell = await kernel.run("def f():\n    1/0\nf()")
    [error] = cell.contents("error")
    assert error["ename"] == cell.reply["ename"] == "ZeroDivisionError"
    assert error["evalue"] == cell.reply["evalue"] == "division by zero"
    assert error["traceback"] == cell.reply["traceback"]
    assert "Cell In[1], line 2" in strip_ansi("".join(error["traceback"]))


async def test_what_cannot_be_shown_fails_in_its_cell(kernel: Kernel) -> None:
    strange = (
        "class S:\n    def _repr_mimebundle_(self, **_):\n        return {'application/json': object()}\n"
    )
    cell = await kernel.run(f"{strange}display(S())\nprint('not reached')")
    assert cell.reply["status"] == "error"
    assert cell.stdout == ""
    assert (await kernel.run(f"{strange}S()")).reply["status"] == "error"
    assert await kernel.value("1+1") == "2"


async def test_half_a_surrogate_pair_is_printed_somehow(kernel: Kernel) -> None:
    cell = await kernel.run("print('a\\ud800b')")
    assert cell.reply["status"] == "ok"
    assert cell.stdout.startswith("a")


async def test_the_next_cells_of_run_all_are_aborted_after_a_failure(kernel: Kernel) -> None:
    client = kernel.client
    ids = [client.execute(code) for code in ("1/0", "print('no')", "print('no')")]
    replies = {}
    while set(ids) - set(replies):
        reply = await client.get_shell_msg(timeout=WAIT)
        replies[reply["parent_header"]["msg_id"]] = reply["content"]["status"]
    assert [replies[one] for one in ids] == ["error", "aborted", "aborted"]
    assert await kernel.value("1+1") == "2"


async def test_failures_can_be_passed_over(kernel: Kernel) -> None:
    failed = kernel.client.execute("1/0", stop_on_error=False)
    good = kernel.client.execute("1")
    replies = {}
    while len({failed, good} & set(replies)) < 2:
        reply = await kernel.client.get_shell_msg(timeout=WAIT)
        replies[reply["parent_header"]["msg_id"]] = reply["content"]["status"]
    assert replies[good] == "ok"


@pytest.mark.parametrize(
    ("code", "asked", "given", "value"),
    [
        ("input('name? ')", {"prompt": "name? ", "password": False}, "Ada", "'Ada'"),
        ("from getpass import getpass; getpass('pw ')", {"prompt": "pw ", "password": True}, "x", "'x'"),
        ("import sys; sys.stdin.readline()", {"prompt": "", "password": False}, "line", "'line\\n'"),
    ],
)
async def test_input_is_asked_of_the_frontend(
    kernel: Kernel, code: str, asked: Message, given: str, value: str
) -> None:
    requests: list[Message] = []

    def answer(message: Message) -> None:
        requests.append(message["content"])
        kernel.client.input(given)

    assert (await kernel.run(code, answer=answer)).value == value
    assert requests == [asked]


async def test_the_end_of_input_is_an_end_of_file(kernel: Kernel) -> None:
    cell = await kernel.run("input()", answer=lambda _: kernel.client.input("\x04"))
    assert cell.reply["ename"] == "EOFError"


async def test_a_client_without_stdin_gets_an_error(kernel: Kernel) -> None:
    assert (await kernel.run("input()")).reply["ename"] == "StdinNotImplementedError"


async def test_completion_knows_types(kernel: Kernel) -> None:
    await kernel.run("import collections")
    found = await kernel.ask("complete_request", {"code": "collections.Ord", "cursor_pos": 15})
    assert found["matches"] == ["OrderedDict"] or found["matches"] == ["collections.OrderedDict"]
    assert found["metadata"]["_jupyter_types_experimental"][0]["type"] == "class"


async def test_inspection_shows_signatures_and_the_absence_of_names(kernel: Kernel) -> None:
    await kernel.run("def f(a, b=2):\n    'adds'")
    found = await kernel.ask("inspect_request", {"code": "f(", "cursor_pos": 1, "detail_level": 0})
    assert found["found"]
    assert "adds" in found["data"]["text/plain"]
    nothing = await kernel.ask("inspect_request", {"code": "nope", "cursor_pos": 2, "detail_level": 0})
    assert not nothing["found"]


async def test_history_outlives_the_kernel(start: Start) -> None:
    one = await start()
    await one.run("'remembered' * 2")
    await one.manager.shutdown_kernel()
    other = await start()
    content = {"hist_access_type": "search", "pattern": "*remembered*", "raw": True, "output": False, "n": 5}
    found = await other.ask("history_request", content)
    assert [entry[2] for entry in found["history"]][-1:] == ["'remembered' * 2"]


async def test_user_expressions_are_evaluated_and_their_failures_told(kernel: Kernel) -> None:
    cell = await kernel.run("a = 2", user_expressions={"sum": "a + 3", "wrong": "nope"})
    found = cell.reply["user_expressions"]
    assert found["sum"]["data"]["text/plain"] == "5"
    assert found["wrong"]["ename"] == "NameError"


async def test_payloads_page_and_set_the_next_cell(kernel: Kernel) -> None:
    cell = await kernel.run("zip?\nget_ipython().set_next_input('next')")
    assert {p["source"] for p in cell.reply["payload"]} == {"page", "set_next_input"}


async def test_silent_cells_show_nothing_and_count_nothing(kernel: Kernel) -> None:
    cell = await kernel.run("x = 5\n6", silent=True)
    assert cell.contents("execute_input") == cell.contents("execute_result") == []
    assert (await kernel.run("x")).contents("execute_result")[0]["execution_count"] == 1


CODES = {
    "top-level await": ("import asyncio\nawait asyncio.sleep(0.01)\nprint('ok')", "ok"),
    "autoawait": ("%autoawait\n1", "asyncio"),
    "shell": ("!echo ok; echo err >&2", "ok"),
    "shell value": ("x = !echo ok\nprint(x)", "['ok']"),
    "os.system": ("import os; os.system('echo ok')", "ok"),
    "timeit": ("%timeit -n1 -r1 1+1", "loop"),
    "bash": ("%%bash\necho ok", "ok"),
    "thread": (
        "import threading\nt = threading.Thread(target=print, args=('ok',)); t.start(); t.join()",
        "ok",
    ),
    "pool": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor() as p: list(p.map(print, ['ok']))",
        "ok",
    ),
    "processes": (
        "from concurrent.futures import ProcessPoolExecutor\nimport os\n"
        "with ProcessPoolExecutor(1) as p: print(p.submit(os.path.basename, 'a/ok').result())",
        "ok",
    ),
    "processes of own functions": (
        "from concurrent.futures import ProcessPoolExecutor\ndef double(x): return 2 * x\n"
        "with ProcessPoolExecutor(1) as p: print(list(p.map(double, [1, 2])))",
        "[2, 4]",
    ),
    "forks that print": (
        "import multiprocessing as mp\np = mp.get_context('fork').Process(target=print, args=('ok',))\n"
        "p.start(); p.join()",
        "ok",
    ),
    "a fork that goes on": ("import os\npid = os.fork()\nif pid: print(os.waitpid(pid, 0)[1], 'ok')", "0 ok"),
    "task": ("async def f(): print('ok')\nawait asyncio.create_task(f())", "ok"),
    "main": ("if __name__ == '__main__': print('ok')", "ok"),
    "pickle": ("import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A)", "True"),
    "prun": ("%prun -q -T /dev/null sum(range(9))\nprint('ok')", "ok"),
}


@pytest.mark.parametrize(("code", "shown"), CODES.values(), ids=CODES)
async def test_notebook_code_runs(kernel: Kernel, code: str, shown: str) -> None:
    await kernel.run("import asyncio")
    cell = await kernel.run(code)
    assert cell.reply["status"] == "ok", cell.error
    assert shown in cell.stdout


async def test_capture_keeps_output_back(kernel: Kernel) -> None:
    cell = await kernel.run("%%capture kept\nprint('out'); display(1)\n2")
    assert cell.stdout == ""
    assert cell.contents("display_data") == []
    assert (await kernel.run("print(kept.stdout, len(kept.outputs))")).stdout == "out\n 2\n"


async def test_logging_goes_to_the_cell(kernel: Kernel) -> None:
    cell = await kernel.run(
        "import logging\n"
        "log = logging.getLogger('pcm-test'); h = logging.StreamHandler(); log.addHandler(h)\n"
        "log.warning('logged'); log.removeHandler(h)"
    )
    assert "logged" in cell.stream("stderr")


async def test_late_output_belongs_to_the_cell_that_started_it(kernel: Kernel) -> None:
    cell = await kernel.run("import threading, time\nthreading.Timer(0.1, print, ['late']).start()")
    first = cell.messages[0]["parent_header"]["msg_id"]
    while True:
        message = await kernel.client.get_iopub_msg(timeout=WAIT)
        if message["msg_type"] == "stream":
            break
    assert message["content"]["text"].strip() == "late"
    assert message["parent_header"]["msg_id"] == first


async def test_each_kernel_has_names_and_a_folder_of_its_own(start: Start, tmp_path: Path) -> None:
    one, other = await start(), await start()
    await one.run(f"mine = 1\n%cd -q {tmp_path}")
    assert (await other.run("mine")).reply["ename"] == "NameError"
    folder = await asyncio.gather(one.value("import os; os.getcwd()"), other.value("import os; os.getcwd()"))
    assert folder[0] == repr(str(tmp_path))
    assert folder[1] == repr(str(Path.cwd()))


async def test_modules_beside_the_notebook_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "beside_pcm.py").write_text("where = 'beside'")
    kernel = Kernel()
    await kernel.start(cwd=str(tmp_path))
    try:
        assert await kernel.value("import beside_pcm; beside_pcm.where") == "'beside'"
    finally:
        await kernel.close()
    with pytest.raises(ImportError):
        __import__("beside_pcm_not_for_the_host")


async def test_the_error_shown_last_can_be_debugged(kernel: Kernel) -> None:
    commands = ["p wrong", "q"]
    await kernel.run("wrong = 'here'\n1/0")
    cell = await kernel.run("%debug", answer=lambda _: kernel.client.input(commands.pop(0)))
    assert "'here'" in cell.stdout


async def test_magics_of_kernels(kernel: Kernel, tmp_path: Path) -> None:
    file = tmp_path / "some.txt"
    file.write_text("text of the file")
    for magic in ("less", "more"):
        [payload] = (await kernel.run(f"%{magic} {file}")).reply["payload"]
        assert payload["data"]["text/plain"] == "text of the file"
    assert (await kernel.run(f"%edit {file}")).reply["payload"][0]["source"] == "edit_magic"
    info = json.loads((await kernel.run("%connect_info")).stdout)
    assert info["shell_port"] == kernel.manager.shell_port
    assert "key" not in info
    assert (await kernel.run("%subshell")).stdout == "subshell id: None\nsubshell list: []\n"


async def test_libraries_know_that_they_are_in_a_notebook(kernel: Kernel) -> None:
    cell = await kernel.run(
        "import pandas as pd\nfrom pandas.io.formats import console\nprint(console.in_ipython_frontend())\n"
        "ip = get_ipython(); print(type(ip).__name__, 'IPKernelApp' in ip.config)"
    )
    assert cell.stdout == "True\nZMQInteractiveShell True\n"


async def test_artifacts_are_the_users_own(kernel: Kernel, start: Start) -> None:
    await kernel.run("artifacts.save('of-a-kernel', {'a': 1}, description='test')")
    other = await start()
    assert await other.value("artifacts.load('of-a-kernel')") == "{'a': 1}"
    assert await other.value("deps") == "<deps: add, list, remove, sync>"


async def test_workflows_are_the_users_own_and_their_names_are_completed(
    kernel: Kernel, start: Start
) -> None:
    await kernel.run("workflows.create('in_a_kernel', 'async def run(n): return n + 1')")
    other = await start()
    assert await other.value("await workflows.in_a_kernel(1)") == "2"
    assert await other.value("workflows.get('in_a_kernel').info.origin") == "'in-process'"
    reply = await other.client.complete("workflows.in_", reply=True, timeout=WAIT)
    assert "in_a_kernel" in str(reply["content"]["matches"])


async def test_packages_can_be_locked(start: Start) -> None:
    kernel = await start(allow_runtime_deps=False)
    assert (await kernel.run("deps.add('six')")).reply["ename"] == "RuntimeDepsDisabledError"


async def test_the_banner_warns_and_there_is_no_debugger(kernel: Kernel) -> None:
    about = (await kernel.client.kernel_info(reply=True, timeout=WAIT))["content"]
    assert "inside the Jupyter server" in about["banner"]
    assert about["debugger"] is False
    assert "debugger" not in about["supported_features"]
    answer = await kernel.control("debug_request", {"seq": 1, "command": "debugInfo", "type": "request"})
    assert answer["success"] is False


async def test_the_users_profile_is_read(kernel: Kernel, start: Start) -> None:
    folder = Path(json.loads((await kernel.value("get_ipython().profile_dir.location")).replace("'", '"')))
    config, startup = folder / "ipython_config.py", folder / "startup" / "00-own.py"
    config.write_text(
        "c.InteractiveShell.ast_node_interactivity = 'all'\nc.InteractiveShellApp.exec_lines=['z=26']"
    )
    startup.write_text("from_startup = 'here'\nprint('noise')")
    try:
        other = await start()
        cell = await other.run("from_startup\nz")
        assert [c["data"]["text/plain"] for c in cell.contents("execute_result")] == ["'here'", "26"]
    finally:
        config.unlink()
        startup.unlink()


async def test_exit_ends_the_cell_and_nothing_else(kernel: Kernel) -> None:
    for code in ("exit()", "quit", "import sys; sys.exit(3)", "raise SystemExit"):
        await kernel.run(code)
    assert await kernel.value("1+1") == "2"
    assert await kernel.manager.is_alive()


async def test_usage_and_connection_are_told(kernel: Kernel) -> None:
    usage = await kernel.control("usage_request")
    assert usage["kernel_memory"] > 0
    ports = await kernel.ask("connect_request", {})
    assert ports["shell_port"] == kernel.manager.shell_port


async def test_is_complete_knows_blocks(kernel: Kernel) -> None:
    found = await kernel.ask("is_complete_request", {"code": "for i in x:"})
    assert found == {"status": "incomplete", "indent": "    "}


async def test_an_unknown_request_is_survived(kernel: Kernel) -> None:
    message = kernel.client.session.msg("no_such_request", {})
    kernel.client.shell_channel.send(message)
    assert await kernel.value("1+1") == "2"


async def test_broken_messages_are_survived(kernel: Kernel, caplog: pytest.LogCaptureFixture) -> None:
    socket = kernel.client.shell_channel.socket
    socket.send_multipart([b"nothing"])
    socket.send_multipart([b"<IDS|MSG>", b"wrong", b"{}", b"{}", b"{}", b"{}"])
    assert await kernel.value("1+1") == "2"
    await until(lambda: len(caplog.records) >= 2, "both were logged")


async def test_subshells_run_while_a_cell_does(kernel: Kernel) -> None:
    made = await kernel.control("create_subshell_request")
    name = made["subshell_id"]
    assert (await kernel.control("list_subshell_request"))["subshell_id"] == [name]
    task = await kernel.begun("import threading\ngate = threading.Event()\nprint('go'); gate.wait()")
    content: dict[str, Any] = {"code": "gate.set(); 5", "silent": False}
    message = kernel.client.session.msg("execute_request", content)
    message["header"]["subshell_id"] = name
    kernel.client.shell_channel.send(message)
    assert (await asyncio.wait_for(task, WAIT)).reply["status"] == "ok"
    assert (await kernel.control("delete_subshell_request", {"subshell_id": name}))["status"] == "ok"
    assert (await kernel.control("list_subshell_request"))["subshell_id"] == []
    refused = await kernel.ask("kernel_info_request", {}, subshell_id=name)
    assert refused["status"] == "error"

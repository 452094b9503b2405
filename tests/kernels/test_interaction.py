"""What goes to and fro between a frontend and the isolated kernel: input, widgets, the debugger."""

from __future__ import annotations

from .conftest import WAIT, Notebook, Start

SLIDER = "import ipywidgets; slider = ipywidgets.IntSlider(5); slider"


def test_input_asks_the_user(shared: Notebook) -> None:
    cell = shared.run("print('got', input('name? '))", answer="Ada")
    assert cell.stdout == "got Ada"
    assert shared.run("import getpass; getpass.getpass()", answer="secret").value == "'secret'"


def test_input_fails_where_nobody_can_answer(shared: Notebook) -> None:
    assert "StdinNotImplementedError" in shared.run("input()").error


def test_a_widget_follows_the_frontend_and_the_frontend_the_widget(shared: Notebook) -> None:
    cell = shared.run(SLIDER)
    view = cell.contents("execute_result")[0]["data"]["application/vnd.jupyter.widget-view+json"]
    opened = {c["comm_id"]: c["data"]["state"] for c in cell.contents("comm_open")}
    assert opened[view["model_id"]]["value"] == 5
    moved = {"method": "update", "state": {"value": 7}, "buffer_paths": []}
    content = {"comm_id": view["model_id"], "data": moved}
    shared.client.shell_channel.send(shared.client.session.msg("comm_msg", content))
    assert shared.run("slider.value").value == "7"
    (told,) = shared.run("slider.value = 9").contents("comm_msg")
    assert (told["comm_id"], told["data"]["state"]) == (view["model_id"], {"value": 9})
    shared.run("slider.close()")


def test_displays_can_be_updated(shared: Notebook) -> None:
    cell = shared.run("h = display('one', display_id='d'); h.update('two')")
    (update,) = cell.contents("update_display_data")
    assert (update["data"]["text/plain"], update["transient"]) == ("'two'", {"display_id": "d"})


def test_the_debugger_can_be_used(start: Start) -> None:
    notebook = start()
    notebook.client.kernel_info()
    info = notebook.client.get_shell_msg(timeout=WAIT)["content"]
    assert "debugger" in info["supported_features"]
    arguments = {"clientID": "c", "adapterID": "a", "pathFormat": "path"}
    request = {"type": "request", "seq": 1, "command": "initialize", "arguments": arguments}
    reply = notebook.control("debug_request", request)
    assert reply["success"]
    assert reply["body"]["supportsConfigurationDoneRequest"]
    reply = notebook.control("debug_request", {"type": "request", "seq": 2, "command": "debugInfo"})
    assert reply["body"]["isStarted"]
    assert notebook.run("6 * 7").value == "42"

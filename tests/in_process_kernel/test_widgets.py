"""Widgets, comms and figures in several kernels at once."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from pathlib import Path
from typing import Any

import comm
import pytest

from .conftest import WAIT, Cell, Kernel, Message, Start

# Code of kernels in this process, libraries included, warns under the settings of the tests.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SLIDER = """
import ipywidgets as w
s = w.IntSlider(value={value})
s.observe(lambda c: print('moved', c.new), 'value')
s"""


async def send_comm(kernel: Kernel, comm_id: str, data: Message) -> Cell:
    """Send a message of a frontend on a comm; return what the kernel showed for it."""
    message = kernel.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
    kernel.client.shell_channel.send(message)
    cell = Cell()
    while True:
        got = await kernel.client.get_iopub_msg(timeout=WAIT)
        if got["parent_header"].get("msg_id") != message["header"]["msg_id"]:
            continue
        cell.messages.append(got)
        if got["content"].get("execution_state") == "idle":
            return cell


def model(cell: Cell) -> str:
    views = [
        c["data"].get("application/vnd.jupyter.widget-view+json") for c in cell.contents("execute_result")
    ]
    return str(views[0]["model_id"])


async def test_sliders_of_two_kernels_are_moved_apart(start: Start) -> None:
    kernels = await start(), await start()
    models = [model(await k.run(SLIDER.format(value=i))) for i, k in enumerate(kernels)]
    for kernel, one, value in zip(kernels, models, (5, 7), strict=True):
        cell = await send_comm(
            kernel, one, {"method": "update", "state": {"value": value}, "buffer_paths": []}
        )
        assert cell.stdout == f"moved {value}\n"
    assert [await k.value("s.value") for k in kernels] == ["5", "7"]
    counts = [
        await k.value("len([x for x in w.Widget.widgets.values() if isinstance(x, w.IntSlider)])")
        for k in kernels
    ]
    assert counts == ["1", "1"]


async def test_a_frontend_that_comes_back_is_told_the_widgets_of_its_kernel(start: Start) -> None:
    kernels = await start(), await start()
    models = [model(await k.run(SLIDER.format(value=i))) for i, k in enumerate(kernels)]
    for name, kernel in zip(("one", "two"), kernels, strict=True):
        content = {"comm_id": name, "target_name": "jupyter.widget.control", "data": {}}
        message = kernel.client.session.msg("comm_open", content, metadata={"version": "1.0.0"})
        kernel.client.shell_channel.send(message)
        await kernel.run("")
    # The first asks after the second has opened its own.
    for name, kernel, own in zip(("one", "two"), kernels, models, strict=True):
        cell = await send_comm(kernel, name, {"method": "request_states"})
        [told] = cell.contents("comm_msg")
        assert told["comm_id"] == name
        assert own in told["data"]["states"]
        assert not set(models) - {own} & set(told["data"]["states"])


async def test_output_widgets_take_what_is_printed_inside(kernel: Kernel) -> None:
    cell = await kernel.run(
        "import ipywidgets as w\nout = w.Output()\nwith out: print('inside')\nprint('after')"
    )
    steps: list[Any] = []
    for message in cell.messages:
        if message["msg_type"] == "comm_msg" and "msg_id" in message["content"]["data"].get("state", {}):
            steps.append(bool(message["content"]["data"]["state"]["msg_id"]))
        elif message["msg_type"] == "stream":
            steps.append(message["content"]["text"])
    assert steps == [True, "inside\n", False, "after\n"]


async def test_own_targets_are_each_kernels_own(start: Start) -> None:
    kernels = await start(), await start()
    for name, kernel in zip("ab", kernels, strict=True):
        handler = f"lambda c, m: print('{name}', m['content']['data'])"
        await kernel.run(f"import comm\ncomm.get_comm_manager().register_target('own', {handler})")
    for name, kernel in zip("ab", kernels, strict=True):
        content = {"comm_id": f"c{name}", "target_name": "own", "data": {"x": 1}}
        kernel.client.shell_channel.send(kernel.client.session.msg("comm_open", content))
        while (message := await kernel.client.get_iopub_msg(timeout=WAIT))["msg_type"] != "stream":
            continue
        assert message["content"]["text"] == f"{name} {{'x': 1}}\n"
        info = await kernel.ask("comm_info_request", {"target_name": "own"})
        assert list(info["comms"]) == [f"c{name}"]


async def test_an_asynchronous_cell_may_wait_for_a_widget(kernel: Kernel) -> None:
    one = model(await kernel.run(SLIDER.format(value=0)))
    task = await kernel.begun(
        "import asyncio\nprint('go')\nwhile s.value != 9: await asyncio.sleep(0.01)\n'seen'"
    )
    content = {"comm_id": one, "data": {"method": "update", "state": {"value": 9}, "buffer_paths": []}}
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", content))
    assert (await asyncio.wait_for(task, WAIT)).value == "'seen'"


async def test_a_failing_callback_is_shown_and_survived(kernel: Kernel) -> None:
    one = model(await kernel.run("import ipywidgets as w\nb = w.Button(); b.on_click(lambda _: 1/0)\nb"))
    cell = await send_comm(kernel, one, {"method": "custom", "content": {"event": "click"}})
    assert "ZeroDivisionError" in cell.error
    assert await kernel.value("1+1") == "2"


PLOT = "import matplotlib.pyplot as plt\nfor i in range({n}):\n    plt.figure(); plt.plot([1, i])\n"


async def test_figures_never_cross_kernels(start: Start) -> None:
    kernels = [await start() for _ in range(3)]
    cells = await asyncio.gather(*(k.run(PLOT.format(n=n)) for n, k in enumerate(kernels, 1)))
    for n, cell in enumerate(cells, 1):
        assert [set(c["data"]) for c in cell.contents("display_data")] == [{"image/png", "text/plain"}] * n


async def test_a_figure_follows_its_slider(kernel: Kernel) -> None:
    code = (
        "import ipywidgets as w, matplotlib.pyplot as plt\n"
        "def draw(n):\n    plt.plot(range(n))\n"
        "i = w.interactive(draw, n=w.IntSlider(3, 1, 9)); i.children[0]"
    )
    one = model(await kernel.run(code))
    cell = await send_comm(
        kernel, one, {"method": "update", "state": {"n": 5, "value": 5}, "buffer_paths": []}
    )
    kinds = [m["msg_type"] for m in cell.messages]
    assert "image/png" in cell.contents("display_data")[0]["data"]
    # Between the message that lets the output widget capture, and the one that ends it.
    captures = [
        i
        for i, m in enumerate(cell.messages)
        if m["msg_type"] == "comm_msg" and "msg_id" in m["content"]["data"].get("state", {})
    ]
    assert captures[0] < kinds.index("display_data") < captures[-1]


async def test_figure_formats_are_each_kernels_own(start: Start) -> None:
    one, other = await start(), await start()
    await one.run("%matplotlib inline\n%config InlineBackend.figure_formats = ['svg']")
    cells = [await k.run(PLOT.format(n=1)) for k in (one, other)]
    assert [set(c.contents("display_data")[0]["data"]) for c in cells] == [
        {"image/svg+xml", "text/plain"},
        {"image/png", "text/plain"},
    ]


async def test_the_host_has_its_own_comms_again_in_the_end() -> None:
    before = comm.create_comm, comm.get_comm_manager
    kernel = Kernel()
    await kernel.start()
    await kernel.run(SLIDER.format(value=1))
    assert comm.create_comm is not before[0]
    await kernel.close()
    assert (comm.create_comm, comm.get_comm_manager) == before
    assert type(sys.modules["ipywidgets.widgets.widget"]._instances) is dict
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one).__name__ in ("ZMQInteractiveShell", "Life")]
    assert not [t for t in threading.enumerate() if t.name.startswith("pcm")]


PANEL = """
from py_code_mode_jupyter import FileStorage
from py_code_mode_jupyter.widgets import StoragePanel
storage = FileStorage({folder!r})
panel = StoragePanel(storage)
panel"""


async def test_a_panel_that_is_displayed_follows_its_storage_and_ends_with_its_thread(
    kernel: Kernel, tmp_path: Path
) -> None:
    opened = model(await kernel.run(PANEL.format(folder=str(tmp_path / "storage"))))
    await send_comm(kernel, opened, {"method": "update", "state": {"_view_count": 1}, "buffer_paths": []})
    cell = await kernel.run(
        "import time\nstorage.artifacts.save('penguins', [1])\n"
        "end = time.monotonic() + 20\n"
        "while not panel._names.options and time.monotonic() < end: time.sleep(0.01)\n"
        "panel._names.options[0][1]"
    )
    assert cell.reply["status"] == "ok"
    assert await kernel.value("panel._names.options[0][1]") == "'penguins'"
    await kernel.run("panel.close()")
    deadline = time.monotonic() + WAIT
    while any(thread.name == "pcm-widgets" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the thread stays"
        await asyncio.sleep(0.01)

from __future__ import annotations

import time
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

SETUP = """
import sys
sys.path.insert(0, {root!r})
from py_code_mode_jupyter.config import InProcessConfig
from py_code_mode_jupyter.environments.in_process import InProcessEnvironment
from py_code_mode_jupyter.results import RunRequest
class Sink:
    def __init__(self): self.got = []
    def write(self, name, text): self.got.append(text)
    def show(self, output): self.got.append(output)
place = InProcessEnvironment(InProcessConfig()); await place.start(); sink = Sink()
"""


@pytest.mark.filterwarnings("ignore")
def test_inside_a_notebook_kernel_both_keep_their_output_and_their_shell() -> None:
    manager, client = start_new_kernel(kernel_name="python3")
    printed: list[str] = []

    def hook(message: dict[str, dict[str, str]]) -> None:
        content = message["content"]
        printed.append(content.get("text", "") or str(content.get("evalue", "")))

    def run(code: str) -> dict[str, object]:
        reply = client.execute_interactive(code, timeout=30, output_hook=hook)
        content: dict[str, object] = reply["content"]
        return content

    try:
        assert run(SETUP.format(root=str(Path(__file__).parents[2])))["status"] == "ok", printed
        code = "print('inner'); display(1)\\nget_ipython()"
        assert (
            run(f"ending = await place.begin(RunRequest(code=\"{code}\"), sink); print('outer')")["status"]
            == "ok"
        )
        assert "".join(printed) == "outer\n"
        run("print(sink.got[0], len(sink.got), ending.value is get_ipython(), type(get_ipython()).__name__)")
        assert "".join(printed) == "outer\ninner\n 3 False ZMQInteractiveShell\n"
        run("await place.close(); print(type(sys).__name__, type(sys.stdout).__name__)")
        assert "".join(printed).endswith("module OutStream\n")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        deadline = time.monotonic() + 10
        while manager.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)

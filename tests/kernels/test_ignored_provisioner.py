"""A client that ignores provisioners starts the kernelspec's command itself: no code is run then."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from .conftest import SPEC, WAIT, Cell


@dataclass
class Direct:
    """The command, running, and a client of it."""

    process: subprocess.Popen[str]
    client: BlockingKernelClient
    log: Path

    def run(self, code: str) -> Cell:
        cell = Cell()
        reply = self.client.execute_interactive(code, timeout=WAIT, output_hook=cell.take, allow_stdin=False)
        cell.reply = reply["content"]
        return cell

    def wait_until_ready(self) -> None:
        """Wait until we hear what it publishes; the client's own waiting takes a slow kernel for dead."""
        deadline = time.monotonic() + WAIT
        while not self.client.iopub_channel.msg_ready():
            assert time.monotonic() < deadline, "the kernel does not answer"
            self.client.kernel_info()
            with contextlib.suppress(Empty):
                self.client.get_shell_msg(timeout=1)

    def reply_to(self, number: str) -> dict[str, Any]:
        """Return the content of the reply to a request."""
        while True:
            message = self.client.get_shell_msg(timeout=WAIT)
            if message["parent_header"].get("msg_id") == number:
                return dict(message["content"])


@pytest.fixture
def direct(tmp_path: Path) -> Iterator[Direct]:
    """Start what the kernelspec's ``argv`` says."""
    file, _ = write_connection_file(str(tmp_path / "connection.json"))
    argv = [part.format(connection_file=file) for part in json.loads(SPEC.read_text())["argv"]]
    argv[0] = sys.executable  # as every client does for "python"
    log = tmp_path / "stderr"
    with (
        log.open("w") as stderr,
        subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=stderr, text=True) as process,
    ):
        client = BlockingKernelClient(connection_file=file)
        client.load_connection_file()
        client.start_channels()
        try:
            direct = Direct(process, client, log)
            direct.wait_until_ready()
            yield direct
        finally:
            client.stop_channels()
            process.kill()


def test_it_runs_nothing_and_says_why_where_the_user_looks(direct: Direct, tmp_path: Path) -> None:
    for code in (f"open({str(tmp_path / 'ran')!r}, 'w')", f"!touch {tmp_path / 'ran'}"):
        cell = direct.run(code)
        assert cell.reply["status"] == "error"
        assert "Nothing is run" in cell.error
        assert "provisioner" in cell.error
        assert "%%pcm run -e venv" in cell.error
    assert not (tmp_path / "ran").exists()
    assert "Nothing is run" in direct.log.read_text()


def test_code_in_other_requests_is_not_run_either(direct: Direct, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = f"open({str(marker)!r}, 'w')"
    client = direct.client
    for number in (
        client.execute("", user_expressions={"x": code}),
        client.execute(code, silent=True),
        client.complete(f"{code}."),
        client.inspect(f"{code}."),
    ):
        assert direct.reply_to(number)
    assert not marker.exists()


def test_it_tells_who_it_is_and_shuts_down_when_asked(direct: Direct) -> None:
    info = direct.reply_to(direct.client.kernel_info())
    assert info["implementation"] == "py_code_mode_jupyter"
    assert "Nothing is run" in info["banner"]
    direct.client.shutdown()
    assert direct.process.wait(timeout=WAIT) == 0

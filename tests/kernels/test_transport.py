"""Nobody else on the machine can listen to an isolated kernel, or find out how to speak with it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from .conftest import WAIT, Notebook, Start

SCRIPT = """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="pcm-venv")
client.execute_interactive("import sys; sys.stderr.write('from the cell')", timeout=60)
client.stop_channels()
manager.shutdown_kernel()
"""


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def test_the_kernel_listens_on_sockets_in_a_private_folder(shared: Notebook) -> None:
    info = shared.manager.get_connection_info()
    assert info["transport"] == "ipc"
    folder = Path(info["ip"]).parent
    sockets = [path for path in folder.iterdir() if path.is_socket()]
    assert len(sockets) == 5
    private = [path for path in (folder, *folder.parents) if stat.S_IMODE(path.stat().st_mode) == 0o700]
    assert folder in private
    inet = psutil.Process(shared.pid).net_connections("inet")
    assert inet == []


def test_nothing_warns_of_a_transport_in_plain_text(temp: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=WAIT, check=True
    )
    assert "from the cell" in done.stderr
    assert "encryption" not in done.stderr
    assert "TCP" not in done.stderr


def test_the_kernels_own_log_warns_of_nothing(start: Start, temp: Path) -> None:
    start()
    logs = [path.read_text() for path in temp.rglob("start.log")]
    assert len(logs) == 1
    assert "encryption" not in logs[0]


def test_only_the_connection_file_of_the_manager_holds_the_key(start: Start, temp: Path) -> None:
    notebook = start()
    key = notebook.manager.session.key
    assert len(key) >= 32
    file = Path(notebook.manager.connection_file)
    assert key in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path for path in files(temp) if key in path.read_bytes()] == [file]
    kernel = psutil.Process(notebook.pid)
    for process in (kernel, *kernel.children(recursive=True)):
        assert key not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert key not in Path(f"/proc/{process.pid}/environ").read_bytes()


def test_a_long_path_of_the_temporary_folder_does_not_matter(
    start: Start, temp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = temp / ("long" * 30)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    notebook = start()
    sockets = Path(notebook.manager.ip).parent
    assert not sockets.is_relative_to(deep)
    assert notebook.run("6 * 7").value == "42"
    notebook.close()
    assert list(deep.iterdir()) == []
    assert not sockets.exists()


STRANGER = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
socket.socket(socket.AF_UNIX).connect(sys.argv[1])
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_cannot_connect(shared: Notebook) -> None:
    socket = f"{shared.manager.ip}-{shared.manager.shell_port}"
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, socket], capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert "PermissionError" in done.stderr

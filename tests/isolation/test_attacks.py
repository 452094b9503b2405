"""Attacks that once went through: each test fails without the defence that came of it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import struct
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from py_code_mode_jupyter import FileStorage, Output, RunStatus, codec
from py_code_mode_jupyter.environments import fallback
from py_code_mode_jupyter.environments.folder import OwnedFolder
from py_code_mode_jupyter.environments.process import ipc_connection
from py_code_mode_jupyter.errors import ArtifactFormatError, CodeModeError, TransferError
from py_code_mode_jupyter.execution.collector import OutputCollector
from py_code_mode_jupyter.results import strip_ansi
from py_code_mode_jupyter.sandbox.frames import receive_frame

if TYPE_CHECKING:
    from py_code_mode_jupyter import Session


@pytest.fixture
async def session(venv: Callable[..., Any]) -> Any:
    async with venv(max_output="1m") as opened:
        yield opened


# What a value unfolds to

SAME_HASH = [(2**61 - 1) * number for number in range(1, 5000)]
NUMBERS = {"range": [0, len(SAME_HASH), 1], "names": [None]}
BOMBS: dict[str, Any] = {
    "one buffer a million times": [{"$": "bytes", "buffer": 1}] * 2,
    "a set of one hash": {"$": "set", "items": SAME_HASH},
    "keys of one hash": {"$": "dict", "items": [[key, 0] for key in SAME_HASH]},
    "tuples of one hash": {"$": "frozenset", "items": [{"$": "tuple", "items": [n]} for n in SAME_HASH]},
    "categories of one hash": {
        "$": "Series",
        "name": None,
        "index": NUMBERS,
        "column": {"dtype": "category", "values": SAME_HASH},
    },
    "levels of one hash": {
        "$": "Series",
        "name": None,
        "index": {"tuples": [[n, 0] for n in SAME_HASH], "names": [None, None]},
        "column": {"dtype": "object", "values": SAME_HASH},
    },
    "a number with too many digits": {
        "$": "Series",
        "name": None,
        "index": {"range": [0, 1, 1], "names": [None]},
        "column": {"dtype": "int64", "values": [{"$": "Decimal", "text": "1e999999"}]},
    },
}


@pytest.mark.parametrize("tree", BOMBS.values(), ids=BOMBS)
def test_a_small_value_cannot_unfold_without_end(tree: Any) -> None:
    if "Series" in str(tree):
        pytest.importorskip("pandas")
    with pytest.raises(TransferError, match=r"collide|Decimal|used already"):
        codec.decode([json.dumps(tree).encode(), bytes(8)])


def test_honest_values_are_no_bombs() -> None:
    value = {1: {True, 2, -1, -2, 2**61 - 1}, (1, 2): frozenset(range(10_000)), 0.5: b"a", None: b"a"}
    assert codec.decode(codec.encode(value)) == value
    pandas = pytest.importorskip("pandas")
    series = pandas.Series([1, 2] * 1000, dtype="category")
    assert codec.decode(codec.encode(series)).equals(series)


# What a run shows

FLOODS = {
    "names": "publish({'x' * 10**6: ''})",
    "metadata": "publish({'text/plain': ''}, {'m': 'x' * 10**6})",
    "display ids": "publish({}, transient={'display_id': 'x' * 10**6})",
    "nothing": "[publish({}) for _ in range(1000)]",
    "errors": "kernel.send_response(kernel.iopub_socket, 'error', {'traceback': ['x' * 10**6]})",
    "errors' names": "kernel.send_response(kernel.iopub_socket, 'error', {'ename': 'x' * 10**6})",
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_whatever_is_shown_counts_against_the_bound(session: Session, flood: str) -> None:
    setup = "from IPython.display import publish_display_data as publish\nkernel = get_ipython().kernel\n"
    result = await session.run(f"{setup}for _ in range(20): {flood}")
    assert result.is_ok, result.error
    assert result.truncated > 0
    kept = sum(
        len(str(output)) + len(output.name) + len(output.display_id or "") for output in result.outputs
    )
    kept += sum(len(str(output.metadata)) + len(str(output.data)) for output in result.outputs)
    assert kept < 2.5 * 2**20


def test_updates_take_no_longer_the_more_there_is_to_update() -> None:
    collector = OutputCollector(2**30)
    started = time.process_time()
    for kind in ("display_data", "update_display_data"):
        for number in range(3000):
            collector.show(Output(type=kind, data={"text/plain": f"{number}"}, display_id="a"))  # type: ignore[arg-type]
    collector.show(Output(type="display_data", data={"text/plain": "later"}, display_id="a"))
    assert [str(output) for output in collector.outputs()] == ["2999"] * 3000 + ["later"]
    assert time.process_time() - started < 3


def test_text_without_colours_sends_no_commands_to_a_terminal() -> None:
    hostile = "\x1b]52;c;aGk=\x07a\x1b]0;title\x1b\\b\x1bPq#\x1b\\c\x1bcd\x1b[31me\x1b[0m\x1b[>4;2mf"
    assert strip_ansi(hostile) == "abcdef"


# The private channel


def test_lengths_that_are_only_announced_take_no_memory() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack(">IQ", 2, 2**28) + b"{}" + b"x" * 10_000)
        theirs.shutdown(socket.SHUT_WR)
        tracemalloc.start()
        try:
            assert receive_frame(ours) is None
            assert tracemalloc.get_traced_memory()[1] < 2**23
        finally:
            tracemalloc.stop()


async def test_many_artifacts_with_much_metadata_can_be_listed(session: Session) -> None:
    save = "artifacts.save(f'a{n}', n, metadata={'note': 'x' * 60_000})"
    code = f"for n in range(20): {save}\nlen(artifacts.list())"
    result = await session.run(code)
    assert (result.status, result.value) == (RunStatus.OK, 20)


async def test_an_answer_that_is_too_large_is_an_error_and_not_the_end(
    session: Session, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.artifacts.save("large", b"x" * 5000)
    monkeypatch.setattr("py_code_mode_jupyter.sandbox.frames.MAX_PAYLOAD", 4000)
    await session.run("kept = 1")
    result = await session.run("artifacts.load('large')")
    assert result.exception is not None
    assert result.exception.name == "TransferError"
    assert (await session.run("kept")).value == 1


def test_metadata_cannot_be_nested_so_deep_that_listing_fails(storage: FileStorage) -> None:
    deep: dict[str, Any] = {}
    for _ in range(600):
        deep = {"a": deep}
    with pytest.raises(ArtifactFormatError, match="deep"):
        storage.artifacts.save("x", 1, metadata=deep)
    assert storage.artifacts.list() == []


# What is left, and what the host touches


async def test_folders_in_folders_by_the_thousand_are_removed(venv: Callable[..., Any]) -> None:
    dig = "import os\nfor _ in range(2000): os.mkdir('d'); os.chdir('d')\nos.mknod('x'); os.chmod('.', 0)"
    async with venv(allow_runtime_deps=False) as session:
        folder = session.executor._environment._folder.path
        assert (await session.run(dig)).is_ok
    assert not folder.exists()


def test_folders_without_rights_are_removed_and_links_not_followed(tmp_path: Path) -> None:
    """As an ordinary user, whom missing rights stop."""
    shared = Path("/tmp") / f"pcm-shared-{os.getpid()}"
    shared.mkdir()
    shared.chmod(0o777)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the child only removes a folder
            child = os.fork()
        if child == 0:
            os._exit(_remove_as_nobody(shared))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        shutil.rmtree(shared)


def _remove_as_nobody(shared: Path) -> int:
    if os.getuid() == 0:
        os.setuid(65534)
    kept = shared / "kept"
    kept.mkdir(mode=0o755)
    (kept / "file").touch()
    owned = OwnedFolder(shared)
    owned.create()
    inner = owned.sub("work") / "shut" / "in"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    os.mkfifo(inner / "pipe")
    (owned.path / "link").symlink_to(kept)
    inner.chmod(0)
    inner.parent.chmod(0)
    path = owned.path
    owned.remove()
    return 0 if not path.exists() and kept.stat().st_mode & 0o777 == 0o755 and (kept / "file").exists() else 1


async def test_the_kernel_that_explains_writes_through_no_link_and_imports_nothing_planted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Confined code may write in the folder of the sockets, where the log of that kernel is made."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    home = OwnedFolder(tmp_path / "home")
    home.create()
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "ipykernel.py").write_text("raise SystemExit('planted')")
    monkeypatch.setattr(fallback.tempfile, "gettempdir", lambda: str(planted))
    (home.sockets() / "start.log").symlink_to(victim)
    place = fallback.ExplainingEnvironment(ipc_connection(home.sockets()), "because")
    try:
        await place.start()
        assert victim.read_text() == "precious"
    finally:
        await place.close()
        await asyncio.to_thread(home.remove)


@pytest.mark.needs("landlock")
async def test_a_link_in_place_of_a_writable_folder_opens_nothing(
    venv: Callable[..., Any], tmp_path: Path
) -> None:
    """A kernel in place of one that died is confined to what was named, not to where that leads now."""
    outer, inner, victim = tmp_path / "out", tmp_path / "out" / "in", tmp_path / "victim"
    for folder in (outer, inner, victim):
        folder.mkdir()
    swap = f"import os\nos.rmdir({str(inner)!r}); os.symlink({str(victim)!r}, {str(inner)!r}); os._exit(1)"
    async with venv(allow_runtime_deps=False, writable_paths=(outer, inner)) as session:
        assert (await session.run(swap)).status is RunStatus.DIED
        with pytest.raises(CodeModeError, match="now leads to"):
            await session.run(f"open({str(victim / 'planted')!r}, 'w')")
    assert list(victim.iterdir()) == []


async def test_a_process_without_environment_in_a_group_of_its_own_is_ended(venv: Callable[..., Any]) -> None:
    code = "import subprocess\nsubprocess.Popen(['sleep', '300'], env={}, process_group=0).pid"
    async with venv() as session:
        pid = (await session.run(code)).value
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_an_installer_at_work_ends_with_the_session(
    venv: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that never answers holds it, and more is asked of it before the end."""
    with socket.create_server(("127.0.0.1", 0)) as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{index.getsockname()[1]}/")
        async with venv() as session:
            ask = "Thread(target=deps.add, args=(f'a{n}',)).start()"
            ask = f"from threading import Thread\nfor n in range(3): {ask}"
            assert (await session.run(ask)).is_ok
            connection, _ = await asyncio.to_thread(index.accept)
            assert _installers()
        connection.close()
        assert _installers() == []


def _installers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.name() == "uv"]


LARGE = {
    "a value": "'x' * 270_000_000",
    "an error": "raise ValueError('x' * 140_000_000)",
    "a display": "from IPython.display import HTML, display\ndisplay(HTML('x' * 300_000_000))",
    "half a character": "print('\\ud800')",
    "half a character in an error": "raise ValueError('\\ud800')",
}


@pytest.mark.parametrize("code", LARGE.values(), ids=LARGE)
async def test_what_cannot_be_sent_ends_the_run_all_the_same(session: Session, code: str) -> None:
    await session.run("kept = 1")
    result = await session.run(code, timeout=60)
    assert result.status in (RunStatus.OK, RunStatus.ERROR)
    assert (await session.run("kept")).value == 1


async def test_forked_children_end_whatever_their_parent_held_when_it_forked(session: Session) -> None:
    code = """
import multiprocessing
context = multiprocessing.get_context("fork")
children = [context.Process(target=lambda: print("a", "line"), daemon=True) for _ in range(20)]
for child in children:
    print("parent", flush=True)
    child.start()
for child in children: child.join()
"""
    result = await session.run(code, timeout=60)
    assert result.is_ok, result.error
    assert sorted(result.stdout.splitlines()) == ["a line"] * 20 + ["parent"] * 20


async def test_what_a_child_prints_does_not_come_into_a_line_of_its_parent(
    session: Session,
) -> None:
    code = """
import os, sys
for _ in range(2000):
    sys.stdout.write("parent")
    os.write(1, b"a line\\n")
    sys.stdout.write("\\n")
"""
    result = await session.run(code, timeout=60)
    assert result.is_ok, result.error
    assert sorted(result.stdout.splitlines()) == ["a line"] * 2000 + ["parent"] * 2000


async def test_a_line_that_is_never_ended_does_not_slow_what_a_child_prints(session: Session) -> None:
    code = """
import subprocess, sys
sys.stdout.write("begun ")
subprocess.run([sys.executable, "-c", "print('x' * 20_000_000, end='')"])
"""
    result = await session.run(code, timeout=20)
    assert result.is_ok, result.error
    assert result.truncated > 5_000_000

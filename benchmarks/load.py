"""Puts a real Jupyter Server with the extension under load: ``python benchmarks/load.py``.

200 requests a second over the REST routes, at times that are set beforehand, so that a server that falls
behind is charged for it; beside them 5 kernels that run, 10,000 artifacts that are listed in pages, clients
of the event stream that read nothing, and others that vanish. The exit status is 1 if a bound is broken,
2 if a request failed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import websocket

from py_code_mode_jupyter import FileStorage

ARTIFACTS, KERNELS = 10_000, 5
RATE, CONNECTIONS = 200, 16
SLOW_CLIENTS, VANISHING = 8, 4
P95, MORE_MEMORY = 0.100, 96 * 2**20  # seconds, bytes
WAIT = 60
BOUND_BROKEN, FAILED = 1, 2
TOKEN = uuid.uuid4().hex
AUTH = f"Authorization: token {TOKEN}"
PRIVATE = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "PCM_STORAGE")


@dataclass
class Seen:
    """What the requests brought."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)
    vanished: int = 0
    cpu: float = 0.0
    answered: list[float] = field(default_factory=list)


def main() -> int:
    """Measure, print what was seen, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long (default: 20)")
    parser.add_argument("--rate", type=float, default=RATE, help=f"requests a second (default: {RATE})")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pcm-load-"))
    try:
        fill(folder / "pcm_storage")
        with serving(folder) as (port, process):
            seen = load(port, process, options.seconds, options.rate)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report(seen, options)


def fill(base: Path) -> None:
    """Make many artifacts, by copying one: saving each safely would take minutes."""
    storage = FileStorage(base)
    info = storage.artifacts.save("a-00000", {"number": 0}, description="the first")
    original = storage.artifacts.path / "a-00000"
    fields = json.loads((original / "1.info.json").read_text())
    for number in range(1, ARTIFACTS):
        made = storage.artifacts.path / f"a-{number:05}"
        made.mkdir(mode=0o700)
        shutil.copy(original / "1.json", made / "1.json")
        created = info.created.astimezone(UTC) - timedelta(seconds=number)
        about = fields | {"name": made.name, "created": created.isoformat(), "description": f"no. {number}"}
        (made / "1.info.json").write_text(json.dumps(about))


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Run a server, and yield its port and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, **{name: str(folder / name.lower()) for name in PRIVATE}}
    command = [
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"),
        f"--ServerApp.root_dir={folder}",
        "--CodeModeExtension.event_timeout=1",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + WAIT
        while not answers(port):
            assert time.monotonic() < deadline and server.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield port, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(WAIT)


def answers(port: int) -> bool:
    """Return whether the server answers."""
    with contextlib.suppress(OSError, EOFError):
        return Client(port).ask("GET", "/pcm/health")[0] == 200
    return False


class Client:
    """One connection that stays open. It does no more than it must: it shares the machine with the server."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return status and body of the answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{AUTH}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        got = b""
        while b"\r\n\r\n" not in got:
            got += self._more()
        top, _, rest = got.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", top, re.IGNORECASE)
        parts = [rest]
        left = (int(length[1]) if length else 0) - len(rest)
        while left > 0:
            parts.append(self._more())
            left -= len(parts[-1])
        return int(top.split(b" ", 2)[1]), b"".join(parts)

    def _more(self) -> bytes:
        found = self._socket.recv(2**17)
        if not found:
            raise EOFError
        return found


def load(port: int, process: psutil.Process, seconds: float, rate: float) -> Seen:
    """Put the server under load, and return what was seen."""
    seen, first, done = Seen(), Client(port), threading.Event()
    kernels = [start(first, name) for name in KERNEL_NAMES]
    running = [run(port, kernel) for kernel in kernels]
    for path in ("/pcm/artifacts", "/pcm/kernels"):  # the first listing reads 10,000 files
        first.ask("GET", path)
    slow = [listen(port) for _ in range(SLOW_CLIENTS)]
    seen.memory.append(process.memory_info().rss)
    plans = plan(kernels, int(seconds * rate), rate)
    threads = [threading.Thread(target=work, args=(port, steps, seen)) for steps in plans]
    threads += [threading.Thread(target=each, args=(port, process, seen, done)) for each in (watch, vanish)]
    cpu = sum(process.cpu_times()[:2])
    for thread in threads:
        thread.start()
    for thread in threads[:CONNECTIONS]:
        thread.join()
    done.set()
    for thread in threads:
        thread.join()
    seen.cpu = sum(process.cpu_times()[:2]) - cpu
    seen.memory.append(process.memory_info().rss)
    for one in (*slow, *running):
        one.shutdown()
    for kernel in kernels:
        first.ask("DELETE", f"/api/kernels/{kernel}")
    return seen


KERNEL_NAMES = ("pcm-in-process",) * 3 + ("pcm-venv",) * 2


def start(client: Client, name: str) -> str:
    """Start a kernel, and return its id."""
    status, body = client.ask("POST", "/api/kernels", json.dumps({"name": name}).encode())
    assert status == 201, body
    return str(json.loads(body)["id"])


def run(port: int, kernel: str) -> websocket.WebSocket:
    """Let a kernel run something all the time that takes little of the machine."""
    url = f"ws://127.0.0.1:{port}/api/kernels/{kernel}/channels?session_id={uuid.uuid4().hex}"
    opened = websocket.create_connection(url, header=[AUTH], timeout=WAIT)
    code = "import time\nwhile True:\n    time.sleep(0.2); kept = list(range(1000))"
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": uuid.uuid4().hex}
    header |= {"username": "", "version": "5.4", "date": datetime.now(UTC).isoformat()}
    message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "buffers": []}
    opened.send(json.dumps({**message, "content": {"code": code, "silent": False}}))
    return opened


def listen(port: int) -> websocket.WebSocket:
    """Listen to all events, and read none."""
    opened = websocket.create_connection(
        f"ws://127.0.0.1:{port}/pcm/events",
        header=[AUTH],
        timeout=WAIT,
        sockopt=((socket.SOL_SOCKET, socket.SO_RCVBUF, 2048),),
    )
    topics = ["kernels", "usage", "sessions", "storage", "runs"]
    opened.send(json.dumps({"subscribe": topics}))
    return opened


def vanish(port: int, process: psutil.Process, seen: Seen, done: threading.Event) -> None:
    """Open event streams and break them off, again and again."""
    while not done.wait(0.3):
        opened = [listen(port) for _ in range(VANISHING)]
        for one in opened:
            one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.sock.close()
            seen.vanished += 1


def watch(port: int, process: psutil.Process, seen: Seen, done: threading.Event) -> None:
    """Look at the server's memory."""
    while not done.wait(0.5):
        seen.memory.append(process.memory_info().rss)


Step = tuple[float, str, str]


def plan(kernels: list[str], number: int, rate: float) -> list[list[Step]]:
    """Return for each connection when to ask for what, as a panel and its user would."""
    chosen = random.Random(1)  # noqa: S311 - which artifact is no secret
    begin = time.perf_counter() + 0.5
    steps: list[Step] = []
    for index in range(number):
        name = f"a-{chosen.randrange(ARTIFACTS):05}"
        kind, path = (
            ("list kernels", "/pcm/kernels"),
            ("a page of artifacts", PAGE),
            ("a kernel", f"/pcm/kernels/{kernels[index % len(kernels)]}"),
            ("an artifact", f"/pcm/artifacts/{name}"),
            ("a preview", f"/pcm/artifacts/{name}/preview"),
            ("runs", "/pcm/runs?limit=20"),
            ("a filtered page", f"/pcm/artifacts?limit=20&filter=no.%20{index % 1000}"),
            ("sessions", "/pcm/sessions"),
            ("a page of artifacts", PAGE),
            ("health", "/pcm/health"),
        )[index % 10]
        steps.append((begin + index / rate, kind, path))
    return [steps[index::CONNECTIONS] for index in range(CONNECTIONS)]


PAGE = "page"
_pages: dict[str, str] = {"next": ""}


def work(port: int, steps: list[Step], seen: Seen) -> None:
    """Ask what is planned, one thing after the other."""
    client = Client(port)
    for due, kind, path in steps:
        time.sleep(max(0.0, due - time.perf_counter()))
        asked = f"/pcm/artifacts?limit=100{_pages['next']}" if path == PAGE else path
        sent = time.perf_counter()
        try:
            status, body = client.ask("GET", asked)
        except (OSError, EOFError) as error:
            seen.failures[f"{kind}: {type(error).__name__}"] += 1
            client = Client(port)
            continue
        now = time.perf_counter()
        seen.seconds.setdefault(kind, []).append(now - due)
        seen.answered.append(now - sent)
        if status != 200:
            seen.failures[f"{kind}: {status}"] += 1
        elif path == PAGE:
            after = re.search(rb'"next": "([^"]+)"', body)
            _pages["next"] = f"&after={after[1].decode()}" if after else ""


def report(seen: Seen, options: argparse.Namespace) -> int:
    """Print what was seen, and return the exit status."""
    everything = sorted(itertools.chain.from_iterable(seen.seconds.values()))
    print(f"{len(everything):,} requests at {options.rate:g} a second, {KERNELS} kernels, ", end="")
    print(f"{ARTIFACTS:,} artifacts, {SLOW_CLIENTS} slow and {seen.vanished} vanished event clients\n")
    print(f"{'milliseconds':<22}{'median':>8}{'p95':>8}{'p99':>8}{'max':>8}")
    rows = (*sorted(seen.seconds.items()), ("all", everything), ("all, once sent", seen.answered))
    for kind, values in rows:
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        row = (statistics.median(values), cuts[94], cuts[98], max(values))
        print(f"{kind:<22}" + "".join(f"{value * 1000:8.1f}" for value in row))
    more = max(seen.memory) - seen.memory[0]
    print(f"\nmemory of the server: {seen.memory[0] / 2**20:.0f} MiB, then up to {more / 2**20:.0f} MiB more")
    print(f"CPU time of the server: {1000 * seen.cpu / len(everything):.1f} ms for each request")
    load1 = os.getloadavg()[0]
    print(f"{os.cpu_count()} CPUs, load {load1:.1f}; the clients run on the same machine")
    if seen.failures:
        print(f"FAILED: {dict(seen.failures)}")
        return FAILED
    p95: Any = statistics.quantiles(everything, n=100, method="inclusive")[94]
    broken = [f"p95 {p95 * 1000:.1f} ms > {P95 * 1000:.0f} ms"] if p95 > P95 else []
    if more > MORE_MEMORY:
        broken.append(f"{more / 2**20:.0f} MiB more memory > {MORE_MEMORY / 2**20:.0f}")
    print(f"bounds broken: {', '.join(broken)}" if broken else "no error; within the bounds")
    return BOUND_BROKEN if broken else 0


if __name__ == "__main__":
    sys.exit(main())

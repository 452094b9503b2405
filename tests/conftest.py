"""What every test shares: private Jupyter folders, and pieces a machine may lack.

A test names the pieces it cannot do without: ``@pytest.mark.needs("landlock", "network")``. Where one
is missing the test is skipped, and the last lines of the run say which piece and why. The environment
variable ``PCM_REQUIRE`` (``all``, or names with commas) makes a missing piece a failure.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uv

from py_code_mode_jupyter.environments.container.engine import Engine
from py_code_mode_jupyter.errors import EngineError

from .images import make_base, make_images, make_wheels

WAIT = 60  # seconds that a look at the machine may take
PRIVATE_FOLDERS = (
    "IPYTHONDIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "PCM_STORAGE",
)
LANDLOCK_CREATE_RULESET, ASK_VERSION = 444, 1
ALONE = frozenset({"benchmarks", "browser", "in_process", "in_process_kernel"})
"""Folders whose tests measure, drive a browser, or look at a whole process; nothing else runs beside them."""
OTHER_PYTHONS = tuple(f"3.{minor}" for minor in (11, 12, 13) if minor != sys.version_info.minor)


def _landlock() -> str:
    if sys.platform != "linux":
        return "Landlock is a part of Linux"
    abi = ctypes.CDLL(None, use_errno=True).syscall(LANDLOCK_CREATE_RULESET, None, 0, ASK_VERSION)
    return "" if abi > 0 else f"the kernel says: {os.strerror(ctypes.get_errno())}"


def _uv(*arguments: str) -> str:
    done = subprocess.run(
        [uv.find_uv_bin(), *arguments], capture_output=True, text=True, timeout=WAIT, check=False
    )
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines() or [f"uv ended with {done.returncode}"]
    return next((line for line in lines if line.startswith("error")), lines[-1]).removeprefix("error: ")


def _python(version: str) -> str:
    return _uv("python", "find", "--system", "--no-project", "--no-python-downloads", version)


def _network() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return _uv("pip", "install", "--dry-run", "--no-cache", "--target", folder, "six")


def _chromium() -> str:
    return "" if chromium() else "there is no program chromium, chromium-browser or google-chrome"


def chromium() -> str | None:
    """Return where Chromium is, if it is installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _docker() -> str:
    try:
        with contextlib.closing(Engine()) as engine:
            engine.version()
    except EngineError as error:
        return error.message
    return ""


PIECES: dict[str, Callable[[], str]] = {
    "chromium": _chromium,
    "docker": _docker,
    "landlock": _landlock,
    "network": _network,
    **{f"python{version}": functools.partial(_python, version) for version in OTHER_PYTHONS},
    # The version that runs the tests is there.
    f"python3.{sys.version_info.minor}": lambda: "",
}


@functools.cache
def why_missing(piece: str) -> str:
    """Return why this machine lacks `piece`, or nothing if it is there."""
    return PIECES[piece]()


def _required() -> set[str]:
    names = {name for name in os.environ.get("PCM_REQUIRE", "").split(",") if name}
    if unknown := names - {*PIECES, "all"}:
        raise pytest.UsageError(f"PCM_REQUIRE: unknown {sorted(unknown)}; known: all, {', '.join(PIECES)}")
    return set(PIECES) if "all" in names else names


def _offer_pyenv_versions() -> None:
    # pyenv puts python3.12 on PATH but lets it run only where it was chosen; PYENV_VERSION chooses.
    if shutil.which("pyenv") is None or "PYENV_VERSION" in os.environ:
        return
    listing = subprocess.run(
        ["pyenv", "versions", "--bare"], capture_output=True, text=True, timeout=WAIT, check=True
    )
    versions = [line.strip() for line in listing.stdout.splitlines()]
    minors = (f"3.{sys.version_info.minor}", *OTHER_PYTHONS)
    chosen = [version for minor in minors for version in versions if version.startswith(f"{minor}.")]
    if chosen:
        os.environ["PYENV_VERSION"] = ":".join(chosen)


def _use_private_folders(root: Path) -> None:
    for name in PRIVATE_FOLDERS:
        folder = root / name.lower()
        folder.mkdir(mode=0o700)
        os.environ[name] = str(folder)


def pytest_configure(config: pytest.Config) -> None:
    _required()
    root = Path(tempfile.mkdtemp(prefix="pcm-tests-"))
    config.add_cleanup(functools.partial(shutil.rmtree, root, ignore_errors=True))
    _use_private_folders(root)
    _offer_pyenv_versions()


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("pcm")]


@pytest.fixture(autouse=True)
def no_thread_is_left_to_later_tests() -> Iterator[None]:
    """What one test leaves running would fail another, far away, that counts threads."""
    # Their number: a kernel that several tests share is another one after a restart.
    before = len(_threads())
    yield
    deadline = time.monotonic() + WAIT / 4
    while len(_threads()) > before:
        assert time.monotonic() < deadline, f"this test leaves some of {_threads()}"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def base_image() -> str:
    """The name of what images are built on."""
    return make_base()


@pytest.fixture(scope="session")
def images() -> None:
    """The images of this very code."""
    make_images()


@pytest.fixture(scope="session")
def wheels() -> Path:
    """A folder with wheels of what the tools image holds."""
    return make_wheels()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in ALONE:
            item.add_marker(pytest.mark.alone)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for piece in [piece for marker in item.iter_markers("needs") for piece in marker.args]:
        if piece not in PIECES:
            pytest.fail(f"needs({piece!r}): not among {', '.join(PIECES)}", pytrace=False)
        if not (why := why_missing(piece)):
            continue
        if piece in _required():
            pytest.fail(f"{piece} is missing and PCM_REQUIRE demands it: {why}", pytrace=False)
        item.user_properties.append(("missing", f"{piece}: {why}"))
        pytest.skip(f"{piece} is missing: {why}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = Counter(
        reason
        for report in terminalreporter.stats.get("skipped", ())
        for key, reason in getattr(report, "user_properties", ())
        if key == "missing"
    )
    if missing:
        terminalreporter.section("not tested, because this machine lacks a piece")
        for reason, number in missing.items():
            terminalreporter.write_line(f"{number} skipped, no {reason}")

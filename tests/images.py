"""The images and wheels that tests of containers need, made where they are missing or of other code.

As a program it makes the images, so that no test has to wait while others build; `make test` does that
beside its checks.
"""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from py_code_mode_jupyter.environments.container import images
from py_code_mode_jupyter.environments.container.engine import Engine
from py_code_mode_jupyter.errors import EngineError, ImageError

PUBLIC_BASE, LOCAL_BASE = "python:3.12-slim", "py-code-mode:local-base"
LONG = 300  # seconds: packages may come from the network


def make_images() -> None:
    """Build both images, unless they are there and of this very code."""
    base = make_base()
    with contextlib.closing(Engine()) as engine, _one_at_a_time("images"):
        for kind, name, below in (("base", images.BASE, base), ("tools", images.TOOLS, None)):
            try:
                about = images.check_image(engine, name)
                images.check_content(name, images.content_of(engine, name, about["Config"]["Labels"]))
            except ImageError:
                images.build(engine, kind, base=below, say=lambda _line: None)


def make_wheels() -> Path:
    """Return a folder with wheels of what the tools image holds, for this version of Python."""
    folder = images.docker_folder() / "build-extra" / "wheels"
    with _one_at_a_time("wheels"):
        if not folder.is_dir():
            _local_base("--only-wheels")
    return folder


def make_base() -> str:
    """Return what images are built on: the Dockerfile's own base, or a local one where none can be pulled."""
    with contextlib.closing(Engine()) as engine, _one_at_a_time("base-image"):
        if engine.has_image(PUBLIC_BASE):
            return PUBLIC_BASE
        if not engine.has_image(LOCAL_BASE):
            _local_base("--only-image", "--tag", LOCAL_BASE)
    # The engine may hold a base from before, and this checkout no wheels.
    make_wheels()
    return LOCAL_BASE


@contextlib.contextmanager
def _one_at_a_time(what: str) -> Iterator[None]:
    """Hold up other processes of these tests."""
    with (Path(tempfile.gettempdir()) / f"pcm-tests-{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _local_base(*options: str) -> None:
    script = images.docker_folder() / "local_base.py"
    subprocess.run([sys.executable, str(script), *options], timeout=LONG, check=True)


if __name__ == "__main__":
    try:
        make_images()
    except EngineError as error:
        sys.exit(error.message)

"""Runs uv, the installer, and says what went wrong when it refuses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, final

from ..errors import VenvError

_LAST_LINES = 12
_UNREACHABLE = re.compile(
    # What uv says of connections; names of packages, such as networkx, are in its log as well.
    r"error sending request|dns error|tcp connect error|connection (refused|reset)|timed out"
    r"|network was disabled",
    re.IGNORECASE,
)


class Outcome(NamedTuple):
    """What a call of uv printed, and whether it succeeded."""

    ok: bool
    stdout: str
    log: str

    @property
    def unreachable(self) -> bool:
        """Whether it failed because the package index could not be reached."""
        return not self.ok and _UNREACHABLE.search(self.log) is not None


def find_uv() -> str:
    """Return the path of the ``uv`` program.

    Raises
    ------
    VenvError
        The package uv, which is one of our dependencies, is not here.
    """
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        if (on_path := shutil.which("uv")) is not None:
            return on_path
        raise VenvError(
            "The installer uv is not here, so no environment can be built.",
            remedy='Install it beside this package: pip install uv, or deps.add("uv") in an isolated kernel.',
        ) from error


def run_uv(
    arguments: Sequence[str | Path], *, timeout: float, variables: Mapping[str, str] | None = None
) -> Outcome:
    """Run uv, with `variables` added to its environment, and return what it said.

    It blocks: call it off the event loop.

    Raises
    ------
    VenvError
        uv is missing, or did not end within `timeout` seconds; it has been killed then.
    """
    return Installer().run(arguments, timeout=timeout, variables=variables)


@final
class Installer:
    """Runs uv, once at a time, and ends it when somebody else says so."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def stop(self) -> None:
        """End what is running, and run nothing more."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        timeout: float,
        variables: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run uv as `run_uv` does; raises `VenvError` as well if it was stopped."""
        command = [find_uv(), "--color=never", "--no-progress", *map(str, arguments)]
        environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, **(variables or {})},
            stdin=subprocess.DEVNULL,
            # The user's uv settings count; those of the folder we happen to be in must not.
            cwd="/",
        ) as process:
            self._process = process
            if self._stopped:
                process.kill()
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired as error:
                raise VenvError(
                    f"uv {arguments[0]} did not end within {timeout:g} s.",
                    remedy="Look at the connection to the package index; a start has more time with "
                    "startup_timeout.",
                ) from error
            finally:
                process.kill()
                self._process = None
        if self._stopped:
            raise VenvError("The installation was stopped, because what it was for has ended.")
        return Outcome(process.returncode == 0, stdout, _tail(stderr))


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_LAST_LINES:])

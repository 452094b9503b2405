"""The first line on the standard input: who may speak with the supervisor, and what it is to start."""

from __future__ import annotations

import json
import os
import select
import time
from dataclasses import dataclass, field
from typing import Any, final

_LONGEST = 2**20
_DEADLINE = 30.0
_SHA256 = 64


class SettingsError(Exception):
    """The line is missing, damaged, or leaves open who may speak with the supervisor."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the host has asked for.

    Attributes
    ----------
    token_hash
        SHA-256 of the bearer token, or None if authentication was switched off.
    port
        TCP port to serve beside the attached stream; None: none.
    allow_runtime_deps
        Whether packages may be added.
    kernel
        What the kernel is told: environment variables and the like.
    """

    token_hash: bytes | None
    port: int | None = None
    allow_runtime_deps: bool = False
    kernel: dict[str, Any] = field(default_factory=dict)


def read_line(fd: int) -> tuple[bytes, bytes]:
    """Return the first line from `fd`, and what has arrived behind it.

    Raises
    ------
    SettingsError
        The stream has ended, or no line has come in time.
    """
    data, deadline = b"", time.monotonic() + _DEADLINE
    while b"\n" not in data:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        got = os.read(fd, 65_536) if ready else b""
        data += got
        if not got or len(data) > _LONGEST:
            raise SettingsError(
                "No settings came on the standard input. The container executor sends them; by hand: "
                """echo '{"token_sha256": "..."}' | docker run -i ..., with the token's SHA-256 in hex."""
            )
    line, _, rest = data.partition(b"\n")
    return line, rest


def parse(line: bytes) -> Settings:
    """Return the settings that a line holds.

    Raises
    ------
    SettingsError
        It is damaged, or says neither a token nor that there is none.
    """
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        raise SettingsError("The settings are not JSON.") from None
    if not isinstance(given, dict):
        raise SettingsError("The settings are not a JSON object.")
    token_hash = _token_hash(given)
    port = given.get("port")
    if port is not None and not (isinstance(port, int) and 0 < port < 65_536):
        raise SettingsError("The port is not a number from 1 to 65535.")
    if port is not None and token_hash is None:
        raise SettingsError("Without authentication only the attached stream is served, and no port.")
    kernel = given.get("kernel", {})
    if not isinstance(kernel, dict):
        raise SettingsError("What the kernel is told is not a JSON object.")
    allowed = given.get("allow_runtime_deps") is True
    return Settings(token_hash=token_hash, port=port, allow_runtime_deps=allowed, kernel=kernel)


def _token_hash(given: dict[str, Any]) -> bytes | None:
    text, disabled = given.get("token_sha256"), given.get("auth_disabled") is True
    if text is None and disabled:
        return None
    if text is None:
        raise SettingsError(
            "Refusing to start: neither an authentication token nor auth_disabled was given. "
            "Give ContainerConfig an auth_token; auth_disabled=True is for local development only."
        )
    if disabled:
        raise SettingsError("Refusing to start: both an authentication token and auth_disabled were given.")
    try:
        found = bytes.fromhex(text) if isinstance(text, str) and len(text) == _SHA256 else b""
    except ValueError:
        found = b""
    if not found:
        raise SettingsError("Refusing to start: token_sha256 is not a SHA-256 in hexadecimal.")
    return found

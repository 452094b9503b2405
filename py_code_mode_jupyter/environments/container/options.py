"""A configuration as the engine's options: what the container may not do, and how much it may use."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from ...owner import owner
from ...sandbox.contained import NOTEBOOK, SESSION
from .engine import OWNER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ...config import ContainerConfig

PORT = 8765
"""Where a published container listens, inside."""
USER = 1000
"""User and group of everything inside."""
_PERIOD = 100_000
_RUN_SIZE = 4 * 2**20
_INODE_BYTES = 8192
_FEWEST_INODES = 4096
_SHARED_MEMORY = 8 * 2**20
_OPEN_FILES = 4096


def container_options(
    config: ContainerConfig, image: str, network: str | None, *, is_session: bool
) -> dict[str, Any]:
    """Return the engine's options for a container of `config`.

    Parameters
    ----------
    image
        Name or id of the image.
    network
        Name of the network; None: none at all.
    is_session
        Whether an executor drives the kernel, and not a person.
    """
    published = {}
    if config.publish is not None:
        host, _, port = str(config.publish).rpartition(":")
        published = {PORT: (host.strip("[]"), int(port) or None)}
    return {
        "config": {
            "image": image,
            # Whatever the image says: one made FROM ours may end as root.
            "user": f"{USER}:{USER}",
            "command": [SESSION if is_session else NOTEBOOK],
            "stdin_open": True,
            "labels": {OWNER: owner()},
            "ports": list(published),
            "stop_signal": "SIGKILL",
            "network_disabled": False,
        },
        "host": {
            "auto_remove": True,
            "init": False,  # docker-init runs as the same user and can be looked into
            "network_mode": network or "none",
            "port_bindings": published,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "read_only": True,
            "tmpfs": _folders(config),
            "ipc_mode": "private",
            "mem_limit": config.memory_limit,
            "memswap_limit": config.memory_limit,
            "pids_limit": config.pids_limit,
            "cpu_quota": config.cpu_quota,
            "cpu_period": _PERIOD if config.cpu_quota is not None else None,
            "ulimits": [
                {"Name": "core", "Soft": 0, "Hard": 0},
                {"Name": "nofile", "Soft": _OPEN_FILES, "Hard": _OPEN_FILES},
            ],
            # Else everything that passes over the stream is kept on the engine's disk as well.
            "log_config": {"Type": "none", "Config": {}},
            "runtime": config.runtime,
        },
    }


def _folders(config: ContainerConfig) -> dict[str, str]:
    """Return the file systems in memory, which hold `disk_limit` bytes together."""
    limit = int(config.disk_limit)
    shares = {"/work": 2, "/tmp": 1}  # noqa: S108 - the container's
    if config.allow_runtime_deps:
        shares = {"/deps": 2, "/work": 1, "/tmp": 1}  # noqa: S108
    left = limit - _RUN_SIZE - _SHARED_MEMORY
    sizes = {path: left * share // sum(shares.values()) for path, share in shares.items()}
    # The engine's own /dev/shm would have no limit of its files' number.
    sizes |= {"/run": _RUN_SIZE, "/dev/shm": _SHARED_MEMORY}  # noqa: S108 - the container's
    return {path: _folder(size) for path, size in sizes.items()}


def _folder(size: int) -> str:
    inodes = max(size // _INODE_BYTES, _FEWEST_INODES)
    # Compiled modules could not be loaded from a file system without exec.
    return f"rw,exec,nosuid,nodev,mode=1777,size={size // 4096 * 4096},nr_inodes={inodes}"


def first_line(config: ContainerConfig, kernel: dict[str, Any]) -> bytes:
    """Return what the container's first process is told over its standard input, before anything else.

    Parameters
    ----------
    kernel
        What its kernel is told.
    """
    said: dict[str, Any] = {"allow_runtime_deps": config.allow_runtime_deps, "kernel": kernel}
    if config.auth_token is None:
        said["auth_disabled"] = config.auth_disabled
    else:
        # Only this enters the container, and over this stream alone.
        said["token_sha256"] = hashlib.sha256(config.auth_token.encode()).hexdigest()
    if config.publish is not None:
        said["port"] = PORT
    return json.dumps(said).encode() + b"\n"


def chosen_variables(env: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that `env` names or sets, and no others."""
    found = {}
    for entry in env:
        name, given, value = entry.partition("=")
        if given:
            found[name] = value
        elif name in environ:
            found[name] = environ[name]
    return found


def limits_of(config: ContainerConfig) -> Mapping[str, Any]:
    """Return what has to be measured inside the container, by the names of the measurements."""
    wanted: dict[str, Any] = {
        "uid": USER,
        "memory_limit": config.memory_limit,
        "memory_and_swap_limit": config.memory_limit,
        "pids_limit": config.pids_limit,
        "root_writable": False,
        "capabilities": 0,
        "no_new_privileges": True,
    }
    if config.cpu_quota is not None:
        wanted["cpu_quota"] = config.cpu_quota
    if config.network_disabled:
        wanted["network_isolation"] = True
    return wanted

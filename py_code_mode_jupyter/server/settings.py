"""What can be configured about the server extension, as it is used: validated once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ..errors import ConfigurationError
from ..storage.root import storage_root

_MIB = 2**20


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """Settings of the extension.

    Attributes
    ----------
    storage
        The user's storage folder.
    max_upload
        Bytes of an artifact that is uploaded.
    max_event_clients
        How many clients may listen to events at a time.
    event_queue
        Events that may wait for a client before it is disconnected.
    event_timeout
        Seconds that a client may take for one event before it is disconnected.
    watch_interval
        Seconds between two looks at what changes: kernels, and the files of the storage.
    usage_interval
        Seconds for which measured memory and CPU time are taken for current.
    """

    storage: Path
    max_upload: int = 256 * _MIB
    max_event_clients: int = 64
    event_queue: int = 256
    event_timeout: float = 10.0
    watch_interval: float = 0.5
    usage_interval: float = 2.0

    def __post_init__(self) -> None:
        for name in ("max_upload", "max_event_clients", "event_queue"):
            if getattr(self, name) < 1:
                raise ConfigurationError(name, getattr(self, name), "must be above zero.")
        for name in ("event_timeout", "watch_interval", "usage_interval"):
            if not 0.01 <= getattr(self, name) <= 3600:
                raise ConfigurationError(name, getattr(self, name), "not between 0.01 and 3,600 seconds.")


def storage_folder(configured: str, environ: Mapping[str, str] | None = None) -> Path:
    """Return the storage folder that this user's kernels use as well."""
    return storage_root(os.environ if environ is None else environ, configured)

"""What the host gives to a kernel that a person drives: the user's storage, and an installer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..errors import StorageError
from ..storage import FileStorage, Storage
from ..storage.root import VARIABLE, storage_root
from .broker import Broker
from .deps import Deps, OwnSite, Site, record_of
from .namespaces import own_namespaces

_log = logging.getLogger(__name__)


def personal_broker(
    environ: Mapping[str, str],
    configured: str,
    site: Site,
    *,
    place: str,
    allowed: bool,
    wheels_only: bool,
    with_storage: bool = True,
) -> Broker:
    """Return a broker over the user's own storage, or over none where that cannot be used.

    Parameters
    ----------
    environ, configured
        As in `storage.root.storage_root`.
    site, allowed, wheels_only
        As in `Deps`.
    place
        As in `Broker`.
    with_storage
        False: over none.
    """
    storage = _storage(environ, configured) if with_storage else None
    deps = Deps(record_of(storage), site, allowed=allowed, wheels_only=wheels_only)
    return Broker(storage, deps, place=place)


def personal_namespaces(environ: Mapping[str, str], configured: str, *, allowed: bool) -> dict[str, Any]:
    """Return what a kernel in this process sees of the user's storage, as `own_namespaces` says.

    Parameters
    ----------
    environ, configured
        As in `storage.root.storage_root`.
    allowed
        As in `Deps`.
    """
    storage = _storage(environ, configured)
    return own_namespaces(storage, Deps(record_of(storage), OwnSite(), allowed=allowed))


def _storage(environ: Mapping[str, str], configured: str) -> Storage | None:
    try:
        return FileStorage(storage_root(environ, configured))
    except StorageError as error:
        # A kernel without storage is worth more than none.
        _log.warning("This kernel has no storage: %s", error)
        return None


def personal_variables(environ: Mapping[str, str], configured: str) -> tuple[str, ...]:
    """Return variables, as ``NAME=value``, that lead ``%pcm`` in the kernel to the same storage."""
    return (f"{VARIABLE}={storage_root(environ, configured)}",)

"""Where a user's storage lies, for every surface alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

VARIABLE = "PCM_STORAGE"


def storage_root(environ: Mapping[str, str], configured: str = "") -> Path:
    """Return the storage's folder: the variable, else what was configured, else in Jupyter's data folder.

    Parameters
    ----------
    environ
        The surface's environment variables.
    configured
        The ``storage_root`` trait; empty if it is not set.
    """
    named = environ.get(VARIABLE) or configured
    if named:
        return Path(named).expanduser().absolute()
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "pcm"

"""Files between the host and a session's working folder. It blocks.

Executed code may have put links there, to have the host write where the code itself may not; so
nothing outside of the folder is touched on its side.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from ..errors import TransferError


def copy_in(source: Path, folder: Path, to: str) -> None:
    """Copy the host's file `source` to `to` in `folder`, in place of what is there.

    Raises
    ------
    TransferError
        It could not be read or written, or `to` leads out of the folder.
    """
    target = _inside(folder, to)
    # A link that comes to lie there meanwhile is replaced, not followed.
    making = target.with_name(f".pcm-{secrets.token_hex(8)}")
    try:
        _copy(source, making, shown=target)
        try:
            os.replace(making, target)  # noqa: PTH105 - as below
        except OSError as error:
            raise _failed(source, target, error) from error
    finally:
        making.unlink(missing_ok=True)


def copy_out(folder: Path, path: str, to: Path) -> None:
    """Copy the file `path` in `folder` to the host's path `to`.

    Raises
    ------
    TransferError
        It could not be read or written, or `path` leads out of the folder.
    """
    _copy(_inside(folder, path), to, shown=to)


def _inside(folder: Path, path: str) -> Path:
    root = folder.resolve()
    try:
        full = (root / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a circle of links, or no path at all
        raise TransferError(f"{path!r} is not a path: {error}.", remedy="Give a relative path.") from error
    if full == root or not full.is_relative_to(root):
        raise TransferError(
            f"{path!r} is not inside of the session's working folder {str(root)!r}.",
            remedy="Give the relative path of a file in it.",
        )
    return full


def _copy(source: Path, target: Path, *, shown: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise _failed(source, shown, error) from error


def _failed(source: Path, target: Path, error: OSError) -> TransferError:
    return TransferError(
        f"{str(source)!r} could not be copied to {str(target)!r}: {error.strerror or error}.",
        remedy="Give an existing file, and a place in an existing folder that can be written.",
    )

"""Files between the host and a container's working folder, slice by slice. It blocks."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ContainerLostError, ContainerRefusedError, TransferError

if TYPE_CHECKING:
    from .environment import ContainerEnvironment

_SLICE = 256 * 1024
_LARGEST = 2**30
_FAILURES = (OSError, ContainerRefusedError, ContainerLostError)


def upload(environment: ContainerEnvironment, source: Path, to: str) -> None:
    """Copy the host's file `source` to the path `to` in the working folder.

    Raises
    ------
    TransferError
        It could not be read or written, or `to` leads out of the folder.
    """
    try:
        with source.open("rb") as file:
            unfinished, is_last = "", False
            while not is_last:
                data = file.read(_SLICE)
                is_last = len(data) < _SLICE
                answer, _ = environment.ask("write", data, path=to, unfinished=unfinished, is_last=is_last)
                unfinished = str(answer.get("unfinished"))
    except _FAILURES as error:
        raise _not_copied(str(source), to, error) from error


def download(environment: ContainerEnvironment, path: str, target: Path) -> None:
    """Copy the file `path` of the working folder to the host's `target`.

    Raises
    ------
    TransferError
        It could not be read or written, is too large, or `path` leads out of the folder.
    """
    making = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with making.open("xb") as file:
            while True:
                about, data = environment.ask("read", path=path, offset=file.tell(), size=_SLICE)
                file.write(data)
                # A size that is said spares the copying; what comes counts.
                said = about.get("size")
                if file.tell() > _LARGEST or (isinstance(said, int) and said > _LARGEST):
                    raise ContainerRefusedError("it is larger than 1 GiB")
                if len(data) < _SLICE:
                    break
        making.replace(target)
    except _FAILURES as error:
        making.unlink(missing_ok=True)
        raise _not_copied(path, str(target), error) from error


def _not_copied(source: str, target: str, error: BaseException) -> TransferError:
    said = getattr(error, "strerror", None) or error
    return TransferError(
        f"{source!r} could not be copied to {target!r}: {said}.",
        remedy="Give an existing file, and a place in an existing folder that can be written.",
    )

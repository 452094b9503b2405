"""Artifacts: named, versioned objects, kept as files that other tools can read.

On disk::

    artifacts/
        penguins/               one folder for each artifact
            7.parquet           the data of version 7
            7.info.json         what is known about it
            8.parquet
            8.info.json
    .incoming/                  files being written; empty when nobody saves

A version exists from the moment its ``.info.json`` does: its data is complete and on the disk
before. Writers of the same artifact take turns by a lock on its folder, for as long as two renames
take; readers need no lock.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias, final

from ..errors import (
    ArtifactFormatError,
    ArtifactNotFoundError,
    ConfigurationError,
    InvalidArtifactNameError,
)
from ..formats import HEAD_SIZE, Encoded, check, decode, encode
from ..formats.info import ArtifactInfo, valid_description, valid_metadata, valid_summary
from . import versions
from .folder import INCOMING, Folder, storage_errors
from .names import alike, artifact_name, is_artifact_name

ARTIFACTS = "artifacts"
_Infos: TypeAlias = list[ArtifactInfo]  # inside the class, `list` is its method


@final
class ArtifactStore:
    """The artifacts of one storage folder. Safe to use from several threads and processes.

    Parameters
    ----------
    base_path
        The storage folder.
    keep_versions
        How many versions of each artifact are kept; older ones are deleted.
    """

    def __init__(self, base_path: Path, *, keep_versions: int = 10) -> None:
        if type(keep_versions) is not int or keep_versions < 1:
            raise ConfigurationError("keep_versions", keep_versions, "not a count above zero.")
        self._base = base_path
        self._keep = keep_versions
        # The last listing: panels ask for it again and again. Replaced as a whole, so no lock is needed.
        self._listed: dict[str, tuple[tuple[int, ...], ArtifactInfo]] = {}

    @property
    def path(self) -> Path:
        """The folder with one folder for each artifact."""
        return self._base / ARTIFACTS

    def save(
        self, name: str, data: object, *, description: str = "", metadata: Mapping[str, Any] | None = None
    ) -> ArtifactInfo:
        """Save `data` as the next version of an artifact.

        Raises
        ------
        InvalidArtifactNameError
            The name cannot be one.
        ArtifactFormatError
            No safe format can hold `data`, or description or metadata are not text and JSON.
        StorageUnavailableError
            The folder cannot be written; what was saved before is untouched.
        """
        artifact_name(name)
        return self.save_encoded(name, encode(data), description=description, metadata=metadata)

    def save_encoded(
        self,
        name: str,
        encoded: Encoded,
        *,
        description: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> ArtifactInfo:
        """Save what was encoded elsewhere, perhaps by isolated code; it is never decoded here.

        Raises
        ------
        ArtifactFormatError
            The bytes do not begin as their format does; and as for `save`.
        InvalidArtifactNameError, StorageUnavailableError
            As for `save`.
        """
        name = artifact_name(name)
        data = memoryview(encoded.data).cast("B")
        check(encoded.format, data[:HEAD_SIZE])
        info = ArtifactInfo(
            name=name,
            version=1,
            format=encoded.format,
            size=data.nbytes,
            created=datetime.now(UTC),
            sha256=hashlib.sha256(data).hexdigest(),
            description=valid_description(description),
            metadata=valid_metadata(metadata),
            summary=valid_summary(encoded.summary),
        )
        with self._open() as (artifacts, incoming):
            incoming.sweep()
            written = incoming.write(data)
            try:
                return self._commit(artifacts, incoming, written, info)
            finally:
                incoming.remove(written)

    def load(self, name: str, version: int | None = None) -> Any:
        """Return the object that was saved, of the newest version unless told otherwise.

        Raises
        ------
        ArtifactNotFoundError
            There is no such artifact or version.
        ArtifactFormatError
            Its file was damaged or changed since, or needs a package that is not installed.
        """
        return decode(self.load_encoded(name, version)[0])

    def load_encoded(self, name: str, version: int | None = None) -> tuple[Encoded, ArtifactInfo]:
        """Return the bytes of an artifact and what is known about it, without decoding them.

        Raises
        ------
        ArtifactNotFoundError, ArtifactFormatError
            As for `load`.
        """
        name = artifact_name(name)
        with self._open() as (artifacts, _):
            for _attempt in range(versions.ATTEMPTS):
                # A version that was just there may be pruned by a writer: look again.
                with contextlib.suppress(FileNotFoundError):
                    if (found := versions.load(artifacts, name, version)) is not None:
                        return found
                    break
            else:
                raise ArtifactFormatError(
                    f"The data of artifact {name!r} is missing.",
                    remedy="Load another version, or save it again.",
                )
        raise self._not_found(name, version)

    def list(self) -> _Infos:
        """Return the newest version of every artifact, the one saved last first."""
        with self._open() as (artifacts, _):
            names = [name for name in artifacts.names() if is_artifact_name(name)]
            known = self._listed
            entries = {name: _entry(artifacts, name, known.get(name)) for name in names}
        self._listed = {name: (stamp, info) for name, (stamp, info) in entries.items() if stamp and info}
        found = [_copy(info) for _, info in entries.values() if info is not None]
        return sorted(found, key=lambda info: info.created, reverse=True)

    def get(self, name: str) -> ArtifactInfo | None:
        """Return what is known about the newest version, None if there is no such artifact."""
        name = artifact_name(name)
        with self._open() as (artifacts, _):
            return versions.newest(artifacts, name)

    def exists(self, name: str) -> bool:
        """Whether there is an artifact of this name."""
        return self.get(name) is not None

    def versions(self, name: str) -> _Infos:
        """Return all versions that are kept, the newest first.

        Raises
        ------
        ArtifactNotFoundError
            There is no such artifact.
        """
        name = artifact_name(name)
        found: _Infos = []
        with self._open() as (artifacts, _):
            if (opened := versions.folder_of(artifacts, name)) is not None:
                with opened as folder:
                    found = versions.all_versions(folder, name)
        if not found:
            raise self._not_found(name, None)
        return found

    def delete(self, name: str) -> None:
        """Delete an artifact with all its versions.

        Raises
        ------
        ArtifactNotFoundError
            There is no such artifact.
        """
        name = artifact_name(name)
        with self._open() as (artifacts, incoming):
            with contextlib.suppress(FileNotFoundError), versions.locked(artifacts, name) as folder:
                if versions.present(folder):
                    # Renamed away as a whole: nobody sees an artifact that is half deleted.
                    trash = f"deleted-{secrets.token_hex(8)}"
                    artifacts.move(name, incoming, trash)
                    artifacts.sync()
                    incoming.remove_tree(trash)
                    return
        raise self._not_found(name, None)

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[Folder, Folder]]:
        with (
            storage_errors(self._base),
            Folder.open(self._base) as base,
            base.folder(ARTIFACTS) as artifacts,
            base.folder(INCOMING) as incoming,
        ):
            yield artifacts, incoming

    def _commit(self, artifacts: Folder, incoming: Folder, written: str, info: ArtifactInfo) -> ArtifactInfo:
        """Give a written file the next version number and make it visible."""
        _make_folder(artifacts, info.name)
        with versions.locked(artifacts, info.name, create=True) as folder:
            version = versions.next_number(folder)
            fields = info.to_dict() | {"version": version}
            description = incoming.write(versions.info_text(fields))
            try:
                incoming.move(written, folder, versions.data_name(version, info.format))
                folder.sync()  # the data's name first: after a power cut no description stands alone
                incoming.move(description, folder, f"{version}.info.json")
            finally:
                incoming.remove(description)
            folder.sync()
            versions.prune(folder, self._keep)
            return ArtifactInfo.from_dict(fields, path=folder.path / versions.data_name(version, info.format))

    def _not_found(self, name: str, version: int | None) -> ArtifactNotFoundError:
        if version is not None and self.exists(name):
            return ArtifactNotFoundError(name, version=version)
        with self._open() as (artifacts, _):
            names = [known for known in artifacts.names() if is_artifact_name(known)]
        return ArtifactNotFoundError(name, known=difflib.get_close_matches(name, names, n=3))


def _entry(
    artifacts: Folder, name: str, known: tuple[tuple[int, ...], ArtifactInfo] | None
) -> tuple[tuple[int, ...] | None, ArtifactInfo | None]:
    """Return a folder's stamp and its newest version, read again only if the folder has changed."""
    stamp = artifacts.stamp(name)
    if known is not None and known[0] == stamp:
        return known
    return stamp, versions.newest(artifacts, name)


def _copy(info: ArtifactInfo) -> ArtifactInfo:
    """Return it with metadata of its own: what a caller changes must not show in the next listing."""
    return replace(info, metadata=copy.deepcopy(info.metadata)) if info.metadata else info


def _make_folder(artifacts: Folder, name: str) -> None:
    """Make an artifact's folder, unless some file systems would take it for another one's."""
    if name in artifacts.names():  # not by asking for it: some systems do not tell cases apart
        return
    with artifacts.locked():
        form = alike(name)
        twins = (other for other in artifacts.names() if other != name and alike(other) == form)
        if (twin := next(twins, None)) is not None:
            raise InvalidArtifactNameError(name, f"it is too like {twin!r}, which exists")
        artifacts.make(name)

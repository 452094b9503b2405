"""What outlives a session: artifacts and dependencies, in a folder that people can read."""

from ..formats.info import ArtifactInfo
from .artifacts import ArtifactStore
from .dependencies import DependencyList
from .file_storage import FileStorage, Storage
from .names import artifact_name

__all__ = [
    "ArtifactInfo",
    "ArtifactStore",
    "DependencyList",
    "FileStorage",
    "Storage",
    "artifact_name",
]

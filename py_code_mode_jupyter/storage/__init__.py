"""What outlives a session: artifacts, dependencies, the ledger of runs, in a folder that people can read."""

from ..formats.info import ArtifactInfo
from .artifacts import ArtifactStore
from .dependencies import DependencyList
from .file_storage import FileStorage, Storage
from .ledger import RunLedger
from .names import artifact_name
from .registry import SessionEntry, SessionRegistry
from .runs import RunRecord, SessionSummary

__all__ = [
    "ArtifactInfo",
    "ArtifactStore",
    "DependencyList",
    "FileStorage",
    "RunLedger",
    "RunRecord",
    "SessionEntry",
    "SessionRegistry",
    "SessionSummary",
    "Storage",
    "artifact_name",
]

"""What outlives a session: artifacts, workflows, dependencies and runs, in a folder that people can read."""

from ..formats.info import ArtifactInfo
from ..workflow import Workflow, WorkflowInfo, WorkflowParameter
from .artifacts import ArtifactStore
from .dependencies import DependencyList
from .file_storage import FileStorage, Storage
from .ledger import RunLedger
from .names import artifact_name
from .registry import SessionEntry, SessionRegistry
from .runs import RunRecord, SessionSummary
from .workflows import WorkflowStore

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
    "Workflow",
    "WorkflowInfo",
    "WorkflowParameter",
    "WorkflowStore",
    "artifact_name",
]

"""What a workflow is: a recipe in Python whose function ``run`` does the work.

Names and sources are judged by reading alone: nothing of a workflow is executed, imported or
compiled before somebody runs it. The rooms above keep workflows, and isolated places run them.
"""

from __future__ import annotations

from .info import ORIGINS, Workflow, WorkflowInfo, WorkflowParameter, isolation
from .names import RESERVED, workflow_name
from .source import MAX_SOURCE, Reading, read_source

__all__ = [
    "MAX_SOURCE",
    "ORIGINS",
    "RESERVED",
    "Reading",
    "Workflow",
    "WorkflowInfo",
    "WorkflowParameter",
    "isolation",
    "read_source",
    "workflow_name",
]

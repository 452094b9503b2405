"""How things are shown: in a notebook as HTML in the theme's colours, elsewhere as text.

Names, descriptions and values may come from isolated code: everything here bounds them, takes
control characters out, and escapes them.
"""

from .artifacts import ArtifactView, artifact_table
from .comparison import Comparison
from .probes import probe_table
from .progress import ProgressBar
from .runs import RunDetail, run_table
from .sessions import SessionRow, SessionTable, format_memory, show_ending, status_table
from .table import Table, fields_table
from .text import format_bytes, format_duration, format_time, lines_of, one_line, value_repr
from .workflows import WorkflowView, workflow_table

__all__ = [
    "ArtifactView",
    "Comparison",
    "ProgressBar",
    "RunDetail",
    "SessionRow",
    "SessionTable",
    "Table",
    "WorkflowView",
    "artifact_table",
    "fields_table",
    "format_bytes",
    "format_duration",
    "format_memory",
    "format_time",
    "lines_of",
    "one_line",
    "probe_table",
    "run_table",
    "show_ending",
    "status_table",
    "value_repr",
    "workflow_table",
]

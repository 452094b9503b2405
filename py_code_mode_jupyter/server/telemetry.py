"""Events for Jupyter's own event system: starts, runs and kills, each with a schema in ``event_schemas``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_events.schema_registry import SchemaRegistryException

if TYPE_CHECKING:
    from jupyter_events import EventLogger

_SCHEMAS = Path(__file__).parent / "event_schemas"
_BASE = "https://py-code-mode-jupyter.github.io/events"
START, RUN, KILL = (f"{_BASE}/{name}/v1" for name in ("start", "run", "kill"))


def register(logger: EventLogger) -> None:
    """Make the schemas known; fine if they are."""
    for path in sorted(_SCHEMAS.glob("*.yaml")):
        with contextlib.suppress(SchemaRegistryException):
            logger.register_event_schema(path)


def emit(logger: EventLogger | None, schema: str, **data: Any) -> None:
    """Tell an event to whoever is configured to hear of it."""
    if logger is not None:
        logger.emit(schema_id=schema, data=data)

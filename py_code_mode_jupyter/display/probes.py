"""How measured isolation is shown beside what was configured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .table import Table

_WORDS = {True: "yes", False: "no", None: ""}


def probe_table(probes: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return what was measured in each session, a column for each.

    Parameters
    ----------
    probes
        What `Session.probe` returned, by the session's name.
    """
    columns = {name: dict(_flat(probe["measured"])) for name, probe in probes.items()}
    configured = {name: dict(_flat(probe["configured"])) for name, probe in probes.items()}
    names = dict.fromkeys(key for column in columns.values() for key in column)
    asked = dict.fromkeys(key for column in configured.values() for key in column)
    rows = [("measured", key, *(column.get(key, "?") for column in columns.values())) for key in names]
    rows += [("configured", key, *(column.get(key, "") for column in configured.values())) for key in asked]
    return Table(headings=("", "what", *probes), rows=rows)


def _flat(fields: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}".replace("_", " "), _word(value)


def _word(value: object) -> str:
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)

"""Outputs that were recorded, made harmless for a page that is to show them later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from .mime import Bundles, harmless_text

_CLEANERS = ("nh3", "mistune")
_ACTIVE = ("text/html", "text/markdown")
_STREAMS = ("stdout", "stderr")


def harmless_outputs(outputs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return outputs of the notebook format as harmless ones, whatever was recorded under their name.

    Widgets are gone: what they showed lived in a kernel that is no more.
    """
    bundles = Bundles(online=False, extra=frozenset(), knows=lambda _: False)
    found = (_harmless(output, bundles) for output in outputs if isinstance(output, Mapping))
    return [output for output in found if output is not None]


def _harmless(output: Mapping[str, Any], bundles: Bundles) -> dict[str, Any] | None:
    kind = output.get("output_type")
    if kind == "stream":
        name = output.get("name") if output.get("name") in _STREAMS else "stdout"
        return {"output_type": "stream", "name": name, "text": _text(output.get("text"))}
    if kind == "error":
        lines = output.get("traceback")
        return {
            "output_type": "error",
            "ename": _text(output.get("ename")),
            "evalue": _text(output.get("evalue")),
            "traceback": [*map(_text, lines)] if isinstance(lines, list) else [],
        }
    if kind not in ("display_data", "execute_result"):
        return None
    data, metadata = bundles.reduce(_readable(output.get("data")), output.get("metadata"))
    shown = {"output_type": kind, "data": data, "metadata": metadata}
    return shown | ({"execution_count": None} if kind == "execute_result" else {})


def _readable(data: object) -> object:
    """Return a bundle without what cannot be made harmless here, where the packages for it are missing."""
    if not isinstance(data, Mapping) or all(map(find_spec, _CLEANERS)):
        return data
    return {mime: item for mime, item in data.items() if mime not in _ACTIVE} or {"text/html": None}


def _text(value: object) -> str:
    return harmless_text(value) if isinstance(value, str) else ""

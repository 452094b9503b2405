"""What runs show, as a panel may show it.

JupyterLab takes whatever a widget holds for trusted: a script in it would run with the rights of the
user. So every output goes through the filter of containers, wherever the code ran.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Iterable
from typing import Any

from ..display import lines_of
from ..environments.container.filtering.mime import Bundles, harmless_text
from ..errors import ArtifactFormatError
from ..formats import HEAD_SIZE
from ..formats.images import check_png
from ..results import Output, strip_ansi

_log = logging.getLogger(__name__)
MOST_OUTPUTS = 200
"""Outputs of one run that are shown."""
MOST_BYTES = 8 * 2**20
"""Bytes of one run that are shown."""
PageOutput = dict[str, Any]


def page_outputs(outputs: Iterable[Output]) -> tuple[PageOutput, ...]:
    """Return outputs in the notebook format (nbformat 4), with nothing in them that would run in the page."""
    found: list[PageOutput] = []
    size = left_out = 0
    for output in outputs:
        size += output.size
        if len(found) >= MOST_OUTPUTS or size > MOST_BYTES:
            left_out += 1
        elif (shown := _page_output(output)) is not None:
            found.append(shown)
    if left_out:
        found.append(note_output(f"[not shown here: {left_out:,} outputs; the result has them]\n"))
    return tuple(found)


def note_output(text: str) -> PageOutput:
    """Return a note of ours among outputs."""
    return {"output_type": "stream", "name": "stderr", "text": text}


def _page_output(output: Output) -> PageOutput | None:
    if output.type == "stream":
        name = "stderr" if output.name == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": _text(output.text)}
    if output.type == "error":
        name = lines_of(output.name, 200)
        return {
            "output_type": "error",
            "ename": name,
            "evalue": "",
            "traceback": [_text(output.text) or name],
        }
    if output.type in ("display_data", "execute_result"):
        return {"output_type": "display_data", "data": _bundle(output), "metadata": {}}
    return None


def _bundle(output: Output) -> dict[str, Any]:
    # A widget of the session's own has its model in another kernel, or none that was let through.
    bundles = Bundles(online=False, extra=frozenset(), knows=lambda _: False)
    given = dict(output.data)
    try:
        data, _ = bundles.reduce(given, {})
    except ImportError as error:
        return {"text/plain": f"{_plain(output)}\n[not shown as HTML: the package {error.name} is missing]"}
    except Exception:  # noqa: BLE001 - hostile input that was not foreseen is not shown
        _log.exception("An output cannot be understood, and is not shown")
        return {"text/plain": _plain(output)}
    if "image/png" in data and not _is_png(data["image/png"]):
        del data["image/png"]
    if "text/plain" in data:
        data["text/plain"] = _text(data["text/plain"])
    return data or {"text/plain": _plain(output)}


def _is_png(text: str) -> bool:
    """Whether it begins as a PNG file does, of a size that a browser bears."""
    try:
        check_png(base64.b64decode("".join(text[: 2 * HEAD_SIZE].split())[: HEAD_SIZE // 3 * 4]))
    except (ArtifactFormatError, binascii.Error, ValueError):
        return False
    return True


def _plain(output: Output) -> str:
    text = output.data.get("text/plain")
    return lines_of(text) if isinstance(text, str) else f"[not shown: {', '.join(output.data)}]"[:200]


def _text(text: str) -> str:
    """Return text that can be sent: colours stay, commands to terminals and halves of characters go."""
    harmless = harmless_text(text)
    return harmless.encode("utf-8", "replace").decode() if not harmless.isascii() else harmless


def plain_outputs(outputs: Iterable[Output]) -> str:
    """Return outputs as text, for where there are no widgets."""
    return lines_of("\n".join(strip_ansi(str(output)).rstrip("\n") for output in outputs))

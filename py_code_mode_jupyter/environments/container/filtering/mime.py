"""MIME bundles that a container shows, reduced to what is harmless."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, final

from .html import framed, harmless_html, picture

_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*", re.ASCII)
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp")
_LONGEST_MARKDOWN = 64 * 1024
"""Characters of Markdown that are read; longer text stays text."""
_WIDGET = "application/vnd.jupyter.widget-view+json"
_MODEL_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
_SIZES = ("width", "height")
# Operating system commands and the like: they may set the title or the clipboard of a terminal.
_COMMANDS = re.compile(r"\x1b[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?")
_KEPT = frozenset({"needs_background", "unconfined", "expanded"})


@final
class Bundles:
    """Reduces bundles.

    Parameters
    ----------
    online
        Whether what is shown may load from the internet.
    extra
        MIME types that are passed on as they are, on an administrator's word.
    knows
        Whether a widget model is one that was let through.
    """

    def __init__(self, *, online: bool, extra: frozenset[str], knows: Callable[[str], bool]) -> None:
        self._online = online
        self._extra = extra
        self._knows = knows
        self.refused: set[str] = set()

    def reduce(self, data: Any, metadata: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the harmless part of a bundle and its metadata; `refused` gains what was dropped."""
        found: dict[str, Any] = {}
        for mime, item in data.items() if isinstance(data, dict) else ():
            self._take(str(mime), item, found)
        if "text/plain" not in found and not found and isinstance(data, dict) and data:
            found["text/plain"] = f"[not shown: {', '.join(map(str, data))}]"[:200]
        about = metadata if isinstance(metadata, dict) else {}
        kept = {mime: _sizes(about[mime]) for mime in found if isinstance(about.get(mime), dict)}
        return found, kept

    def _take(self, mime: str, item: Any, found: dict[str, Any]) -> None:
        if mime in self._extra or mime == "application/json":
            found[mime] = item
        elif mime in ("text/plain", "text/latex") and isinstance(item, str):
            found.setdefault(mime, harmless_text(item))
        elif mime in _PICTURES and isinstance(item, str) and _BASE64.fullmatch(item):
            found[mime] = item
        elif mime == "text/html" and isinstance(item, str):
            found[mime] = harmless_html(item, online=self._online)
        elif mime == "image/svg+xml" and isinstance(item, str):
            data = base64.b64encode(item.encode()).decode()
            found.setdefault("text/html", picture(f"data:image/svg+xml;base64,{data}"))
        elif mime == "text/markdown" and isinstance(item, str):
            self._take_markdown(item, found)
        elif mime == "application/javascript" and isinstance(item, str):
            page = f"<div id=element></div><script>const element = document.all.element;{item}</script>"
            found.setdefault("text/html", framed(page, online=self._online))
        elif mime == _WIDGET and self._is_known_view(item):
            found[mime] = {"model_id": item["model_id"], "version_major": 2, "version_minor": 0}
        else:
            self.refused.add(mime[:100])

    def _take_markdown(self, text: str, found: dict[str, Any]) -> None:
        """Show it as HTML: JupyterLab's own renderer lets scripts through in what was run here."""
        import mistune

        found["text/plain"] = harmless_text(text)
        if len(text) > _LONGEST_MARKDOWN:
            return
        found.setdefault("text/html", harmless_html(str(mistune.html(text)), online=self._online))

    def _is_known_view(self, item: Any) -> bool:
        model = item.get("model_id") if isinstance(item, dict) else None
        return isinstance(model, str) and _MODEL_ID.fullmatch(model) is not None and self._knows(model)


def harmless_text(text: str) -> str:
    """Return text without the commands that a terminal would follow; colours stay."""
    return _COMMANDS.sub("", text) if "\x1b" in text else text


def _sizes(about: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {key: about[key] for key in _SIZES if _is_number(about.get(key))}
    return found | {key: about[key] for key in _KEPT if isinstance(about.get(key), bool | str)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""Widget models that a container opens in the page: only those of ipywidgets itself, and disarmed.

A model names the JavaScript module that shows it, and some modules run code that the model carries.
Source: ipywidgets, "Model State" (protocol version 2), and what the views do with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

from .html import harmless_html

if TYPE_CHECKING:
    from .mime import Bundles

_MODULES = frozenset({"@jupyter-widgets/base", "@jupyter-widgets/controls", "@jupyter-widgets/output"})
_TARGET = "jupyter.widget"
_NAME = re.compile(r"[A-Za-z]{1,60}")
_VERSION = re.compile(r"[0-9A-Za-z.^*~-]{1,30}")
_FORMATS = frozenset({"png", "jpeg", "jpg", "gif", "webp", "bmp", "mp4", "webm", "ogg", "mp3", "wav"})
_HTML_MODELS = frozenset({"HTMLModel", "HTMLMathModel"})
_MEDIA_MODELS = frozenset({"ImageModel", "AudioModel", "VideoModel"})
_MOST_MODELS = 20_000
_MOST_PATHS = 1000
_ICON = re.compile(r"[A-Za-z0-9 -]{0,100}")

State = dict[str, Any]


@final
class Widgets:
    """Lets models of one kernel through, and remembers them.

    Parameters
    ----------
    bundles
        Reduces what an output widget holds.
    online
        Whether what is shown may load from the internet.
    """

    def __init__(self, *, online: bool) -> None:
        self._online = online
        self._models: dict[str, str] = {}
        self.bundles: Bundles | None = None
        self.refused: set[str] = set()

    def knows(self, model: str) -> bool:
        """Return whether a model was let through."""
        return model in self._models

    def forget(self) -> None:
        """Forget all models: their kernel has ended."""
        self._models.clear()

    def opened(self, content: State) -> State | None:
        """Return a ``comm_open`` that may pass, None for one that may not."""
        comm_id, data = content.get("comm_id"), content.get("data")
        target = content.get("target_name")
        if target != _TARGET or not isinstance(comm_id, str) or not isinstance(data, dict):
            self.refused.add(f"a connection to {str(target)[:60]!r}")
            return None
        state = self._admitted(comm_id, data.get("state"))
        if state is None:
            return None
        return {"comm_id": comm_id, "target_name": _TARGET, "data": {"state": state, **_paths(data, state)}}

    def said(self, content: State) -> State | None:
        """Return a ``comm_msg`` that may pass, None for one that may not."""
        comm_id, data = content.get("comm_id"), content.get("data")
        if not isinstance(comm_id, str) or not isinstance(data, dict):
            return None
        method = data.get("method")
        name = self._models.get(comm_id)
        if method == "update_states":
            return {"comm_id": comm_id, "data": self._all_states(data)}
        if name is None:
            return None
        if method in ("update", "echo_update"):
            state = self._disarmed(name, data.get("state"))
            return {"comm_id": comm_id, "data": {"method": method, "state": state, **_paths(data, state)}}
        if method == "custom":
            return {"comm_id": comm_id, "data": {"method": "custom", "content": data.get("content")}}
        return None

    def closed(self, content: State) -> State | None:
        """Return a ``comm_close``, and forget the model."""
        comm_id = content.get("comm_id")
        if not isinstance(comm_id, str):
            return None
        self._models.pop(comm_id, None)
        return {"comm_id": comm_id, "data": {}}

    def _all_states(self, data: State) -> State:
        """Return the answer to a page that asks for all models, as far as they may pass."""
        found = {}
        states = data.get("states")
        for comm_id, about in states.items() if isinstance(states, dict) else ():
            if not isinstance(about, dict):
                continue
            inner = about.get("state")
            whole = {**(inner if isinstance(inner, dict) else {})}
            for key in ("model_name", "model_module", "model_module_version"):
                whole.setdefault(f"_{key}", about.get(key))
            state = self._admitted(str(comm_id), whole)
            if state is not None:
                found[str(comm_id)] = {
                    "model_name": state["_model_name"],
                    "model_module": state["_model_module"],
                    "model_module_version": state.get("_model_module_version", "2.0.0"),
                    "state": state,
                }
        return {"method": "update_states", "states": found, **_paths(data, found)}

    def _admitted(self, comm_id: str, state: Any) -> State | None:
        """Return the state of a new model, None if it may not pass."""
        if not isinstance(state, dict):
            return None
        name, module = state.get("_model_name"), state.get("_model_module")
        shown = f"the widget {str(module)[:60]}.{str(name)[:60]}"
        view_module = state.get("_view_module")
        is_ours = _is_one_of(_MODULES, module) and (view_module is None or _is_one_of(_MODULES, view_module))
        if not is_ours or not _is(_NAME, name):
            self.refused.add(shown)
            return None
        if not _is(_NAME, state.get("_view_name", "x") or "x") or len(self._models) >= _MOST_MODELS:
            self.refused.add(shown)
            return None
        self._models[comm_id] = str(name)
        fixed = {key: state[key] for key in _FIXED if key in state}
        return {**self._disarmed(str(name), state), **{key: _version(key, fixed[key]) for key in fixed}}

    def _disarmed(self, name: str, state: Any) -> State:
        """Return a state in which nothing is code, an address, or a style of the page."""
        found = (
            {key: value for key, value in state.items() if key not in _FIXED}
            if isinstance(state, dict)
            else {}
        )
        for key, disarm in _EVERYWHERE.items():
            if key in found:
                found[key] = disarm(found[key])
        if name in _HTML_MODELS and "value" in found:
            found["value"] = harmless_html(str(found["value"]), online=self._online)
        if name in _MEDIA_MODELS and not _is_one_of(_FORMATS, found.get("format", "png")):
            found["format"] = "png"
        if "outputs" in found:
            found["outputs"] = self._outputs(found["outputs"])
        return found

    def _outputs(self, outputs: Any) -> list[State]:
        """Return what an output widget holds, each output reduced."""
        found: list[State] = []
        for output in outputs if isinstance(outputs, list | tuple) else ():
            kind = output.get("output_type") if isinstance(output, dict) else None
            if kind in ("display_data", "execute_result") and self.bundles is not None:
                data, metadata = self.bundles.reduce(output.get("data"), output.get("metadata"))
                found.append({"output_type": "display_data", "data": data, "metadata": metadata})
            elif kind == "stream":
                name = "stderr" if output.get("name") == "stderr" else "stdout"
                found.append({"output_type": "stream", "name": name, "text": str(output.get("text", ""))})
            elif kind == "error":
                lines = output.get("traceback")
                text = [str(line) for line in lines] if isinstance(lines, list) else []
                said = {key: str(output.get(key, "")) for key in ("ename", "evalue")}
                found.append({"output_type": "error", "traceback": text, **said})
        return found


_KEY = re.compile(r"\w{1,100}", re.ASCII)
_INHERITED = frozenset({"__proto__", "constructor", "prototype"})
_FIXED = (
    *("_model_name", "_model_module", "_model_module_version"),
    *("_view_name", "_view_module", "_view_module_version"),
)
"""What a model is cannot be changed once it is open."""

_EVERYWHERE: dict[str, Callable[[Any], Any]] = {
    # Classes are those of the page; some of them cover it.
    "_dom_classes": lambda _value: [],
    "description_allow_html": lambda _value: False,
    "icon": lambda value: value if _is(_ICON, value) else "",
    "icons": lambda value: (
        [one if _is(_ICON, one) else "" for one in value] if isinstance(value, list) else []
    ),
}


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_one_of(known: frozenset[str], value: object) -> bool:
    return isinstance(value, str) and value in known


def _version(key: str, value: Any) -> Any:
    if key.endswith("_version"):
        return value if _is(_VERSION, value) else "2.0.0"
    return value


def _paths(data: State, root: Any) -> State:
    """Return where binary parts of the state `root` go, if any, and if the page may go there."""
    paths = data.get("buffer_paths")
    if (
        not isinstance(paths, list)
        or len(paths) > _MOST_PATHS
        or not all(_leads(path, root) for path in paths)
    ):
        return {"buffer_paths": []}
    return {"buffer_paths": paths}


def _leads(path: Any, root: Any) -> bool:
    """Whether a path leads to a place of `root`; the page would follow it to inherited properties as well."""
    if not isinstance(path, list) or not path:
        return False
    for step in path[:-1]:
        if isinstance(root, dict) and isinstance(step, str) and step in root:
            root = root[step]
        elif isinstance(root, list) and isinstance(step, int) and 0 <= step < len(root):
            root = root[step]
        else:
            return False
    last = path[-1]
    if isinstance(root, list):
        return isinstance(last, int) and 0 <= last < len(root)
    return isinstance(root, dict) and _is(_KEY, last) and last not in _INHERITED

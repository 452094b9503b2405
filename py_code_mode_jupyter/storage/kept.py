"""What the ledger keeps: plain data, bounded, without secrets, whatever executed code made it of."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from ..errors import DependencyError, StorageError
from ..results import ExceptionInfo, Output, size_of_text

if TYPE_CHECKING:
    from .dependencies import DependencyList

MOST_CODE = 2**20
"""Characters of a run's code."""
MOST_TEXT = 2**16
"""Characters of each of stdout, stderr and the error."""
MOST_VALUE = 2**12
"""Characters of the value."""
MOST_OUTPUTS = 2**20
"""Bytes of all outputs of a run as JSON."""
MOST_GIVEN = 2**18
"""Bytes of all variables handed to a run."""
HIDDEN = "***"
_DEEPEST = 50
_SCALARS = (str, int, float, bool, type(None))


def kept(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return copies of those variables that are plain JSON and, together, small enough to keep."""
    room, found = _Room(MOST_GIVEN), {}
    for name, value in variables.items():
        left = room.left
        try:
            found[name] = room.copy(value)
        except ValueError:
            room.left = left
    return found


class _Room:
    """Copies plain values as long as there is room for them."""

    def __init__(self, size: int) -> None:
        self.left = size

    def copy(self, value: object, depth: int = 0) -> object:
        """Return a copy that shares nothing; `ValueError` for what is not exactly JSON, or too much."""
        kind = type(value)
        self._take(size_of_text(value) + 2 if isinstance(value, str) else 8)
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        if kind is list:
            return [self.copy(item, depth + 1) for item in value]  # type: ignore[attr-defined]
        if kind is dict:
            return {self._key(key): self.copy(item, depth + 1) for key, item in value.items()}  # type: ignore[attr-defined]
        if kind is int and value.bit_length() > 4096:  # type: ignore[attr-defined]
            raise ValueError("too large a number")
        if kind not in _SCALARS or (kind is float and not math.isfinite(value)):  # type: ignore[arg-type]
            raise ValueError("not JSON")
        return value

    def _key(self, key: object) -> str:
        if type(key) is not str:
            raise ValueError("not JSON")
        self._take(size_of_text(key) + 4)
        return key

    def _take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise ValueError("too large")


def recorded_limits(config: Any) -> dict[str, Any]:
    """Return a configuration as JSON values without secrets; of variables with a value ``NAME=***``."""
    found = {name: value for name, value in config.public().items() if name != "auth_token"}
    if "env" in found:
        found["env"] = [_without_value(entry) for entry in config.env]
    if isinstance(address := found.get("docker_host"), str):
        head, _, host = address.rpartition("@")
        found["docker_host"] = f"{head.partition('//')[0]}//{host}" if head else address
    return dict(plain(found))


def _without_value(entry: str) -> str:
    name, given, _ = entry.partition("=")
    return f"{name}={HIDDEN}" if given else name


@final
class DepsInForce:
    """Returns the packages that a configuration asks for and a storage records, read again when they change.

    Parameters
    ----------
    configured
        The configuration's.
    recorded
        The storage's list.
    """

    def __init__(self, configured: Sequence[str], recorded: DependencyList) -> None:
        self._configured = tuple(configured)
        self._recorded = recorded
        self._stamp: tuple[int, int] | None = None
        self._known: tuple[str, ...] = ()

    def __call__(self) -> Sequence[str]:
        """Return them."""
        try:
            found = self._recorded.path.stat()
            if self._stamp != (found.st_mtime_ns, found.st_size):
                self._known = tuple(self._recorded.list())
                self._stamp = (found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            self._known, self._stamp = (), None
        except (OSError, StorageError, DependencyError):
            pass  # whoever is to install them will say so
        return (*self._configured, *self._known)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class KeptOutputs:
    """What is kept of a run's outputs.

    Attributes
    ----------
    json
        A list of output objects of the notebook format, as JSON.
    value
        The text of the final result, empty if there was none.
    lost
        Bytes of outputs that were left out.
    """

    json: str
    value: str
    lost: int


def kept_outputs(outputs: Iterable[Output], exception: ExceptionInfo | None = None) -> KeptOutputs:
    """Return what is kept of outputs; what would be too much is left out, what follows is not.

    Parameters
    ----------
    exception
        The one that ended the run: an error among the outputs is told with its message.
    """
    texts: list[str] = []
    value, left, lost = "", MOST_OUTPUTS, 0
    for output in outputs:
        shown = _nbformat_output(output, exception)
        text = json.dumps(shown)
        if output.type == "execute_result":
            value = str(shown["data"].get("text/plain", ""))
        if len(text) > left:
            lost += output.size
            continue
        left -= len(text)
        texts.append(text)
    return KeptOutputs(json=f"[{', '.join(texts)}]", value=shortened(value, MOST_VALUE), lost=lost)


def _nbformat_output(output: Output, exception: ExceptionInfo | None) -> dict[str, Any]:
    if output.type == "stream":
        return {"output_type": "stream", "name": output.name, "text": shortened(output.text, MOST_TEXT)}
    if output.type == "error":
        known = exception is not None and exception.name == output.name
        return {
            "output_type": "error",
            "ename": output.name,
            "evalue": shortened(exception.message, MOST_VALUE) if known and exception else "",
            "traceback": shortened(output.text, MOST_TEXT).split("\n"),
        }
    kind = "execute_result" if output.type == "execute_result" else "display_data"
    bundle = {"output_type": kind, "data": plain(output.data), "metadata": plain(output.metadata)}
    return bundle | ({"execution_count": None} if kind == "execute_result" else {})


def plain(value: object, depth: int = 0) -> Any:
    """Return `value` as exact JSON types. What is none becomes text; it may be an object of executed code."""
    try:
        if depth > _DEEPEST:
            return "..."
        if isinstance(value, Mapping):
            return {str(key): plain(item, depth + 1) for key, item in [*value.items()]}
        if isinstance(value, list | tuple | set | frozenset):
            return [plain(item, depth + 1) for item in [*value]]
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        if type(value) is float and not math.isfinite(value):
            return None  # as for a limit that is none
        return value if type(value) in _SCALARS else str(value)
    except BaseException:  # noqa: BLE001 - even SystemExit: it may be an object that executed code made
        return f"<{type(value).__name__}>"


def shortened(text: str, most: int) -> str:
    """Return text of at most about `most` characters: its beginning and its end."""
    if len(text) <= most:
        return text
    head, tail = most * 3 // 4, most // 4
    return f"{text[:head]}\n... {len(text) - head - tail:,} characters are not kept ...\n{text[-tail:]}"


def clean(text: str) -> str:
    """Return text that UTF-8 can hold: halves of characters become their escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text

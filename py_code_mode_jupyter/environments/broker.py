"""The host's side of the private channel: answers what isolated code may ask, and nothing else.

Everything that arrives is hostile until checked: the operation is looked up in a table, parameters
are taken by name and type, names are checked by the storage, and an error goes back as its class
name and fields.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import BrokerError, CodeModeError
from ..formats import Encoded

if TYPE_CHECKING:
    from ..results import DepsChange
    from ..storage import Storage
    from .deps import Deps

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
Answer = tuple[dict[str, Any], Any]
MOST_SAVED = 4 * 2**30
"""Bytes of artifacts that one place may save in its lifetime, in all their versions."""
_PER_ARTIFACT = 4096  # bytes that each takes beside its content
_PLAIN = (str, int, float, bool, type(None), list, tuple, dict)


class Broker:
    """Answers one place's requests.

    Parameters
    ----------
    storage
        Where artifacts are kept; None: asking for them is an error that says so.
    deps
        What installs packages.
    """

    def __init__(self, storage: Storage | None, deps: Deps) -> None:
        self._storage = storage
        self._saved = 0
        self.deps = deps
        self._table: dict[str, Callable[[dict[str, Any], bytearray], Answer]] = {
            "artifacts.save": self._save,
            "artifacts.load": self._load,
            "artifacts.list": self._list,
            "artifacts.get": self._get,
            "artifacts.delete": self._delete,
            "deps.add": lambda p, _: _change(self.deps.add(_take(p, "spec", str))),
            "deps.remove": lambda p, _: _change(self.deps.remove(_take(p, "spec", str))),
            "deps.sync": lambda _p, _b: _change(self.deps.sync()),
            "deps.list": lambda _p, _b: ({"result": self.deps.list()}, b""),
        }

    def answer(self, header: dict[str, Any], payload: bytearray) -> Answer:
        """Return the answer to one request; it never raises for what the request holds."""
        number = header.get("id")
        number = number if isinstance(number, int) else 0
        try:
            operation = self._table.get(str(header.get("op")))
            params = header.get("params")
            if operation is None or not isinstance(params, dict):
                raise BrokerError(f"There is no operation {str(header.get('op'))[:80]!r}.")
            answer, data = operation(params, payload)
        except CodeModeError as error:
            return {"id": number, "error": _describe(error)}, b""
        except Exception:  # noqa: BLE001 - the host must outlive whatever isolated code sends
            _log.exception("A request of isolated code failed")
            return {
                "id": number,
                "error": {"kind": "BrokerError", "message": "The host failed; see its log."},
            }, b""
        return {"id": number, **answer}, data

    def _artifacts(self) -> Any:
        if self._storage is None:
            raise BrokerError("This session has no storage.", remedy="Give Session a FileStorage.")
        return self._storage.artifacts

    def _save(self, params: dict[str, Any], payload: bytearray) -> Answer:
        metadata = params.get("metadata")
        if metadata is not None and not isinstance(metadata, dict):
            raise BrokerError("metadata is not a dict.")
        self._saved += len(payload) + _PER_ARTIFACT
        if self._saved > MOST_SAVED:
            raise BrokerError(
                f"This session has saved {MOST_SAVED / 2**30:g} GiB of artifacts, which is all that one may.",
                remedy="Start another session.",
            )
        about = _take(params, "format", dict)
        encoded = Encoded(
            format=_take(about, "format", str), data=memoryview(payload), summary=_take(about, "summary", str)
        )
        info = self._artifacts().save_encoded(
            _take(params, "name", str),
            encoded,
            description=_take(params, "description", str),
            metadata=metadata,
        )
        return {"result": info.to_dict()}, b""

    def _load(self, params: dict[str, Any], _: bytearray) -> Answer:
        version = params.get("version")
        if version is not None and not isinstance(version, int):
            raise BrokerError("version is not a number.")
        encoded, _info = self._artifacts().load_encoded(_take(params, "name", str), version)
        return {"result": {"format": encoded.format, "summary": encoded.summary}}, encoded.data

    def _list(self, _params: dict[str, Any], _: bytearray) -> Answer:
        # In the payload: what is known of many artifacts does not fit in a header.
        return {}, json.dumps([info.to_dict() for info in self._artifacts().list()]).encode()

    def _get(self, params: dict[str, Any], _: bytearray) -> Answer:
        info = self._artifacts().get(_take(params, "name", str))
        return {"result": None if info is None else info.to_dict()}, b""

    def _delete(self, params: dict[str, Any], _: bytearray) -> Answer:
        self._artifacts().delete(_take(params, "name", str))
        return {"result": None}, b""


def _take(params: dict[str, Any], name: str, kind: type[_T]) -> _T:
    value = params.get(name)
    if not isinstance(value, kind):
        raise BrokerError(f"{name} is not a {kind.__name__}.")
    return value


def _change(change: DepsChange) -> Answer:
    return {"result": asdict(change)}, b""


def _describe(error: CodeModeError) -> dict[str, Any]:
    fields = {key: value for key, value in vars(error).items() if isinstance(value, _PLAIN)}
    return {"kind": type(error).__name__, "message": error.message, "fields": fields}

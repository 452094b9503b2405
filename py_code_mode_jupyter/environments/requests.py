"""What isolated code may ask of the storage, and how each question is checked.

Everything that arrives is hostile until checked: parameters are taken by name and type, names are
checked by the storage, and what may be kept is bounded.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..errors import BrokerError
from ..formats import Encoded

if TYPE_CHECKING:
    from ..storage import Storage, Workflow, WorkflowInfo, WorkflowStore

_T = TypeVar("_T")
Answer: TypeAlias = tuple[dict[str, Any], Any]
Table: TypeAlias = dict[str, Callable[[dict[str, Any], bytearray], Answer]]
MOST_SAVED = 4 * 2**30
"""Bytes of artifacts that one place may save in its lifetime, in all their versions."""
_PER_ARTIFACT = 4096  # bytes that each takes beside its content
MOST_WORKFLOWS = 1_000
"""Workflows in a storage beyond which isolated code may add none."""
CREATIONS, CREATIONS_PER_SECOND = 100, 2.0
"""Workflows that one place may create in a row, and how fast it may go on."""


def take(params: dict[str, Any], name: str, kind: type[_T]) -> _T:
    """Return a parameter of a request.

    Raises
    ------
    BrokerError
        It is missing or of another type.
    """
    value = params.get(name)
    if type(value) is not kind:
        raise BrokerError(f"{name} is not a {kind.__name__}.")
    return value


def required(storage: Storage | None) -> Storage:
    """Return the storage, or say that there is none."""
    if storage is None:
        raise BrokerError("This session has no storage.", remedy="Give Session a FileStorage.")
    return storage


class ArtifactRequests:
    """Requests about artifacts.

    Parameters
    ----------
    storage
        Where they are kept.
    """

    def __init__(self, storage: Storage | None) -> None:
        self._storage = storage
        self._saved = 0

    def table(self) -> Table:
        """Return each operation by its name."""
        return {
            "artifacts.save": self._save,
            "artifacts.load": self._load,
            "artifacts.list": self._list,
            "artifacts.get": self._get,
            "artifacts.delete": self._delete,
        }

    def _artifacts(self) -> Any:
        return required(self._storage).artifacts

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
        about = take(params, "format", dict)
        encoded = Encoded(
            format=take(about, "format", str), data=memoryview(payload), summary=take(about, "summary", str)
        )
        info = self._artifacts().save_encoded(
            take(params, "name", str),
            encoded,
            description=take(params, "description", str),
            metadata=metadata,
        )
        return {"result": info.to_dict()}, b""

    def _load(self, params: dict[str, Any], _: bytearray) -> Answer:
        version = params.get("version")
        if version is not None and type(version) is not int:
            raise BrokerError("version is not a number.")
        encoded, _info = self._artifacts().load_encoded(take(params, "name", str), version)
        return {"result": {"format": encoded.format, "summary": encoded.summary}}, encoded.data

    def _list(self, _params: dict[str, Any], _: bytearray) -> Answer:
        return {}, _listing(self._artifacts().list())

    def _get(self, params: dict[str, Any], _: bytearray) -> Answer:
        info = self._artifacts().get(take(params, "name", str))
        return {"result": None if info is None else info.to_dict()}, b""

    def _delete(self, params: dict[str, Any], _: bytearray) -> Answer:
        self._artifacts().delete(take(params, "name", str))
        return {"result": None}, b""


class WorkflowRequests:
    """Requests about workflows. A consent is a person's, so none of them gives one.

    Parameters
    ----------
    storage
        Where they are kept.
    place
        The kind of the place that asks: what it writes bears its name.
    """

    def __init__(self, storage: Storage | None, place: str) -> None:
        self._storage = storage
        self._place = place
        self._left = float(CREATIONS)
        self._since = time.monotonic()

    def table(self) -> Table:
        """Return each operation by its name."""
        return {
            "workflows.create": self._create,
            "workflows.get": lambda params, _: _workflow(self._store().get(take(params, "name", str))),
            "workflows.load": lambda params, _: _workflow(
                self._store().load(take(params, "name", str), self._place)
            ),
            "workflows.list": lambda _p, _b: ({}, _listing(self._store().list())),
            "workflows.search": self._search,
            "workflows.delete": self._delete,
        }

    def _store(self) -> WorkflowStore:
        return required(self._storage).workflows

    def _create(self, params: dict[str, Any], payload: bytearray) -> Answer:
        self._require_room()
        try:
            source = payload.decode()
        except UnicodeDecodeError:
            raise BrokerError("The source is not UTF-8.") from None
        info = self._store().create(
            take(params, "name", str),
            source,
            description=take(params, "description", str),
            origin=self._place,
            overwrite=take(params, "overwrite", bool),
        )
        return _about(info), b""

    def _require_room(self) -> None:
        now = time.monotonic()
        self._left = min(CREATIONS, self._left + (now - self._since) * CREATIONS_PER_SECOND)
        self._since = now
        if self._left < 1:
            raise BrokerError("Too many workflows are created in a short time.", remedy="Wait a moment.")
        self._left -= 1
        if self._store().count() >= MOST_WORKFLOWS:
            raise BrokerError(
                f"There are {MOST_WORKFLOWS:,} workflows or more, and isolated code may add none.",
                remedy="Delete some.",
            )

    def _search(self, params: dict[str, Any], _: bytearray) -> Answer:
        found = self._store().search(take(params, "query", str), limit=take(params, "limit", int))
        return {}, _listing(found)

    def _delete(self, params: dict[str, Any], _: bytearray) -> Answer:
        self._store().delete(take(params, "name", str), origin=self._place)
        return {"result": None}, b""


def _about(info: WorkflowInfo) -> dict[str, Any]:
    return {"result": info.to_dict()}


def _workflow(workflow: Workflow) -> Answer:
    return _about(workflow.info), workflow.source.encode()


def _listing(infos: Iterable[Any]) -> bytes:
    """Return it as a payload: what is known of many does not fit in a header."""
    return json.dumps([info.to_dict() for info in infos]).encode()

"""``artifacts``, ``workflows`` and ``deps`` in isolated code: the calls of in-process, over the channel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, final

from ..formats import Encoded, decode, encode
from ..formats.info import ArtifactInfo
from ..results import DepsChange
from ..workflow import Workflow, WorkflowInfo
from ..workflow.namespace import Workflows

if TYPE_CHECKING:
    from .channel import Channel

_Infos: TypeAlias = list[WorkflowInfo]  # inside the class, `list` is its method


def namespaces(channel: Channel) -> dict[str, Any]:
    """Return what code in an isolated place sees of the host, by the names under which it does."""
    found: dict[str, Any] = {"artifacts": Artifacts(channel), "deps": Deps(channel)}
    # Workflows see the same; a dictionary of their own, because cells may change theirs.
    seen = dict(found)
    found["workflows"] = seen["workflows"] = Workflows(Library(channel), seen)
    return found


class Artifacts:
    """Named data kept in the host's storage; see `storage.ArtifactStore` for the meaning of each call."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def save(
        self, name: str, data: Any, *, description: str = "", metadata: Mapping[str, Any] | None = None
    ) -> ArtifactInfo:
        """Keep `data` under `name` as a new version."""
        encoded = encode(data)
        params = {"name": name, "format": _header(encoded), "description": description, "metadata": metadata}
        return self._info("artifacts.save", params, encoded.data)

    def load(self, name: str, version: int | None = None) -> Any:
        """Return the data of the newest version, or of `version`."""
        header, data = self._channel.call("artifacts.load", {"name": name, "version": version})
        return decode(Encoded(**header["result"], data=memoryview(data)))

    def list(self) -> list[ArtifactInfo]:
        """Return what is kept, newest first."""
        _, data = self._channel.call("artifacts.list", {})
        return [ArtifactInfo.from_dict(item) for item in json.loads(data)]

    def get(self, name: str) -> ArtifactInfo | None:
        """Return what is known about an artifact, or None."""
        header, _ = self._channel.call("artifacts.get", {"name": name})
        return None if header["result"] is None else ArtifactInfo.from_dict(header["result"])

    def exists(self, name: str) -> bool:
        """Return whether there is an artifact of this name."""
        return self.get(name) is not None

    def delete(self, name: str) -> None:
        """Remove an artifact with all its versions."""
        self._channel.call("artifacts.delete", {"name": name})

    def _info(self, op: str, params: dict[str, Any], payload: Any) -> ArtifactInfo:
        header, _ = self._channel.call(op, params, payload)
        return ArtifactInfo.from_dict(header["result"])

    def __repr__(self) -> str:
        return "<artifacts: save, load, list, get, exists, delete>"


class Deps:
    """Packages of this environment; the host installs them, this process could not."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def add(self, spec: str) -> DepsChange:
        """Install a package and record it."""
        return self._change("deps.add", {"spec": spec})

    def remove(self, spec: str) -> DepsChange:
        """Uninstall a package and forget it."""
        return self._change("deps.remove", {"spec": spec})

    def sync(self) -> DepsChange:
        """Install all recorded packages."""
        return self._change("deps.sync", {})

    def list(self) -> list[str]:
        """Return the recorded packages."""
        header, _ = self._channel.call("deps.list", {})
        return list(header["result"])

    def _change(self, op: str, params: dict[str, Any]) -> DepsChange:
        header, _ = self._channel.call(op, params)
        return DepsChange(**{key: tuple(value) for key, value in header["result"].items()})

    def __repr__(self) -> str:
        return "<deps: add, list, remove, sync>"


@final
class Library:
    """The workflows of the host's storage, for `Workflows` to call; each runs in this process.

    Parameters
    ----------
    channel
        The way to the host.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def create(self, name: str, source: str, *, description: str, overwrite: bool) -> WorkflowInfo:
        """Keep a source; the host knows who wrote it."""
        params = {"name": name, "description": description, "overwrite": overwrite}
        header, _ = self._channel.call("workflows.create", params, source.encode())
        return WorkflowInfo.from_dict(header["result"])

    def get(self, name: str) -> Workflow:
        """Return a workflow to look at."""
        return self._workflow("workflows.get", name)

    def load(self, name: str) -> Workflow:
        """Return a workflow to run here, if it may."""
        return self._workflow("workflows.load", name)

    def list(self) -> _Infos:
        """Return all, by name."""
        return self._infos("workflows.list", {})

    def search(self, query: str, *, limit: int) -> _Infos:
        """Return those that fit, the best first."""
        return self._infos("workflows.search", {"query": query, "limit": limit})

    def delete(self, name: str) -> None:
        """Remove one."""
        self._channel.call("workflows.delete", {"name": name})

    def _workflow(self, op: str, name: str) -> Workflow:
        header, source = self._channel.call(op, {"name": name})
        return Workflow(info=WorkflowInfo.from_dict(header["result"]), source=source.decode())

    def _infos(self, op: str, params: dict[str, Any]) -> _Infos:
        _, data = self._channel.call(op, params)
        return [WorkflowInfo.from_dict(item) for item in json.loads(data)]


def _header(encoded: Encoded) -> dict[str, str]:
    return {"format": encoded.format, "summary": encoded.summary}

"""``workflows`` as executed code sees it, the same object in every place."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, final

from ..errors import WorkflowNotFoundError
from .info import KINDS, Workflow, WorkflowInfo, WorkflowParameter
from .names import RESERVED, workflow_name
from .running import call, compile_source
from .source import read_source

_Infos: TypeAlias = list[WorkflowInfo]  # inside the classes, `list` is their method


class Library(Protocol):
    """Where workflows come from: the store itself, or the host behind the private channel."""

    def create(self, name: str, source: str, *, description: str, overwrite: bool) -> WorkflowInfo:
        """Keep a source; who wrote it is for the library to know."""

    def get(self, name: str) -> Workflow:
        """Return a workflow to look at."""

    def load(self, name: str) -> Workflow:
        """Return a workflow to run here, if it may."""

    def list(self) -> _Infos:
        """Return all, by name."""

    def search(self, query: str, *, limit: int) -> _Infos:
        """Return those that fit, the best first."""

    def delete(self, name: str) -> None:
        """Remove one."""


@final
class Workflows:
    """Reusable recipes: ``workflows.create(name, source)``, then ``workflows.name(...)``.

    A recipe is Python with one ``def run(...)`` or ``async def run(...)`` at its top. It runs in the place
    of its caller, in a module of its own, and sees the namespaces of that place, ``workflows`` among them.

    Parameters
    ----------
    library
        Where they come from.
    namespaces
        What they see; read at each call.
    """

    def __init__(self, library: Library, namespaces: Mapping[str, Any]) -> None:
        self._library = library
        self._namespaces = namespaces

    def create(
        self, name: str, source: str, *, description: str = "", overwrite: bool = False
    ) -> WorkflowInfo:
        """Keep `source` under `name`; nothing of it is executed.

        Raises
        ------
        InvalidWorkflowError
            Name or source cannot be used; the message quotes the line to blame.
        WorkflowExistsError
            There is one of this name, and `overwrite` is False.
        WorkflowProtectedError
            A less isolated place wrote the one of this name.
        """
        name = workflow_name(name)
        read_source(name, source)
        compile_source(name, source)
        return self._library.create(name, source, description=description, overwrite=overwrite)

    def get(self, name: str) -> Workflow:
        """Return a workflow with its source; `WorkflowNotFoundError` if there is none."""
        return self._library.get(name)

    def exists(self, name: str) -> bool:
        """Return whether there is a workflow of this name."""
        try:
            self._library.get(name)
        except WorkflowNotFoundError:
            return False
        return True

    def list(self) -> _Infos:
        """Return all workflows, by name; one that cannot be run says why in ``problem``."""
        return self._library.list()

    def search(self, query: str, *, limit: int = 10) -> _Infos:
        """Return the workflows that fit `query`, the best first."""
        return self._library.search(query, limit=limit)

    def delete(self, name: str) -> None:
        """Remove a workflow; `WorkflowProtectedError` if a less isolated place wrote it."""
        self._library.delete(name)

    def invoke(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Run a workflow here and return what its ``run`` returns: an awaitable if that is ``async``.

        Raises
        ------
        WorkflowNotFoundError, InvalidWorkflowError
            There is none, or somebody has edited its file and it cannot be run.
        WorkflowConsentError
            A more isolated place wrote it, and nobody has approved this very source.
        """
        __tracebackhide__ = True
        return call(self._library.load(name), args, kwargs, self._namespaces)

    def __getattr__(self, name: str) -> WorkflowCall:
        # What no workflow can be called is what Python and IPython ask of every object.
        if name.startswith("_") or name in RESERVED:
            raise AttributeError(name)
        return WorkflowCall(self, self._library.get(name).info)

    def __dir__(self) -> _Names:
        return sorted({*object.__dir__(self), *(info.name for info in self._library.list())})

    def __repr__(self) -> str:
        return f"<workflows: {', '.join(sorted(RESERVED))}; and each by its name>"


_Names: TypeAlias = list[str]


@final
class WorkflowCall:
    """One workflow, to be called.

    Parameters
    ----------
    workflows
        The namespace that it is part of.
    info
        What is known about it.
    """

    def __init__(self, workflows: Workflows, info: WorkflowInfo) -> None:
        self._workflows = workflows
        self.info = info
        self.__name__ = self.__qualname__ = info.name
        self.__doc__ = info.description or None
        self.__signature__ = _signature(info)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run it, as it now is."""
        __tracebackhide__ = True
        return self._workflows.invoke(self.info.name, *args, **kwargs)

    def __repr__(self) -> str:
        return repr(self.info)


def _signature(info: WorkflowInfo) -> inspect.Signature | None:
    try:
        return inspect.Signature([_parameter(one) for one in info.parameters])
    except ValueError:  # a file that cannot be run is read as far as it goes
        return None


def _parameter(one: WorkflowParameter) -> inspect.Parameter:
    kinds = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    )
    empty = inspect.Parameter.empty
    return inspect.Parameter(
        one.name,
        kinds[KINDS.index(one.kind)],
        default=empty if one.default is None else _Written(one.default),
        annotation=_Written(one.annotation) if one.annotation else empty,
    )


@final
class _Written:
    """An expression that is shown as it was written, because it was never evaluated."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

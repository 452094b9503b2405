"""Workflows: recipes in Python, kept as files that a person can read, edit and put under version control.

On disk::

    workflows/
        monthly_report.py           the source, and nothing but the source
        .about/
            monthly_report.json     who wrote it, and what it was when it was written

Who wrote a workflow is beside its source, because code can write what it likes into a source. At no
moment does a file look as if a less isolated place had written it: whoever makes it more isolated
writes the description first, whoever makes it less isolated writes it last.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias, final

from ..errors import (
    InvalidWorkflowError,
    WorkflowConsentError,
    WorkflowExistsError,
    WorkflowNotFoundError,
    WorkflowProtectedError,
)
from ..workflow import Workflow, WorkflowInfo, isolation, read_source, workflow_name
from ..workflow.names import alike
from ..workflow.running import compile_source
from . import recipes
from .folder import INCOMING, Folder, storage_errors
from .search import Embedder, Search

WORKFLOWS = "workflows"
_Infos: TypeAlias = list[WorkflowInfo]  # inside the class, `list` is its method


@final
class WorkflowStore:
    """The workflows of one storage folder. Safe to use from several threads and processes.

    Parameters
    ----------
    base_path
        The storage folder.
    embedder
        What `search` compares meanings with; None: that of an installed package, if there is one.
    """

    def __init__(self, base_path: Path, *, embedder: Embedder | None = None) -> None:
        self._base = base_path
        self._search = Search(embedder)
        # The last listing, replaced as a whole, so no lock is needed.
        self._listed: dict[str, tuple[recipes.Stamps, WorkflowInfo]] = {}

    @property
    def path(self) -> Path:
        """The folder of the sources."""
        return self._base / WORKFLOWS

    def create(
        self, name: str, source: str, *, description: str = "", origin: str = "host", overwrite: bool = False
    ) -> WorkflowInfo:
        """Keep `source` as a workflow. Nothing of it is executed.

        Parameters
        ----------
        name
            A Python identifier that is no keyword and no method of the namespace ``workflows``.
        source
            Python with one ``def run(...)`` or ``async def run(...)`` at its top, called by name.
        description
            What it is for; empty: its docstring says so.
        origin
            The place that wrote it: ``host``, ``in-process``, ``venv`` or ``container``.
        overwrite
            Replace a workflow of this name.

        Raises
        ------
        InvalidWorkflowError
            Name, source or description cannot be used; the message quotes the line to blame.
        WorkflowExistsError
            There is one of this name, and `overwrite` is False.
        WorkflowProtectedError
            A less isolated place wrote the one of this name.
        StorageUnavailableError
            The folder cannot be written; what was there before is untouched.
        """
        name = workflow_name(name)
        reading = read_source(name, source)
        if not isolation(origin):
            compile_source(name, source)  # a place that is isolated has done so itself; see `workflow.source`
        info = WorkflowInfo(
            name=name,
            description=recipes.valid_description(name, description) or reading.description,
            parameters=reading.parameters,
            is_async=reading.is_async,
            origin=origin,
            created=datetime.now(UTC),
            sha256=hashlib.sha256(source.encode()).hexdigest(),
        )
        about = recipes.About(info=info, has_description=bool(description))
        with self._open() as shelf, shelf.sources.locked():
            self._require_free(shelf, name, overwrite=overwrite)
            _require_unprotected(shelf, name, origin)
            recipes.write(shelf, source, about)
        return replace(info, path=self.path / recipes.source_name(name))

    def get(self, name: str) -> Workflow:
        """Return a workflow with its source, as its file now is.

        Raises
        ------
        WorkflowNotFoundError
            There is none of this name; names that are like it are in ``known``.
        """
        return self._find(name).workflow

    def load(self, name: str, place: str) -> Workflow:
        """Return a workflow that is to run in `place`.

        Raises
        ------
        WorkflowNotFoundError
            As for `get`.
        InvalidWorkflowError
            Somebody has edited its file, and it cannot be run.
        WorkflowConsentError
            A more isolated place wrote it, and nobody has approved this very source.
        """
        found = self._find(name)
        info = found.workflow.info
        if info.problem:
            raise InvalidWorkflowError(info.name, info.problem)
        if found.about.needs_consent(info, place):
            raise _consent(info, place)
        return found.workflow

    def list(self) -> _Infos:
        """Return all workflows by name; one that cannot be run says why in ``problem``."""
        with self._open() as shelf:
            known = self._listed
            entries = {name: _entry(shelf, name, known.get(name)) for name in recipes.names(shelf)}
        found = {name: entry for name, entry in entries.items() if entry is not None}
        self._listed = found
        return [found[name][1] for name in sorted(found)]

    def count(self) -> int:
        """Return how many workflows there are."""
        with self._open() as shelf:
            return len(recipes.names(shelf))

    def exists(self, name: str) -> bool:
        """Whether there is a workflow of this name."""
        with self._open() as shelf:
            return _is_name(name) and workflow_name(name) in recipes.names(shelf)

    def search(self, query: str, *, limit: int = 10) -> _Infos:
        """Return the workflows that fit `query`, the best first; those that cannot be run are left out.

        Raises
        ------
        ConfigurationError
            `query` or `limit` cannot be used.
        """
        return self._search.best(query, [info for info in self.list() if not info.problem], limit)

    def delete(self, name: str, *, origin: str = "host") -> None:
        """Delete a workflow.

        Parameters
        ----------
        name
            Its name.
        origin
            The place that wants it.

        Raises
        ------
        WorkflowNotFoundError
            There is none of this name.
        WorkflowProtectedError
            A less isolated place wrote it.
        """
        isolation(origin)
        if _is_name(name):
            with self._open() as shelf, shelf.sources.locked():
                _require_unprotected(shelf, workflow_name(name), origin)
                if recipes.remove(shelf, workflow_name(name)):
                    return
        raise self._not_found(name)

    def approve(self, name: str, place: str, *, sha256: str | None = None) -> None:
        """Note that a person has read this very source, and lets it run in `place` and more isolated ones.

        Parameters
        ----------
        name, place
            The workflow, and the kind of place.
        sha256
            The digest of what was read; None: of what is there now, whoever has replaced it meanwhile.

        Raises
        ------
        WorkflowNotFoundError
            There is none of this name.
        WorkflowConsentError
            Its source is another one than `sha256` says.
        """
        isolation(place)
        with self._open() as shelf, shelf.sources.locked():
            found = recipes.read_locked(shelf, workflow_name(name)) if _is_name(name) else None
            if found is not None:
                info = found.workflow.info
                if sha256 not in (None, info.sha256):
                    raise _consent(info, place)
                recipes.write_about(shelf, info.name, found.about.approved(place, info.sha256))
                return
        raise self._not_found(name)

    def needs_consent(self, name: str, place: str) -> bool:
        """Whether a person has to `approve` the workflow before it runs in `place`.

        Raises
        ------
        WorkflowNotFoundError
            There is none of this name.
        """
        isolation(place)
        found = self._find(name)
        return found.about.needs_consent(found.workflow.info, place)

    @contextlib.contextmanager
    def _open(self) -> Iterator[recipes.Shelf]:
        with storage_errors(self._base), Folder.open(self._base) as base:
            base.make(WORKFLOWS)
            with base.folder(WORKFLOWS) as sources, base.folder(INCOMING) as incoming:
                sources.make(recipes.ABOUT)
                with sources.folder(recipes.ABOUT) as about:
                    yield recipes.Shelf(sources=sources, about=about, incoming=incoming)

    def _find(self, name: str) -> recipes.Found:
        if _is_name(name):
            with self._open() as shelf:
                if (found := recipes.read(shelf, workflow_name(name))) is not None:
                    return found
        raise self._not_found(name)

    def _require_free(self, shelf: recipes.Shelf, name: str, *, overwrite: bool) -> None:
        others = recipes.names(shelf)
        if name in others and not overwrite:
            raise WorkflowExistsError(name)
        twins = (other for other in others if other != name and alike(other) == alike(name))
        if (twin := next(twins, None)) is not None:
            raise InvalidWorkflowError(name, f"its name is too like that of {twin!r}, which exists")

    def _not_found(self, name: object) -> WorkflowNotFoundError:
        shown = name if isinstance(name, str) else repr(name)
        with self._open() as shelf:
            known = recipes.names(shelf)
        return WorkflowNotFoundError(shown, known=difflib.get_close_matches(shown[:100], known, n=3))


def _is_name(name: object) -> bool:
    """Whether a workflow could have this name."""
    try:
        workflow_name(name)
    except InvalidWorkflowError:
        return False
    return True


def _require_unprotected(shelf: recipes.Shelf, name: str, origin: str) -> None:
    """Keep what a person has written, and may be editing, from code that is more isolated."""
    found = recipes.read_locked(shelf, name)
    if found is not None and isolation(wrote := found.workflow.info.origin) < isolation(origin):
        raise WorkflowProtectedError(name, origin=wrote, place=origin)


def _consent(info: WorkflowInfo, place: str) -> WorkflowConsentError:
    return WorkflowConsentError(info.name, origin=info.origin, place=place, sha256=info.sha256)


def _entry(
    shelf: recipes.Shelf, name: str, known: tuple[recipes.Stamps, WorkflowInfo] | None
) -> tuple[recipes.Stamps, WorkflowInfo] | None:
    """Return a workflow's stamps and what is known about it, read again only if a file has changed."""
    stamps = recipes.stamps(shelf, name)
    if known is not None and stamps[0] is not None and known[0] == stamps:
        return known
    found = recipes.read(shelf, name)
    return None if found is None else (stamps, found.workflow.info)

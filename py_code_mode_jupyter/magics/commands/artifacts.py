"""Artifacts of the storage: listed, shown, saved, loaded, removed."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from IPython.display import display

from ...config import variable_name
from ...display import ArtifactView, artifact_table, one_line
from ...errors import ConfigurationError
from ...formats.preview import preview
from ..options import count_of
from ..parser import Subcommand, argument

if TYPE_CHECKING:
    from ..notebook import Notebook
    from ..parser import Request


def ls(notebook: Notebook, request: Request) -> None:
    """List artifacts."""
    limit = count_of("limit", request.given.limit, notebook.settings.rows)
    found = notebook.wait_for(notebook.storage.artifacts.list, what="Listing artifacts")
    pattern = request.given.pattern
    if pattern is not None:
        found = [info for info in found if fnmatchcase(info.name, pattern)]
    display(artifact_table(found, limit=limit))


def show(notebook: Notebook, request: Request) -> None:
    """Show what is known about an artifact, and a preview of it."""
    name, version = request.given.name, _version(request)
    artifacts = notebook.storage.artifacts

    def look() -> ArtifactView:
        encoded, info = artifacts.load_encoded(name, version)
        return ArtifactView(info=info, preview=preview(encoded))

    display(notebook.wait_for(look, what=f"Loading {one_line(name)}"))


def save(notebook: Notebook, request: Request) -> None:
    """Save a variable of the notebook."""
    given = request.given
    value = notebook.value(variable_name("variable", given.variable or given.name))
    artifacts = notebook.storage.artifacts

    def work() -> str:
        return repr(artifacts.save(given.name, value, description=given.description))

    print(f"Saved {notebook.wait_for(work, what=f'Saving {one_line(given.name)}')}.")


def load(notebook: Notebook, request: Request) -> None:
    """Load an artifact into a variable of the notebook."""
    name, version = request.given.name, _version(request)
    target = request.given.variable or name.replace("-", "_").replace(" ", "_").replace(".", "_")
    if not target.isidentifier():
        remedy = "Name a VARIABLE behind it."
        raise ConfigurationError("variable", target, "not a variable's name.", remedy=remedy)
    target = variable_name("variable", target)
    value = notebook.wait_for(
        notebook.storage.artifacts.load, name, version, what=f"Loading {one_line(name)}"
    )
    notebook.bind(target, value)
    print(f"Set {target} ({type(value).__name__}).")


def rm(notebook: Notebook, request: Request) -> None:
    """Delete artifacts, all of them or none if a name is wrong."""
    artifacts = notebook.storage.artifacts
    for name in request.given.names:
        artifacts.versions(name)  # raises where there is none
    for name in dict.fromkeys(request.given.names):
        notebook.wait_for(artifacts.delete, name, what=f"Deleting {one_line(name)}")
        print(f"Deleted {one_line(name)}.")


def versions(notebook: Notebook, request: Request) -> None:
    """List the versions of an artifact that are kept."""
    name = request.given.name
    found = notebook.wait_for(notebook.storage.artifacts.versions, name, what=f"Listing {one_line(name)}")
    display(artifact_table(found))


def _version(request: Request) -> int | None:
    text = request.given.version
    return None if text is None else count_of("version", text, 1)


_NAME = argument("name", completes="artifact", metavar="NAME", help="the artifact")
_VERSION = argument("--version", metavar="NUMBER", help="this version (default: the newest)")

COMMANDS = (
    Subcommand(
        path="artifacts ls",
        about="Lists artifacts, the one saved last first.",
        do=ls,
        arguments=(
            argument("pattern", nargs="?", metavar="PATTERN", help="names like this: penguin*"),
            argument("-n", "--limit", metavar="NUMBER", help="how many (default: %%config PcmMagics.rows)"),
        ),
        examples=("%pcm artifacts ls", "%pcm artifacts ls 'penguin*' -n 5"),
    ),
    Subcommand(
        path="artifacts show",
        about="Shows what is known about an artifact, and a preview of its data.",
        do=show,
        arguments=(_NAME, _VERSION),
        examples=("%pcm artifacts show penguins", "%pcm artifacts show penguins --version 2"),
    ),
    Subcommand(
        path="artifacts save",
        about="Saves a variable of the notebook as a new version of an artifact.",
        do=save,
        arguments=(
            _NAME,
            argument(
                "variable",
                nargs="?",
                completes="variable",
                metavar="VARIABLE",
                help="the notebook's variable (default: the one named NAME)",
            ),
            argument("-d", "--description", default="", metavar="TEXT", help="what it is"),
        ),
        examples=('%pcm artifacts save penguins table -d "as measured"', "%pcm artifacts save table"),
    ),
    Subcommand(
        path="artifacts load",
        about="Loads an artifact into a variable of the notebook.",
        do=load,
        arguments=(
            _NAME,
            argument(
                "variable",
                nargs="?",
                completes="variable",
                metavar="VARIABLE",
                help="the notebook's variable (default: NAME, with _ for -)",
            ),
            _VERSION,
        ),
        examples=("%pcm artifacts load penguins", "%pcm artifacts load penguins old --version 1"),
    ),
    Subcommand(
        path="artifacts rm",
        about="Deletes artifacts with all their versions.",
        do=rm,
        arguments=(argument("names", nargs="+", completes="artifact", metavar="NAME", help="an artifact"),),
        examples=("%pcm artifacts rm penguins", '%pcm artifacts rm "old table" plot'),
    ),
    Subcommand(
        path="artifacts versions",
        about="Lists the versions of an artifact that are kept, the newest first.",
        do=versions,
        arguments=(_NAME,),
        examples=("%pcm artifacts versions penguins",),
    ),
)

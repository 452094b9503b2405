"""The packages that a storage's sessions need: a requirements file that a person can read."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias, final

from ..dependency import Dependency, parse_dependency
from .folder import INCOMING, Folder, storage_errors

MAX_FILE = 2**20
_FILE = "requirements.txt"
_Lines: TypeAlias = list[str]  # inside the class, `list` is its method


@final
class DependencyList:
    """The dependencies in ``requirements.txt`` of a storage folder, one for each package.

    Safe to use from several threads and processes. A person may edit the file: comments stay.
    """

    def __init__(self, base_path: Path) -> None:
        self._base = base_path

    @property
    def path(self) -> Path:
        """The file, which is there once something was added."""
        return self._base / _FILE

    def list(self) -> _Lines:
        """Return the dependencies, in the file's order.

        Raises
        ------
        InvalidDependencyError
            A line of the file is not one.
        """
        with storage_errors(self._base), Folder.open(self._base) as folder:
            lines = self._lines(folder)
        return [str(found) for found in map(_dependency_in, lines) if found is not None]

    def add(self, spec: str) -> str:
        """Add a dependency, in place of one of the same package, and return it in its usual form.

        Raises
        ------
        InvalidDependencyError
            `spec` is no name with version specifiers.
        """
        wanted = parse_dependency(spec)
        self._replace(wanted.name, str(wanted))
        return str(wanted)

    def remove(self, name: str) -> bool:
        """Remove a dependency, given by name or as it was added; return whether it was there."""
        return self._replace(parse_dependency(name).name, None)

    def _replace(self, name: str, line: str | None) -> bool:
        with storage_errors(self._base), Folder.open(self._base) as folder, folder.locked():
            old = self._lines(folder)
            new, found = _with(old, name, line)
            if new != old:
                self._write(folder, new)
        return found

    def _lines(self, folder: Folder) -> _Lines:
        try:
            return folder.read(_FILE, MAX_FILE).decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return []

    def _write(self, folder: Folder, lines: _Lines) -> None:
        with folder.folder(INCOMING) as incoming:
            written = incoming.write("".join(f"{line}\n" for line in lines).encode())
            incoming.move(written, folder, _FILE)
        folder.sync()


def _with(lines: list[str], name: str, line: str | None) -> tuple[list[str], bool]:
    """Return the lines with `line` as the only one for the package, and whether it had one."""
    new: list[str] = []
    found = False
    for old in lines:
        dependency = _dependency_in(old)
        if dependency is None or dependency.name != name:
            new.append(old)
        elif line is not None and not found:
            new.append(line)
        found |= dependency is not None and dependency.name == name
    if line is not None and not found:
        new.append(line)
    return new, found


def _dependency_in(line: str) -> Dependency | None:
    text = line.partition("#")[0].strip()
    return parse_dependency(text) if text else None

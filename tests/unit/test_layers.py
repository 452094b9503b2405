"""Imports point down the floors of docs/ARCHITECTURE.md, those inside functions included."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import py_code_mode_jupyter

ROOT = Path(py_code_mode_jupyter.__file__).parent
FLOOR_0 = ("errors", "results", "dependency", "config", "owner", "formats", "codec", "workflow")
PLACES = ("environments", "environments.in_process", "environments.venv", "environments.container")
SESSION = ("session", "display", "diagnostics")
BELOW_SESSION = ("journal", "history", "session_storage")
UP_TO_2 = (*FLOOR_0, "storage", "sandbox", *PLACES)
UP_TO_5 = (*UP_TO_2, "steering", "provisioners", "execution", *BELOW_SESSION, *SESSION)

# A room, and the rooms it may import. A room may always import itself and nothing else.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "errors": (),
    "results": (),
    "dependency": ("errors",),
    "config": ("errors", "dependency"),
    "owner": (),
    "formats": ("errors",),
    "codec": ("errors",),
    "workflow": ("errors",),
    "storage": FLOOR_0,
    "sandbox": FLOOR_0,
    "steering": (*FLOOR_0, "storage"),
    "environments": (*FLOOR_0, "storage", "sandbox"),
    "environments.in_process": (*FLOOR_0, "storage", "sandbox", "environments"),
    "environments.venv": (*FLOOR_0, "storage", "sandbox", "environments"),
    "environments.container": (*FLOOR_0, "storage", "sandbox", "environments"),
    "provisioners": (*FLOOR_0, *PLACES),
    "execution": UP_TO_2,
    "journal": (*UP_TO_2, "steering", "execution"),
    "history": (*UP_TO_2, "execution", "journal"),
    "session_storage": (*FLOOR_0, "storage", "execution"),
    **dict.fromkeys(SESSION, (*UP_TO_2, "steering", "provisioners", "execution", *BELOW_SESSION)),
    **dict.fromkeys(("widgets", "server", "cli"), UP_TO_5),
    "magics": (*UP_TO_5, "widgets"),
}
# The package itself, which imports nothing, may be asked where and which version it is. Its other names
# are handed on from rooms, so importing one of them counts as an import from no room.
ANYONE = ("", "__version__")


def room_of(module: str) -> str:
    """Return the room that the module (dotted, below the package) is in; itself if in none."""
    parts = module.split(".")
    candidates = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in candidates if name in MAY_IMPORT), module)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def targets(node: ast.ImportFrom, package: list[str]) -> Iterator[str]:
    """Yield the modules below the package that a ``from ... import`` reaches."""
    if node.level:
        base = package[: len(package) - node.level + 1]
    elif node.module and node.module.split(".")[0] == ROOT.name:
        base = []
    else:
        return
    named = (node.module or "").split(".") if node.level else node.module.split(".")[1:]
    module = ".".join([*base, *filter(None, named)])
    for alias in node.names:
        name = f"{module}.{alias.name}".lstrip(".")
        yield name if is_module(name) or not module else module


def imported_by_name(node: ast.Call) -> Iterator[str]:
    """Yield the module that ``import_module("py_code_mode_jupyter.x")`` reaches."""
    function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if function in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
        head, _, rest = str(node.args[0].value).partition(".")
        if head == ROOT.name:
            yield rest


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and module (below the package) of every import of this package in the file."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        found: Iterator[str] = iter(())
        if isinstance(node, ast.ImportFrom):
            found = targets(node, package)
        elif isinstance(node, ast.Import):
            names = (alias.name.partition(".") for alias in node.names)
            found = (rest for head, _, rest in names if head == ROOT.name)
        elif isinstance(node, ast.Call):
            found = imported_by_name(node)
        for module in found:
            yield node.lineno, module


# The package's own __init__ hands names on from any floor.
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_a_module_is_in_a_room_and_imports_only_rooms_below_it(path: Path) -> None:
    room = room_of(dotted(path))
    assert room in MAY_IMPORT, f"{dotted(path)} is in no room; give it one in MAY_IMPORT and ARCHITECTURE.md"
    allowed = {room, *MAY_IMPORT[room], *ANYONE}
    wrong = [f"line {line}: {module}" for line, module in imports(path) if room_of(module) not in allowed]
    assert not wrong, f"{room} may import {sorted(allowed)}, not {wrong}"


def test_the_floors_have_no_cycle() -> None:
    TopologicalSorter(MAY_IMPORT).prepare()


def test_the_architecture_names_the_same_rooms() -> None:
    text = (ROOT.parent / "docs" / "ARCHITECTURE.md").read_text("utf-8")
    rows = re.findall(r"^\| \d \| (.*?) \|", text, re.MULTILINE)
    assert [room for row in rows for room in re.findall(r"`(.*?)`", row)] == list(MAY_IMPORT)


def test_an_import_inside_a_function_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "storage"
    room.mkdir()
    (room / "a.py").write_text(
        "def f():\n    from ..execution import base\n    from .. import session\n    from .. import Session\n"
    )
    for name in ("session.py", "execution.py"):
        (tmp_path / name).touch()
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert list(imports(room / "a.py")) == [(2, "execution"), (3, "session"), (4, "Session")]

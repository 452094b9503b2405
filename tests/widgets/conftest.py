"""A loop with a session on it, a storage, and ways to use a panel as its page does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets as w
import pytest

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.magics.loop import Background
from py_code_mode_jupyter.widgets.panel import Panel, family
from py_code_mode_jupyter.widgets.watch import WATCH

WAIT = 20.0


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < deadline, f"not in {WAIT:g} s: {what}"
        time.sleep(0.01)


def part(panel: Panel, description: str) -> Any:
    """Return the widget with a label, of those that are there to be used."""
    return next(one for one in family(panel) if getattr(one, "description", None) == description)


def press(panel: Panel, label: str) -> None:
    made = part(panel, label)
    assert not made.disabled and made.layout.display != "none", f"{label} cannot be pressed"
    made.click()


def shown(panel: Panel) -> str:
    """Return all HTML that a panel shows; its style sheet aside."""
    pieces = [one for one in family(panel) if isinstance(one, w.HTML) and one.layout.display != "none"]
    return "\n".join(one.value for one in pieces if "<style>" not in one.value)


def output(panel: Panel) -> tuple[dict[str, Any], ...]:
    """Return what the panel's only output area shows."""
    [area] = [one for one in family(panel) if isinstance(one, w.Output)]
    return tuple(area.outputs)


@pytest.fixture(scope="package")
def background() -> Iterator[Background]:
    made = Background("test-loop")
    yield made

    async def nothing() -> None:
        pass

    made.close(nothing, timeout=WAIT)


@pytest.fixture(scope="package")
def session(background: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session in this process, for all tests of the package."""
    made = Session(FileStorage(tmp_path_factory.mktemp("sessions")), name="here")
    background.call(made.start())
    background.call(made.run("1"))  # the threads of the worker and of the ledger begin with it
    yield made
    background.call(made.close())


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "storage")


@pytest.fixture
def displayed() -> Iterator[Callable[[Panel], Panel]]:
    """Count a panel as displayed once, as its page would; it is closed in the end."""
    panels: list[Panel] = []

    def display(panel: Panel) -> Panel:
        panels.append(panel)
        panel._view_count = 1
        return panel

    yield display
    for panel in panels:
        panel.close()


@pytest.fixture(autouse=True)
def panels_look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WATCH, "_interval", 0.05)
    monkeypatch.setattr("py_code_mode_jupyter.widgets.storage._EVERY", 1)


@pytest.fixture(autouse=True)
def no_widget_is_left() -> Iterator[None]:
    """Each test closes what it opens, and closing leaves nothing behind."""
    before = set(_instances())
    yield
    left = [one for key, one in _instances().items() if key not in before]
    for one in left:
        one.close()
    assert not left, f"{len(left)} widgets are left: {[type(one).__name__ for one in left]}"


def _instances() -> dict[str, w.Widget]:
    from ipywidgets.widgets.widget import _instances as found

    return dict(found)

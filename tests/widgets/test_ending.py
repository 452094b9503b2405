"""What a panel holds, and that it lets go of it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

import ipywidgets as w
import pytest

import py_code_mode_jupyter.widgets as widgets
from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.errors import CodeModeError
from py_code_mode_jupyter.results import ExecutionResult, RunStatus
from py_code_mode_jupyter.widgets.panel import Panel, family
from py_code_mode_jupyter.widgets.watch import WATCH, Watch

from .conftest import until

if TYPE_CHECKING:
    from py_code_mode_jupyter.magics.loop import Background

RESULT = ExecutionResult(status=RunStatus.OK)
Make = Callable[[], Panel]


@pytest.fixture(params=["sessions", "storage", "run", "compare"])
def make(
    request: pytest.FixtureRequest, session: Session, storage: FileStorage, background: Background
) -> Make:
    makers: dict[str, Make] = {
        "sessions": lambda: widgets.SessionPanel(lambda: [session], submit=background.submit),
        "storage": lambda: widgets.StoragePanel(storage),
        "run": lambda: widgets.RunView(RESULT),
        "compare": lambda: widgets.CompareView({"a": RESULT, "b": "not run"}),
    }
    return makers[request.param]


def test_a_closed_panel_has_closed_every_widget_and_can_be_collected(make: Make) -> None:
    panel = make()
    panel._view_count = 1
    members = [*family(panel)]
    assert len(members) > 5 and all(one.comm is not None for one in members)
    panel.close()
    assert all(one.comm is None for one in members)
    until(lambda: all(one.name != "pcm-widgets" for one in threading.enumerate()), "no thread is left")
    gone = weakref.ref(panel)
    del panel, members
    until(lambda: gc.collect() >= 0 and gone() is None, "it is collected")


def test_closing_twice_and_looking_after_the_end_do_nothing(make: Make) -> None:
    panel = make()
    panel.close()
    panel.close()
    panel._look()
    panel._view_count = 1
    assert panel.is_closed and all(one.name != "pcm-widgets" for one in threading.enumerate())


def test_every_button_and_field_has_a_label_and_a_word_for_what_it_does(make: Make) -> None:
    panel = make()
    for one in family(panel):
        if isinstance(one, w.Button):
            assert one.description and one.tooltip
        elif isinstance(one, w.Dropdown | w.Text | w.Textarea | w.Select):
            assert one.description
    panel.close()


def test_a_panel_that_fails_is_no_longer_asked_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    watch, looked = Watch(0.01), threading.Event()

    def fails() -> None:
        raise ZeroDivisionError

    watch.add(fails)
    watch.add(looked.set)
    until(looked.is_set, "the other is asked")
    looked.clear()
    until(looked.is_set, "it is asked again")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
    watch.remove(looked.set)
    watch.add(looked.set)
    watch.add(looked.set)
    watch.remove(looked.set)
    until(lambda: watch._thread is None, "the thread ends with the last panel")


def test_one_thread_serves_all_panels(session: Session, storage: FileStorage, background: Background) -> None:
    panels = [
        widgets.StoragePanel(storage),
        widgets.SessionPanel(lambda: [session], submit=background.submit),
    ]
    for panel in panels:
        panel._view_count = 3
    assert sum(one.name == "pcm-widgets" for one in threading.enumerate()) == 1
    assert len(WATCH._looks) == 2
    for panel in panels:
        panel.close()


def test_without_ipywidgets_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, package: str) -> None:
        raise ModuleNotFoundError("No module named 'ipywidgets'", name="ipywidgets")

    monkeypatch.setattr(widgets.importlib, "import_module", missing)
    with pytest.raises(CodeModeError, match=r"py_code_mode_jupyter\[widgets\]"):
        _ = widgets.SessionPanel
    with pytest.raises(AttributeError):
        _ = widgets.NoPanel
    assert "SessionPanel" in dir(widgets)

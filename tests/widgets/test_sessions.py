"""The panel of sessions, used as its page uses it, over real sessions on another loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from py_code_mode_jupyter import FileStorage, Session
from py_code_mode_jupyter.errors import ConfigurationError, ExecutorStateError
from py_code_mode_jupyter.widgets import SessionPanel
from py_code_mode_jupyter.widgets.panel import Panel
from py_code_mode_jupyter.widgets.rows import Row, session_table
from py_code_mode_jupyter.widgets.watch import WATCH

from .conftest import output, part, press, shown, until
from .test_harmless import active_in

if TYPE_CHECKING:
    from py_code_mode_jupyter.magics.loop import Background

EVIL = "<img src=x onerror=alert(1)>"
Display = Callable[[Panel], Panel]


@pytest.fixture
def panel(session: Session, background: Background, displayed: Display) -> SessionPanel:
    made = SessionPanel(lambda: [session], submit=background.submit)
    displayed(made)
    return made


@pytest.fixture
def other(background: Background, storage: FileStorage) -> Iterator[Session]:
    made = Session(storage, name=EVIL)
    background.call(made.start())
    yield made
    background.call(made.close())


def text(panel: Panel) -> str:
    return "".join(one.get("text", "") for one in output(panel))


def run(panel: SessionPanel, code: str) -> None:
    part(panel, "Code to run in the chosen session").value = code
    press(panel, "Run")


def ended(panel: SessionPanel) -> Callable[[], bool]:
    return lambda: not panel._following and not part(panel, "Run").disabled


def test_a_session_is_listed_with_its_place_and_state_from_the_first_moment(panel: SessionPanel) -> None:
    assert "here" in shown(panel) and "in-process" in shown(panel) and "idle" in shown(panel)
    assert "MiB (this process)" in shown(panel)


def test_code_runs_and_its_output_appears_while_it_runs(panel: SessionPanel, session: Session) -> None:
    run(panel, "import time\nprint('first', flush=True)\nwhile True: time.sleep(0.01)")
    until(lambda: text(panel) == "first\n", "the output is there before the end")
    until(lambda: "busy" in shown(panel), "it is busy")
    assert part(panel, "Run").disabled
    press(panel, "Interrupt")
    until(ended(panel), "the run has ended")
    assert session.last_result is not None and session.last_result.status == "interrupted"
    assert "interrupted" in shown(panel)
    assert output(panel)[-1]["output_type"] == "error"


def test_what_a_run_printed_does_not_reach_the_notebook(
    panel: SessionPanel, capsys: pytest.CaptureFixture[str]
) -> None:
    run(panel, "print('to the panel')")
    until(ended(panel), "the run has ended")
    print("to the notebook")
    assert capsys.readouterr().out == "to the notebook\n"
    assert text(panel) == "to the panel\n"


def test_a_run_from_elsewhere_appears_without_waiting_for_the_next_look(
    session: Session, background: Background, displayed: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WATCH, "_interval", 1000)
    panel = SessionPanel(lambda: [session], submit=background.submit)
    displayed(panel)
    run = background.submit(session.run("print('from a cell')\nimport time\nwhile True: time.sleep(0.01)"))
    until(lambda: "busy" in shown(panel), "its beginning is seen")
    press(panel, "Interrupt")
    until(lambda: text(panel) == "from a cell\n", "its end is seen")
    assert run.result().status == "interrupted"
    assert session.journal._watchers
    panel.close()
    assert session.journal._watchers == []


def test_an_ended_runs_outputs_are_filtered(panel: SessionPanel) -> None:
    run(
        panel,
        f"from IPython.display import HTML, Javascript, display\ndisplay(HTML({EVIL!r}), Javascript('x'))",
    )
    until(ended(panel), "the run has ended")
    until(lambda: len(output(panel)) == 2, "both are shown")
    assert [active_in(one["data"]["text/html"]) for one in output(panel)] == [[], []]


def test_running_nothing_says_what_to_do(panel: SessionPanel) -> None:
    run(panel, "  \n")
    assert "There is no code" in shown(panel) and 'role="alert"' in shown(panel)


def test_reset_asks_first_and_forgets_variables(
    panel: SessionPanel, background: Background, session: Session
) -> None:
    background.call(session.run("kept = 1"))
    press(panel, "Reset")
    assert "Reset here? Its variables are forgotten." in shown(panel)
    press(panel, "Cancel")
    assert background.call(session.get("kept")) == 1
    press(panel, "Reset")
    panel._confirmation._yes.click()
    until(lambda: "Reset here." in shown(panel), "it says that it is done")
    assert background.call(session.run("kept")).status == "error"


def test_a_stopped_session_leaves_the_list_and_the_panel_says_how_to_start_one(
    other: Session, background: Background, displayed: Display
) -> None:
    sessions = [other]

    async def stop(session: Session) -> None:
        sessions.remove(session)
        await session.close()

    panel = SessionPanel(lambda: sessions, submit=background.submit, stop=stop)
    displayed(panel)
    assert active_in(shown(panel)) == []
    press(panel, "Stop")
    assert active_in(shown(panel)) == []
    panel._confirmation._yes.click()
    until(lambda: "No session is running." in shown(panel), "the list is empty")
    assert "%%pcm run" in shown(panel)
    assert all(part(panel, label).disabled for label in ("Run", "Interrupt", "Reset", "Restart", "Stop"))


def test_an_executors_failure_is_shown_with_its_remedy(
    other: Session, background: Background, displayed: Display
) -> None:
    panel = SessionPanel(lambda: [other], submit=background.submit)
    displayed(panel)
    background.call(other.close())
    until(lambda: "not running" in shown(panel), "it is seen to be closed")
    run(panel, "1")
    until(lambda: "Use it through" in shown(panel), "the remedy is shown")
    assert ExecutorStateError.__doc__


def test_of_two_sessions_the_chosen_one_runs_the_code_and_shows_its_output(
    session: Session, other: Session, background: Background, displayed: Display
) -> None:
    panel = SessionPanel(lambda: [session, other], submit=background.submit)
    displayed(panel)
    background.call(session.run("print('in the first')"))
    part(panel, "Session").value = EVIL
    run(panel, "print('in the second')")
    until(ended(panel), "the run has ended")
    assert text(panel) == "in the second\n"
    part(panel, "Session").value = "here"
    assert text(panel) == "in the first\n"
    assert active_in(shown(panel)) == []


def test_sessions_of_one_name_are_told_apart(
    session: Session, background: Background, displayed: Display
) -> None:
    twin = Session(session.storage, name="here")
    panel = SessionPanel(lambda: [session, twin], submit=background.submit)
    displayed(panel)
    assert part(panel, "Session").options == ("here", "here (2)")


def test_memory_stands_beside_its_limit_and_a_shortage_is_marked() -> None:
    mebi = 2**20
    rows = [
        Row(name="a", executor="venv", state="idle", memory=212 * mebi, memory_limit=512 * mebi, cpu=0.5),
        Row(name="b", executor="venv", state="busy", memory=500 * mebi, memory_limit=512 * mebi),
    ]
    html = session_table(tuple(rows), "b")
    assert "212 MiB / 512 MiB" in html and "width:41%" in html and "50 %" in html
    assert html.count("pcm-high") == 1 and html.count('aria-current="true"') == 1


def test_nothing_is_asked_while_the_panel_is_not_displayed(
    session: Session, background: Background, displayed: Display
) -> None:
    asked = threading.Event()

    def sessions() -> list[Session]:
        asked.set()
        return [session]

    panel = SessionPanel(sessions, submit=background.submit)
    displayed(panel)
    asked.clear()
    until(asked.is_set, "it is asked while it is displayed")
    panel._view_count = 0
    until(lambda: all(one.name != "pcm-widgets" for one in threading.enumerate()), "the thread has ended")
    until(lambda: panel._looking is None or panel._looking.done(), "the last look has ended")
    asked.clear()
    panel._view_count = 2
    until(asked.is_set, "it is asked when it is displayed again")


def test_closing_the_panel_stops_what_was_started_in_it(
    session: Session, background: Background, displayed: Display
) -> None:
    panel = SessionPanel(lambda: [session], submit=background.submit)
    displayed(panel)
    run(panel, "while True: pass")
    until(lambda: "busy" in shown(panel), "it is busy")
    panel.close()
    until(lambda: background.call(session.stats())["state"] == "idle", "nothing runs unseen")
    panel.close()


async def test_sessions_of_the_running_loop_need_no_submit(storage: FileStorage) -> None:
    async with Session(storage, name="local") as local:
        panel = SessionPanel(lambda: [local])
        await asyncio.to_thread(until, lambda: "idle" in shown(panel), "it is measured")
        panel.close()


def test_without_a_loop_the_panel_says_what_it_needs() -> None:
    with pytest.raises(ConfigurationError, match="give submit"):
        SessionPanel(lambda: [])


def test_without_widgets_the_sessions_are_a_table(panel: SessionPanel) -> None:
    bundle = panel._repr_mimebundle_()
    assert "here" in bundle["text/plain"] and "<td" in bundle["text/html"]
    assert active_in(bundle["text/html"]) == []

"""The panel of a storage, over real folders; every artifact may have been written by hostile code."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from py_code_mode_jupyter.errors import ConfigurationError
from py_code_mode_jupyter.widgets import StoragePanel, previews
from py_code_mode_jupyter.widgets.panel import Panel

from .conftest import part, press, shown, until
from .test_harmless import active_in

if TYPE_CHECKING:
    from py_code_mode_jupyter import FileStorage

EVIL = "<img src=x onerror=alert(1)>"
Display = Callable[[Panel], Panel]


@pytest.fixture
def panel(storage: FileStorage, displayed: Display) -> StoragePanel:
    made = StoragePanel(storage)
    displayed(made)
    return made


def names(panel: StoragePanel) -> list[str]:
    return [name for _, name in part(panel, "Names").options]


def choose(panel: StoragePanel, name: str) -> str:
    until(lambda: name in names(panel), f"{name} is listed")
    part(panel, "Names").value = name
    return shown(panel)


def test_an_empty_storage_says_how_something_comes_into_it(panel: StoragePanel) -> None:
    assert "artifacts.save" in shown(panel)
    part(panel, "Names").layout.display = "none"
    panel._kind.value = "Workflows"
    assert "%pcm workflows new" in shown(panel)


def test_what_is_saved_appears_by_itself_and_a_new_version_of_the_chosen_one_too(
    panel: StoragePanel, storage: FileStorage
) -> None:
    storage.artifacts.save("report", "first")
    assert "first" in choose(panel, "report")
    storage.artifacts.save("report", "second")
    until(lambda: "second" in shown(panel) and "version 2" in shown(panel), "the new version is shown")
    assert part(panel, "Names").value == "report"


def test_the_filter_finds_parts_of_names_and_descriptions(panel: StoragePanel, storage: FileStorage) -> None:
    storage.artifacts.save("penguins", [1], description="Palmer archipelago")
    storage.artifacts.save("weather", [2])
    for wanted, found in {
        "PENG": ["penguins"],
        "palmer peng": ["penguins"],
        "": ["weather", "penguins"],
    }.items():
        part(panel, "Filter").value = wanted
        assert names(panel) == found or (wanted == "" and set(names(panel)) == set(found))
    part(panel, "Filter").value = "nowhere"
    assert "Nothing matches the filter." in shown(panel)


def test_the_buttons_go_through_the_list_and_around_its_end(
    panel: StoragePanel, storage: FileStorage
) -> None:
    for name in ("c", "b", "a"):
        storage.artifacts.save(name, 1)
    until(lambda: len(names(panel)) == 3, "three are listed")
    seen = []
    for label in ("Next", "Next", "Next", "Next", "Previous"):
        press(panel, label)
        seen.append(part(panel, "Names").value)
    assert seen == ["a", "b", "c", "a", "c"]


def test_a_table_is_shown_with_its_text_escaped_and_its_size(
    panel: StoragePanel, storage: FileStorage
) -> None:
    storage.artifacts.save("t", pd.DataFrame({EVIL: [EVIL] * 30, "n": range(30)}), description=EVIL)
    html = choose(panel, "t")
    assert active_in(html) == [] and html.count("&lt;img src=x onerror=alert(1)&gt;") == 22
    assert "20 of 30 rows, 2 of 2 columns" in html and 'class="pcm-number">29<' not in html


def test_an_image_is_shown_as_pixels_with_a_text_for_those_who_do_not_see_it(
    panel: StoragePanel, storage: FileStorage
) -> None:
    storage.artifacts.save("curve", Image.new("RGB", (1000, 10), "red"))
    html = choose(panel, "curve")
    assert 'alt="curve, 1000 x 10 pixels"' in html and 'src="data:image/png;base64,iVBOR' in html


@pytest.mark.parametrize("value", [EVIL, {EVIL: EVIL}, EVIL.encode(), np.array([EVIL])])
def test_text_data_bytes_and_arrays_are_text(
    panel: StoragePanel, storage: FileStorage, value: object
) -> None:
    storage.artifacts.save("x", value, description=f"{EVIL}\x1b]0;x\x07\u202e", metadata={EVIL: EVIL})
    html = choose(panel, "x")
    assert "<pre" in html and "&lt;img" in html and active_in(html) == []
    assert "\x1b" not in html and "\u202e" not in html


def test_a_damaged_file_says_what_to_do(panel: StoragePanel, storage: FileStorage) -> None:
    info = storage.artifacts.save("x", {"a": 1})
    assert info.path is not None
    info.path.write_bytes(b"{]")
    assert "save it again" in choose(panel, "x").casefold()


def test_deleting_asks_first_and_says_how_much_goes(panel: StoragePanel, storage: FileStorage) -> None:
    storage.artifacts.save("x", 1)
    storage.artifacts.save("x", 2)
    choose(panel, "x")
    press(panel, "Delete")
    assert "Delete x? 2 versions go with it." in shown(panel)
    press(panel, "Cancel")
    assert storage.artifacts.exists("x")
    press(panel, "Delete")
    panel._confirmation._yes.click()
    assert not storage.artifacts.exists("x")
    assert "Deleted x." in shown(panel) and names(panel) == []
    panel._confirmation._yes.click()


def test_what_another_process_deleted_meanwhile_is_said(panel: StoragePanel, storage: FileStorage) -> None:
    storage.artifacts.save("x", 1)
    choose(panel, "x")
    storage.artifacts.delete("x")
    press(panel, "Delete")
    assert "no artifact" in shown(panel).casefold() and 'role="alert"' in shown(panel)


def test_a_small_file_is_saved_through_the_page_under_a_type_that_nothing_shows(
    panel: StoragePanel, storage: FileStorage
) -> None:
    storage.artifacts.save("page", EVIL)
    choose(panel, "page")
    press(panel, "Download")
    link = re.search(
        r'<a class="pcm-link" download="page.txt" href="data:([^;]+);base64,([^"]+)">', shown(panel)
    )
    assert link is not None and link[1] == "application/octet-stream"
    assert base64.b64decode(link[2]).decode() == EVIL


def test_a_large_file_names_its_path_instead(
    panel: StoragePanel, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "MOST_DOWNLOADED", 10)
    info = storage.artifacts.save("large", "x" * 11)
    choose(panel, "large")
    press(panel, "Download")
    assert "%pcm artifacts load large" in shown(panel) and str(info.path) in shown(panel)
    assert "base64" not in shown(panel)


def test_a_workflow_shows_its_source_and_is_approved_after_a_question(
    panel: StoragePanel, storage: FileStorage
) -> None:
    source = f"def run(city):\n    '''{EVIL}'''\n    return city\n"
    storage.workflows.create("forecast", source, origin="container")
    panel._kind.value = "Workflows"
    html = choose(panel, "forecast")
    assert "written in container" in html and "return city" in html and active_in(html) == []
    assert storage.workflows.needs_consent("forecast", "in-process")
    press(panel, "Approve")
    assert storage.workflows.needs_consent("forecast", "in-process")
    panel._confirmation._yes.click()
    assert not storage.workflows.needs_consent("forecast", "in-process")
    assert part(panel, "Approve").disabled


def test_a_source_that_was_replaced_after_it_was_read_is_not_approved(
    panel: StoragePanel, storage: FileStorage
) -> None:
    storage.workflows.create("forecast", "def run(): return 1\n", origin="container")
    panel._kind.value = "Workflows"
    choose(panel, "forecast")
    press(panel, "Approve")
    storage.workflows.create("forecast", "def run(): return 2\n", origin="container", overwrite=True)
    panel._confirmation._yes.click()
    assert storage.workflows.needs_consent("forecast", "in-process")
    assert 'role="alert"' in shown(panel)


def test_a_thousand_artifacts_are_listed_in_part_and_the_filter_reaches_the_rest(
    panel: StoragePanel, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("py_code_mode_jupyter.widgets.storage.MOST_LISTED", 3)
    for number in range(5):
        storage.artifacts.save(f"a{number}", number)
    until(lambda: "3 of 5 are listed" in shown(panel), "three are listed")
    assert len(names(panel)) == 3 and "Choose one" in shown(panel)
    part(panel, "Filter").value = "a0"
    assert names(panel) == ["a0"]


def test_without_widgets_the_artifacts_are_a_table(storage: FileStorage) -> None:
    storage.artifacts.save("x", 1, description=EVIL)
    panel = StoragePanel(storage)
    bundle = panel._repr_mimebundle_()
    assert "x" in bundle["text/plain"] and active_in(bundle["text/html"]) == []
    panel.close()


def test_what_is_no_storage_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not a storage"):
        StoragePanel("folder")  # type: ignore[arg-type]

"""Artifacts, workflows and packages of the storage, from the notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from IPython.utils.capture import capture_output
from PIL import Image

if TYPE_CHECKING:
    from .conftest import Shell

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e\nnext"


@pytest.fixture
def own(lab: Shell) -> Shell:
    """The module's shell, with an empty storage."""
    storage = lab.notebook.storage
    for artifact in storage.artifacts.list():
        storage.artifacts.delete(artifact.name)
    for workflow in storage.workflows.list():
        storage.workflows.delete(workflow.name)
    for spec in storage.deps.list():
        storage.deps.remove(spec)
    return lab


def html(own: Shell, code: str) -> str:
    with capture_output() as shown:
        own.shell.run_cell(code)
    return "".join(output.data.get("text/html", "") for output in shown.outputs)


def test_a_variable_is_saved_listed_shown_and_loaded(own: Shell) -> None:
    own.shell.push({"table": pd.DataFrame({"species": ["Gentoo"], "mass": [5.1]})})
    assert "'penguins' v1, DataFrame 1 x 2" in own.said('%pcm artifacts save penguins table -d "as measured"')
    own.said("%pcm artifacts save table")
    assert "as measured" in own.said("%pcm artifacts ls")
    assert "penguins" not in own.said("%pcm artifacts ls tab*")
    shown = own.said("%pcm artifacts show penguins")
    assert "media type" in shown
    assert "Gentoo" in shown
    assert own.said("%pcm artifacts load penguins") == "Set penguins (DataFrame)."
    assert own.shell.user_ns["penguins"]["mass"].tolist() == [5.1]


def test_versions_are_listed_and_loaded(own: Shell) -> None:
    for value in (1, 2):
        own.shell.push({"my": value})
        own.said("%pcm artifacts save my-number my")
    lines = own.said("%pcm artifacts versions my-number").splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["2", "1"]
    own.said("%pcm artifacts load my-number --version 1")
    assert own.shell.user_ns["my_number"] == 1
    assert "Set old (int)." in own.said("%pcm artifacts load my-number old --version 1")


def test_lists_are_cut_and_say_so(own: Shell) -> None:
    for name in "abc":
        own.notebook.storage.artifacts.save(name, 1)
    assert own.said("%pcm artifacts ls -n 2").endswith("1 more are not shown.")


def test_artifacts_are_deleted_all_or_none(own: Shell) -> None:
    for name in ("one", "two words"):
        own.notebook.storage.artifacts.save(name, 1)
    assert "'three'" in own.failing("%pcm artifacts rm one three")
    assert own.notebook.storage.artifacts.exists("one")
    own.said('%pcm artifacts rm one "two words"')
    assert own.notebook.storage.artifacts.list() == []
    assert own.said("%pcm artifacts ls") == "There is no artifact."


def test_a_name_that_can_be_no_variable_needs_one(own: Shell) -> None:
    own.notebook.storage.artifacts.save("2020", 1)
    assert "Name a VARIABLE behind it" in own.failing("%pcm artifacts load 2020")


@pytest.mark.parametrize(
    ("value", "text", "markup"),
    [
        (np.arange(3), "[0 1 2]", "<pre>[0 1 2]</pre>"),
        ({"a": "<b>"}, '"a": "<b>"', "&lt;b&gt;"),
        ("<b>bold</b>", "<b>bold</b>", "<pre>&lt;b&gt;bold&lt;/b&gt;</pre>"),
        (b"\x00\x01", "00 01", "00 01"),
        (Image.new("RGB", (4, 3)), "4 x 3 pixels", '<img src="data:image/png;base64,'),
        (pd.DataFrame({"<b>": ["<i>"]}), "<i>", "&lt;i&gt;"),
    ],
    ids=["array", "json", "text", "bytes", "picture", "table"],
)
def test_each_format_has_a_preview_as_text_and_as_html(
    own: Shell, value: object, text: str, markup: str
) -> None:
    own.notebook.storage.artifacts.save("thing", value)
    assert text in own.said("%pcm artifacts show thing")
    shown = html(own, "%pcm artifacts show thing")
    assert markup in shown
    assert "<b>" not in shown
    assert "<i>" not in shown


def test_what_isolated_code_wrote_about_an_artifact_is_shown_as_text(own: Shell) -> None:
    own.notebook.storage.artifacts.save("hostile", HOSTILE, description=HOSTILE, metadata={HOSTILE: HOSTILE})
    for code in ("%pcm artifacts ls", "%pcm artifacts show hostile", "%pcm artifacts versions hostile"):
        shown, markup = own.said(code), html(own, code)
        assert [mark for mark in ("\x1b", "\u202e") if mark in shown + markup] == []
        assert "<script" not in markup
        assert "&lt;script&gt;" in markup


def test_a_workflow_is_kept_shown_found_run_and_deleted(own: Shell) -> None:
    body = '    """Forecast the weather."""\n    return f"{city}: {days}"\n'
    source = f'def run(days: int, city: str = "Oslo"):\n{body}'
    said = own.said(f"%%pcm workflows new forecast\n{source}")
    assert said == 'Kept workflow forecast(days: int, city: str = "Oslo").'
    assert own.notebook.storage.workflows.get("forecast").source == source
    for listing in ("ls", "search weather forecast"):
        assert "Forecast the weather." in own.said(f"%pcm workflows {listing}")
    assert 'return f"{city}: {days}"' in own.said("%pcm workflows show forecast")
    assert own.said("%pcm workflows run forecast days=3") == "'Oslo: 3'"
    assert own.said("%pcm workflows run forecast days=3 city='Bergen'") == "'Bergen: 3'"
    assert own.said("%pcm workflows rm forecast") == "Deleted forecast."
    assert own.said("%pcm workflows ls") == "There is no workflow."


def test_an_asynchronous_workflow_is_awaited_and_its_result_bound(own: Shell) -> None:
    own.said("%%pcm workflows new later\nasync def run(x):\n    return x + 1")
    own.said("%pcm workflows run later x=41 -o found")
    assert own.shell.user_ns["found"].value == 42
    assert "RunFailedError: TypeError" in own.failing("%pcm workflows run later x=None")
    own.said("%pcm workflows run later x=None --no-raise")


def test_a_wrong_workflow_names_the_line_that_the_user_sees(own: Shell) -> None:
    assert "line 3: " in own.failing("%%pcm workflows new bad\ndef run():\n    return (")
    own.said("%%pcm workflows new good\ndef run():\n    return 1")
    assert "give --overwrite" in own.failing("%%pcm workflows new good\ndef run():\n    return 2")
    own.said("%%pcm workflows new good --overwrite\ndef run():\n    return 2")


@pytest.fixture
def written(own: Shell) -> Shell:
    """A workflow that code in a venv has written."""
    own.notebook.storage.workflows.create("theirs", "def run():\n    return 42\n", origin="venv")
    return own


@pytest.mark.parametrize("answer", ["n", "", "yess"])
def test_a_workflow_out_of_an_isolated_place_is_not_run_without_consent(
    written: Shell, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or answer)
    shown = written.failing("%pcm workflows run theirs")
    assert asked == ["Run it in in-process? [y/N] "]
    assert "return 42" in shown
    assert "WorkflowConsentError" in shown
    assert written.notebook.storage.workflows.needs_consent("theirs", "in-process")


def test_consent_is_asked_for_once(written: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert written.said("%pcm workflows run theirs").endswith("42")
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked again"))
    assert written.said("%pcm workflows run theirs") == "42"


def test_who_cannot_be_asked_says_yes_beforehand(written: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert "give --yes" in written.failing("%pcm workflows run theirs")
    assert written.said("%pcm workflows run theirs --yes") == "42"


def test_a_source_too_long_to_be_read_is_not_asked_for(own: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked"))
    source = "def run():\n    return 1\n" + "# x\n" * 10_000
    own.notebook.storage.workflows.create("long", source, origin="container")
    assert "WorkflowConsentError" in own.failing("%pcm workflows run long")


def test_recorded_packages_are_listed_and_locked_sessions_say_why_not(own: Shell) -> None:
    own.notebook.storage.deps.add("six")
    assert own.said("%pcm deps ls").split() == ["package", "six"]
    own.said("%pcm start locked -e in-process --no-allow-runtime-deps")
    assert own.failing("%pcm deps add six -s locked").startswith("RuntimeDepsDisabledError: ")
    assert own.failing("%pcm deps rm six -s locked").startswith("RuntimeDepsDisabledError: ")
    own.said("%pcm stop locked")


@pytest.mark.needs("network")
def test_packages_are_added_synced_and_removed(own: Shell) -> None:
    own.said("%pcm start own -e venv")
    assert own.said("%pcm deps add six -s own") == "own: installed six."
    assert own.said("%pcm deps add six -s own") == "own: already present six."
    assert own.said("%pcm deps sync -s own") == "own: already present six."
    assert own.said("%pcm deps rm six -s own") == "own: removed six."
    assert own.said("%pcm deps ls") == "No package is recorded."
    own.said("%pcm stop own")


def test_a_failed_installation_is_one_line_and_says_how_to_see_more(own: Shell) -> None:
    shown = own.failing("%pcm deps add this-package-is-nowhere-at-all -s lab")
    assert shown.startswith("DependencyInstallError: this-package-is-nowhere-at-all could not be installed")
    assert shown.endswith("(`%pcm --debug ...` shows more.)")
    assert "\n" not in shown

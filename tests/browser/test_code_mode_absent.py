"""JupyterLab with the extension, and a server without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .code_mode import badge, dialog, panel

if TYPE_CHECKING:
    from .lab import Lab

pytestmark = pytest.mark.needs("chromium")
OPTIONS = ("--ServerApp.jpserver_extensions={'py_code_mode_jupyter': False}",)


def test_without_the_server_extension_the_panel_says_so_and_nothing_is_claimed(lab: Lab) -> None:
    panel(lab.page).get_by_text("The server extension of Code Mode does not answer").first.wait_for()
    notebook = lab.open(lab.write("one.ipynb", "pcm-in-process", ["1 + 1"]))
    assert notebook.run(0) == "2"
    assert badge(notebook).count() == 0
    assert dialog(lab.page).count() == 0

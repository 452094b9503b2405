"""Nothing that a run shows would run in the page, wherever the code ran."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import time
from html.parser import HTMLParser
from typing import Any

import pytest
from PIL import Image

from py_code_mode_jupyter.results import Output
from py_code_mode_jupyter.widgets.harmless import MOST_BYTES, MOST_OUTPUTS, page_outputs

EVIL = "fetch('/api/kernels', {method: 'POST'})"
HARMLESS_TYPES = {"text/plain", "text/html", "text/latex", "application/json", "image/png", "image/jpeg"}
BUNDLES: dict[str, dict[str, Any]] = {
    "script": {"text/html": f"<script>{EVIL}</script>"},
    "handler": {"text/html": f'<img src=x onerror="{EVIL}">'},
    "upper case": {"text/html": f"<SCRIPT>{EVIL}</SCRIPT><IMG SRC=x ONERROR={EVIL!r}>"},
    "frame": {"text/html": f'<iframe srcdoc="<script>parent.{EVIL}</script>"></iframe>'},
    "broken": {"text/html": f"<img src='x' <script>{EVIL}</script onerror='{EVIL}'"},
    "link": {"text/html": f'<a href="javascript:{EVIL}">x</a>'},
    "style": {"text/html": "<div style='position:fixed;inset:0' class='jp-Dialog'>x</div>"},
    "command": {"text/html": '<a data-commandlinker-command="notebook:create-new" href="#">x</a>'},
    "javascript": {"application/javascript": EVIL},
    "svg": {"image/svg+xml": f"<svg onload={EVIL!r}><script>{EVIL}</script></svg>"},
    "markdown": {"text/markdown": f"# x\n<img src=x onerror='{EVIL}'>\n[x](javascript:{EVIL})"},
    "widget": {"application/vnd.jupyter.widget-view+json": {"model_id": "x", "version_major": 2}},
    "plotly": {"application/vnd.plotly.v1+json": {"data": EVIL}},
    "list": {"text/html": [f"<script>{EVIL}</script>"]},
    "number": {"text/html": 3, "text/plain": None},
    "picture": {"image/png": f'x" onerror="{EVIL}'},
    "named": {f"text/html; {EVIL}": f"<script>{EVIL}</script>"},
}


class Page(HTMLParser):
    """Reads as a browser does, and collects what would be active."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag in ("script", "style", "object", "embed", "form", "base", "meta", "link", "svg", "math"):
            self.active.append(tag)
        if tag == "iframe" and attributes.get("sandbox") != "allow-scripts":
            self.active.append("iframe with rights")
        for name, value in attributes.items():
            is_script = re.sub(r"\s", "", value).lower().startswith(("javascript:", "data:text"))
            if name.startswith(("on", "data-")) or (is_script and name != "srcdoc"):
                self.active.append(f"{tag} {name}")
        if "fixed" in attributes.get("style", "") or "jp-" in attributes.get("class", ""):
            self.active.append(f"{tag} covers the page")


def active_in(html: str) -> list[str]:
    page = Page()
    page.feed(html)
    page.close()
    return page.active


@pytest.mark.parametrize("kind", ["display_data", "execute_result"])
@pytest.mark.parametrize("bundle", BUNDLES.values(), ids=BUNDLES)
def test_an_output_holds_nothing_that_would_run(bundle: dict[str, Any], kind: Any) -> None:
    [shown] = page_outputs([Output(type=kind, data=bundle)])
    assert shown["output_type"] == "display_data"
    assert shown["metadata"] == {}
    assert set(shown["data"]) <= HARMLESS_TYPES and shown["data"]
    html = shown["data"].get("text/html", "")
    assert active_in(html) == []


def test_the_reader_of_this_test_sees_what_is_active() -> None:
    for name in ("script", "handler", "upper case", "frame", "link", "style", "command"):
        assert active_in(BUNDLES[name]["text/html"]), name


def test_metadata_of_an_output_does_not_reach_the_page() -> None:
    output = Output(type="display_data", data={"text/html": "x"}, metadata={"text/html": {"isolated": True}})
    assert page_outputs([output])[0]["metadata"] == {}


def test_streams_and_errors_keep_colours_and_lose_commands_to_terminals() -> None:
    text = "\x1b[31mred\x1b[0m\x1b]52;c;ZXZpbA==\x07 \ud800"
    stream, error = page_outputs(
        [Output(type="stream", name="stdout", text=text), Output(type="error", name="E\x1b[0m\n", text=text)]
    )
    for shown in (stream["text"], error["traceback"][0]):
        assert shown.startswith("\x1b[31mred\x1b[0m") and "]52" not in shown
        shown.encode()
    assert stream["name"] == "stdout" and "\x1b" not in error["ename"]


def test_an_image_is_shown_if_it_is_a_raster_image_that_a_browser_bears() -> None:
    sink = io.BytesIO()
    Image.new("RGB", (4, 4)).save(sink, "PNG")
    good = base64.b64encode(sink.getvalue()).decode()
    huge = base64.b64encode(sink.getvalue()[:16] + b"\xff" * 17 + bytes(100)).decode()
    assert page_outputs([Output(type="display_data", data={"image/png": good})])[0]["data"] == {
        "image/png": good
    }
    for data in (huge, base64.b64encode(b"<svg/>").decode(), "", "=" * 100):
        [shown] = page_outputs([Output(type="display_data", data={"image/png": data, "text/plain": "fig"})])
        assert shown["data"] == {"text/plain": "fig"}


def test_what_is_shown_of_one_run_is_bounded_and_says_so() -> None:
    many = page_outputs([Output(type="stream", name="stdout", text="x")] * (MOST_OUTPUTS + 5))
    assert len(many) == MOST_OUTPUTS + 1 and "5 outputs" in many[-1]["text"]
    large = page_outputs([Output(type="stream", name="stdout", text="x" * (MOST_BYTES + 1))])
    assert len(large) == 1 and "1 outputs" in large[0]["text"]


def test_html_is_not_shown_where_nothing_can_clean_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nh3", None)
    [shown] = page_outputs(
        [Output(type="display_data", data={"text/html": "<b>x</b>", "text/plain": "plain"})]
    )
    assert set(shown["data"]) == {"text/plain"}
    assert "plain" in shown["data"]["text/plain"] and "nh3" in shown["data"]["text/plain"]


@pytest.mark.parametrize("part", ["<!--", "<![CDATA[", "<div>", "<b>"])
def test_html_that_would_keep_a_reader_busy_is_framed_unread(part: str) -> None:
    begun = time.monotonic()
    shown = page_outputs([Output(type="display_data", data={"text/html": part * 200_000})])
    assert active_in(shown[0]["data"]["text/html"]) == [] and "iframe" in shown[0]["data"]["text/html"]
    assert time.monotonic() - begun < 20  # it took minutes to read


def test_long_markdown_is_shown_as_text() -> None:
    [shown] = page_outputs([Output(type="display_data", data={"text/markdown": "[a](" * 20_000})])
    assert set(shown["data"]) == {"text/plain"}


def test_whatever_is_shown_can_be_sent_as_json() -> None:
    outputs = [Output(type="display_data", data=bundle) for bundle in BUNDLES.values()]
    json.dumps(page_outputs(outputs), allow_nan=False).encode()

"""The filter: what a container shows is harmless before any page sees it, and the rest stays as it was."""

from __future__ import annotations

import base64
import html as html_library
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from py_code_mode_jupyter.environments.container.filtering import Filter, Message
from py_code_mode_jupyter.environments.container.filtering.html import harmless_html, is_passive
from py_code_mode_jupyter.environments.container.relay import parse_object

HEADER = {
    "msg_id": "m",
    "msg_type": "display_data",
    "username": "u",
    "session": "s",
    "date": "d",
    "version": "5.3",
}
PARENT = {"msg_id": "p", "msg_type": "execute_request", "session": "c"}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
TABLE = """<div>
<style scoped>
    .dataframe tbody tr th {vertical-align: top;}
</style>
<table border="1" class="dataframe">
  <thead><tr style="text-align: right;"><th></th><th>a</th></tr></thead>
</table>
</div>"""


def message(kind: str, content: dict[str, Any], channel: str = "iopub") -> Message:
    return Message(channel, {**HEADER, "msg_type": kind}, dict(PARENT), {}, content)


def shown(
    content: dict[str, Any], *, kind: str = "display_data", online: bool = False, **options: Any
) -> Any:
    found = Filter(online=online, **options).admit(message(kind, content))
    return None if found is None or not found.channel else found.content


def bundle(**data: Any) -> dict[str, Any]:
    return {
        "data": {key.replace("_", "/", 1): value for key, value in data.items()},
        "metadata": {},
        "transient": {},
    }


def html(text: str, *, online: bool = False) -> str:
    return str(shown(bundle(text_html=text), online=online)["data"]["text/html"])


# What stays


def test_pictures_text_and_formulas_pass_as_they_are() -> None:
    data = {"text/plain": "x", "image/png": PNG, "text/latex": "$x^2$", "application/json": {"a": [1]}}
    assert shown({"data": data, "metadata": {}, "transient": {}})["data"] == data


def test_a_table_of_pandas_is_shown_in_place() -> None:
    found = html(TABLE)
    assert "<iframe" not in found
    assert '<table border="1" class="dataframe">' in found
    assert '<tr style="text-align:right">' in found.replace(": ", ":").replace(";", "")
    assert "<style" not in found


def test_sizes_and_ids_of_displays_stay() -> None:
    content = {
        "data": {"image/png": PNG},
        "metadata": {"image/png": {"width": 10, "height": 20, "onload": "x"}, "other": 1},
        "transient": {"display_id": "d", "more": 1},
    }
    found = shown(content)
    assert found["metadata"] == {"image/png": {"width": 10, "height": 20}}
    assert found["transient"] == {"display_id": "d"}


def test_streams_keep_colours_and_lose_commands_to_the_terminal() -> None:
    text = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\x1bPq\x1b\\end"
    assert shown({"name": "stdout", "text": text}, kind="stream")["text"] == "\x1b[31mred\x1b[0m end"


def test_markdown_is_shown_as_clean_html() -> None:
    found = shown(bundle(text_markdown="# Title\n\n* one\n\n[x](javascript:alert(1)) <b onclick=x>y</b>"))[
        "data"
    ]
    assert "text/markdown" not in found
    assert "<h1>Title</h1>" in _inside(found["text/html"])
    assert found["text/plain"].startswith("# Title")


# What does not


ACTIVE = [
    "<script>x</script>",
    "<ScRiPt >x</sCrIpT>",
    "<img src=x onerror=x>",
    "<svg onload=x></svg>",
    "<svg><script>x</script></svg>",
    "<math><mtext><script>x</script></mtext></math>",
    "<iframe src=javascript:x></iframe>",
    "<iframe srcdoc='<script>x</script>'></iframe>",
    "<object data=x></object>",
    "<embed src=x>",
    "<form action=x><input type=submit></form>",
    "<button formaction=javascript:x>y</button>",
    "<link rel=stylesheet href=x>",
    "<style>body{display:none}</style>",
    "<base href=x>",
    "<video src=x onerror=x></video>",
    "<details open ontoggle=x>y</details>",
    "<noscript><p title='</noscript><img src=x onerror=x>'>",
    "<template><script>x</script></template>",
    "<custom-element>x</custom-element>",
    "<a href='x' onclick=x>y</a>",
    "<body onload=x>",
    "<img src=x onerror\n=x>",
    "<<script>x</script>",
]
SILENT = [
    "<img/src=x/onerror=x>",
    "<a href='javascript:x'>y</a>",
    "<a href=' java\nscript:x'>y</a>",
    "<a href='data:text/html,<script>x</script>'>y</a>",
    "<a href='vbscript:x'>y</a>",
    "<img src='http://127.0.0.1/x'>",
    "<img src='//evil/x'>",
    "<img src='data:text/html,x'>",
    "<div class='jp-Dialog lm-Widget'>x</div>",
    "<div id=main>x</div>",
    "<div style='position:fixed;inset:0;z-index:9;background:url(http://127.0.0.1/x)'>x</div>",
    "<a data-commandlinker-command='notebook:create-new' href='#'>x</a>",
    "<b title='\"><script>x</script>'>y</b>",
    "<!--><script>x</script>-->",
    "<meta http-equiv=refresh content='0;url=x'>",
]
LEFT = re.compile(
    r"<\s*(script|svg|math|object|embed|form|input|button|link|style|base|video|template|meta|body|html)\b|\son\w+\s*=|"
    r"javascript:|vbscript:|data-commandlinker|position\s*:|\bid\s*=|jp-Dialog|url\(|127\.0\.0\.1",
    re.IGNORECASE,
)


def _outside(text: str) -> str:
    """What the page itself sees: everything but what is in the frame's attribute."""
    return re.sub(r'srcdoc="[^"]*"', "", text)


def _inside(text: str) -> str:
    """The page in the inner frame, or the text itself if there is none."""
    found = re.search(r'srcdoc="([^"]*)"', text)
    if found is None:
        return text
    inner = re.search(r"base64,([A-Za-z0-9+/=]*)", html_library.unescape(found[1]))
    assert inner is not None
    return base64.b64decode(inner[1]).decode()


@pytest.mark.parametrize("text", [*ACTIVE, *SILENT])
@pytest.mark.parametrize("online", [False, True])
def test_nothing_active_reaches_the_page(text: str, online: bool) -> None:
    found = html(text, online=online)
    assert LEFT.search(_outside(found).replace("border:0", "")) is None
    for frame in re.findall(r"<iframe[^>]*>", found):
        assert 'sandbox="allow-scripts"' in frame
        assert "allow-same-origin" not in frame


@pytest.mark.parametrize("text", ACTIVE)
def test_what_is_active_is_shown_in_a_frame_with_a_policy(text: str) -> None:
    assert not is_passive(text)
    found = html(text)
    inner = _inside(found)
    assert inner.endswith(text)
    assert "default-src &#x27;none&#x27;" in inner
    assert "https:" not in inner.split(">")[2]
    assert "https:" in _inside(html(text, online=True))


@given(st.text(alphabet="<>/\"'= abcionrst!-&;#x\n", max_size=60))
def test_no_text_gets_a_script_past_the_cleaning(text: str) -> None:
    found = harmless_html(f"<b>{text}</b><script>x</script>{text}", online=True)
    assert LEFT.search(_outside(found).replace("border:0", "")) is None


def test_links_lead_out_only_where_there_is_a_network() -> None:
    link = '<a href="https://example.org/x">y</a>'
    assert "href" not in html(link)
    assert 'rel="noopener noreferrer nofollow"' in html(link, online=True)


def test_svg_is_a_picture_in_which_no_script_runs() -> None:
    found = shown(bundle(**{"image_svg+xml": "<svg onload=x></svg>"}))["data"]
    assert list(found) == ["text/html"]
    assert found["text/html"].startswith('<img src="data:image/svg+xml;base64,')


def test_javascript_runs_in_a_frame_and_not_in_the_page() -> None:
    found = shown(bundle(application_javascript="alert(1)"))["data"]
    assert list(found) == ["text/html"]
    assert "alert(1)" in _inside(found["text/html"])


@pytest.mark.parametrize(
    "data",
    [
        {"application/vnd.vega.v5+json": {}},
        {"application/pdf": "x"},
        {"image/png": '"><script>x</script>'},
        {"image/png": ["x"]},
        {"text/html": ["<script>"]},
        {"text/plain": {"a": 1}},
        {"application/vnd.jupyter.widget-view+json": {"model_id": "unknown"}},
        {"application/vnd.jupyter.widget-view+json": {"model_id": ["x"]}},
        {"text/x-anything": "x"},
    ],
)
def test_what_is_not_known_to_be_harmless_is_not_shown_and_said(data: dict[str, Any]) -> None:
    found = Filter(online=False).admit(
        message("display_data", {"data": data, "metadata": {}, "transient": {}})
    )
    assert found is not None
    assert list(found.content["data"]) == ["text/plain"]
    assert found.content["data"]["text/plain"].startswith("[not shown")
    assert found.notes


def test_an_administrator_may_let_types_pass() -> None:
    vega = {"application/vnd.vega.v5+json": {"a": 1}}
    content = {"data": vega, "metadata": {}, "transient": {}}
    assert shown(content, extra=frozenset(vega))["data"] == vega


def test_an_administrator_may_switch_it_off() -> None:
    content = {"data": {"text/html": "<script>x</script>"}, "metadata": {}, "transient": {}}
    assert shown(content, is_on=False) == content
    assert shown({"x": 1}, kind="launch_missiles", is_on=False) is None


# Widgets


SLIDER = {
    "_model_module": "@jupyter-widgets/controls",
    "_model_module_version": "2.0.0",
    "_model_name": "IntSliderModel",
    "_view_module": "@jupyter-widgets/controls",
    "_view_module_version": "2.0.0",
    "_view_name": "IntSliderView",
    "value": 7,
    "layout": "IPY_MODEL_l",
}


def opened(state: dict[str, Any], comm_id: str = "c", **data: Any) -> dict[str, Any]:
    return {
        "comm_id": comm_id,
        "target_name": "jupyter.widget",
        "data": {"state": state, "buffer_paths": [], **data},
    }


def test_a_slider_opens_moves_and_is_shown() -> None:
    screen = Filter(online=False)
    found = screen.admit(message("comm_open", opened(SLIDER)))
    assert found is not None
    assert found.content == opened(SLIDER)
    update = {"comm_id": "c", "data": {"method": "update", "state": {"value": 8}, "buffer_paths": []}}
    moved = screen.admit(message("comm_msg", update))
    assert moved is not None
    assert moved.content == update
    view = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "c", "version_major": 2, "version_minor": 0}
    }
    display = screen.admit(message("display_data", {"data": view, "metadata": {}, "transient": {}}))
    assert display is not None
    assert display.content["data"] == view


@pytest.mark.parametrize(
    "changes",
    [
        {"_model_module": "anywidget", "_esm": "x"},
        {"_view_module": "data:text/javascript,x"},
        {"_model_module": "https://evil/x.js"},
        {"_model_module": ["@jupyter-widgets/controls"]},
        {"_model_name": "../x"},
        {"_view_name": "<x>"},
        {"_model_name": None},
    ],
)
def test_models_of_other_modules_are_refused_and_said(changes: dict[str, Any]) -> None:
    found = Filter(online=False).admit(message("comm_open", opened({**SLIDER, **changes})))
    assert found is not None
    assert (found.channel, len(found.notes)) == ("", 1)


def test_what_a_model_is_cannot_be_changed_later() -> None:
    screen = Filter(online=False)
    screen.admit(message("comm_open", opened(SLIDER)))
    state = {"_model_module": "anywidget", "_view_module": "evil", "_esm": "x", "value": 1}
    update = {"comm_id": "c", "data": {"method": "update", "state": state}}
    found = screen.admit(message("comm_msg", update))
    assert found is not None
    assert {"_model_module", "_view_module"}.isdisjoint(found.content["data"]["state"])


@pytest.mark.parametrize("method", ["update", "echo_update"])
def test_html_in_widgets_is_cleaned_when_it_opens_and_whenever_it_changes(method: str) -> None:
    screen = Filter(online=False)
    model = {**SLIDER, "_model_name": "HTMLModel", "_view_name": "HTMLView", "value": "<img src=x onerror=x>"}
    first = screen.admit(message("comm_open", opened(model)))
    update = {"comm_id": "c", "data": {"method": method, "state": {"value": "<script>x</script>"}}}
    second = screen.admit(message("comm_msg", update))
    assert first is not None
    assert second is not None
    for state in (first.content["data"]["state"], second.content["data"]["state"]):
        assert LEFT.search(_outside(state["value"]).replace("border:0", "")) is None


def test_classes_icons_descriptions_and_formats_are_disarmed() -> None:
    model = {
        **SLIDER,
        "_dom_classes": ["jp-Dialog"],
        "description_allow_html": True,
        "icon": 'check jp-Dialog"><script>',
        "format": "url",
        "_model_name": "ImageModel",
    }
    found = Filter(online=False).admit(message("comm_open", opened(model)))
    assert found is not None
    state = found.content["data"]["state"]
    assert (state["_dom_classes"], state["description_allow_html"], state["icon"]) == ([], False, "")
    assert state["format"] == "png"


def test_an_output_widget_holds_filtered_outputs() -> None:
    outputs = [
        {"output_type": "display_data", "data": {"text/html": "<script>x</script>"}, "metadata": {}},
        {"output_type": "stream", "name": "stdout", "text": "x"},
        {"output_type": "evil", "data": {}},
        7,
    ]
    model = {
        **SLIDER,
        "_model_module": "@jupyter-widgets/output",
        "_model_name": "OutputModel",
        "outputs": outputs,
    }
    found = Filter(online=False).admit(message("comm_open", opened(model)))
    assert found is not None
    kept = found.content["data"]["state"]["outputs"]
    assert [one["output_type"] for one in kept] == ["display_data", "stream"]
    assert "<iframe" in kept[0]["data"]["text/html"]


def test_a_page_that_asks_for_all_models_gets_those_that_may_pass() -> None:
    states = {
        "good": {
            "model_name": "IntSliderModel",
            "model_module": "@jupyter-widgets/controls",
            "state": SLIDER,
        },
        "bad": {"model_name": "AnyModel", "model_module": "anywidget", "state": {"_esm": "x"}},
    }
    content = {"comm_id": "asked-by-the-page", "data": {"method": "update_states", "states": states}}
    found = Filter(online=False).admit(message("comm_msg", content))
    assert found is not None
    assert list(found.content["data"]["states"]) == ["good"]


PATHS: dict[str, list[Any]] = {
    "the prototype of all objects": ["__proto__", "get"],
    "the prototype itself": ["__proto__"],
    "the constructor": ["constructor", "prototype", "x"],
    "a function that objects inherit": ["toString", "x"],
    "a place that is not there": ["nowhere", "x"],
    "behind the end of a list": ["many", 2],
    "a name in a list": ["many", "map"],
    "nothing": [],
    "no path": ["value", ["x"]],
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_binary_parts_of_a_model_go_only_where_its_state_has_room(path: list[Any]) -> None:
    state = {**SLIDER, "many": [None, 1], "inner": {"a": {}}}
    for good in (["data"], ["many", 0], ["inner", "a", "b"]):
        found = Filter(online=False).admit(message("comm_open", opened(state, buffer_paths=[good])))
        assert found is not None
        assert found.content["data"]["buffer_paths"] == [good]
    found = Filter(online=False).admit(message("comm_open", opened(state, buffer_paths=[["data"], path])))
    assert found is not None
    assert found.content["data"]["buffer_paths"] == []


def test_messages_of_models_that_nobody_knows_do_not_pass() -> None:
    content = {"comm_id": "unknown", "data": {"method": "update", "state": {"value": 1}}}
    assert shown(content, kind="comm_msg") is None
    assert shown({"comm_id": "c", "target_name": "evil", "data": {}}, kind="comm_open") is None


# Replies


def reply(kind: str, content: dict[str, Any], channel: str = "shell") -> dict[str, Any]:
    found = Filter(online=False).admit(message(kind, content, channel))
    assert found is not None
    return found.content


def test_payloads_that_write_cells_or_end_kernels_are_dropped() -> None:
    payload = [
        {"source": "set_next_input", "text": "evil", "replace": True},
        {"source": "ask_exit", "keepkernel": False},
        {"source": "edit_magic", "filename": "/etc/passwd"},
        {"source": "page", "data": {"text/plain": "help", "text/html": "<script>x</script>"}, "start": 0},
        "nonsense",
    ]
    found = reply("execute_reply", {"status": "ok", "payload": payload, "user_expressions": {}})
    assert [one["source"] for one in found["payload"]] == ["page"]
    assert found["payload"][0]["data"]["text/plain"] == "help"
    assert "<iframe" in found["payload"][0]["data"]["text/html"]


def test_inspection_and_expressions_are_filtered_too() -> None:
    evil = {"text/html": "<img src=x onerror=x>", "text/plain": "x"}
    found = reply("inspect_reply", {"status": "ok", "found": True, "data": evil, "metadata": {}})
    assert LEFT.search(_outside(found["data"]["text/html"]).replace("border:0", "")) is None
    expressions = {"a": {"status": "ok", "data": evil, "metadata": {}}, "b": "evil"}
    found = reply("execute_reply", {"status": "ok", "user_expressions": expressions})
    assert "onerror" not in _outside(found["user_expressions"]["a"]["data"]["text/html"])
    assert found["user_expressions"]["b"]["status"] == "error"


def test_what_the_debugger_renders_is_filtered_too() -> None:
    hostile = {"text/html": "<img src=x onerror=alert(1)>", "text/plain": "x"}
    body = {"data": hostile, "metadata": {}, "variables": []}
    found = reply("debug_reply", {"type": "response", "success": True, "body": body}, "control")["body"]
    assert "<iframe" in found["data"]["text/html"]
    assert found["data"]["text/html"].startswith(html(hostile["text/html"])[:20])
    assert found["variables"] == []
    plain = {"type": "response", "body": {"variables": [{"name": "x", "value": "1"}]}}
    assert reply("debug_reply", plain, "control") == plain


def test_tracebacks_in_replies_lose_commands_to_the_terminal() -> None:
    found = reply("execute_reply", {"status": "error", "traceback": ["\x1b[31mE\x1b]52;c;eA==\x07", 7]})
    assert found["traceback"] == ["\x1b[31mE", "7"]


def test_links_of_the_help_menu_lead_to_web_pages_only() -> None:
    links = [
        {"text": "x", "url": "javascript:alert(1)"},
        {"text": "y", "url": "https://docs.python.org/3"},
        7,
    ]
    assert [one["text"] for one in reply("kernel_info_reply", {"help_links": links})["help_links"]] == ["y"]


ODD = {
    "not a number": b'{"msg_type": NaN}',
    "infinity": b'{"a": -Infinity}',
    "another encoding": '{"a": 1}'.encode("utf-16"),
    "not UTF-8": b'{"a": "\xff"}',
    "a list": b"[]",
}


@pytest.mark.parametrize("part", ODD.values(), ids=ODD)
def test_what_not_every_reader_understands_is_no_message(part: bytes) -> None:
    assert parse_object(part, 1000) is None


def test_parts_that_nothing_was_taken_from_pass_as_they_were_sent() -> None:
    raw = [
        json.dumps(part, indent=1).encode()
        for part in (HEADER, PARENT, {"a": 1}, {"name": "stdout", "text": "x"})
    ]
    header, parent, metadata, content = map(json.loads, raw)
    header["msg_type"] = "stream"
    raw[0] = json.dumps(header, indent=1).encode()
    found = Filter(online=False).admit(Message("iopub", header, parent, metadata, content, (), raw))
    assert found is not None
    assert found.parts() == raw
    more = {**header, "other": [1]}
    found = Filter(online=False).admit(Message("iopub", more, parent, {"b": []}, content, (), raw))
    assert found is not None
    assert [json.loads(part) for part in found.parts()] == [header, parent, {}, content]


def test_only_known_kinds_pass_and_only_on_their_channels() -> None:
    screen = Filter(online=False)
    for kind, channel in (
        ("execute_request", "shell"),
        ("execute_reply", "iopub"),
        ("display_data", "shell"),
        ("iopub_welcome", "iopub"),
        ("shutdown_request", "control"),
        ("execute_reply", "stdin"),
        ("anything", "iopub"),
    ):
        assert screen.admit(message(kind, {}, channel)) is None, (kind, channel)


@given(
    st.sampled_from(
        ["stream", "display_data", "execute_result", "error", "comm_open", "comm_msg", "status", "comm_close"]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "data",
                        "metadata",
                        "state",
                        "text",
                        "name",
                        "comm_id",
                        "method",
                        "target_name",
                        "text/html",
                        "states",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ).filter(lambda value: isinstance(value, dict)),
)
def test_no_content_makes_it_fail(kind: str, content: dict[str, Any]) -> None:
    found = Filter(online=False).admit(message(kind, content))
    if found is not None:
        assert json.loads(found.parts()[3]) == found.content


@pytest.mark.timeout(30, func_only=True)  # the first test of all may have to build the images
@pytest.mark.parametrize(
    "part", ["<!--", "<div>", "<b>", "<a ", "<?", "<![CDATA[", "</", "<b a='", "<b><p>", "<td>", "<script>"]
)
def test_html_whose_end_is_far_is_framed_before_anybody_reads_all_of_it(part: str) -> None:
    """Readers take time by the square of what is never closed: minutes for a megabyte of the first one."""
    for size in (50_000, 10**6):
        assert harmless_html(part * (size // len(part)), online=False).startswith("<iframe sandbox")


def test_long_honest_html_stays_in_the_page() -> None:
    row = "<tr><td>1</td><td>2</td></tr>"
    table = f"<table class='dataframe'><tbody>{row * 10_000}</tbody></table>"
    assert harmless_html(table, online=False).count("<tr>") == 10_000
    picture = f"<p>A picture: <img src='data:image/png;base64,{PNG * 10_000}'><br/>and text.</p>"
    assert "<iframe" not in harmless_html(picture, online=False)
    assert harmless_html("<br/>" * 1000, online=False).count("<br>") == 1000


def test_markdown_that_is_long_stays_text() -> None:
    text = "[" * 100_000
    found = Filter(online=False).admit(message("display_data", {"data": {"text/markdown": text}}))
    assert found is not None
    assert found.content["data"] == {"text/plain": text}

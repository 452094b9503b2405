"""What code in a container shows runs nothing in JupyterLab's own page, and tells the internet nothing."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator

import pytest

from .lab import Lab, until

pytestmark = [pytest.mark.needs("chromium", "docker"), pytest.mark.usefixtures("images")]
OPTIONS = ("--ContainerProvisioner.network_disabled=True",)

# What a page may do with the rights of its user: start a kernel on the host.
START = (
    "(top => fetch('/api/kernels', {method: 'POST', body: JSON.stringify({name: 'python3'}), headers: "
    "{'X-XSRFToken': (document.cookie.match(/_xsrf=([^;]+)/) || [])[1] || ''}}))()"
)
SHOW = "from IPython.display import *\nimport json\nstart = {start!r}\n"
ATTEMPTS = {
    "script": "HTML(f'<script>{start}</script>')",
    "image": "HTML(f'<img src=x onerror=\"{start}\">')",
    "javascript": "Javascript(start)",
    "svg": 'SVG(f\'<svg xmlns="http://www.w3.org/2000/svg" onload="{start}"><script>{start}</script></svg>\')',
    "markdown": "Markdown(f'# x\\n<img src=x onerror=\"{start}\">\\n[x](javascript:{start})')",
    "latex": "display({'text/latex': '$\\\\href{javascript:' + start + '}{x}$', 'text/plain': 'x'}, raw=True)",
    "frame": "HTML(f'<iframe srcdoc=\"<script>parent.{start}</script>\"></iframe>')",
    "isolated": "display({'text/html': f'<script>{start}</script>'}, {'text/html': {'isolated': True}}, raw=True)",
    "style": 'HTML(\'<style>@import url(x);</style><div style="position:fixed;inset:0" class="jp-Dialog">x</div>\')',
    "command": 'HTML(\'<a data-commandlinker-command="notebook:create-new" href="#">x</a>\')',
    "update": (
        "handle = display(HTML('<b>x</b>'), display_id='u')\n"
        "handle.update(HTML(f'<img src=x onerror=\"{start}\">'))"
    ),
    "expression": "display({'text/html': [f'<script>{start}</script>']}, raw=True)",
    "unknown": "display({'application/vnd.vega.v5+json': {'signals': []}, 'text/plain': 'x'}, raw=True)",
    "payload": "get_ipython().set_next_input(f'import os; {start}')\nget_ipython().payload_manager.write_payload("
    "{'source': 'set_next_input', 'text': 'forged', 'replace': True})",
    "html widget": "import ipywidgets as w\nw.HTML(f'<img src=x onerror=\"{start}\">')",
    "description": (
        "import ipywidgets as w\n"
        "w.IntSlider(description=f'<img src=x onerror=\"{start}\">', description_allow_html=True)"
    ),
    "output widget": (
        "import ipywidgets as w\nw.Output(outputs=({'output_type': 'display_data', 'metadata': {}, 'data': "
        "{'text/html': f'<img src=x onerror=\"{start}\">'}},))"
    ),
    "later update": "import ipywidgets as w\nx = w.HTML('x')\ndisplay(x)\nx.value = f'<img src=x onerror=\"{start}\">'",
    "widget module": (
        "from comm import create_comm\ncreate_comm(target_name='jupyter.widget', comm_id='c1', metadata={'version': "
        "'2.1.0'}, data={'state': {'_model_module': 'anywidget', '_model_name': 'AnyModel', '_view_module': "
        "'anywidget', '_view_name': 'AnyView', '_esm': f'export default {{render() {{ {start} }}}}'}, "
        "'buffer_paths': []})\ndisplay({'application/vnd.jupyter.widget-view+json': {'model_id': 'c1', "
        "'version_major': 2, 'version_minor': 0}}, raw=True)"
    ),
    "another target": "from comm import create_comm\ncreate_comm(target_name='evil', data={'x': start})",
}
LEAKS = """
import json
page = '''
<meta http-equiv="refresh" content="0; url=ADDRESS/refresh">
<link rel="stylesheet" href="ADDRESS/link"><link rel="prefetch" href="ADDRESS/prefetch">
<style>@import url(ADDRESS/import); body { background: url(ADDRESS/background) }</style>
<img src="ADDRESS/img"><iframe src="ADDRESS/iframe"></iframe><object data="ADDRESS/object"></object>
<form id=f action="ADDRESS/form"></form><script src="ADDRESS/script"></script>
<script>
const tries = [
    () => fetch("ADDRESS/fetch", {mode: "no-cors"}),
    () => { new Image().src = "ADDRESS/image" },
    () => navigator.sendBeacon("ADDRESS/beacon"),
    () => new WebSocket("ADDRESS/ws".replace("http", "ws")),
    () => new EventSource("ADDRESS/events"),
    () => document.all.f.submit(),
    () => window.open("ADDRESS/open"),
    () => { top.location = "ADDRESS/top" },
    () => { parent.location = "ADDRESS/parent" },
    () => { location = "ADDRESS/location" },
];
for (const attempt of tries) try { attempt() } catch (error) {}
</script>'''
from IPython.display import HTML
HTML(page)
"""


@pytest.mark.timeout(240)
def test_no_output_of_a_container_starts_anything_on_the_host(lab: Lab) -> None:
    cells = [SHOW.format(start=START) + code for code in ATTEMPTS.values()]
    lab.write("hostile.ipynb", "pcm-container", cells)
    notebook = lab.open("hostile.ipynb")
    before = {kernel["id"] for kernel in lab.kernels()}
    dialogs: list[object] = []
    lab.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for number in range(len(cells)):
        notebook.run(number)
        for link in notebook.cell(number).locator(".jp-OutputArea a").all():
            link.click(force=True, no_wait_after=True, timeout=2000)
    count = notebook.ask("return panel.content.model.cells.length")
    # The same attempt from a kernel on the host: it works there, and has had no more time.
    lab.write("control.ipynb", "python3", [SHOW.format(start=START) + ATTEMPTS["image"]])
    control = lab.open("control.ipynb")
    control.run(0)
    until(lambda: len(lab.kernels()) > len(before) + 1, "the control has started a kernel")
    assert len(lab.kernels()) == len(before) + 2
    assert dialogs == []
    assert count == len(cells)
    shown = [notebook.text(number) for number in range(len(cells))]
    for name in ("widget module", "another target", "payload"):
        assert "not shown, because it comes from a container" in shown[[*ATTEMPTS].index(name)], name


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A web server of the test's own, and what was asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_what_a_container_without_network_shows_reaches_nobody(lab: Lab) -> None:
    with listening() as (address, asked):
        lab.write("leaks.ipynb", "pcm-container", [LEAKS.replace("ADDRESS", address)])
        lab.write(
            "control-leaks.ipynb",
            "python3",
            [f"from IPython.display import HTML\nHTML('<img src={address}/control>')"],
        )
        notebook = lab.open("leaks.ipynb")
        notebook.run(0)
        # What the frame shows once it has tried to go elsewhere, and was not let.
        inner = notebook.cell(0).frame_locator("iframe").frame_locator("iframe")
        inner.locator("body.neterror").wait_for(state="attached")
        lab.open("control-leaks.ipynb").run(0)
        until(lambda: "/control" in asked, "the control has been asked for")
        assert asked == ["/control"]

"""HTML that a container shows: harmless as it is, or in a frame that has no rights.

Tables, text and pictures are cleaned and shown in place. What is active (scripts, forms, styles that
would apply to the whole page, anything unknown) goes into an iframe whose sandbox has an origin of its
own: no access to the page, its storage, or its server's cookies.
"""

from __future__ import annotations

import base64
import re
from html import escape
from html.parser import HTMLParser
from typing import final

_TAGS = frozenset(
    (
        "a abbr b blockquote br caption center code col colgroup dd del details div dl dt em figcaption "
        "figure font h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strong sub "
        "summary sup table tbody td tfoot th thead time tr tt u ul var"
    ).split()
)
_FRAME_TAGS = frozenset({"html", "head", "body", "title", "meta"})
"""What surrounds a whole document, and is dropped without harm."""
_ATTRIBUTES = {
    "*": {"title", "align", "valign", "style", "dir", "lang"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan", "headers"},
    "th": {"colspan", "rowspan", "scope", "headers"},
    "col": {"span", "width"},
    "ol": {"start", "type"},
    "table": {"border"},
    "details": {"open"},
    "font": {"color", "size"},
}
_CLASSES = {"table": {"dataframe"}}
"""Other classes would be those of the page: some of them cover it."""
_STYLES = frozenset(
    (
        "color background-color font-weight font-style font-family text-align text-decoration vertical-align "
        "white-space width border border-color border-style border-width border-collapse border-left "
        "border-right border-top border-bottom padding padding-left padding-right padding-top padding-bottom"
    ).split()
)
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp|bmp|svg\+xml);base64,[A-Za-z0-9+/=\s]*", re.ASCII)
_HEIGHT = 450
_LONGEST, _MOST_OPEN, _DEEPEST = 2**20, 4096, 200
"""Characters that are read, characters of it that may be left open at the end, and elements in each other."""
_VOID = frozenset({"br", "col", "hr", "img", "meta"})
_OFFLINE = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; media-src data: blob:; worker-src blob:; form-action 'none'; "
    "base-uri 'none'"
)
_ONLINE = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob: https:; "
    "style-src 'unsafe-inline' https:; img-src data: blob: https:; font-src data: https:; "
    "media-src data: blob: https:; connect-src https:; worker-src blob:; form-action 'none'; base-uri 'none'"
)


def harmless_html(html: str, *, online: bool) -> str:
    """Return HTML that may be shown in the page.

    Parameters
    ----------
    online
        Whether what is shown may load from the internet. Where the container may not, neither may
        the page on its behalf.
    """
    return _clean(html, online=online) if is_passive(html) else framed(html, online=online)


def is_passive(html: str) -> bool:
    """Return whether nothing in it is lost or changed when it is cleaned, but for decoration.

    What would take long to find out is not: readers of HTML take time by the square of what is never
    closed, so text that leaves much open goes into a frame, unread.
    """
    if len(html) > _LONGEST:
        return False
    reader = _Reader()
    reader.feed(html)
    if len(reader.rawdata) > _MOST_OPEN:
        return False
    reader.close()
    return reader.is_passive


def framed(html: str, *, online: bool) -> str:
    """Return a frame without rights that shows `html`.

    The inner frame may go to no address but data: the policy of the outer one forbids it. Without that
    its script could tell something to the internet by going there. Policies are inherited, so it is one.
    """
    policy = f"{_ONLINE if online else _OFFLINE}; frame-src data:"
    meta = f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
    # The page's theme does not reach in here, so the sheet is white in every one.
    page = "<style>:root{background:#fff;color:#111;font:13px/1.4 system-ui,sans-serif}</style>"
    inner = base64.b64encode(f'<!DOCTYPE html><meta charset="utf-8">{meta}{page}{html}'.encode()).decode()
    outer = (
        f"<!DOCTYPE html>{meta}<style>html,body,iframe{{margin:0;border:0;width:100%;height:100%}}</style>"
        f'<iframe sandbox="allow-scripts" src="data:text/html;base64,{inner}"></iframe>'
    )
    style = f"border:0;width:100%;height:{_HEIGHT}px"
    return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{escape(outer)}"></iframe>'


def picture(data: str) -> str:
    """Return an image element for the data URL of a picture, in which no script runs."""
    return f'<img src="{escape(data)}" style="max-width:100%">'


def _clean(html: str, *, online: bool) -> str:
    import nh3

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "src":
            return value if _PICTURE.fullmatch(value) else None
        if name == "href":
            return value if online and value.startswith(("https://", "http://", "mailto:")) else None
        return value

    return str(
        nh3.clean(
            html,
            tags=set(_TAGS),
            clean_content_tags={"script", "style", "title"},
            attributes=_ATTRIBUTES,
            attribute_filter=attribute,
            allowed_classes=_CLASSES,
            url_schemes={"http", "https", "mailto", "data"},
            filter_style_properties=set(_STYLES),
            link_rel="noopener noreferrer nofollow",
            strip_comments=True,
        )
    )


@final
class _Reader(HTMLParser):
    """Looks for what is active. What it overlooks is cleaned away all the same."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.is_passive = True
        self._depth = 0

    def handle_endtag(self, tag: str) -> None:
        self._depth = max(self._depth - 1, 0)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # To a browser the slash means nothing.
        self.handle_starttag(tag, attrs)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._depth += tag not in _VOID
        names = {name for name, _ in attrs}
        # pandas puts such a style into each table; JupyterLab has one of its own for them.
        is_decoration = tag == "style" and "scoped" in names
        is_known = tag in _TAGS or tag in _FRAME_TAGS or is_decoration
        if not is_known or self._depth > _DEEPEST or any(name.startswith("on") for name in names):
            self.is_passive = False

"""Articles and titles written in HTML: harmless, with absolute addresses."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape, unescape
from html.entities import html5

import nh3

from publisher.markup import urls
from publisher.markup.depth import too_deep
from publisher.markup.readable import plain
from publisher.text import clean, one_line

_TAGS = nh3.ALLOWED_TAGS - {"area", "map"} | {
    "audio",
    "big",
    "main",
    "picture",
    "section",
    "source",
    "tfoot",
    "track",
    "video",
}
# What these hold is no part of the article: code, fall-backs for it, and controls without their form.
_DROPPED_WITH_CONTENT = (
    "applet button canvas frameset iframe noembed noframes noscript object script select style template textarea title"
)
_CELL = {"align", "colspan", "rowspan", "headers", "scope"}
_ATTRIBUTES = {
    "*": {"dir", "lang", "title"},
    "a": {"href", "hreflang"},
    "audio": {"controls", "src"},
    "blockquote": {"cite"},
    "code": {"class"},
    "col": {"span"},
    "colgroup": {"span"},
    "data": {"value"},
    "del": {"cite", "datetime"},
    "details": {"open"},
    "img": {"alt", "height", "hidden", "sizes", "src", "srcset", "style", "width"},
    "ins": {"cite", "datetime"},
    "ol": {"reversed", "start", "type"},
    "q": {"cite"},
    "source": {"height", "media", "sizes", "src", "srcset", "type", "width"},
    "td": _CELL,
    "th": _CELL,
    "time": {"datetime"},
    "track": {"kind", "label", "src", "srclang"},
    "video": {"controls", "height", "poster", "src", "width"},
}
_URL_ATTRIBUTES = frozenset(("href", "src", "poster", "cite"))

_LANGUAGE_CLASS = re.compile(r"(?:^|\s)(language-[\w+#.-]{1,40})(?:\s|$)")
_PIXELS = re.compile(r"\s*(\d{1,5})(?:\.\d+)?\s*(?:px)?\s*", re.IGNORECASE)
_UNSEEN_STYLE = re.compile(
    r"(?:^|[;\s])(?:(?:max-)?(?:width|height)\s*:\s*[01](?:\.\d+)?(?:px|\s|;|!|$)|display\s*:\s*none|visibility\s*:\s*hidden)",
    re.IGNORECASE,
)
_IMAGE = re.compile(r"<img\b[^>]*>")
_UNSEEN_IMAGE = re.compile(r' hidden="| style="| (?:width|height)="0*[01]"')

# nh3 removes these with everything behind them where it meets them outside their namespace: an unclosed <svg>, or
# "List<text>" that nobody escaped, would cost the rest of the article. (SVG 2 appendix F, MathML 3 appendix I.)
_FOREIGN = (
    r"(?:svg|animate\w*|circle|clippath|color-profile|cursor|defs|desc|discard|ellipse|fe[a-z]+|filter|font-face[\w-]*"
    r"|foreignobject|g|glyph\w*|hatch\w*|[hv]kern|line|(?:linear|radial)gradient|marker|mask|mesh\w*|metadata"
    r"|missing-glyph|mpath|path|pattern|polygon|polyline|rect|set|solidcolor|stop|switch|symbol|text|textpath|tref|tspan"
    r"|unknown|use|view"
    r"|m(?:ath|action|align\w*|enclose|error|fenced|frac|glyph|i|labeledtr|longdiv|multiscripts|n|o|over|padded|phantom"
    r"|prescripts|root|row|s\w*|table|td|text|tr|under|underover)|none|semantics|annotation(?:-xml)?)"
)
_FOREIGN_NAME = re.compile(_FOREIGN, re.IGNORECASE)
_FOREIGN_TAG = re.compile(rf"</?{_FOREIGN}(?=[\s/>])[^>]*>", re.IGNORECASE)
_NAME = re.compile(r"</?([a-zA-Z][^\s/>]*)")
_SVG_END = re.compile(r"</svg\s*>", re.IGNORECASE)
_SVG = re.compile(r"<svg\b.*?</svg\s*>", re.IGNORECASE | re.DOTALL)

_TITLE_TAG = re.compile(
    r"<(script|style)\b[^<>]*>.*?</\1\s*>|<br\b[^<>]*>|</?(?:"
    + "|".join(
        sorted(_TAGS | {"font", "nobr", "script", "style", "blink", "marquee", "iframe", "form", "input", "svg"})
    )
    + r")(?:\s[^<>]*|/)?>|<!--.*?-->",
    re.IGNORECASE | re.DOTALL,
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")


def title_text(markup: str) -> str:
    """Return a title as plain text on one line: tags removed, entities decoded exactly once (FR-X12).

    Only the tags of HTML go: "std::vector<int>" is a title too.
    """
    if "<" in markup:
        markup = _TITLE_TAG.sub(lambda tag: " " if tag.group().lower().startswith("<br") else "", markup)
    if "&" in markup:
        markup = _ENTITY.sub(_decoded, markup)
    return one_line(markup)


def _decoded(entity: re.Match[str]) -> str:
    """Return the character of a whole entity; `unescape` alone would also decode the "&not" of "&notify;"."""
    text = entity.group()
    return unescape(text) if text[1] == "#" or text[1:] in html5 else text


def sanitise(html: str, base_url: str | None) -> str:
    """Return a harmless HTML fragment in which every address is absolute (FR-X10, FR-X11, B24–B27).

    `base_url` is the address of the article, or of the site where the article has none; without it relative links and
    images go. Scripts, styles, forms, frames, SVG and images nobody can see go; text stays. HTML nested beyond reason
    becomes its text in paragraphs (B6).
    """
    html = _without_foreign(clean(html))
    if too_deep(html):
        return "".join(f"<p>{escape(paragraph, quote=False)}</p>" for paragraph in plain(html).split("\n\n"))
    return _IMAGE.sub(_seen, _cleaner(base_url).clean(html)).strip()


@lru_cache(maxsize=64)
def _cleaner(base_url: str | None) -> nh3.Cleaner:
    def attribute(tag: str, name: str, value: str) -> str | None:
        if name in _URL_ATTRIBUTES:
            return urls.absolute(value, base_url, mailto=tag == "a")
        if name == "srcset":
            return urls.srcset(value, base_url)
        return _attribute(name, value)

    return nh3.Cleaner(
        tags=_TAGS,
        clean_content_tags=set(_DROPPED_WITH_CONTENT.split()),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=attribute,
        url_schemes={"http", "https", "mailto"},
        link_rel=None,
    )


def _attribute(name: str, value: str) -> str | None:
    """Return what may stay of an attribute that holds no address; None removes it."""
    match name:
        case "class":
            language = _LANGUAGE_CLASS.search(value)
            return language.group(1) if language else None
        case "width" | "height":
            pixels = _PIXELS.fullmatch(value)
            return pixels.group(1) if pixels else None
        case "style":
            # Allowed on images alone, and only to tell `_seen`, which removes the image with it.
            return "unseen" if _UNSEEN_STYLE.search(value) else None
        case "dir":
            return value.lower() if value.lower() in ("ltr", "rtl", "auto") else None
        case _:
            return value


def _seen(image: re.Match[str]) -> str:
    """Return the image unless it is a tracking pixel (B26) or its address was refused. nh3 writes `>` as `&gt;`."""
    tag = image.group()
    if _UNSEEN_IMAGE.search(tag) or not (' src="' in tag or ' srcset="' in tag):
        return ""
    return tag


def _without_foreign(html: str) -> str:
    """Remove drawings, and the tags of SVG and MathML that are left; the text between those stays."""
    # Nearly every article stops here: it costs a tenth of trying each tag against all those names.
    if not any(_FOREIGN_NAME.fullmatch(name) for name in set(_NAME.findall(html)) - _TAGS):
        return html
    end = max((drawing.end() for drawing in _SVG_END.finditer(html)), default=0)
    # Up to there every <svg> finds its end, so that the search stays linear.
    html = _SVG.sub("", html[:end]) + html[end:]
    return _FOREIGN_TAG.sub("", html)

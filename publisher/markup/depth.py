"""Whether HTML is nested too deep to be parsed in reasonable time."""

from __future__ import annotations

import re
from collections.abc import Iterator

# html5ever needs time that grows with the square of the depth (B6: 20 s for 100,000 levels, 4 ms for 1,000), and
# re-opens every unclosed <b> or <font> in each later paragraph. Articles stay below 40 levels.
_HARMLESS_TAGS = 1_000
_MAX_DEPTH = 400
_MAX_ELEMENTS = 1_000_000

_VOID = re.compile("area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr")
# Start tag → what it closes when that was opened last, because nobody need write these end tags (HTML §13.1.2.4).
_CLOSES = {
    "p": "p",
    "li": "p li",
    "dt": "p dt dd",
    "dd": "p dt dd",
    "td": "p td th",
    "th": "p td th",
    "tr": "p td th tr",
    "thead": "p td th tr thead tbody tfoot",
    "tbody": "p td th tr thead tbody tfoot",
    "tfoot": "p td th tr thead tbody tfoot",
}
# The end tag of a container also closes these on its way; that of a phrase (b, span) closes none. A cell or a row
# outside a table is no element at all, so that its end closes nothing but others of that kind.
_TABLE_PARTS = {"p", "td", "th", "tr", "thead", "tbody", "tfoot"}
_IMPLIED = _TABLE_PARTS | {"li", "dt", "dd"}
_CONTAINER = re.compile(
    "article|aside|blockquote|center|dd|details|div|dl|dt|figcaption|figure|footer|header|li|main|nav|ol|section|table|ul"
)

# Only what every parser takes for the same tag, attributes and all; `odd` is the beginning of anything else.
_TAG = re.compile(
    r"<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9-]*)"
    r"(?:\s+[^\s\"'<>/=]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'=<>`]+))?)*+\s*/?>"
    r"|<!--(?!-?>)[^<>]*-->"
    r"|<(?P<odd>[a-zA-Z/!?])"
)


def too_deep(html: str) -> bool:
    """Whether a parser could build more levels, or more elements, than any article has (B6)."""
    if html.count("<") <= _HARMLESS_TAGS:
        return False
    elements = 0
    for depth in depths(html):
        elements += depth  # each of them may be opened once more here
        if depth > _MAX_DEPTH or elements > _MAX_ELEMENTS:
            return True
    return False


def depths(html: str) -> Iterator[int]:
    """Yield the number of open elements at each start tag, as an estimate that is never much too low.

    An element counts as closed only where every parser sees its end, and only when it was opened last: whatever a
    parser may read differently from us (comments, raw text, stray quotes) stays open here, and lies on those before it.
    """
    opened: list[str] = []
    for tag in _TAG.finditer(html):
        name = (tag["name"] or "").lower()
        if tag["odd"]:
            opened.append("")
        elif tag["end"]:
            _close(opened, name)
            continue
        elif name and not _VOID.fullmatch(name):
            while opened and opened[-1] in _CLOSES.get(name, "").split():
                opened.pop()
            opened.append(name)
        yield len(opened)


def _close(opened: list[str], name: str) -> None:
    last = len(opened) - 1
    passed = _IMPLIED if _CONTAINER.fullmatch(name) else _TABLE_PARTS if name in _TABLE_PARTS else set()
    while last >= 0 and opened[last] in passed and opened[last] != name:
        last -= 1
    if last >= 0 and opened[last] == name:
        del opened[last:]

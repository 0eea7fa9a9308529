"""Whether HTML is nested too deep to be parsed in reasonable time."""

from __future__ import annotations

import re

# html5ever needs time that grows with the square of the depth (B6: 20 s for 100,000 levels, 4 ms for 1,000), and
# re-opens every unclosed <b> or <font> in each later paragraph. Articles stay below 40 levels.
_HARMLESS_TAGS = 1_000
_MAX_DEPTH = 400
_MAX_ELEMENTS = 1_000_000

_VOID = re.compile("area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr")
# The next one, or the end of its parent, closes each of these: none lies in another without something that counts.
_CLOSED_BY_THE_NEXT = re.compile("p|li|dt|dd|tr|td|th|thead|tbody|tfoot|colgroup|option|optgroup")
# Inside these, what looks like a tag may be none.
_RAW_TEXT = re.compile("iframe|math|no(?:embed|frames|script)|plaintext|script|select|style|svg|textarea|title|xmp")

# Only what every parser takes for the same tag, attributes and all; `odd` is the beginning of anything else.
_TAG = re.compile(
    r"<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9-]*)"
    r"(?:\s+[^\s\"'<>/=]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'=<>`]+))?)*+\s*/?>"
    r"|<!--(?!-?>)[^<>]*-->"
    r"|<(?P<odd>[a-zA-Z/!?])"
)


def too_deep(html: str) -> bool:
    """Whether a parser could build more levels, or more elements, than any article has (B6).

    The estimate is never too low: an end tag counts only where every parser sees one, and for what was opened last.
    """
    if html.count("<") <= _HARMLESS_TAGS:
        return False
    opened: list[str] = []
    elements = 0
    trusted = True
    for tag in _TAG.finditer(html):
        name = (tag["name"] or "").lower()
        if tag["odd"]:
            # A parser may read on differently from us, so that nothing after it is taken as closed.
            trusted = False
            opened.append("")
        elif tag["end"]:
            if trusted and opened and opened[-1] == name:
                opened.pop()
        elif name and not _VOID.fullmatch(name):
            trusted = trusted and (not _RAW_TEXT.fullmatch(name) or _ends_at_once(html, tag.end(), name))
            if not _CLOSED_BY_THE_NEXT.fullmatch(name):
                opened.append(name)
            elements += len(opened) + 1
        if len(opened) > _MAX_DEPTH or elements > _MAX_ELEMENTS:
            return True
    return False


def _ends_at_once(html: str, start: int, name: str) -> bool:
    """Whether the next "<" is the end tag, so that nothing in the raw text can be taken for a tag."""
    following = html.find("<", start)
    return following >= 0 and html[following : following + 2 + len(name)].lower() == f"</{name}"

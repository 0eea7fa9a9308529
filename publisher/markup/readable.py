"""The readable text of an article's HTML."""

from __future__ import annotations

import re
from html import unescape

_BREAKING = (
    "address|article|aside|blockquote|body|br|caption|center|dd|details|div|dl|dt|figcaption|figure|footer|form|h[1-6]"
    "|header|hgroup|hr|html|li|main|nav|ol|p|pre|section|summary|table|td|th|tr|ul"
)
_SILENT = "head|iframe|noscript|script|select|style|svg|template|textarea|title"

# Each alternative also takes what never ends, so that one pass is linear on any input.
_REMOVED = re.compile(
    rf"<!--.*?(?:-->|\Z)|<({_SILENT})\b[^>]*>.*?(?:</\1\s*>|\Z)|<(?!/?(?:{_BREAKING})\b)[a-zA-Z/!?][^>]*(?:>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_TAG = re.compile(rf"<(/?(?:{_BREAKING}))\b[^>]*(?:>|\Z)", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\n\r\f]+")


def plain(html: str) -> str:
    """Return readable text of HTML that `sanitise` returned.

    Paragraphs are separated by a blank line, list items stand on lines of their own behind "- " or "1. ", table rows on
    lines with " | " between the cells; preformatted text keeps its lines. Images leave nothing.
    """
    writer = _Writer()
    # Text and tag names alternate, text first.
    parts = iter(_TAG.split(_REMOVED.sub("", html)))
    writer.text(next(parts))
    for tag, text in zip(parts, parts, strict=True):
        writer.tag(tag.lower())
        writer.text(text)
    return writer.finish()


class _Writer:
    """Collects lines: what stands on the present one, what goes before it, the lists around it."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._line = ""
        self._gap = ""  # line ends that go before the next line with text
        self._bullet = ""  # of an item that has no text yet
        self._lists: list[int] = []  # number of the last item; -1 in a list with bullets
        self._preformatted = False

    def text(self, text: str) -> None:
        """Take text between two tags."""
        self._line += text if self._preformatted else _SPACE.sub(" ", text)

    def tag(self, tag: str) -> None:
        """Take the name of a tag, behind a slash when it is an end tag."""
        match tag:
            case "br":
                self._line += "\n"
            case "td" | "th":
                if cells := self._line.strip():
                    self._line = f"{cells} | "
            case "ul" | "ol":
                self._break("\n" if self._lists else "\n\n")
                self._lists.append(-1 if tag == "ul" else 0)
            case "/ul" | "/ol":
                self._break("\n")
                if self._lists:
                    self._lists.pop()
                self._break("\n" if self._lists else "\n\n")
            case "li":
                self._break("\n")
                self._bullet = self._next_bullet()
            case "/li" | "tr" | "/tr" | "dt" | "/dt" | "dd" | "/dd":
                self._break("\n")
            case "/td" | "/th" | "/br":
                pass
            case _:
                self._break("\n\n")
                self._preformatted = tag == "pre"

    def finish(self) -> str:
        """Return the whole text."""
        self._break("")
        return "".join(self._done)

    @staticmethod
    def _indent(level: int) -> str:
        # Deeper lists are no longer told apart, and a hostile one would be all indent.
        return "  " * min(level, 6)

    def _next_bullet(self) -> str:
        indent = self._indent(len(self._lists) - 1)
        if not self._lists or self._lists[-1] < 0:
            return f"{indent}- "
        self._lists[-1] += 1
        return f"{indent}{self._lists[-1]}. "

    def _break(self, gap: str) -> None:
        """End the line. Of all gaps asked for before the next one, the widest counts; lists stay close."""
        text, self._line = self._line, ""
        if text and not text.isspace():
            indent = self._indent(len(self._lists))
            lines = unescape(text).split("\n")
            lines = [line.rstrip() for line in lines] if self._preformatted else [line.strip(" ") for line in lines]
            text = f"\n{indent}".join(lines).strip("\n")
            self._done += (self._gap if self._done else "", self._bullet or indent, text)
            self._gap = self._bullet = ""
        if len(gap) > len(self._gap):
            self._gap = "\n" if self._lists else gap

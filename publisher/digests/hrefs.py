"""The addresses that a piece of HTML leads to."""

from __future__ import annotations

from html.parser import HTMLParser


class _LinkFinder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href") if tag == "a" else None
        if href and not href.startswith("#"):
            self.found[href] = None


def addresses_in(html: str) -> tuple[str, ...]:
    """Return them in order, each once; places in the same document are none."""
    finder = _LinkFinder()
    finder.feed(html)
    finder.close()
    return tuple(finder.found)

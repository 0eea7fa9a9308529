"""HTML and Markdown from strangers: made safe, made absolute, made plain."""

from __future__ import annotations


def title_text(markup: str) -> str:
    """Return a title as plain text on one line: tags removed, entities decoded exactly once (FR-X12)."""
    raise NotImplementedError


def sanitise(html: str, base_url: str | None) -> str:
    """Return a safe fragment with absolute URLs (FR-X10, FR-X11)."""
    raise NotImplementedError


def plain(html: str) -> str:
    """Return readable text: paragraphs separated by a blank line, list items with bullets."""
    raise NotImplementedError


def markdown(text: str) -> str:
    """Return GitHub-flavoured Markdown as HTML; raw HTML passes through and is for `sanitise` to clean."""
    raise NotImplementedError

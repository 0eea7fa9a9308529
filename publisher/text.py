"""Plain strings: what may stand in XML, on one line, in a subject, in an address, in a text mail."""

from __future__ import annotations


def clean(text: str) -> str:
    """Remove what XML 1.0 forbids (FR-X2); everything else stays as it is."""
    raise NotImplementedError


def one_line(text: str) -> str:
    """Return the text clean, on one line, without invisible controls."""
    raise NotImplementedError


def excerpt(text: str, limit: int = 280) -> str:
    """Cut at a word border, at most `limit` characters with the "…"."""
    raise NotImplementedError


def truncate(text: str, limit: int) -> str:
    """Cut at a grapheme border, at most `limit` characters with the "…"."""
    raise NotImplementedError


def slugify(text: str, fallback: str) -> str:
    """Return lower-case ASCII words joined by hyphens, at most 80 characters; `fallback` when nothing is left."""
    raise NotImplementedError


def direction(language: str) -> str:
    """Return "rtl" or "ltr" for a BCP 47 tag."""
    raise NotImplementedError


def wrap(text: str, width: int = 76) -> str:
    """Wrap paragraphs to `width` columns; URLs stay whole."""
    raise NotImplementedError


def content_hash(
    *, title: str, html: str, summary: str, status: str | None = None, image_url: str | None = None, credit: str | None = None
) -> str:
    """Return the sha256 (hex) of what a reader would notice."""
    raise NotImplementedError

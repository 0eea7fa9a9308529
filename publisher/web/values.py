"""Plain values for templates: what a page says, without a thought of how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError

from publisher import dates, links
from publisher.config import Config, in_language
from publisher.licenses import license_of, name_of
from publisher.model import UNCATEGORISED, UNSPECIFIED_LICENSE, Article
from publisher.text import direction, excerpt

MEDIA_TYPES = {"rss": "application/rss+xml", "atom": "application/atom+xml", "json": "application/feed+json"}
FORMAT_NAMES = {"rss": "RSS", "atom": "Atom", "json": "JSON"}
LATEST = 20
"""Articles on the home page, on a category's page and on a feed's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link of the navigation."""

    title: str
    url: str
    current: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLink:
    """A feed for autodiscovery: media type, distinct title, absolute address (FR-D1)."""

    type: str
    title: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What every page has around its content."""

    language: str
    direction: str
    title: str
    site_title: str
    stylesheet: str
    home: str
    description: str = ""
    canonical: str = ""
    noindex: bool = False
    navigation: Sequence[Link] = ()
    languages: Sequence[Link] = ()
    alternates: Sequence[Link] = ()
    feeds: Sequence[FeedLink] = ()
    opml: str = ""
    postal_address: str = ""
    site_url: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """The reader's language, zone and the publication's titles in it."""

    config: Config
    language: str
    uncategorised: str
    zone: ZoneInfo = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "zone", ZoneInfo(self.config.site.timezone))

    def pick(self, texts: Any) -> str:  # noqa: ANN401 - config.Texts
        """Return one text of a text that may exist per language."""
        return in_language(texts, self.language, self.config.site.default_language)

    def date(self, when: datetime, style: dates.Style = "long") -> str:
        """Return a date in the reader's language and the publication's zone."""
        return dates.display(when, self.language, self.zone, style)

    def category(self, slug: str) -> dict[str, str]:
        """Return slug, title and address of a category; one no longer configured is called by its slug."""
        for category in self.config.categories:
            if category.slug == slug:
                title = self.pick(category.title)
                break
        else:
            title = self.uncategorised if slug == UNCATEGORISED else slug
        return {"slug": slug, "title": title, "url": links.category(self.config, slug, self.language)}

    def article(self, article: Article) -> dict[str, Any]:
        """Return an article as lists show it."""
        return {
            "title": article.title,
            "url": links.article(self.config, article),
            "language": article.language,
            "foreign": article.language != self.language,
            "direction": direction(article.language),
            "category": self.category(article.categories[0]),
            "published": self.date(article.published_at),
            "published_iso": article.published_at.isoformat(),
            "authors": tuple(author.name for author in article.authors),
            "status": article.status.value if article.status else "",
            "summary": excerpt(article.summary, 240),
            "image": {"url": article.image.url} if article.image else None,
        }

    def full_article(self, article: Article) -> dict[str, Any]:
        """Return an article as its own page shows it."""
        image = article.image
        updated = article.updated_at - article.published_at
        return self.article(article) | {
            "categories": [self.category(slug) for slug in article.categories],
            "html": article.html,
            "credit": article.credit or (image.credit if image else "") or "",
            "image": {"url": image.url, "alt": image.alt, "width": image.width, "height": image.height}
            if image
            else None,
            # Corrections of the first hour are proof-reading, not news.
            "updated": self.date(article.updated_at) if updated.total_seconds() > 3600 else "",
            "license": self._license(article),
            "discussion": article.discussion,
            "origin": {"title": article.origin.title, "url": article.origin.url} if article.origin else None,
            "enclosures": [{"url": e.url, "title": e.title or e.url.rpartition("/")[2]} for e in article.enclosures],
        }

    def _license(self, article: Article) -> dict[str, str] | None:
        url = license_of(article, self.config.site.license)
        return {"url": url, "name": name_of(url)} if url not in ("", UNSPECIFIED_LICENSE) else None


def language_name(code: str) -> str:
    """Return a language's name in itself, with a capital: `Русский`."""
    try:
        name = Locale.parse(code, sep="-").get_display_name(code.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        name = None
    return name[:1].upper() + name[1:] if name else code


def size(number: int) -> str:
    """Return a number of bytes for people: `34 kB`."""
    return f"{number} B" if number < 1000 else f"{number / 1000:.0f} kB"

"""What one article looks like in a feed: the values that RSS, Atom and JSON Feed share, so that they cannot differ."""

from __future__ import annotations

import html
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

import idna

from publisher import links
from publisher.config import Config, in_language
from publisher.feeds.spec import FeedSpec, domain
from publisher.licenses import license_of
from publisher.markup.readable import plain
from publisher.markup.urls import absolute
from publisher.model import UNCATEGORISED, Article, Author, Enclosure, Image, Origin
from publisher.text import clean, direction, excerpt, one_line

UNTITLED = "(untitled)"

RELATED_LIMIT = 20
"""An entry that names hundreds would leave no room for others."""

# RFC 3987: a scheme, then nothing that an IRI forbids.
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20\x7f]+\Z")
_BARE_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class Tag:
    """A category of an entry: the term machines compare, the label people read, the URI of the list it is from."""

    term: str
    label: str
    scheme: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An article as every format shows it; text is free of what XML forbids, times are UTC in whole seconds."""

    id: str
    """An absolute IRI, the same in every format and feed (FR-X5, FR-A7)."""
    url: str
    title: str
    """Plain text, never empty."""
    html: str
    """The full text; empty when the feed shows summaries or the article has none."""
    summary: str
    """Plain text; may be empty."""
    published_at: datetime
    updated_at: datetime
    language: str
    authors: tuple[Author, ...]
    tags: tuple[Tag, ...]
    """Categories first, then labels, then the status."""
    status: str
    """improved, worsened, unchanged or empty."""
    image: Image | None
    credit: str
    enclosures: tuple[Enclosure, ...]
    origin: Origin | None = None
    """Where it was first published; its id is an absolute IRI, its time in whole seconds."""
    license: str = ""
    """Address of the license it is under; may be UNSPECIFIED_LICENSE."""
    discussion: str = ""
    """Address of the page where readers discuss it."""
    related: tuple[str, ...] = ()
    """Addresses of other articles, which never change."""

    @property
    def summary_html(self) -> str:
        """The summary as HTML: RSS readers take a description for HTML, so `<` in it must be escaped once more."""
        return turned(html.escape(self.summary, quote=False), self.language) if self.summary else ""


def entry_of(article: Article, spec: FeedSpec, config: Config) -> Entry:
    """Return what a feed shows of an article.

    Raises ValueError when the article cannot be shown, for example because a time of it has no zone.
    """
    body = clean(article.html).strip()
    summary = clean(article.summary).strip() or excerpt(clean(plain(body)))
    published_at = _moment(article.published_at)
    return Entry(
        id=entry_id(article.guid),
        url=_address(article.url) or links.article_page(config, article),
        title=one_line(article.title) or excerpt(one_line(summary), 80) or UNTITLED,
        html=turned(body, article.language) if body and spec.content == "full" else "",
        summary=summary,
        published_at=published_at,
        updated_at=max(published_at, _moment(article.updated_at)),
        language=article.language,
        authors=tuple(_author(author) for author in article.authors if one_line(author.name)),
        tags=_tags(article, spec, config),
        status=str(article.status) if article.status else "",
        image=_image(article.image),
        credit=one_line(article.credit or (article.image.credit if article.image else None) or ""),
        enclosures=tuple(_enclosure(e) for e in article.enclosures if _address(e.url)),
        origin=_origin(article.origin),
        license=_address(license_of(article, config.site.license)),
        discussion=_address(article.discussion),
        related=tuple(links.article_ref(config, ref) for ref in article.linked[:RELATED_LIMIT]),
    )


def entry_id(guid: str) -> str:
    """Return the IRI under which readers remember an article: its guid, made an IRI if it is none.

    Only the guid decides: no address, title or slug (FR-X5).
    """
    guid = clean(guid).strip()
    if _BARE_UUID.match(guid):
        return f"urn:uuid:{guid.lower()}"
    if _IRI.match(guid):
        return guid
    return uuid.uuid5(uuid.NAMESPACE_OID, guid).urn


def turned(markup: str, language: str) -> str:
    """Wrap what is written from right to left, since feeds are read inside pages written from left to right."""
    if direction(language) == "ltr":
        return markup
    return f'<div dir="rtl" lang="{html.escape(language)}">{markup}</div>'


def _moment(when: datetime) -> datetime:
    if when.tzinfo is None:
        raise ValueError(f"the time {when.isoformat()} has no zone")
    return when.astimezone(UTC).replace(microsecond=0)


def _address(url: str | None) -> str:
    """Return an absolute http(s) address in ASCII, as RSS asks; empty when `url` is none."""
    return _in_ascii(absolute(clean(url or ""), None) or "")


def _in_ascii(url: str) -> str:
    """Write the host of an address as the name system does; all else of it is in ASCII already."""
    if url.isascii():
        return url
    parts = urlsplit(url)
    before, at, place = parts.netloc.rpartition("@")
    host, colon, port = place.partition(":")
    try:
        host = idna.encode(host, uts46=True).decode("ascii")
    except UnicodeError:  # of which those of the library are kinds
        return ""
    written = urlunsplit(parts._replace(netloc=f"{before}{at}{host}{colon}{port}"))
    return written if written.isascii() else ""


def _author(author: Author) -> Author:
    # Addresses of people stay out: a feed is copied by everybody, and nobody was asked.
    return Author(name=one_line(author.name), url=_address(author.url) or None)


def _image(image: Image | None) -> Image | None:
    url = _address(image.url) if image else ""
    if image is None or not url:
        return None
    return Image(url=url, alt=one_line(image.alt), width=image.width, height=image.height)


def _enclosure(enclosure: Enclosure) -> Enclosure:
    return Enclosure(
        url=_address(enclosure.url),
        type=one_line(enclosure.type) or "application/octet-stream",
        length=enclosure.length,
        title=one_line(enclosure.title or "") or None,
    )


def _origin(origin: Origin | None) -> Origin | None:
    url = _address(origin.url) if origin else ""
    if origin is None or not url:
        return None
    return Origin(
        title=one_line(origin.title) or url,
        url=url,
        feed_url=_address(origin.feed_url) or None,
        id=entry_id(origin.id) if origin.id else None,
        updated_at=_moment(origin.updated_at) if origin.updated_at else None,
    )


def _tags(article: Article, spec: FeedSpec, config: Config) -> tuple[Tag, ...]:
    # tag: URIs (RFC 4151) name the lists for good: they survive a move to https or to another address of the service.
    scheme = f"tag:{domain(config)},2026:"
    titles = {category.slug: category.title for category in config.categories}
    language, default = spec.language, config.site.default_language
    tags = [
        Tag(slug, one_line(in_language(titles.get(slug, slug), language, default)) or slug, f"{scheme}categories")
        for slug in article.categories
        if slug in titles or slug != UNCATEGORISED
    ]
    labels = (one_line(label) for label in article.labels)
    tags += [Tag(label, label, f"{scheme}labels") for label in labels if label]
    if article.status:
        tags.append(Tag(str(article.status), str(article.status), f"{scheme}status"))
    return tuple(dict.fromkeys(tags))

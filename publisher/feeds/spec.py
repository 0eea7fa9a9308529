"""Which feeds there are, what each takes, and its lasting identity."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from babel import Locale, UnknownLocaleError

from publisher import links
from publisher.config import Category, Config, Feed, Newsletter, Selection, in_language
from publisher.text import one_line

Format = Literal["rss", "atom", "json"]
Kind = Literal["all", "category", "language", "author", "newsletter", "custom"]
FORMATS: tuple[Format, ...] = ("rss", "atom", "json")

MEDIA_TYPES: dict[Format, str] = {
    "rss": "application/rss+xml",
    "atom": "application/atom+xml",
    "json": "application/feed+json",
}

REFRESH = timedelta(minutes=15)
"""How often a reader should look: the same in ttl, sy:* and Cache-Control, because readers take the longest (FR-H6)."""

LIST = "feeds.opml"
"""Name of the file that lists all feeds."""

NEWSLETTER_PREFIX = "newsletter-"
AUTHOR_PREFIX = "author-"

DEFAULT_LIMIT = 50
DEFAULT_WINDOW = timedelta(days=7)
DEFAULT_BYTES = 512 * 1024
"""FeedBurner stops at 512 kB to 1 MB, CommaFeed at 5 MB: a larger feed is cut by its readers, not by us (FR-X9)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSpec:
    """One feed: what it is called, what it takes and where it is. All text is plain, all addresses are absolute."""

    slug: str
    kind: Kind
    title: str
    description: str
    selection: Selection
    language: str
    """BCP 47 tag of the feed itself; its articles may be in others."""
    limit: int
    """How many of the newest articles it shows at least, if there are so many."""
    window: timedelta
    """It shows everything this young too, counted back from its newest change, so that slow pollers miss nothing."""
    max_bytes: int
    """What no document of it exceeds, whatever the other two say."""
    content: Literal["full", "summary"]
    page_url: str
    """The HTML page that shows the same."""
    base_url: str
    """Its address without the dot and the format."""
    directory_url: str
    """The page that lists all feeds of the publication, and says how to use them."""
    publication: str
    """Title of the publication: the author of articles that name none."""
    publication_url: str
    logo: str = ""
    icon: str = ""
    """A square picture."""
    rights: str = ""
    """Who may do what with its texts."""
    license: str = ""
    """Address of the license that its articles are under, unless they say otherwise."""
    former: tuple[str, ...] = ()
    """Slugs it had before, the latest first."""
    hubs: tuple[str, ...] = ()
    """WebSub hubs that are told of changes, as the configuration writes them (FR-W1)."""
    is_archived: bool = True
    """Whether older articles are kept in archive documents.

    Those of an author only where that is wanted: they are in the archive of everything, and a document for each author
    and month may be a million files.
    """
    stylesheet: str = ""
    """Address of the sheet by which browsers show it (FR-D2)."""

    def file(self, form: Format) -> str:
        """Return the name of its file in one format, for example `all.atom`."""
        return f"{self.slug}.{form}"

    def url(self, form: Format) -> str:
        """Return its address in one format."""
        return f"{self.base_url}.{form}"

    def archive_url(self, month: str) -> str:
        """Return the address of an archive document without the dot and the format."""
        return f"{self.base_url}/{month}"


def domain(config: Config) -> str:
    """Return the host name of the publication, the authority behind its lasting ids."""
    return urlsplit(config.site.url).hostname or "localhost"


def feed_id(config: Config, slug: str) -> str:
    """Return the id of a feed that has none stored yet: the publication's domain and the slug decide it, no address."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"tag:{domain(config)},feeds/{slug}").urn


def feeds_of(config: Config, authors: Iterable[tuple[str, str, str]] = ()) -> tuple[FeedSpec, ...]:
    """Return every feed: all, one per category, language and newsletter, the configured ones, one per author.

    `authors` are slugs, names and casefolded names: whoever writes for the publication is in no configuration.
    Every slug is there once: the loader refuses a configured feed that has the slug of a built-in one.
    """
    specs: dict[str, FeedSpec] = {}
    for spec in _built_in(config):
        specs.setdefault(spec.slug, spec)  # `all` stays `all`, even if a category is called so
    for feed in config.feeds:
        specs[feed.slug] = _configured(config, feed)
    for slug, name, key in authors:
        specs.setdefault(slug, _author(config, slug, name, key))
    return tuple(specs.values())


def _built_in(config: Config) -> Iterator[FeedSpec]:
    default = config.site.default_language
    yield _spec(config, "all", "all", language=default)
    for category in config.categories:
        yield _category(config, category)
    for language in config.site.languages:
        slug = f"language-{language.lower()}"
        name = _language_name(language)
        yield _spec(config, slug, "language", language=language, name=name, selection=Selection(languages=(language,)))
    for newsletter in config.newsletters:
        yield _newsletter(config, newsletter)


def _author(config: Config, slug: str, name: str, key: str) -> FeedSpec:
    language = config.site.default_language
    selection = Selection(authors=(key,))
    page = links.feed_page(config, slug)
    return _spec(config, slug, "author", language=language, name=name, selection=selection, page_url=page)


def _newsletter(config: Config, newsletter: Newsletter) -> FeedSpec:
    language = config.site.default_language
    return _spec(
        config,
        f"{NEWSLETTER_PREFIX}{newsletter.slug}",
        "newsletter",
        language=language,
        name=in_language(newsletter.title, language, language),
        description=in_language(newsletter.description, language, language),
        page_url=links.newsletter(config, newsletter.slug, language),
        former=tuple(f"{NEWSLETTER_PREFIX}{old}" for old in newsletter.former),
    )


def _category(config: Config, category: Category) -> FeedSpec:
    language = config.site.default_language
    return _spec(
        config,
        category.slug,
        "category",
        language=language,
        name=in_language(category.title, language, language),
        description=in_language(category.description, language, language),
        selection=Selection(categories=(category.slug,)),
        page_url=links.category(config, category.slug, language),
        former=category.former,
    )


def _configured(config: Config, feed: Feed) -> FeedSpec:
    # A feed in one language speaks that language; any other speaks the publication's.
    language = feed.languages[0] if len(feed.languages) == 1 else config.site.default_language
    default = config.site.default_language
    return _spec(
        config,
        feed.slug,
        "custom",
        language=language,
        title=in_language(feed.title, language, default),
        name=feed.slug,
        description=in_language(feed.description, language, default),
        selection=Selection(
            categories=feed.categories, languages=feed.languages, authors=feed.authors, sources=feed.sources
        ),
        limit=feed.limit,
        window=timedelta(days=feed.window_days),
        max_bytes=feed.max_kilobytes * 1024,
        content=feed.content,
        former=feed.former,
    )


def _spec(
    config: Config,
    slug: str,
    kind: Kind,
    *,
    language: str,
    title: str = "",
    name: str = "",
    description: str = "",
    selection: Selection | None = None,
    limit: int = DEFAULT_LIMIT,
    window: timedelta = DEFAULT_WINDOW,
    max_bytes: int = DEFAULT_BYTES,
    content: Literal["full", "summary"] = "full",
    page_url: str = "",
    former: tuple[str, ...] = (),
) -> FeedSpec:
    site = config.site
    publication = one_line(in_language(site.title, language, site.default_language)) or domain(config)
    title = one_line(title) or (f"{publication}: {one_line(name)}" if name else publication)
    # RSS cannot do without a description; the title is the least it can say.
    text = one_line(description) or one_line(in_language(site.description, language, site.default_language)) or title
    return FeedSpec(
        slug=slug,
        kind=kind,
        title=title,
        description=text,
        selection=selection or Selection(),
        language=language,
        limit=limit,
        window=window,
        max_bytes=max_bytes,
        content=content,
        page_url=page_url or site.url,
        base_url=links.feed(config, slug),
        directory_url=links.feeds(config),
        publication=publication,
        publication_url=site.url,
        logo=_absolute(site.logo),
        icon=_absolute(site.icon),
        rights=one_line(in_language(site.rights, language, site.default_language)),
        license=site.license,
        former=former,
        hubs=config.web.hubs,
        is_archived=kind != "author" or config.web.author_archives,
        stylesheet=f"{links.public_url(config)}/feed.css",
    )


def _absolute(url: str) -> str:
    return url if url.startswith(("http://", "https://")) else ""


def _language_name(language: str) -> str:
    """Return a language's name in itself: "русский" for `ru`; the tag when nobody knows it."""
    try:
        return Locale.parse(language, sep="-").get_display_name() or language
    except (UnknownLocaleError, ValueError):
        return language

"""A feed for each author: it gets its slug once, ends with the author's last article and comes back with the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

from publisher.config import Config
from publisher.feeds.incremental import News
from publisher.feeds.spec import AUTHOR_PREFIX, FeedSpec, feeds_of
from publisher.store import feed_authors
from publisher.store.database import Connection
from publisher.store.feed_authors import FeedAuthor
from publisher.text import one_line, slugify


@dataclass(frozen=True, slots=True)
class Changes:
    """Authors to remember otherwise than they are."""

    new: tuple[tuple[str, str], ...]
    """Casefolded and written name."""
    other: tuple[FeedAuthor, ...]

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.new or self.other)


def all_feeds(conn: Connection, config: Config) -> tuple[FeedSpec, ...]:
    """Return every feed there is now: those of the configuration, then one per author who has a visible article."""
    known = feed_authors.listing(conn) if config.web.author_feeds else []
    return feeds_of(config, [(author.slug, author.name, author.author_key) for author in known if author.has_articles])


def look(conn: Connection, news: News, *, is_new: bool = False) -> Changes:
    """Return which authors came, left or came back by what changed; `is_new`: nobody has looked before."""
    known = {author.author_key: author for author in feed_authors.listing(conn)}
    keys = None
    if news.touched is not None and not is_new:
        keys = sorted({key for one in news.touched for key in one.authors})
        if not keys:
            return Changes((), ())
    present = feed_authors.with_articles(conn, keys)
    asked = known.keys() if keys is None else keys
    other = (replace(known[key], has_articles=key in present) for key in asked if key in known)
    new = sorted(key for key in present - known.keys() if one_line(key))
    return Changes(
        tuple((key, feed_authors.name_of(conn, key)) for key in new),
        tuple(author for author in other if author != known[author.author_key]),
    )


def follow(conn: Connection, changes: Changes) -> None:
    """Remember the authors that came, each with a slug of its own, and who has articles."""
    taken = {author.slug for author in feed_authors.listing(conn)}
    feed_authors.put(conn, changes.other)
    made = []
    for key, name in changes.new:
        slug = _free(key, name, taken)
        taken.add(slug)
        made.append(FeedAuthor(author_key=key, slug=slug, name=one_line(name), has_articles=True))
    feed_authors.put(conn, made)


def _free(key: str, name: str, taken: Iterable[str]) -> str:
    """Return a slug that nobody has: a second author with the same one gets `-2`."""
    # A name in letters that have no Latin form still needs an address that stays.
    slug = AUTHOR_PREFIX + slugify(name, sha256(key.encode()).hexdigest()[:8])
    number, free = 1, slug
    while free in taken:
        number += 1
        free = f"{slug}-{number}"
    return free

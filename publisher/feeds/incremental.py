"""Which feeds have to be built again, decided without looking at any article that did not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from publisher import __version__
from publisher.config import Config, Selection
from publisher.feeds.spec import FeedSpec
from publisher.store import feed_states
from publisher.store.database import Connection
from publisher.store.feed_states import FeedState, Touched
from publisher.store.numbering import forgotten, last_change

FORMAT = 4
"""To be raised whenever the same articles give other bytes: then every feed is built once more."""

MANY = 500
"""With more articles than this changed since, every feed is built: it costs less than to look at each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What happened to articles since the feed that is furthest behind was built."""

    changed: int
    """The number of the last change."""
    forgotten: int
    """The number up to which no trace is left of where articles stood before they left a feed."""
    touched: Sequence[Touched] | None
    """The articles that changed, as they are and as they were, None when they are too many to look at each."""


def news(conn: Connection, after: int) -> News:
    """Return what happened after the change with this number."""
    changed = last_change(conn)
    touched = feed_states.touched(conn, after, limit=MANY) if changed > after else []
    return News(changed=changed, forgotten=forgotten(conn), touched=touched)


def is_due(spec: FeedSpec, state: FeedState | None, fingerprint: str, news: News, now: datetime) -> bool:
    """Whether the files of a feed may not show what they should, as far as articles and settings decide it."""
    if state is None or state.fingerprint != fingerprint or (state.next_at is not None and state.next_at <= now):
        return True
    if state.changed >= news.changed or spec.kind == "newsletter":
        return False
    if state.changed < news.forgotten or news.touched is None:
        return True
    return any(takes(spec.selection, article) for article in news.touched)


def takes(selection: Selection, article: Touched) -> bool:
    """Whether a selection holds the article if it is visible, by the rules of `store.articles.for_feed`."""
    language = article.language.lower()
    languages = [wanted.lower() for wanted in selection.languages]
    return (
        (not selection.categories or not article.categories.isdisjoint(selection.categories))
        and (not selection.authors or not article.authors.isdisjoint(name.casefold() for name in selection.authors))
        and (not selection.sources or article.source in selection.sources)
        and (not languages or any(language == wanted or language.startswith(f"{wanted}-") for wanted in languages))
    )


def common(config: Config) -> str:
    """Return what decides the bytes of all feeds: the program, and the settings that entries are made with."""
    return _hash(repr((FORMAT, __version__, config.site, config.categories, config.web.public_url)))


def common_of_archives(config: Config) -> str:
    """Return the same of archive documents, which say nothing of the program's version: it would change them all."""
    return _hash(repr((FORMAT, config.site, config.categories, config.web.public_url)))


def fingerprint(spec: FeedSpec, common: str, more: str = "") -> str:
    """Return the hash of all that decides the bytes of a feed beside its articles.

    `more` stands for entries that are no articles.
    """
    return _hash(f"{common}\n{spec!r}\n{more}")


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]

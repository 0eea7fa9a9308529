"""What a feed draws on: articles, or the sent issues of a newsletter; all that differs between the two is here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from publisher.config import Config
from publisher.feeds.around import Tombstone
from publisher.feeds.entry import Entry, entry_id, entry_of
from publisher.feeds.newsletters import entry_of_issue
from publisher.feeds.places import selected
from publisher.feeds.spec import NEWSLETTER_PREFIX, FeedSpec
from publisher.model import Article
from publisher.store import articles, published
from publisher.store.articles import Place
from publisher.store.database import Connection
from publisher.store.published import SentIssue

Item = Article | SentIssue

ISSUE_COSTS = 5
"""As much as so many articles: an issue holds several, with more marks around them."""


def newsletter(spec: FeedSpec) -> str:
    """Return the slug of the newsletter whose issues a feed shows; "" for a feed of articles."""
    return spec.slug.removeprefix(NEWSLETTER_PREFIX) if spec.kind == "newsletter" else ""


def newest(conn: Connection, spec: FeedSpec, limit: int) -> Sequence[Place]:
    """Return where the newest stand, newest first."""
    if slug := newsletter(spec):
        return published.places(conn, slug, limit)
    return articles.places(conn, limit=limit, **selected(spec))


def between(conn: Connection, spec: FeedSpec, since: datetime, before: datetime) -> Sequence[Place]:
    """Return where those stand that were published in [since, before), newest first."""
    if slug := newsletter(spec):
        return published.places_between(conn, slug, since, before)
    return articles.places_between(conn, since, before, **selected(spec))


def months(conn: Connection, spec: FeedSpec, after: int) -> dict[str, bool]:
    """Return the months (UTC) of what changed after the change with this number, and which have a visible one."""
    if slug := newsletter(spec):
        return published.months(conn, slug, after)
    return articles.months(conn, after, **selected(spec))


def withdrawn(conn: Connection, spec: FeedSpec) -> Sequence[Tombstone]:
    """Return what was taken back: no issue ever is."""
    if newsletter(spec):
        return ()
    gone = articles.withdrawn(conn, **selected(spec))
    return [Tombstone(entry_id(guid), when.astimezone(UTC).replace(microsecond=0)) for guid, when in gone]


def read(conn: Connection, spec: FeedSpec, ids: Iterable[int]) -> Mapping[int, Item]:
    """Return what has these ids."""
    return published.by_ids(conn, ids, spec.language) if newsletter(spec) else articles.by_ids(conn, ids)


def entry(item: Item, spec: FeedSpec, config: Config) -> Entry:
    """Return what a feed shows of an article or an issue. Raises ValueError when it cannot be shown."""
    return entry_of_issue(item, spec, config) if isinstance(item, SentIssue) else entry_of(item, spec, config)

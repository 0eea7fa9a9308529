"""How far each feed has followed the articles: what its files hold, and which articles changed since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import (
    article_authors,
    article_categories,
    article_traces,
    articles,
    feed_states,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """What the files of one feed were made of."""

    feed: str
    """`all`"""
    fingerprint: str
    """Of all that decides its bytes beside the articles: the feed's own settings, the program."""
    changed: int
    """Every change of an article up to this number is in its files."""
    next_at: datetime | None
    """When it shows something else though nothing changes; None: never."""
    oldest_at: datetime | None = None
    """When the oldest article it shows was published; None: it shows none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """An article that changed, visible or not, as it is or as it was before: what decides which feeds hold it."""

    source: str
    language: str
    month: str
    """Of publication, in UTC: `2026-10`."""
    categories: frozenset[str]
    authors: frozenset[str]
    """Names, casefolded."""


def listing(conn: sa.Connection) -> dict[str, FeedState]:
    """Return the state of every feed that was ever built, by its slug."""
    s = feed_states.c
    rows = conn.execute(sa.select(s.feed, s.fingerprint, s.changed, s.next_at, s.oldest_at))
    return {
        row.feed: FeedState(
            feed=row.feed,
            fingerprint=row.fingerprint,
            changed=row.changed,
            next_at=row.next_at,
            oldest_at=row.oldest_at,
        )
        for row in rows
    }


def put(conn: sa.Connection, states: Iterable[FeedState]) -> None:
    """Remember states, replacing what was known of these feeds."""
    st.upsert(conn, feed_states, [asdict(state) for state in states], keys=["feed"])


def touched(conn: sa.Connection, after: int, *, limit: int) -> list[Touched] | None:
    """Return the articles whose last change has a number above `after`, and where they stood before they left.

    None when they are more than `limit`.
    """
    a, c, w = articles.c, article_categories.c, article_authors.c
    query = sa.select(a.id, a.source, a.language, a.published_at).where(a.changed > after)
    rows = conn.execute(query.order_by(a.changed, a.id).limit(limit + 1)).all()
    if len(rows) > limit:
        return None
    before = traces(conn, after)
    ids = [row.id for row in rows]
    categories: dict[int, set[str]] = defaultdict(set)
    authors: dict[int, set[str]] = defaultdict(set)
    for article_id, category in conn.execute(sa.select(c.article_id, c.category).where(st.one_of(c.article_id, ids))):
        categories[article_id].add(category)
    for article_id, author in conn.execute(sa.select(w.article_id, w.author_key).where(st.one_of(w.article_id, ids))):
        authors[article_id].add(author)
    return [
        Touched(
            source=row.source,
            language=row.language,
            month=f"{row.published_at.year:04}-{row.published_at.month:02}",
            categories=frozenset(categories[row.id]),
            authors=frozenset(authors[row.id]),
        )
        for row in rows
    ] + before


def traces(conn: sa.Connection, after: int) -> list[Touched]:
    """Return where articles stood that left a feed or a month by a change with a number above `after`."""
    t = article_traces.c
    query = sa.select(t.source, t.language, t.month, t.categories, t.authors).where(t.changed > after)
    return [
        Touched(
            source=row.source,
            language=row.language,
            month=row.month,
            categories=frozenset(row.categories),
            authors=frozenset(row.authors),
        )
        for row in conn.execute(query.order_by(t.id))
    ]

"""Authors and the slugs of their feeds, each given once and for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.numbering import VISIBLE
from publisher.store.tables import article_authors, articles, feed_authors


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedAuthor:
    """An author who has a feed, or had one."""

    author_key: str
    """The name, casefolded."""
    slug: str
    """`author-jane-doe`"""
    name: str
    """As people read it."""
    has_articles: bool
    """Whether an article is visible; else the feed is gone for now."""


def listing(conn: sa.Connection) -> list[FeedAuthor]:
    """Return every author who ever had a feed, by name."""
    f = feed_authors.c
    return [
        FeedAuthor(author_key=row.author_key, slug=row.slug, name=row.name, has_articles=bool(row.has_articles))
        for row in conn.execute(sa.select(feed_authors).order_by(f.author_key))
    ]


def put(conn: sa.Connection, authors: Iterable[FeedAuthor]) -> None:
    """Remember authors; a slug that was given stays."""
    rows = [asdict(author) | {"has_articles": int(author.has_articles)} for author in authors]
    if rows:
        insert = st.insert(conn, feed_authors)
        changes = {"has_articles": insert.excluded.has_articles}
        conn.execute(insert.on_conflict_do_update(index_elements=["author_key"], set_=changes), rows)


def with_articles(conn: sa.Connection, keys: Iterable[str] | None) -> set[str]:
    """Return which of these authors have a visible article, by casefolded name; None asks of all."""
    w = article_authors.c
    query = sa.select(w.author_key).distinct()
    named = (query if keys is None else query.where(st.one_of(w.author_key, keys))).subquery("named")
    theirs = article_authors.alias("theirs")
    visible = (
        sa.exists()
        .where(theirs.c.author_key == named.c.author_key, theirs.c.article_id == articles.c.id)
        .where(st.among(articles.c.state, VISIBLE))
    )
    return set(conn.scalars(sa.select(named.c.author_key).where(visible)))


def name_of(conn: sa.Connection, key: str) -> str:
    """Return an author's name as the newest visible article writes it; `key` when none does."""
    a, w = articles.c, article_authors.c
    query = (
        sa.select(a.authors)
        .join_from(articles, article_authors, w.article_id == a.id)
        .where(w.author_key == key, st.among(a.state, VISIBLE))
        .order_by(a.published_at.desc(), a.guid)
        .limit(1)
    )
    written = conn.scalar(query) or []
    return next((author["name"] for author in written if author["name"].casefold() == key), key)

"""Articles: what readers, feeds and issues ask for, and what an operator decides about one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from publisher.model import Article, ArticleState
from publisher.store import related
from publisher.store import statements as st
from publisher.store.article_values import load
from publisher.store.expressions import month_of
from publisher.store.ingestion import (
    Applied,
    SourceSummary,
    apply,
    failed,
    known,
    record,
    source_summaries,
    withdraw,
)
from publisher.store.numbering import VISIBLE, current_seq, number_changes, number_visible
from publisher.store.tables import article_authors, article_categories, articles

__all__ = [
    "Applied",
    "SourceSummary",
    "apply",
    "by_guids",
    "counts",
    "current_seq",
    "failed",
    "for_feed",
    "get",
    "known",
    "listing",
    "record",
    "release",
    "release_due",
    "source_summaries",
    "translations",
    "window",
    "withdraw",
]

_MANY = 500  # articles, of which sorting is no burden; walking to them would be one
_NEWEST_FIRST = (articles.c.published_at.desc(), articles.c.guid)


def get(
    conn: sa.Connection,
    *,
    id: int | None = None,  # noqa: A002 - the column's name
    ref: str | None = None,
    guid: str | None = None,
) -> Article | None:
    """Return one article in any state by exactly one of its names, None when there is none."""
    named = {"id": id, "ref": ref, "guid": guid}
    [(name, value)] = [(name, value) for name, value in named.items() if value is not None]
    return next(iter(load(conn, sa.select(articles).where(articles.c[name] == value))), None)


def by_guids(conn: sa.Connection, guids: Iterable[str]) -> list[Article]:
    """Return the articles with these guids, in any state, in the order asked for; unknown guids are left out."""
    wanted = list(dict.fromkeys(guids))
    rows = load(conn, sa.select(articles).where(st.one_of(articles.c.guid, wanted)))
    found = {article.guid: article for article in rows}
    return [found[guid] for guid in wanted if guid in found]


def listing(
    conn: sa.Connection,
    *,
    states: Iterable[ArticleState] = (),
    source: str | None = None,
    category: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Article]:
    """Return articles newest first, of the given states (none given: of any)."""
    query = _select(categories=[category] if category else (), sources=[source] if source else ())
    if states := list(states):
        query = query.where(st.among(articles.c.state, states))
    return load(conn, query.order_by(*_NEWEST_FIRST).limit(limit).offset(offset))


def for_feed(
    conn: sa.Connection,
    *,
    categories: Iterable[str] = (),
    languages: Iterable[str] = (),
    authors: Iterable[str] = (),
    sources: Iterable[str] = (),
    limit: int = 50,
) -> list[Article]:
    """Return the newest visible articles, by (published_at descending, guid).

    Each list given must be met, by one of its values; an empty one takes all. Language `ru` takes `ru-BY` too; authors
    are compared by name in any case.
    """
    categories, authors = list(categories), list(authors)
    probe = _frequent(conn, categories, authors)
    query = _select(categories, languages, authors, sources, probe=probe).where(st.among(articles.c.state, VISIBLE))
    return load(conn, query.order_by(*_NEWEST_FIRST).limit(limit))


@dataclass(frozen=True, slots=True)
class Place:
    """Where an article stands in the order of feeds, without the article."""

    id: int
    changed: int
    """Number of its last change: with the same number it is the same article."""
    published_at: datetime
    updated_at: datetime


def places(
    conn: sa.Connection,
    *,
    categories: Iterable[str] = (),
    languages: Iterable[str] = (),
    authors: Iterable[str] = (),
    sources: Iterable[str] = (),
    limit: int,
) -> list[Place]:
    """Return where the articles stand that `for_feed` would return, in its order."""
    categories, authors = list(categories), list(authors)
    query = _select(categories, languages, authors, sources, probe=_frequent(conn, categories, authors))
    return _places(conn, query.where(st.among(articles.c.state, VISIBLE)).order_by(*_NEWEST_FIRST).limit(limit))


def places_between(
    conn: sa.Connection,
    since: datetime,
    before: datetime,
    *,
    categories: Iterable[str] = (),
    languages: Iterable[str] = (),
    authors: Iterable[str] = (),
    sources: Iterable[str] = (),
) -> list[Place]:
    """Return where all visible articles stand that were published in [since, before); filters and order as there."""
    a = articles.c
    query = _select(categories, languages, authors, sources, probe=True)
    visible = query.where(st.among(a.state, VISIBLE), a.published_at >= since, a.published_at < before)
    return _places(conn, visible.order_by(*_NEWEST_FIRST))


def months(
    conn: sa.Connection,
    after: int,
    *,
    categories: Iterable[str] = (),
    languages: Iterable[str] = (),
    authors: Iterable[str] = (),
    sources: Iterable[str] = (),
) -> dict[str, bool]:
    """Return the UTC months (`2026-10`) of the articles that changed after the change with this number.

    The value says whether one of them is visible. Filters as in `for_feed`.
    """
    a = articles.c
    month = month_of(conn, a.published_at)
    visible = sa.func.max(sa.case((st.among(a.state, VISIBLE), 1), else_=0))
    few = after > 0  # else all of them: then it is cheaper to begin with those that a category has
    query = _select(categories, languages, authors, sources, probe=few).where(a.changed > after)
    found = query.with_only_columns(month.label("month"), visible.label("visible")).group_by(sa.text("month"))
    return {row.month: bool(row.visible) for row in conn.execute(found)}


def by_ids(conn: sa.Connection, ids: Iterable[int]) -> dict[int, Article]:
    """Return the articles with these ids, in any state."""
    return {article.id: article for article in load(conn, sa.select(articles).where(st.one_of(articles.c.id, ids)))}


def _places(conn: sa.Connection, query: sa.Select[Any]) -> list[Place]:
    a = articles.c
    rows = conn.execute(query.with_only_columns(a.id, a.changed, a.published_at, a.updated_at))
    return [Place(row.id, row.changed, row.published_at, row.updated_at) for row in rows]


def withdrawn(
    conn: sa.Connection,
    *,
    categories: Iterable[str] = (),
    languages: Iterable[str] = (),
    authors: Iterable[str] = (),
    sources: Iterable[str] = (),
    limit: int = 500,
) -> list[tuple[str, datetime]]:
    """Return guid and moment of the articles last taken back after they had been visible; filters as in `for_feed`."""
    a = articles.c
    query = (
        _select(categories, languages, authors, sources, probe=True)
        .where(st.among(a.state, [ArticleState.WITHDRAWN]), a.seq.is_not(None), a.withdrawn_at.is_not(None))
        .with_only_columns(a.guid, a.withdrawn_at)
    )
    return [
        (row.guid, row.withdrawn_at) for row in conn.execute(query.order_by(a.withdrawn_at.desc(), a.guid).limit(limit))
    ]


def totals(
    conn: sa.Connection,
    *,
    categories: Iterable[str] = (),
    languages: Iterable[str] = (),
    authors: Iterable[str] = (),
    sources: Iterable[str] = (),
) -> tuple[int, datetime | None]:
    """Return how many visible articles a feed could draw on, and when the newest was published; filters as there."""
    chosen = _select(categories, languages, authors, sources).where(st.among(articles.c.state, VISIBLE))
    query = chosen.with_only_columns(sa.func.count(), sa.func.max(articles.c.published_at))
    count, newest = conn.execute(query).one()
    return count, newest


def window(
    conn: sa.Connection,
    *,
    after_seq: int,
    to_seq: int,
    categories: Iterable[str] = (),
    languages: Iterable[str] = (),
    authors: Iterable[str] = (),
    sources: Iterable[str] = (),
    stories: Iterable[str] | None = None,
) -> list[Article]:
    """Return the articles to be mailed with numbers in (after_seq, to_seq], by number; filters as in `for_feed`.

    `stories`, when given, takes only versions of these stories.
    """
    query = _select(categories, languages, authors, sources).where(
        articles.c.seq > after_seq, articles.c.seq <= to_seq, articles.c.state == ArticleState.PUBLISHED
    )
    if stories is not None:
        query = query.where(st.one_of(articles.c.story, stories))
    return load(conn, query.order_by(articles.c.seq))


def news_since(
    conn: sa.Connection,
    after_seq: int,
    *,
    categories: Iterable[str] = (),
    languages: Iterable[str] = (),
    authors: Iterable[str] = (),
    sources: Iterable[str] = (),
) -> datetime | None:
    """Return when the first article to be mailed with a number above `after_seq` came; None without one."""
    query = _select(categories, languages, authors, sources).where(
        articles.c.seq > after_seq, articles.c.state == ArticleState.PUBLISHED
    )
    first: datetime | None = conn.scalar(query.with_only_columns(sa.func.min(articles.c.numbered_at)))
    return first


def translations(conn: sa.Connection, story: str) -> list[Article]:
    """Return the visible articles of one story, by (language, guid)."""
    query = sa.select(articles).where(articles.c.story == story, st.among(articles.c.state, VISIBLE))
    return load(conn, query.order_by(articles.c.language, articles.c.guid))


def counts(conn: sa.Connection) -> dict[ArticleState, int]:
    """Return how many articles are in each state; states without any are left out."""
    query = sa.select(articles.c.state, sa.func.count()).group_by(articles.c.state)
    return {ArticleState(state): number for state, number in conn.execute(query)}


def release_due(conn: sa.Connection, now: datetime, *, oldest: datetime | None = None, too_old: str = "") -> list[int]:
    """Publish the held articles whose date has come; returns their ids.

    Those published before `oldest`, because nobody looked for long, become baseline with the reason `too_old`.
    """
    a = articles.c
    due = sa.update(articles).where(st.among(a.state, [ArticleState.HELD]), a.published_at <= now)
    done: list[int] = []
    if oldest is not None:
        late = due.where(a.published_at < oldest).values(state=ArticleState.BASELINE, state_reason=too_old)
        done += conn.scalars(late.returning(a.id))
    done += conn.scalars(due.values(state=ArticleState.PUBLISHED, state_reason="").returning(a.id))
    number_visible(conn, now)
    number_changes(conn, [*done, *related.note(conn, done)])
    return sorted(done)


def pin(conn: sa.Connection, ids: Sequence[int], now: datetime, *, pinned: bool) -> list[int]:  # noqa: ARG001 - as the others
    """Let articles stand first in their sections of coming digests, or no more; returns the ids that changed."""
    a = articles.c
    statement = sa.update(articles).where(st.one_of(a.id, ids), a.pinned.is_(sa.false() if pinned else sa.true()))
    done = set(conn.scalars(statement.values(pinned=pinned).returning(a.id)))
    return [article_id for article_id in dict.fromkeys(ids) if article_id in done]


def release(
    conn: sa.Connection, ids: Sequence[int], now: datetime, *, state: ArticleState = ArticleState.PUBLISHED
) -> list[int]:
    """Let quarantined articles out into `state` (published or baseline) and undo an operator's withdrawals.

    A date in the future still holds an article back. Returns the ids that changed, in the order given.
    """
    a = articles.c
    target = sa.case((a.published_at > now, ArticleState.HELD), else_=state)
    before = sa.case(
        (a.state_before == ArticleState.QUARANTINED, target), else_=sa.func.coalesce(a.state_before, target)
    )
    quarantined = a.state == ArticleState.QUARANTINED
    taken_back = (a.state == ArticleState.WITHDRAWN) & (a.withdrawn_by == "operator")
    cleared: dict[str, Any] = {"state_before": None, "withdrawn_by": None, "withdrawn_at": None, "state_reason": ""}
    done: set[int] = set()
    for which, new_state in ((quarantined, target), (taken_back, before)):
        statement = sa.update(articles).where(st.one_of(a.id, ids), which).values(cleared | {"state": new_state})
        done.update(conn.scalars(statement.returning(a.id)))
    number_visible(conn, now)
    number_changes(conn, [*done, *related.note(conn, done)])
    return [article_id for article_id in dict.fromkeys(ids) if article_id in done]


def _select(
    categories: Iterable[str] = (),
    languages: Iterable[str] = (),
    authors: Iterable[str] = (),
    sources: Iterable[str] = (),
    *,
    probe: bool = False,
) -> sa.Select[Any]:
    """Select articles; `probe`: look whether each one read has a category, instead of reading all that have it."""
    a = articles.c
    query = sa.select(articles)
    if categories := list(categories):
        query = query.where(_has(article_categories, "category", categories, probe=probe))
    if authors := [author.casefold() for author in authors]:
        query = query.where(_has(article_authors, "author_key", authors, probe=probe))
    if languages := [language.lower() for language in languages]:
        language = sa.func.lower(a.language)
        regional = [language.startswith(f"{wanted}-", autoescape=True) for wanted in languages]
        query = query.where(sa.or_(language.in_(languages), *regional))
    if sources := list(sources):
        query = query.where(a.source.in_(sources))
    return query


def _has(table: sa.Table, column: str, values: list[str], *, probe: bool) -> sa.ColumnElement[bool]:
    """Whether an article has one of `values`; a semi-join, so that an article with two of them counts once."""
    if probe:
        return sa.exists().where(table.c.article_id == articles.c.id, table.c[column].in_(values))
    return articles.c.id.in_(sa.select(table.c.article_id).where(table.c[column].in_(values)))


def _frequent(conn: sa.Connection, categories: list[str], authors: list[str]) -> bool:
    """Whether so many articles have these that the newest are found sooner by walking from the newest than by sorting.

    SQLite cannot know: of 100,000 articles, the newest 51 of an author with 10,000 took 220 ms sorted, 11 ms walked.
    """
    chosen = (
        (article_categories.c.category, categories),
        (article_authors.c.author_key, [author.casefold() for author in authors]),
    )
    sizes = [
        conn.scalar(
            sa.select(sa.func.count()).select_from(sa.select(key).where(key.in_(names)).limit(_MANY).subquery())
        )
        for key, names in chosen
        if names
    ]
    return bool(sizes) and all((size or 0) >= _MANY for size in sizes)

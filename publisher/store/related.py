"""Which articles feeds link as related: noted once, so that no entry changes by what becomes of another article."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.numbering import VISIBLE
from publisher.store.tables import article_keys, article_related, articles, feed_months

_naming, _other = articles.alias("naming"), articles.alias("other")


def note(conn: sa.Connection, ids: Iterable[int]) -> list[int]:
    """Note whom the articles with these ids, just stored or let out, name as related, and who has waited for them.

    An article learns of those that are visible when it is stored or becomes visible itself. Of those that come later it
    learns while its own month is the newest: then no archive document that is closed can hold it (RFC 5005 §4). What is
    noted is the other's ref, which never changes, and stays when the other is withdrawn. Returns the ids of the further
    articles that name more than before.
    """
    if not (ids := list(ids)):
        return []
    r = article_related.c
    # Within the database: a first collection may bring hundreds of thousands of names.
    conn.execute(sa.update(article_related).where(r.ref.is_(None), st.one_of(r.article_id, ids)).values(ref=_named))
    late = _waiting(conn, ids)
    if late:
        since = _open_since(conn)
        late = [row for row in late if row.published_at >= since]
    if late:
        one = sa.update(article_related).where(r.article_id == sa.bindparam("_id"), r.key == sa.bindparam("_key"))
        rows = [{"_id": row.article_id, "_key": row.key, "_ref": row.ref} for row in late]
        conn.execute(one.values(ref=sa.bindparam("_ref")), rows)
    return sorted({row.article_id for row in late})


def _both_shown() -> sa.ColumnElement[bool]:
    return st.among(_naming.c.state, VISIBLE) & st.among(_other.c.state, VISIBLE)


# The states are looked at in the result: offered their index, SQLite would begin with all visible articles.
_named = (
    sa.select(sa.case((_both_shown(), _other.c.ref)))
    .select_from(
        _naming.join(
            article_keys,
            (article_keys.c.source == _naming.c.source) & (article_keys.c.key == article_related.c.key),
        ).join(_other, (_other.c.id == article_keys.c.article_id) & (_other.c.id != article_related.c.article_id))
    )
    .where(_naming.c.id == article_related.c.article_id)
    .correlate(article_related)
    .scalar_subquery()
)


def _waiting(conn: sa.Connection, ids: list[int]) -> list[st.AnyRow]:
    """Find who names one of these articles, both visible, without its being noted."""
    r, k = article_related.c, article_keys.c
    joined = (
        article_related.join(_naming, _naming.c.id == r.article_id)
        .join(article_keys, (k.key == r.key) & (k.source == _naming.c.source))
        .join(_other, (_other.c.id == k.article_id) & (_other.c.id != r.article_id))
    )
    shown = sa.case((_both_shown(), 1), else_=0).label("shown")
    query = sa.select(r.article_id, r.key, _naming.c.published_at, _other.c.ref, shown).select_from(joined)
    return [row for row in conn.execute(query.where(r.ref.is_(None), st.one_of(k.article_id, ids))) if row.shown]


def _open_since(conn: sa.Connection) -> datetime:
    """Return the first moment of the newest month (UTC) that any feed has, or had, an article of."""
    newest = conn.scalar(sa.select(sa.func.max(articles.c.published_at)).where(st.among(articles.c.state, VISIBLE)))
    # A month whose articles were all withdrawn is still a document, after which the one before stays closed.
    month = conn.scalar(sa.select(sa.func.max(feed_months.c.month))) or "0001-01"
    known = datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC)
    return (
        max(known, newest.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0))
        if newest
        else known
    )

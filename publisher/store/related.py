"""Which articles feeds link as related: noted once, so that no entry changes by what becomes of another article."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import sqlalchemy as sa

from publisher.model import ArticleState
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
    own = set(ids)
    rows = [*_found(conn, article_related.c.article_id, own)]
    late = [row for row in _found(conn, article_keys.c.article_id, own) if row.article_id not in own]
    if late:
        since = _open_since(conn)
        late = [row for row in late if row.published_at >= since]
    rows += late
    if rows:
        r = article_related.c
        statement = sa.update(article_related).where(r.article_id == sa.bindparam("_id"), r.key == sa.bindparam("_key"))
        values = [{"_id": row.article_id, "_key": row.key, "_ref": row.ref} for row in rows]
        conn.execute(statement.values(ref=sa.bindparam("_ref")), values)
    return sorted({row.article_id for row in late})


def _found(conn: sa.Connection, column: sa.ColumnElement[int], ids: Iterable[int]) -> list[st.AnyRow]:
    """Find what is named and not noted yet, both visible, where `column` is one of `ids`."""
    r, k = article_related.c, article_keys.c
    joined = (
        article_related.join(_naming, _naming.c.id == r.article_id)
        .join(article_keys, (k.key == r.key) & (k.source == _naming.c.source))
        .join(_other, (_other.c.id == k.article_id) & (_other.c.id != r.article_id))
    )
    query = sa.select(
        r.article_id, r.key, _naming.c.published_at, _naming.c.state, _other.c.ref, _other.c.state.label("its")
    )
    # The states are looked at here, not there: offered their index, SQLite would begin with all visible articles.
    found = conn.execute(query.select_from(joined).where(r.ref.is_(None), st.one_of(column, ids)))
    return [row for row in found if ArticleState(row.state).visible and ArticleState(row.its).visible]


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

"""The number an article gets when readers can first see it, which cursors count in, and that of its last change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from publisher.model import ArticleState
from publisher.store import statements as st
from publisher.store.tables import Id, article_traces, articles, issues, meta

_KEY = "seq"
_CHANGED = "changed"
_FORGOTTEN = "traces_forgotten"
VISIBLE = [state for state in ArticleState if state.visible]


def current_seq(conn: sa.Connection) -> int:
    """Return the last number given; 0 when there is no article yet."""
    return _value(conn, _KEY)


def number_visible(conn: sa.Connection, now: datetime) -> int:
    """Number all visible articles that have no number yet, in order of (published_at, guid); return how many.

    `now` is noted with them: from then on they are news.

    The counter's row stays locked until the transaction ends, so numbers become visible in their order: a reader's
    cursor never passes a number that is still on its way.
    """
    waiting = (articles.c.seq.is_(None), st.among(articles.c.state, VISIBLE))
    count = conn.scalar(sa.select(sa.func.count()).select_from(articles).where(*waiting)) or 0
    if not count:
        return 0
    last = _advance(conn, _KEY, count)
    order = sa.func.row_number().over(order_by=(articles.c.published_at, articles.c.guid))
    ranked = sa.select(articles.c.id, order.label("place")).where(*waiting).subquery("ranked")
    conn.execute(
        sa.update(articles)
        .where(articles.c.id == ranked.c.id)
        .values(seq=sa.literal(last - count, Id) + ranked.c.place, numbered_at=now)
    )
    return count


def number_changes(conn: sa.Connection, ids: Iterable[int]) -> int | None:
    """Note that articles changed in a way that feeds may show: all get one number, higher than any before.

    Returns it, None when there are no articles. The counter's row stays locked until the transaction ends, so no lower
    number comes to light later.
    """
    return _number(conn, articles, ids)


def number_issues(conn: sa.Connection, ids: Iterable[int]) -> int | None:
    """Note that issues came into the feeds of their newsletters, in the same order; as `number_changes`."""
    return _number(conn, issues, ids)


def _number(conn: sa.Connection, table: sa.Table, ids: Iterable[int]) -> int | None:
    if not (ids := list(ids)):
        return None
    number = _advance(conn, _CHANGED, 1)
    conn.execute(sa.update(table).where(st.one_of(table.c.id, ids)).values(changed=number))
    return number


def last_change(conn: sa.Connection) -> int:
    """Return the number of the last change; 0 when there was none."""
    return _value(conn, _CHANGED)


def forgotten(conn: sa.Connection) -> int:
    """Return the number up to which no trace is left of where articles stood before a change; 0: all are there."""
    return _value(conn, _FORGOTTEN)


def forget_traces(conn: sa.Connection, to: int) -> None:
    """Remove the traces that every feed has followed: those of changes up to this number."""
    if conn.execute(sa.delete(article_traces).where(article_traces.c.changed <= to)).rowcount:
        st.upsert(conn, meta, [{"key": _FORGOTTEN, "value": str(to)}], keys=["key"])


def _value(conn: sa.Connection, key: str) -> int:
    rows = st.run(conn, _of_key, key=key)
    return int(rows[0][0]) if rows else 0


_of_key = sa.select(meta.c.value).where(meta.c.key == st.parameter("key", sa.Text()))


def _advance(conn: sa.Connection, key: str, count: int) -> int:
    insert = st.insert(conn, meta).values(key=key, value=str(count))
    more = sa.cast(sa.cast(meta.c.value, Id) + count, sa.Text)
    return int(
        conn.execute(
            insert.on_conflict_do_update(index_elements=["key"], set_={"value": more}).returning(meta.c.value)
        ).scalar_one()
    )

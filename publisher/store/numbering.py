"""The number each article gets when readers can first see it: what cursors count in."""

from __future__ import annotations

import sqlalchemy as sa

from publisher.model import ArticleState
from publisher.store import statements as st
from publisher.store.tables import Id, articles, meta

_KEY = "seq"
VISIBLE = [state for state in ArticleState if state.visible]


def current_seq(conn: sa.Connection) -> int:
    """Return the last number given; 0 when there is no article yet."""
    return int(conn.scalar(sa.select(meta.c.value).where(meta.c.key == _KEY)) or 0)


def number_visible(conn: sa.Connection) -> int:
    """Number all visible articles that have no number yet, in order of (published_at, guid); return how many.

    The counter's row stays locked until the transaction ends, so numbers become visible in their order: a reader's
    cursor never passes a number that is still on its way.
    """
    waiting = (articles.c.seq.is_(None), st.among(articles.c.state, VISIBLE))
    count = conn.scalar(sa.select(sa.func.count()).select_from(articles).where(*waiting)) or 0
    if not count:
        return 0
    last = _advance(conn, count)
    order = sa.func.row_number().over(order_by=(articles.c.published_at, articles.c.guid))
    ranked = sa.select(articles.c.id, order.label("place")).where(*waiting).subquery("ranked")
    conn.execute(
        sa.update(articles)
        .where(articles.c.id == ranked.c.id)
        .values(seq=sa.literal(last - count, Id) + ranked.c.place)
    )
    return count


def _advance(conn: sa.Connection, count: int) -> int:
    insert = st.insert(conn, meta).values(key=_KEY, value=str(count))
    more = sa.cast(sa.cast(meta.c.value, Id) + count, sa.Text)
    return int(
        conn.execute(
            insert.on_conflict_do_update(index_elements=["key"], set_={"value": more}).returning(meta.c.value)
        ).scalar_one()
    )

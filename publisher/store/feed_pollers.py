"""Who polls feeds for many readers, and how many of them it says there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import feed_pollers

KEPT = timedelta(days=14)
"""A poller that has not come for so long has no readers left: the slowest come once a week."""
MOST = 200
"""Rows kept of one file: anybody may call itself anything, so the table needs an end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poller:
    """What a poller last said of its readers of one feed file."""

    name: str
    """`all.rss`"""
    poller: str
    subscribers: int
    seen_at: datetime


def put(conn: sa.Connection, pollers: Iterable[Poller], now: datetime) -> None:
    """Remember what pollers said, replacing what they said before; forget those that come no more."""
    st.upsert(conn, feed_pollers, [asdict(poller) for poller in pollers], keys=["name", "poller"])
    conn.execute(sa.delete(feed_pollers).where(feed_pollers.c.seen_at < now - KEPT))
    place = sa.func.row_number().over(partition_by=feed_pollers.c.name, order_by=feed_pollers.c.seen_at.desc())
    ranked = sa.select(feed_pollers.c.name, feed_pollers.c.poller, place.label("place")).subquery()
    surplus = sa.select(ranked.c.name, ranked.c.poller).where(ranked.c.place > MOST)
    conn.execute(sa.delete(feed_pollers).where(sa.tuple_(feed_pollers.c.name, feed_pollers.c.poller).in_(surplus)))


def listing(conn: sa.Connection, since: datetime) -> list[Poller]:
    """Return who came since a moment, by file, the one with the most readers first."""
    query = (
        sa.select(feed_pollers)
        .where(feed_pollers.c.seen_at >= since)
        .order_by(feed_pollers.c.name, feed_pollers.c.subscribers.desc(), feed_pollers.c.poller)
    )
    return [
        Poller(name=row.name, poller=row.poller, subscribers=row.subscribers, seen_at=row.seen_at)
        for row in conn.execute(query)
    ]


def readers(conn: sa.Connection, since: datetime) -> dict[str, int]:
    """Return how many readers each feed has behind pollers that came since a moment, in all its formats together."""
    total: dict[str, int] = {}
    for poller in listing(conn, since):
        feed = poller.name.rpartition(".")[0]
        total[feed] = total.get(feed, 0) + poller.subscribers
    return total

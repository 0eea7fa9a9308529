"""What each hub has been told, and what it is still to be told: one row a hub and feed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import hub_pings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """What a hub is to be told of one feed, or was told last."""

    hub: str
    topic: str
    """Address of the feed in one format."""
    etag: str
    """Of the bytes it is told of: the same bytes are never told twice."""
    attempts: int
    """How many failed since one did not."""
    changed_at: datetime
    next_at: datetime | None
    """None: nothing is left to do."""
    problem: str


def plan(conn: sa.Connection, hubs: Iterable[str], topics: Mapping[str, str], now: datetime) -> None:
    """Note that `topics` (address → entity tag) are to be told to each hub, but for what it knows already.

    A hub that is being tried again keeps its time: more news are no reason to press it.
    """
    rows = [
        {"hub": hub, "topic": topic, "etag": etag, "attempts": 0, "changed_at": now, "next_at": now, "problem": ""}
        for hub in hubs
        for topic, etag in topics.items()
    ]
    if not rows:
        return
    statement = st.insert(conn, hub_pings)
    new = statement.excluded
    waits = hub_pings.c.next_at.is_not(None)
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["hub", "topic"],
            set_={
                "etag": new.etag,
                "changed_at": new.changed_at,
                "next_at": sa.func.coalesce(hub_pings.c.next_at, new.next_at),
                "attempts": sa.case((waits, hub_pings.c.attempts), else_=0),
            },
            where=hub_pings.c.etag != new.etag,
        ),
        rows,
    )


def forget(conn: sa.Connection, *, but: Iterable[str]) -> None:
    """Forget hubs that are configured no more."""
    conn.execute(sa.delete(hub_pings).where(sa.not_(hub_pings.c.hub.in_(list(but)))))


def due(conn: sa.Connection, now: datetime) -> list[Ping]:
    """Return what is to be sent now, the longest waiting first."""
    return _listing(conn, hub_pings.c.next_at <= now)


def waiting(conn: sa.Connection) -> list[Ping]:
    """Return what is still to be sent, the next one first."""
    return _listing(conn, hub_pings.c.next_at.is_not(None))


def given_up(conn: sa.Connection) -> list[Ping]:
    """Return what hubs could not be told."""
    return _listing(conn, hub_pings.c.next_at.is_(None), hub_pings.c.problem != "")


def next_at(conn: sa.Connection) -> datetime | None:
    """Return when the next ping is due, None when none waits."""
    query = sa.select(hub_pings.c.next_at).where(hub_pings.c.next_at.is_not(None))
    found: datetime | None = conn.scalar(query.order_by(hub_pings.c.next_at).limit(1))
    return found


def told(conn: sa.Connection, ping: Ping) -> None:
    """Note that a hub took a ping; if the feed changed again meanwhile, the newer bytes still wait, and at once."""
    same = hub_pings.c.etag == ping.etag
    conn.execute(
        sa.update(hub_pings)
        .where(hub_pings.c.hub == ping.hub, hub_pings.c.topic == ping.topic)
        .values(
            attempts=0,
            problem="",
            next_at=sa.case((same, sa.null()), else_=hub_pings.c.changed_at),
        )
    )


def failed(conn: sa.Connection, ping: Ping, problem: str, next_at: datetime | None) -> None:
    """Note that a hub did not take a ping, and when to try again; None: never."""
    conn.execute(
        sa.update(hub_pings)
        .where(hub_pings.c.hub == ping.hub, hub_pings.c.topic == ping.topic)
        .values(attempts=ping.attempts + 1, problem=problem, next_at=next_at)
    )


def _listing(conn: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Ping]:
    query = sa.select(hub_pings).where(*where).order_by(hub_pings.c.next_at, hub_pings.c.hub, hub_pings.c.topic)
    return [
        Ping(
            hub=row.hub,
            topic=row.topic,
            etag=row.etag,
            attempts=row.attempts,
            changed_at=row.changed_at,
            next_at=row.next_at,
            problem=row.problem,
        )
        for row in conn.execute(query)
    ]

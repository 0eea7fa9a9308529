"""Doing to a database what a journal of departures says: whoever left after a backup was made is gone from it too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import sqlalchemy as sa

from publisher.departures import Gone
from publisher.model import DeliveryState
from publisher.store import departures, erasures, freezing, issues, subscribers
from publisher.store import statements as st
from publisher.store.issues import OPEN
from publisher.store.tables import deliveries, notices, subscriptions
from publisher.store.tables import erasures as erasure_rows
from publisher.store.tables import subscribers as people


def replay(
    conn: sa.Connection, gone: Mapping[str, Gone], hash_of: Callable[[str], str], now: datetime
) -> dict[str, int]:
    """Let everybody who is gone by a journal be gone here too; returns how many left, were suppressed and erased.

    Those whom this database does not know stay out of imports.
    """
    numbers = {"left": 0, "suppressed": 0, "erased": 0}
    if not gone:
        return numbers
    known: set[str] = set()
    for id_, address_key in conn.execute(sa.select(people.c.id, people.c.address_key)).all():
        hash_ = hash_of(address_key)
        one = gone.get(hash_)
        if one is None:
            continue
        known.add(hash_)
        if one.erased:
            numbers["erased"] += erasures.erase(conn, address_key, hash_, now)
            continue
        if one.suppressed:
            words = "suppressed after the backup was made"
            numbers["suppressed"] += subscribers.suppress(conn, address_key, reason=words, kind=one.suppressed, now=now)
        numbers["left"] += _leave(conn, id_, one.newsletters, now)
    unknown = [hash_ for hash_, one in gone.items() if hash_ not in known and (one.erased or one.suppressed)]
    for hash_ in unknown:
        row = {"address_hash": hash_, "suppressed": gone[hash_].suppressed or None, "erased_at": now}
        insert = st.insert(conn, erasure_rows).values(row)
        conn.execute(insert.on_conflict_do_nothing(index_elements=["address_hash"]))
    departures.taken(conn)  # the journal has all of it
    return numbers


def _leave(conn: sa.Connection, subscriber_id: int, newsletters: set[str], now: datetime) -> int:
    s = subscriptions.c
    mine = sa.select(s.id).where(s.subscriber_id == subscriber_id, st.one_of(s.newsletter, newsletters)).order_by(s.id)
    return sum(subscribers.unsubscribe(conn, id_, method="journal", now=now) for id_ in conn.scalars(mine).all())


def count_open(conn: sa.Connection) -> int:
    """Return how many deliveries and notices are open, in any issue."""
    d, n = deliveries.c, notices.c
    opened = sa.select(sa.func.count()).select_from(deliveries).where(st.among(d.state, OPEN))
    told = sa.select(sa.func.count()).select_from(notices).where(st.among(n.state, OPEN))
    return int(conn.scalar(opened) or 0) + int(conn.scalar(told) or 0)


def hold_open(conn: sa.Connection, now: datetime) -> int:
    """Make everything open uncertain, because the original may have sent it; returns how many deliveries those were.

    Their articles count as received, as after any uncertain outcome. So do those of an issue that was being frozen.
    """
    for issue_id in freezing.unfinished(conn):
        while freezing.go_on(conn, issue_id, now):
            pass
    d, s, n = deliveries.c, subscriptions.c, notices.c
    reached = (
        sa.select(d.subscription_id, sa.func.max(d.to_seq).label("to_seq"))
        .where(st.among(d.state, OPEN))
        .group_by(d.subscription_id)
        .subquery()
    )
    behind = (s.id == reached.c.subscription_id, s.cursor < reached.c.to_seq)
    conn.execute(sa.update(subscriptions).where(*behind).values(cursor=reached.c.to_seq))
    words = "perhaps sent after this copy of the database was made"
    closed = {"state": DeliveryState.UNCERTAIN, "reason": words, "finished_at": now}
    number = conn.execute(sa.update(deliveries).where(st.among(d.state, OPEN)).values(closed)).rowcount
    conn.execute(sa.update(notices).where(st.among(n.state, OPEN)).values(closed))
    issues.finish(conn, now)
    return number

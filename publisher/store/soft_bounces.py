"""Soft bounces: what counts against a reader until it proves to have passed, and when it is too much."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from publisher.model import DeliveryState
from publisher.store import statements as st
from publisher.store import subscribers as people
from publisher.store.tables import deliveries, soft_bounces, subscribers, subscriptions

MOST_ISSUES = 3
LEAST_TIME = timedelta(days=14)
"""So many issues, and from the first to the last so long: a mailbox that is full for a holiday keeps its reader."""


def note(conn: sa.Connection, delivery_id: int, reason: str, now: datetime) -> bool:
    """Count this issue against its reader, once; whether they are suppressed now (spec mail §1.7, soft).

    What came before the reader's last accepted mail has passed and counts no more.
    """
    d, p, b = deliveries.c, subscribers.c, soft_bounces.c
    query = sa.select(d.subscriber_id, d.issue_id, p.address_key).join_from(deliveries, subscribers)
    row = conn.execute(query.where(d.id == delivery_id)).one_or_none()
    if row is None:  # erased meanwhile
        return False
    event = {"subscriber_id": row.subscriber_id, "issue_id": row.issue_id, "reason": reason, "recorded_at": now}
    conn.execute(st.insert(conn, soft_bounces).values(event).on_conflict_do_nothing())
    events = sa.select(b.recorded_at).where(b.subscriber_id == row.subscriber_id).order_by(b.recorded_at)
    last = _last_accepted(conn, row.subscriber_id)
    times: list[datetime] = [at for at in conn.scalars(events) if last is None or at > last]
    if len(times) < MOST_ISSUES or times[-1] - times[0] < LEAST_TIME:
        return False
    words = f"{len(times)} issues since {times[0]:%Y-%m-%d} were not taken, the last one {reason}"
    return people.suppress(conn, row.address_key, reason=words, now=now)


def _last_accepted(conn: sa.Connection, subscriber_id: int) -> datetime | None:
    d, s = deliveries.c, subscriptions.c
    theirs = sa.select(s.id).where(s.subscriber_id == subscriber_id)
    query = sa.select(sa.func.max(d.finished_at)).where(d.subscription_id.in_(theirs), d.state == DeliveryState.SENT)
    found: datetime | None = conn.scalar(query)
    return found

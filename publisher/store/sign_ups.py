"""What people asked for and have not confirmed yet: it changes nobody's standing, and is forgotten after a while."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from publisher.model import Content, Subscription, SubscriptionState
from publisher.store import consents, departures
from publisher.store import statements as st
from publisher.store.consents import Evidence
from publisher.store.numbering import current_seq
from publisher.store.subscribers import subscriptions_of
from publisher.store.tables import subscribers, subscriptions

_PENDING, _CONFIRMED, _UNSUBSCRIBED = (
    SubscriptionState.PENDING,
    SubscriptionState.CONFIRMED,
    SubscriptionState.UNSUBSCRIBED,
)


def request(
    conn: sa.Connection,
    subscriber_id: int,
    *,
    newsletter: str,
    frequency: str,
    categories: Sequence[str] | None,
    content: Content | None,
    hour: int | None,
    evidence: Evidence,
    renew: bool,
    now: datetime,
) -> None:
    """Note that somebody, perhaps not the person, asks for a newsletter in a person's name.

    Nothing of it counts before it is confirmed: who is confirmed keeps their choice, and who has left stays
    unsubscribed, also when the request is forgotten (P3). `renew`: a mail goes out for it.
    """
    s = subscriptions.c
    seq = current_seq(conn)
    choice: dict[str, Any] = {
        "frequency": frequency,
        "categories": None if categories is None else list(categories),
        "content": content,
        "hour": hour,
    }
    begin = {"start_seq": seq, "cursor": seq}
    fresh = {"subscriber_id": subscriber_id, "newsletter": newsletter, "state": _PENDING} | choice | begin
    insert = st.into(conn.dialect.name, subscriptions, "subscriber_id", "newsletter", returning="id")
    new = bool(st.run(conn, insert, **fresh, created_at=now, requested_at=now))
    if not new:
        query = sa.select(s.id, s.state, s.requested_at).where(
            s.subscriber_id == subscriber_id, s.newsletter == newsletter
        )
        row = conn.execute(query.with_for_update()).one()
        if row.state == _CONFIRMED:
            return
        new = row.requested_at is None
        changes = choice | ({"requested_at": now} if renew or new else {})
        if row.state == _UNSUBSCRIBED:
            changes |= begin
        conn.execute(sa.update(subscriptions).where(s.id == row.id).values(changes))
    if new or renew:
        consents.record(conn, subscriber_id, newsletter, "requested", evidence, now)


def awaiting(conn: sa.Connection, subscriber_id: int) -> list[Subscription]:
    """Return what a person would confirm, by newsletter."""
    return [item for item in subscriptions_of(conn, subscriber_id) if awaits(item)]


def awaits(subscription: Subscription) -> bool:
    """Whether it waits for a confirmation."""
    return subscription.state is not _CONFIRMED and subscription.requested_at is not None


def renew(conn: sa.Connection, subscriber_id: int, now: datetime) -> None:
    """Keep what a person asked for as long as if it had been asked for now."""
    s = subscriptions.c
    mine = (s.subscriber_id == subscriber_id, s.state != _CONFIRMED, s.requested_at.is_not(None))
    conn.execute(sa.update(subscriptions).where(*mine).values(requested_at=now))


def confirm(
    conn: sa.Connection, subscriber_id: int, newsletters: Collection[str], evidence: Evidence, now: datetime
) -> list[Subscription]:
    """Make what the person asked for count, as far as it is among `newsletters`; returns it as it is now."""
    s = subscriptions.c
    waiting = [item for item in awaiting(conn, subscriber_id) if item.newsletter in newsletters]
    for item in waiting:
        changes = {
            "state": _CONFIRMED,
            "requested_at": None,
            "confirmed_at": now,
            "unsubscribed_at": None,
            "paused_until": None,
        }
        conn.execute(sa.update(subscriptions).where(s.id == item.id).values(changes))
        consents.record(conn, subscriber_id, item.newsletter, "confirmed", evidence, now)
        if item.state is _UNSUBSCRIBED:
            departures.note_person(conn, "back", subscriber_id, item.newsletter)
    done = {item.id for item in waiting}
    return [item for item in subscriptions_of(conn, subscriber_id) if item.id in done]


def forget(conn: sa.Connection, before: datetime, *, limit: int = 500) -> int:
    """Erase what was asked for before that and never confirmed (F22), up to `limit`; returns how many there were.

    Persons of whom nothing else is known go with it. Who has left stays known as somebody who left.
    """
    s, p = subscriptions.c, subscribers.c
    old = sa.select(s.id, s.subscriber_id, s.state).where(s.state != _CONFIRMED, s.requested_at < before)
    rows = conn.execute(old.order_by(s.id).limit(limit).with_for_update(skip_locked=True)).all()
    left = [row.id for row in rows if row.state == _UNSUBSCRIBED]
    conn.execute(sa.update(subscriptions).where(st.one_of(s.id, left)).values(requested_at=None))
    st.delete_in(conn, s.id, [row.id for row in rows if row.state == _PENDING])
    alone = ~sa.exists().where(s.subscriber_id == p.id)
    st.delete_in(conn, p.id, {row.subscriber_id for row in rows}, alone)
    return len(rows)

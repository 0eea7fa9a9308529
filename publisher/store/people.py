"""Readers as operators look for them: by the beginning of an address, one at a time, and how many come and go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.model import DeliveryState
from publisher.store.tables import Instant, consents, deliveries, issues, subscribers, subscriptions, suppressions

_LAST = "\U0010ffff"
COUNTED = ("confirmed", "unsubscribed")
"""Events by which the number of readers moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A reader whose address begins as somebody asked."""

    id: int
    address: str
    name: str
    subscriptions: int
    """Those that are confirmed."""
    suppressed: str
    """Why the address is not mailed; "" when it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadersDelivery:
    """A mail to one reader, in the server's words."""

    id: int
    issue: str
    newsletter: str
    slot: str
    state: DeliveryState
    reason: str
    reply_code: int | None
    reply_text: str
    finished_at: datetime | None


def search(conn: sa.Connection, beginning: str, *, limit: int) -> list[Match]:
    """Return readers whose normalised address begins so, by address; found by the index, however many there are."""
    p, s, x = subscribers.c, subscriptions.c, suppressions.c
    number = sa.select(sa.func.count()).where(s.subscriber_id == p.id, s.state == "confirmed").scalar_subquery()
    query = sa.select(p.id, p.address, p.name, number.label("subscriptions"), x.reason)
    query = query.select_from(subscribers.outerjoin(suppressions, x.address_key == p.address_key))
    query = query.where(p.address_key >= beginning, p.address_key < beginning + _LAST)
    rows = conn.execute(query.order_by(p.address_key).limit(limit))
    return [
        Match(
            id=row.id, address=row.address, name=row.name, subscriptions=row.subscriptions, suppressed=row.reason or ""
        )
        for row in rows
    ]


def latest_deliveries(conn: sa.Connection, subscriber_id: int, *, limit: int) -> list[ReadersDelivery]:
    """Return the latest mails to a reader, the newest first."""
    d, i = deliveries.c, issues.c
    columns = (d.id, i.ref, i.newsletter, i.slot, d.state, d.reason, d.reply_code, d.reply_text, d.finished_at)
    query = sa.select(*columns).join_from(deliveries, issues).where(d.subscriber_id == subscriber_id)
    return [
        ReadersDelivery(
            id=row.id,
            issue=row.ref,
            newsletter=row.newsletter,
            slot=row.slot,
            state=DeliveryState(row.state),
            reason=row.reason,
            reply_code=row.reply_code,
            reply_text=row.reply_text or "",
            finished_at=row.finished_at,
        )
        for row in conn.execute(query.order_by(d.id.desc()).limit(limit))
    ]


def movements(conn: sa.Connection, since: datetime) -> list[tuple[datetime, str, str, int]]:
    """Return (hour, newsletter, event, how many) of `COUNTED` events since a moment. One pass over the record."""
    c = consents.c
    hour = _hour(conn).label("hour")
    query = sa.select(hour, c.newsletter, c.event, sa.func.count()).where(c.recorded_at >= since, c.event.in_(COUNTED))
    rows = conn.execute(query.group_by(hour, c.newsletter, c.event).order_by(hour, c.newsletter, c.event))
    return [(at, newsletter, event, number) for at, newsletter, event, number in rows]


def _hour(conn: sa.Connection) -> sa.ColumnElement[datetime]:
    """Return the beginning of the hour in which a consent was recorded."""
    column = consents.c.recorded_at
    if conn.dialect.name == "postgresql":
        return sa.func.date_trunc("hour", column, type_=Instant())
    return sa.type_coerce(sa.func.substr(column, 1, 13, type_=sa.Text()) + sa.literal_column("':00:00Z'"), Instant())

"""All readers in one order, a page at a time, so that a million of them need no memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from publisher.model import Subscriber, Subscription, SubscriptionState
from publisher.store import statements as st
from publisher.store.subscribers import subscriber_of, subscription_of
from publisher.store.tables import consents, subscribers, subscriptions, suppressions

_PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A subscription with its person, how they agreed, and why they may not be mailed ("" when they may)."""

    subscriber: Subscriber
    subscription: Subscription
    consent: str
    suppressed: str


def count(conn: sa.Connection, *, newsletter: str | None = None, state: SubscriptionState | None = None) -> int:
    """Return how many rows `stream` yields."""
    query = sa.select(sa.func.count()).select_from(subscriptions).where(*_wanted(newsletter, state))
    return int(conn.scalar(query) or 0)


def stream(
    conn: sa.Connection, *, newsletter: str | None = None, state: SubscriptionState | None = None
) -> Iterator[Exported]:
    """Yield subscriptions by address key and newsletter."""
    p, s, x = subscribers.c, subscriptions.c, suppressions.c
    joined = subscribers.join(subscriptions).outerjoin(suppressions, x.address_key == p.address_key)
    query = sa.select(subscribers, subscriptions, x.reason).select_from(joined).where(*_wanted(newsletter, state))
    query = query.order_by(p.address_key, s.newsletter).limit(_PAGE)
    last: tuple[str, str] | None = None
    while True:
        page = query
        if last is not None:
            key, slug = last
            # The first condition alone lets the index find the place; the second one leaves out what was seen.
            page = query.where(p.address_key >= key, sa.or_(p.address_key > key, s.newsletter > slug))
        rows = conn.execute(page).mappings().all()
        if not rows:
            return
        proofs = _proofs(conn, [row[p.id] for row in rows])
        for row in rows:
            yield Exported(
                subscriber=subscriber_of(row),
                subscription=subscription_of(row),
                consent=proofs.get((row[p.id], row[s.newsletter]), ""),
                suppressed=row[x.reason] or "",
            )
        last = rows[-1][p.address_key], rows[-1][s.newsletter]


def _wanted(newsletter: str | None, state: SubscriptionState | None) -> list[sa.ColumnElement[bool]]:
    s = subscriptions.c
    wanted = []
    if newsletter is not None:
        wanted.append(s.newsletter == newsletter)
    if state is not None:
        wanted.append(s.state == state)
    return wanted


def _proofs(conn: sa.Connection, people: Sequence[int]) -> dict[tuple[int, str], str]:
    """Return how each agreed to what: the newest words on record, or which step of theirs it was."""
    c = consents.c
    query = sa.select(c.subscriber_id, c.newsletter, c.event, c.method, c.proof, c.recorded_at)
    found: dict[tuple[int, str], str] = {}
    for row in conn.execute(query.where(st.one_of(c.subscriber_id, people)).order_by(c.id)):
        if words := _words(row):
            found[row.subscriber_id, row.newsletter] = words
    return found


def _words(row: st.AnyRow) -> str:
    own = row.method == "link" and row.event == "confirmed"
    if (row.proof and not own) or row.event == "unsubscribed":
        return str(row.proof)
    when = f"{row.event} by {row.method} {row.recorded_at:%Y-%m-%dT%H:%M:%SZ}"
    return f"{when}, {row.proof}" if row.proof else when

"""People and what they chose: leaving is final until the person comes back (P3), and every step leaves a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from publisher.errors import NotFoundError
from publisher.model import Content, Format, Subscriber, Subscription, SubscriptionState
from publisher.store import consents as record
from publisher.store import departures
from publisher.store import statements as st
from publisher.store.consents import Consent, Evidence
from publisher.store.numbering import current_seq
from publisher.store.tables import Id, as_moment, subscribers, subscriptions, suppressions

_PENDING, _CONFIRMED, _UNSUBSCRIBED = (
    SubscriptionState.PENDING,
    SubscriptionState.CONFIRMED,
    SubscriptionState.UNSUBSCRIBED,
)
_EVENTS = {_PENDING: "requested", _CONFIRMED: "confirmed", _UNSUBSCRIBED: "unsubscribed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A subscription with its person, and why their address is suppressed, if it is."""

    subscriber: Subscriber
    subscription: Subscription
    suppressed: str | None


def add(
    conn: sa.Connection,
    *,
    address: str,
    address_key: str,
    name: str,
    languages: Sequence[str],
    timezone: str,
    format: Format,  # noqa: A002 - the column's name
    now: datetime,
) -> int:
    """Return the id of the person with this `address_key`, adding them when they are new; nobody known is changed."""
    row = {
        "address": address,
        "address_key": address_key,
        "name": name,
        "languages": list(languages),
        "timezone": timezone,
        "format": format,
        "created_at": now,
    }
    added = st.run(conn, st.into(conn.dialect.name, subscribers, "address_key", returning="id"), **row)
    [[id_]] = added or st.run(conn, _named, address_key=address_key)
    return int(id_)


_named = sa.select(subscribers.c.id).where(subscribers.c.address_key == st.parameter("address_key", sa.Text()))


def describe(conn: sa.Connection, subscriber_id: int, changes: Mapping[str, Any]) -> None:
    """Change what is known of a person: name, languages, timezone, format."""
    values = {column: list(value) if isinstance(value, tuple) else value for column, value in changes.items()}
    conn.execute(sa.update(subscribers).where(subscribers.c.id == subscriber_id).values(values))


def get(
    conn: sa.Connection,
    *,
    id: int | None = None,  # noqa: A002 - the column's name
    address_key: str | None = None,
) -> Subscriber | None:
    """Return a person by exactly one of the two, None when there is none."""
    named = {"id": id, "address_key": address_key}
    [(column, value)] = [(column, value) for column, value in named.items() if value is not None]
    row = conn.execute(sa.select(subscribers).where(subscribers.c[column] == value)).mappings().one_or_none()
    return subscriber_of(row) if row else None


def subscribe(
    conn: sa.Connection,
    subscriber_id: int,
    *,
    newsletter: str,
    frequency: str,
    categories: Sequence[str] | None,
    state: SubscriptionState,
    method: str,
    proof: str,
    now: datetime,
    content: Content | None = None,
    hour: int | None = None,
) -> Subscription:
    """Sign a person up for a newsletter and return the subscription as it then is.

    `state` is pending or confirmed, `method` import, command or link (the person's own act). A new subscription begins
    with the next article. Who has left comes back only by `link`, and begins anew. Who is confirmed stays so; an import
    changes nothing of their choice, `command` and `link` set frequency and categories, whose change loses or repeats no
    article.
    """
    choice = {
        "frequency": frequency,
        "categories": None if categories is None else list(categories),
        "content": content,
        "hour": hour,
    }
    evidence = Evidence(method=method, proof=proof)
    s = subscriptions.c
    fresh = choice | {
        "subscriber_id": subscriber_id,
        "newsletter": newsletter,
        "state": state,
        "start_seq": (seq := current_seq(conn)),
        "cursor": seq,
        "created_at": now,
        "requested_at": now if state is _PENDING else None,
        "confirmed_at": now if state is _CONFIRMED else None,
    }
    insert = st.insert(conn, subscriptions).values(fresh)
    insert = insert.on_conflict_do_nothing(index_elements=["subscriber_id", "newsletter"])
    if (new := conn.execute(insert.returning(s.id)).scalar_one_or_none()) is not None:
        record.record(conn, subscriber_id, newsletter, _EVENTS[state], evidence, now)
        return _one(conn, new)

    query = sa.select(subscriptions).where(s.subscriber_id == subscriber_id, s.newsletter == newsletter)
    row = conn.execute(query.with_for_update()).one()
    before = SubscriptionState(row.state)
    changes: dict[str, Any] = {}
    if before is _UNSUBSCRIBED and method == "link":
        changes = fresh | {"created_at": row.created_at, "unsubscribed_at": None}
    elif before is _PENDING:
        changes = choice | {name: fresh[name] for name in ("state", "requested_at", "confirmed_at")}
    elif before is _CONFIRMED and method != "import":
        changes = choice
    if changes:
        conn.execute(sa.update(subscriptions).where(s.id == row.id).values(changes))
    if before is _UNSUBSCRIBED and changes.get("state") is _CONFIRMED:
        departures.note_person(conn, "back", subscriber_id, newsletter)
    if (after := changes.get("state", before)) is not before:
        record.record(conn, subscriber_id, newsletter, _EVENTS[after], evidence, now)
    return _one(conn, row.id)


def unsubscribe(
    conn: sa.Connection, subscription_id: int, *, method: str, proof: str = "", client: str = "", now: datetime
) -> bool:
    """End a subscription; whether it was active until now. No delivery is claimed for it once this has committed.

    What was asked for and not confirmed yet is forgotten too: an older confirm link brings nobody back.
    """
    s = subscriptions.c
    active = sa.or_(s.state != _UNSUBSCRIBED, s.requested_at.is_not(None))
    query = sa.select(s.subscriber_id, s.newsletter, s.state).where(s.id == subscription_id, active)
    row = conn.execute(query.with_for_update()).one_or_none()
    if row is None:
        return False
    changes: dict[str, Any] = {"state": _UNSUBSCRIBED, "requested_at": None, "paused_until": None}
    was_active = bool(row.state != _UNSUBSCRIBED)
    if was_active:
        changes["unsubscribed_at"] = now
    conn.execute(sa.update(subscriptions).where(s.id == subscription_id).values(changes))
    evidence = Evidence(method=method, proof=proof, client=client)
    record.record(conn, row.subscriber_id, row.newsletter, _EVENTS[_UNSUBSCRIBED], evidence, now)
    if was_active:
        departures.note_person(conn, "left", row.subscriber_id, row.newsletter)
    return was_active


def subscription(conn: sa.Connection, id: int) -> Subscription | None:  # noqa: A002 - the column's name
    """Return one subscription in any state, None when there is none."""
    row = conn.execute(sa.select(subscriptions).where(subscriptions.c.id == id)).mappings().one_or_none()
    return subscription_of(row) if row else None


def subscriptions_of(conn: sa.Connection, subscriber_id: int) -> list[Subscription]:
    """Return all subscriptions of a person, by newsletter."""
    return [
        Subscription(
            id=id_,
            subscriber_id=person,
            newsletter=newsletter,
            frequency=frequency,
            state=SubscriptionState(state),
            categories=_slugs(json.loads(categories) if isinstance(categories, str) else categories),
            start_seq=start_seq,
            content=content,
            hour=hour,
            paused_until=as_moment(paused_until) if paused_until else None,
            requested_at=as_moment(requested_at) if requested_at else None,
        )
        for (
            id_,
            person,
            newsletter,
            frequency,
            state,
            categories,
            start_seq,
            content,
            hour,
            paused_until,
            requested_at,
        ) in st.run(conn, _mine, subscriber_id=subscriber_id)
    ]


_mine = (
    sa.select(*(subscriptions.c[name] for name in Subscription.__dataclass_fields__))
    .where(subscriptions.c.subscriber_id == st.parameter("subscriber_id", Id))
    .order_by(subscriptions.c.newsletter)
)


def listing(
    conn: sa.Connection, *, newsletter: str | None = None, state: SubscriptionState | None = None
) -> list[Listed]:
    """Return subscriptions with their people, by address key and newsletter."""
    s, p, x = subscriptions.c, subscribers.c, suppressions.c
    joined = subscriptions.join(subscribers).outerjoin(suppressions, x.address_key == p.address_key)
    query = sa.select(subscribers, subscriptions, x.reason).select_from(joined)
    if newsletter is not None:
        query = query.where(s.newsletter == newsletter)
    if state is not None:
        query = query.where(s.state == state)
    return [
        Listed(subscriber=subscriber_of(row), subscription=subscription_of(row), suppressed=row[x.reason])
        for row in conn.execute(query.order_by(p.address_key, s.newsletter)).mappings()
    ]


def counts(conn: sa.Connection) -> dict[tuple[str, str, SubscriptionState], int]:
    """Return the number of subscriptions by (newsletter, frequency, state)."""
    s = subscriptions.c
    query = sa.select(s.newsletter, s.frequency, s.state, sa.func.count()).group_by(s.newsletter, s.frequency, s.state)
    return {
        (newsletter, frequency, SubscriptionState(state)): number
        for newsletter, frequency, state, number in conn.execute(query)
    }


def suppress(conn: sa.Connection, address_key: str, *, reason: str, now: datetime, kind: str = "bounce") -> bool:
    """Never mail this address again; whether that is new. No delivery is claimed for it once this has committed.

    `kind`: bounce, complaint or operator.
    """
    # A claim holds this row while it looks for suppressions, so one of the two waits for the other.
    conn.execute(sa.select(subscribers.c.id).where(subscribers.c.address_key == address_key).with_for_update())
    row = {"address_key": address_key, "kind": kind, "reason": reason, "created_at": now}
    insert = st.insert(conn, suppressions).values(row).on_conflict_do_nothing(index_elements=["address_key"])
    new = conn.execute(insert.returning(suppressions.c.address_key)).first() is not None
    if new:
        departures.note(conn, "suppressed", address_key, kind)
    return new


def unsuppress(conn: sa.Connection, address_key: str) -> bool:
    """Let an address be mailed again; whether it was suppressed."""
    statement = sa.delete(suppressions).where(suppressions.c.address_key == address_key)
    lifted = conn.execute(statement).rowcount > 0
    if lifted:
        departures.note(conn, "back", address_key)
    return lifted


def suppression_kind(conn: sa.Connection, address_key: str) -> str | None:
    """Return what kind of suppression an address has (bounce, complaint, operator), None when it has none."""
    return conn.scalar(sa.select(suppressions.c.kind).where(suppressions.c.address_key == address_key))


def suppression(conn: sa.Connection, address_key: str) -> dict[str, Any] | None:
    """Return the kind, reason and moment of an address's suppression, None when it has none."""
    x = suppressions.c
    row = conn.execute(sa.select(x.kind, x.reason, x.created_at).where(x.address_key == address_key)).mappings().first()
    return dict(row) if row else None


def suppressed(conn: sa.Connection, address_key: str) -> str | None:
    """Return why an address is suppressed, None when it is not."""
    return conn.scalar(sa.select(suppressions.c.reason).where(suppressions.c.address_key == address_key))


def consents(conn: sa.Connection, subscriber_id: int) -> list[Consent]:
    """Return a person's record of consent, oldest first."""
    return record.of(conn, subscriber_id)


def _one(conn: sa.Connection, subscription_id: int) -> Subscription:
    found = subscription(conn, subscription_id)
    if found is None:
        raise NotFoundError(f"There is no subscription {subscription_id}")
    return found


def subscriber_of(row: sa.RowMapping) -> Subscriber:
    """Return the person of a row that has the columns of `subscribers`."""
    p = subscribers.c
    return Subscriber(
        id=row[p.id],
        address=row[p.address],
        address_key=row[p.address_key],
        name=row[p.name],
        languages=tuple(row[p.languages]),
        timezone=row[p.timezone],
        format=Format(row[p.format]),
        created_at=row[p.created_at],
    )


def subscription_of(row: sa.RowMapping) -> Subscription:
    """Return the subscription of a row that has the columns of `subscriptions`."""
    s = subscriptions.c
    return Subscription(
        id=row[s.id],
        subscriber_id=row[s.subscriber_id],
        newsletter=row[s.newsletter],
        frequency=row[s.frequency],
        state=SubscriptionState(row[s.state]),
        categories=_slugs(row[s.categories]),
        start_seq=row[s.start_seq],
        content=row[s.content],
        hour=row[s.hour],
        paused_until=row[s.paused_until],
        requested_at=row[s.requested_at],
    )


def _slugs(categories: list[str] | None) -> tuple[str, ...] | None:
    return None if categories is None else tuple(categories)

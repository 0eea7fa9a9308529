"""The queue of notices: mails about a subscription itself, written down with what asks for them, claimed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

import sqlalchemy as sa

from publisher.model import DeliveryState, Format, Subscription
from publisher.store import statements as st
from publisher.store.subscribers import subscriptions_of
from publisher.store.tables import Id, Instant, links, notices, subscribers, subscriptions, suppressions

MOST_AMBIGUOUS = 2
"""Attempts of one notice with unknown outcome, as of a delivery (P2)."""

WAITING = (DeliveryState.QUEUED, DeliveryState.DEFERRED)


class NoticeKind(StrEnum):
    """What a notice was queued for."""

    SIGN_UP = "sign-up"  # somebody signed this address up
    OPT_IN = "opt-in"  # an import brought this address without a consent on record
    LINK = "link"  # somebody asked for the link to this address's preferences
    ADDRESS = "address"  # somebody wants to move to this address
    ADDRESS_CHANGED = "address-changed"  # somebody moved away from this address
    WELCOME = "welcome"  # the person has just confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotice:
    """A notice about to be queued."""

    kind: NoticeKind
    subscriber_id: int
    language: str
    message_id: str
    due_at: datetime
    expires_at: datetime
    link_id: int | None = None
    newsletter: str | None = None
    """Whose sender it has; None: that of the first newsletter."""
    address: str | None = None
    """Where it goes; None: where the person is."""
    to_seq: int | None = None
    blocked: str = ""
    """Why it is never sent; it is written down all the same, so that every request costs and answers alike (F6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice whose turn has come, with what decides about it."""

    id: int
    kind: NoticeKind
    subscriber_id: int
    link_id: int | None
    link_used: bool
    newsletter: str | None
    language: str
    address: str
    address_key: str | None
    """None where it is not the person's, any more or yet."""
    new_address: str
    """Where the person is now."""
    name: str
    languages: tuple[str, ...]
    timezone: str
    format: Format
    to_seq: int | None
    message_id: str
    attempt: int
    """The number of the attempt that its claim is."""
    ambiguous: int
    date_at: datetime
    expires_at: datetime
    dkim_keys: str | None
    """What signs it, kept with its first claim, so that every attempt has the same bytes; None before it."""
    link_key: str | None
    """The name of the key that signs its links; None before the first claim."""
    suppressed: str | None
    """Why its address is not to be mailed; None when it may be."""
    subscriptions: tuple[Subscription, ...]


def queue(conn: sa.Connection, new: Sequence[NewNotice], now: datetime) -> None:
    """Write notices down; they are sent once this has committed."""
    rows = [
        {
            "kind": one.kind,
            "subscriber_id": one.subscriber_id,
            "link_id": one.link_id,
            "newsletter": one.newsletter,
            "language": one.language,
            "address": one.address,
            "to_seq": one.to_seq,
            "message_id": one.message_id,
            "state": DeliveryState.SUPPRESSED if one.blocked else DeliveryState.QUEUED,
            "reason": one.blocked,
            "attempt": 0,
            "ambiguous": 0,
            "created_at": now,
            "next_at": one.due_at,
            "expires_at": one.expires_at,
            "finished_at": now if one.blocked else None,
            "epoch": None,
            "date_at": None,
            "dkim_keys": None,
            "link_key": None,
        }
        for one in new
    ]
    st.many(conn, st.into(conn.dialect.name, notices), rows)


def due(conn: sa.Connection, now: datetime, *, limit: int) -> list[int]:
    """Return the ids of notices whose time has come, longest due first; nothing is claimed."""
    n = notices.c
    query = sa.select(n.id).where(st.among(n.state, WAITING), n.next_at <= now)
    return list(conn.scalars(query.order_by(n.next_at, n.id).limit(limit)))


def look(conn: sa.Connection, id: int, now: datetime) -> Notice | None:  # noqa: A002 - the column's name
    """Return a waiting notice, and hold all that decides about it until the transaction ends; None when it is gone.

    Who leaves or is suppressed at this moment either is seen here or gets the answer after the claim.
    """
    n, p = notices.c, subscribers.c
    waits = (n.id == id, st.among(n.state, WAITING), n.next_at <= now)
    row = conn.execute(sa.select(notices).where(*waits).with_for_update(skip_locked=True)).mappings().one_or_none()
    if row is None:
        return None
    held = sa.select(subscriptions.c.id).where(subscriptions.c.subscriber_id == row["subscriber_id"])
    conn.execute(held.order_by(subscriptions.c.id).with_for_update(read=True)).all()
    query = sa.select(p.address, p.address_key, p.name, p.languages, p.timezone, p.format).where(
        p.id == row["subscriber_id"]
    )
    person = conn.execute(query.with_for_update(read=True)).one()
    link = conn.execute(sa.select(links.c.used_at, links.c.address_key).where(links.c.id == row["link_id"])).first()
    key = link.address_key if link is not None and link.address_key else person.address_key
    suppressed = conn.scalar(sa.select(suppressions.c.reason).where(suppressions.c.address_key == key))
    mine = row["address"] is None
    return Notice(
        id=row["id"],
        kind=NoticeKind(row["kind"]),
        subscriber_id=row["subscriber_id"],
        link_id=row["link_id"],
        link_used=link is not None and link.used_at is not None,
        newsletter=row["newsletter"],
        language=row["language"],
        address=row["address"] or person.address,
        address_key=key if mine else None,
        new_address=person.address,
        name=person.name,
        languages=tuple(person.languages),
        timezone=person.timezone,
        format=Format(person.format),
        to_seq=row["to_seq"],
        message_id=row["message_id"],
        attempt=row["attempt"] + 1,
        ambiguous=row["ambiguous"],
        date_at=row["date_at"] or now,
        expires_at=row["expires_at"],
        dkim_keys=row["dkim_keys"],
        link_key=row["link_key"],
        suppressed=suppressed,
        subscriptions=tuple(subscriptions_of(conn, row["subscriber_id"])),
    )


def claim(conn: sa.Connection, notice: Notice, epoch: int) -> None:
    """Mark a notice as being sent."""
    changes = {
        "state": DeliveryState.SENDING,
        "epoch": epoch,
        "attempt": notice.attempt,
        "date_at": notice.date_at,
        "dkim_keys": notice.dkim_keys,
        "link_key": notice.link_key,
    }
    conn.execute(sa.update(notices).where(notices.c.id == notice.id).values(changes))


def postpone(conn: sa.Connection, id: int, until: datetime) -> None:  # noqa: A002 - the column's name
    """Let a waiting notice wait longer."""
    conn.execute(sa.update(notices).where(notices.c.id == id, st.among(notices.c.state, WAITING)).values(next_at=until))


def settle(
    conn: sa.Connection,
    id: int,  # noqa: A002 - the column's name
    state: DeliveryState,
    reason: str,
    now: datetime,
    *,
    epoch: int | None = None,
    next_at: datetime | None = None,
    ambiguous: bool = False,
) -> bool:
    """Write down what became of a notice, with `epoch` only if its claim still stands; whether it was written."""
    n = notices.c
    statement = sa.update(notices).where(n.id == id)
    if epoch is not None:
        statement = statement.where(n.state == DeliveryState.SENDING, n.epoch == epoch)
    changes = {
        "state": state,
        "reason": reason,
        "next_at": next_at or now,
        "ambiguous": n.ambiguous + int(ambiguous),
        "finished_at": None if state in WAITING else now,
    }
    return conn.execute(statement.values(changes)).rowcount > 0


def recover(
    conn: sa.Connection, epochs: Iterable[int], now: datetime, *, policy: Literal["retry", "hold"] = "retry"
) -> int:
    """Settle what workers that are proven dead left on the wire; returns how many notices that were.

    `retry` sends each once more, with the same Message-ID, and the second time it is uncertain; `hold` never does.
    """
    n = notices.c
    more = n.ambiguous + 1 < MOST_AMBIGUOUS if policy == "retry" else sa.false()
    left = sa.update(notices).where(st.among(n.state, [DeliveryState.SENDING]), st.one_of(n.epoch, epochs))
    changes = {
        "state": sa.case((more, DeliveryState.DEFERRED), else_=DeliveryState.UNCERTAIN),
        "reason": "the worker died while sending",
        "ambiguous": n.ambiguous + 1,
        "next_at": now,
        "finished_at": sa.case((more, sa.null()), else_=sa.literal(now, Instant)),
    }
    return conn.execute(left.values(changes)).rowcount


def give_back(conn: sa.Connection, epoch: int, now: datetime) -> int:
    """Let notices that this worker claimed without sending them wait again; returns how many there were.

    Only while it has none on the wire: a commit that was reported as failed may have happened.
    """
    n = notices.c
    mine = sa.update(notices).where(st.among(n.state, [DeliveryState.SENDING]), n.epoch == epoch)
    changes = {"state": DeliveryState.DEFERRED, "reason": "claimed, not sent", "epoch": None, "next_at": now}
    return conn.execute(mine.values(changes)).rowcount


def message_of(conn: sa.Connection, link_id: int) -> str:
    """Return the Message-ID of the mail that a link was sent in; "" when it was forgotten."""
    rows = st.run(conn, _of_link, link_id=link_id)
    return str(rows[0][0]) if rows else ""


_of_link = (
    sa.select(notices.c.message_id)
    .where(notices.c.link_id == st.parameter("link_id", Id))
    .order_by(notices.c.id.desc())
    .limit(1)
)


def next_at(conn: sa.Connection) -> datetime | None:
    """Return when the next notice is due, None when none waits."""
    n = notices.c
    query = sa.select(n.next_at).where(st.among(n.state, WAITING))
    return conn.scalar(query.order_by(n.next_at, n.id).limit(1))


def counts(conn: sa.Connection) -> dict[DeliveryState, int]:
    """Return the numbers of the notices that are still remembered, by state."""
    query = sa.select(notices.c.state, sa.func.count()).group_by(notices.c.state)
    return {DeliveryState(state): number for state, number in conn.execute(query)}


def forget(conn: sa.Connection, before: datetime) -> int:
    """Forget notices that were finished before that; returns how many."""
    return conn.execute(sa.delete(notices).where(notices.c.finished_at < before)).rowcount


def of(conn: sa.Connection, subscriber_ids: Iterable[int]) -> list[tuple[str, str, datetime]]:
    """Return (kind, state, when it was queued) of a person's notices, oldest first."""
    n = notices.c
    query = sa.select(n.kind, n.state, n.created_at).where(st.one_of(n.subscriber_id, subscriber_ids)).order_by(n.id)
    return [(row.kind, row.state, row.created_at) for row in conn.execute(query)]

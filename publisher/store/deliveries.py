"""The outbox as a ledger: rows are claimed, sent elsewhere and recorded by their claimant (spec delivery §5.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from publisher.errors import NotFoundError
from publisher.model import Claimed, DeliveryState, Format, IssueState, Recorded, SubscriptionState
from publisher.store import statements as st
from publisher.store.issues import OPEN, WAITING
from publisher.store.tables import (
    Instant,
    deliveries,
    issues,
    segments,
    subscribers,
    subscriptions,
    suppressions,
    workers,
)

MOST_AMBIGUOUS = 2
"""Attempts of one delivery with unknown outcome; after the second it is uncertain, so nobody gets three copies (P2)."""

_REACHED = (DeliveryState.SENT, DeliveryState.UNCERTAIN)
_TOLD = 5
"""Reasons of waiting that an operator is told, the most frequent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentBytes:
    """The frozen bytes that a delivery's mail is made of, and the settings of its issue."""

    head: bytes
    body: bytes
    settings: Mapping[str, Any]
    language: str
    format: Format


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What became of deliveries whose worker died while sending them."""

    deferred: int
    uncertain: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many deliveries of issues being sent are open, and when the next of them is due (None: none waits)."""

    open: int
    next_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """A delivery, for the operator."""

    id: int
    issue_id: int
    subscription_id: int | None
    subscriber_id: int | None
    state: DeliveryState
    reason: str
    attempt: int
    ambiguous: int
    to_seq: int
    due_at: datetime
    expires_at: datetime
    next_at: datetime
    address: str | None
    """As frozen by the first claim; None before it."""
    name: str | None
    message_id: str
    reply_code: int | None
    reply_text: str | None
    finished_at: datetime | None


def new_epoch(conn: sa.Connection, now: datetime) -> int:
    """Register a worker and return the number that fences what it claims."""
    return int(conn.execute(sa.insert(workers).values(started_at=now).returning(workers.c.epoch)).scalar_one())


def stop_epoch(conn: sa.Connection, epoch: int, now: datetime) -> None:
    """Note that a worker ended in order, with nothing left on the wire."""
    conn.execute(sa.update(workers).where(workers.c.epoch == epoch).values(stopped_at=now))


def running_epochs(conn: sa.Connection) -> list[int]:
    """Return the workers that have not ended in order: running, or dead."""
    query = sa.select(workers.c.epoch).where(workers.c.stopped_at.is_(None)).order_by(workers.c.epoch)
    return list(conn.scalars(query))


def claim(conn: sa.Connection, *, epoch: int, limit: int, now: datetime) -> list[Claimed]:
    """Mark up to `limit` due deliveries as being sent by `epoch` and return them, longest due first.

    Only issues being sent count. Whoever left, was suppressed or erased gets none, and what is too old is not sent:
    such rows met on the way are closed as suppressed or expired. The first claim fixes date, address and name, so that
    every attempt has the same bytes.
    """
    claimed: list[Claimed] = []
    while len(claimed) < limit and (due := _due(conn, limit - len(claimed), now)):
        refusals = _refusals(conn, due, now)
        for (state, reason), ids in _grouped(refusals).items():
            _close(conn, ids, state, reason, now)
        perhaps = [row for row in due if row.id in refusals and refusals[row.id][0] in _REACHED]
        _move_cursors(conn, ((row.subscription_id, row.to_seq) for row in perhaps))
        claimed += _take(conn, [row.id for row in due if row.id not in refusals], epoch, now)
    return claimed


def segment(conn: sa.Connection, id: int) -> SegmentBytes:  # noqa: A002 - the column's name
    """Return the frozen bytes of a segment."""
    s = segments.c
    query = sa.select(s.head, s.body, issues.c.settings, s.language, s.format).join_from(segments, issues)
    row = conn.execute(query.where(s.id == id)).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no segment {id}")
    return SegmentBytes(
        head=row.head, body=row.body, settings=row.settings, language=row.language, format=Format(row.format)
    )


def record(conn: sa.Connection, outcomes: Iterable[Recorded], now: datetime) -> int:
    """Write down what attempts came to, move the cursors of readers who were reached; returns how many were written.

    Only the worker whose claim still stands may write: a row that another has taken over since stays as it is, and the
    number returned is smaller than that of `outcomes`.
    """
    reached: list[tuple[int | None, int]] = []
    written = 0
    for outcome in sorted(outcomes, key=lambda outcome: outcome.delivery_id):  # one order: no deadlocks
        row = _write(conn, outcome, now)
        if row is not None:
            written += 1
            if row.state in _REACHED:
                reached.append((row.subscription_id, row.to_seq))
    _move_cursors(conn, reached)
    return written


def recover(
    conn: sa.Connection, dead_epochs: Iterable[int], *, policy: Literal["retry", "hold"], now: datetime
) -> Recovered:
    """Settle what dead workers left on the wire: nobody knows whether it was sent.

    `retry` sends it once more (a second time it is uncertain), `hold` never does. The epochs must be proven dead.
    """
    d = deliveries.c
    again = d.ambiguous + 1 < MOST_AMBIGUOUS if policy == "retry" else sa.false()
    dead = list(dead_epochs)
    statement = sa.update(deliveries).where(st.among(d.state, [DeliveryState.SENDING]), st.one_of(d.epoch, dead))
    rows = conn.execute(
        statement.values(
            state=sa.case((again, DeliveryState.DEFERRED), else_=DeliveryState.UNCERTAIN),
            reason="the worker died while sending",
            ambiguous=d.ambiguous + 1,
            epoch=None,
            next_at=now,
            finished_at=sa.case((again, sa.null()), else_=sa.literal(now, Instant)),
        ).returning(d.state, d.subscription_id, d.to_seq)
    ).all()
    stopped = sa.update(workers).where(st.one_of(workers.c.epoch, dead), workers.c.stopped_at.is_(None))
    conn.execute(stopped.values(stopped_at=now))
    _move_cursors(conn, ((row.subscription_id, row.to_seq) for row in rows if row.state in _REACHED))
    numbers = Counter(DeliveryState(row.state) for row in rows)
    return Recovered(deferred=numbers[DeliveryState.DEFERRED], uncertain=numbers[DeliveryState.UNCERTAIN])


def waiting(conn: sa.Connection) -> Waiting:
    """Return what the outbox has before it."""
    d = deliveries.c
    joined = deliveries.join(issues)
    sending = issues.c.state == IssueState.SENDING
    opened = sa.select(sa.func.count()).select_from(joined).where(sending, st.among(d.state, OPEN))
    first = sa.select(d.next_at).select_from(joined).where(sending, st.among(d.state, WAITING))
    return Waiting(open=conn.scalar(opened) or 0, next_at=conn.scalar(first.order_by(d.next_at, d.id).limit(1)))


def reasons(conn: sa.Connection) -> list[tuple[str, int]]:
    """Return why deliveries of issues being sent are tried again, with their numbers, the most frequent first."""
    d = deliveries.c
    query = sa.select(d.reason, number := sa.func.count()).select_from(deliveries.join(issues))
    query = query.where(issues.c.state == IssueState.SENDING, st.among(d.state, [DeliveryState.DEFERRED]))
    query = query.group_by(d.reason).order_by(number.desc(), d.reason).limit(_TOLD)
    return [(reason, count) for reason, count in conn.execute(query)]


def counts(conn: sa.Connection, issue_id: int) -> dict[DeliveryState, int]:
    """Return the number of an issue's deliveries by state; states without any are left out."""
    d = deliveries.c
    query = sa.select(d.state, sa.func.count()).where(d.issue_id == issue_id).group_by(d.state)
    return {DeliveryState(state): number for state, number in conn.execute(query)}


def listing(
    conn: sa.Connection,
    *,
    issue_id: int | None = None,
    states: Iterable[DeliveryState] = (),
    after: int = 0,
    limit: int = 100,
) -> list[DeliveryRow]:
    """Return deliveries with ids above `after`, by id."""
    d = deliveries.c
    columns = [d[name] for name in DeliveryRow.__dataclass_fields__]
    query = sa.select(*columns).where(d.id > after).order_by(d.id).limit(limit)
    if issue_id is not None:
        query = query.where(d.issue_id == issue_id)
    if states := list(states):
        query = query.where(d.state.in_(states))
    return [
        DeliveryRow(**(dict(row) | {"state": DeliveryState(row["state"])})) for row in conn.execute(query).mappings()
    ]


def _due(conn: sa.Connection, limit: int, now: datetime) -> Sequence[st.AnyRow]:
    """Lock due rows that no other worker is looking at."""
    d = deliveries.c
    query = (
        sa.select(d.id, d.issue_id, d.subscription_id, d.subscriber_id, d.expires_at, d.ambiguous, d.to_seq)
        .join_from(deliveries, issues)
        .where(st.among(d.state, WAITING), d.next_at <= now, issues.c.state == IssueState.SENDING)
        .order_by(d.next_at, d.id)
        .limit(limit)
    )
    return conn.execute(query.with_for_update(of=deliveries, skip_locked=True)).all()


def _refusals(conn: sa.Connection, due: Sequence[st.AnyRow], now: datetime) -> dict[int, tuple[DeliveryState, str]]:
    """Say for each row that must not be sent what becomes of it.

    The rows that decide are locked before they are read, so that who leaves at this moment either is seen here, or
    gets an answer only after this claim.
    """
    s, p, x = subscriptions.c, subscribers.c, suppressions.c
    chosen = st.one_of(s.id, [row.subscription_id for row in due if row.subscription_id is not None])
    states = dict(conn.execute(sa.select(s.id, s.state).where(chosen).order_by(s.id).with_for_update(read=True)).all())
    people = st.one_of(p.id, [row.subscriber_id for row in due if row.subscriber_id is not None])
    conn.execute(sa.select(p.id).where(people).order_by(p.id).with_for_update(read=True))
    query = sa.select(p.id, x.reason).join_from(subscribers, suppressions, x.address_key == p.address_key)
    barred = dict(conn.execute(query.where(people)).all())

    refusals = {}
    for row in due:
        state = states.get(row.subscription_id)
        if row.subscriber_id is None or state is None:
            refusals[row.id] = (DeliveryState.SUPPRESSED, "erased")
        elif state != SubscriptionState.CONFIRMED:
            refusals[row.id] = (DeliveryState.SUPPRESSED, state)
        elif row.subscriber_id in barred:
            refusals[row.id] = (DeliveryState.SUPPRESSED, barred[row.subscriber_id])
        elif row.expires_at <= now and row.ambiguous:
            # It may have reached the reader, and then "expired" would be a lie that sends the articles again.
            refusals[row.id] = (DeliveryState.UNCERTAIN, "not sent again in time, and perhaps sent before")
        elif row.expires_at <= now:
            refusals[row.id] = (DeliveryState.EXPIRED, "not sent in time")
    return refusals


def _grouped(refusals: Mapping[int, tuple[DeliveryState, str]]) -> dict[tuple[DeliveryState, str], list[int]]:
    groups: dict[tuple[DeliveryState, str], list[int]] = {}
    for delivery_id, refusal in refusals.items():
        groups.setdefault(refusal, []).append(delivery_id)
    return groups


def _close(conn: sa.Connection, ids: Iterable[int], state: DeliveryState, reason: str, now: datetime) -> None:
    statement = sa.update(deliveries).where(st.one_of(deliveries.c.id, ids))
    conn.execute(statement.values(state=state, reason=reason, finished_at=now))


def _take(conn: sa.Connection, ids: Sequence[int], epoch: int, now: datetime) -> list[Claimed]:
    d, p = deliveries.c, subscribers.c
    person = p.id == d.subscriber_id
    statement = sa.update(deliveries).where(st.one_of(d.id, ids))
    statement = statement.values(
        state=DeliveryState.SENDING,
        attempt=d.attempt + 1,
        epoch=epoch,
        claimed_at=now,
        date_at=sa.func.coalesce(d.date_at, sa.literal(now, Instant)),
        address=sa.func.coalesce(d.address, sa.select(p.address).where(person).scalar_subquery()),
        name=sa.func.coalesce(d.name, sa.select(p.name).where(person).scalar_subquery()),
    )
    columns = [d[name] for name in Claimed.__dataclass_fields__]
    claimed = {row["id"]: Claimed(**row) for row in conn.execute(statement.returning(*columns)).mappings()}
    return [claimed[delivery_id] for delivery_id in ids]


def _write(conn: sa.Connection, outcome: Recorded, now: datetime) -> st.AnyRow | None:
    """Update one row if the claim still stands, else nothing; the second ambiguous attempt is uncertain in any case."""
    d = deliveries.c
    worn_out = d.ambiguous + 1 >= MOST_AMBIGUOUS if outcome.ambiguous else sa.false()
    waits = outcome.state in WAITING
    ended = sa.case((worn_out, sa.literal(now, Instant)), else_=sa.literal(None if waits else now, Instant))
    statement = sa.update(deliveries).where(
        d.id == outcome.delivery_id, d.epoch == outcome.epoch, d.state == DeliveryState.SENDING
    )
    return conn.execute(
        statement.values(
            state=sa.case((worn_out, DeliveryState.UNCERTAIN), else_=outcome.state) if waits else outcome.state,
            reason=outcome.reason,
            next_at=outcome.next_at or now,
            ambiguous=d.ambiguous + int(outcome.ambiguous),
            reply_code=outcome.attempt.code,
            reply_text=outcome.attempt.text,
            finished_at=ended,
        ).returning(d.state, d.subscription_id, d.to_seq)
    ).one_or_none()


def _move_cursors(conn: sa.Connection, reached: Iterable[tuple[int | None, int]]) -> None:
    """Move the cursors of readers forward, never back."""
    furthest: dict[int, int] = {}
    for subscription_id, to_seq in reached:
        if subscription_id is not None:
            furthest[subscription_id] = max(to_seq, furthest.get(subscription_id, 0))
    if furthest:
        s = subscriptions.c
        behind = (s.id == sa.bindparam("_id"), s.cursor < sa.bindparam("_to_seq"))
        moves = [{"_id": id_, "_to_seq": to_seq} for id_, to_seq in sorted(furthest.items())]
        conn.execute(sa.update(subscriptions).where(*behind).values(cursor=sa.bindparam("_to_seq")), moves)

"""The outbox as a ledger: rows are claimed, sent elsewhere and recorded by their claimant (spec delivery §5.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from publisher import faults
from publisher.errors import NotFoundError
from publisher.model import DeliveryState, Format, IssueState, Recorded
from publisher.store import attempts, cancelled, cursors, notices
from publisher.store import statements as st
from publisher.store.issues import OPEN, WAITING
from publisher.store.tables import (
    Instant,
    deliveries,
    issues,
    segments,
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
class Going:
    """An issue that is being sent: what was sent of it lately, and what is still open."""

    ref: str
    transport: str
    sent: int
    open: int


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
    """Note that a worker ended in order; one that left something on the wire did not, and is for `recover`."""
    d = deliveries.c
    left = sa.exists().where(st.among(d.state, [DeliveryState.SENDING]), d.epoch == epoch)
    conn.execute(sa.update(workers).where(workers.c.epoch == epoch, ~left).values(stopped_at=now))


def running_epochs(conn: sa.Connection) -> list[int]:
    """Return the workers that have not ended in order: running, or dead."""
    query = sa.select(workers.c.epoch).where(workers.c.stopped_at.is_(None)).order_by(workers.c.epoch)
    return list(conn.scalars(query))


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


def record(conn: sa.Connection, outcomes: Iterable[Recorded], now: datetime) -> set[int]:
    """Write down what attempts came to, move the cursors of readers who were reached; returns what was written, by id.

    Only the worker whose claim still stands may write: a row that another has taken over since stays as it is, and is
    missing from what is returned. Each delivery comes once.
    """
    by_id = {outcome.delivery_id: outcome for outcome in outcomes}
    if not by_id:
        return set()
    held = [row for row in st.run(conn, _held, ids=list(by_id)) if row[1] == by_id[row[0]].epoch]
    changes = [_given(by_id[id_], ambiguous, now) for id_, _, ambiguous, *_ in held]
    for first in range(0, len(changes), st.MOST):
        st.run(conn, _record, rows=changes[first : first + st.MOST])
    faults.point("record.written")
    states = {id_: state for id_, state, *_ in changes}
    cursors.move(conn, (position for id_, _, _, *position in held if states[id_] in _REACHED))
    cancelled.close(conn, [id_ for id_, state in states.items() if state in WAITING], now)
    return set(states)


def recover(
    conn: sa.Connection, dead_epochs: Iterable[int], *, policy: Literal["retry", "hold"], now: datetime
) -> Recovered:
    """Settle what dead workers left on the wire: nobody knows whether it was sent.

    `retry` sends it once more (a second time it is uncertain), `hold` never does. The epochs must be proven dead.
    """
    d = deliveries.c
    again = d.ambiguous + 1 < MOST_AMBIGUOUS if policy == "retry" else sa.false()
    dead = list(dead_epochs)
    # First, so that one that lives after all can claim nothing more from here on (`workers.stands`).
    stopped = sa.update(workers).where(st.one_of(workers.c.epoch, dead), workers.c.stopped_at.is_(None))
    conn.execute(stopped.values(stopped_at=now))
    faults.point("worker.declared")
    statement = sa.update(deliveries).where(st.among(d.state, [DeliveryState.SENDING]), st.one_of(d.epoch, dead))
    rows = conn.execute(
        statement.values(
            state=sa.case((again, DeliveryState.DEFERRED), else_=DeliveryState.UNCERTAIN),
            reason="the worker died while sending",
            ambiguous=d.ambiguous + 1,
            epoch=None,
            next_at=now,
            finished_at=sa.case((again, sa.null()), else_=sa.literal(now, Instant)),
        ).returning(d.id, d.attempt, d.state, d.subscription_id, d.to_seq)
    ).all()
    faults.point("worker.settled")
    notices.recover(conn, dead, now, policy=policy)
    attempts.note_lost(conn, ((row.id, row.attempt) for row in rows), now)
    cursors.move(conn, ((row.subscription_id, row.to_seq) for row in rows if row.state in _REACHED))
    cancelled.close(conn, [row.id for row in rows if row.state in WAITING], now)
    numbers = Counter(DeliveryState(row.state) for row in rows)
    return Recovered(deferred=numbers[DeliveryState.DEFERRED], uncertain=numbers[DeliveryState.UNCERTAIN])


def give_back(conn: sa.Connection, epoch: int, now: datetime, *, transport: str | None = None) -> int:
    """Let deliveries that this worker claimed without sending them wait again; returns how many there were.

    Only while none of its connections (over this transport) has anything under way: a commit that was reported as
    failed may have happened.
    """
    d = deliveries.c
    statement = sa.update(deliveries).where(st.among(d.state, [DeliveryState.SENDING]), d.epoch == epoch)
    if transport is not None:
        statement = statement.where(d.issue_id.in_(sa.select(issues.c.id).where(issues.c.transport == transport)))
    changes = {"state": DeliveryState.DEFERRED, "reason": "claimed, not sent", "epoch": None, "next_at": now}
    ids = list(conn.scalars(statement.values(changes).returning(d.id)))
    cancelled.close(conn, ids, now)
    return len(ids)


def resend(conn: sa.Connection, ids: Iterable[int], *, now: datetime, until: datetime) -> list[int]:
    """Let uncertain or failed deliveries wait once more, because an operator wants it; returns those that now do.

    The bytes stay those of the first attempt. `until` is when they expire; an uncertain outcome is the last again.
    Whoever left or was suppressed meanwhile is found at the claim. A cancelled issue is over.
    """
    d = deliveries.c
    goes_on = d.issue_id.in_(sa.select(issues.c.id).where(issues.c.state != IssueState.CANCELLED))
    again = st.among(d.state, [DeliveryState.UNCERTAIN, DeliveryState.FAILED])
    changes = {
        "state": DeliveryState.DEFERRED,
        "reason": "to be sent again, by the operator",
        "epoch": None,
        "next_at": now,
        "expires_at": sa.case((d.expires_at > until, d.expires_at), else_=sa.literal(until, Instant)),
        "finished_at": None,
    }
    statement = sa.update(deliveries).where(st.one_of(d.id, ids), again, d.subscription_id.is_not(None), goes_on)
    rows = conn.execute(statement.values(changes).returning(d.id, d.issue_id)).all()
    faults.point("resend.reopened")
    over = st.one_of(issues.c.id, {row.issue_id for row in rows})
    reopened = sa.update(issues).where(over, issues.c.state == IssueState.SENT)
    conn.execute(reopened.values(state=IssueState.SENDING, sent_at=None, forgotten=None))
    return sorted(row.id for row in rows)


def waiting(conn: sa.Connection, *, transport: str | None = None) -> Waiting:
    """Return what the outbox has before it, over one transport or all."""
    d = deliveries.c
    joined = deliveries.join(issues)
    sending = issues.c.state == IssueState.SENDING
    if transport is not None:
        sending &= issues.c.transport == transport
    opened = sa.select(sa.func.count()).select_from(joined).where(sending, st.among(d.state, OPEN))
    first = sa.select(d.next_at).select_from(joined).where(sending, st.among(d.state, WAITING))
    st.by_index(conn)
    return Waiting(open=conn.scalar(opened) or 0, next_at=conn.scalar(first.order_by(d.next_at, d.id).limit(1)))


def sent_since(conn: sa.Connection, since: datetime) -> list[Going]:
    """Return each issue that is being sent with what was sent of it after this moment, and what is still open."""
    d, i = deliveries.c, issues.c
    sent = sa.func.count().filter(sa.and_(d.state == DeliveryState.SENT, d.finished_at > since))
    opened = sa.func.count().filter(d.state.in_(OPEN))
    query = sa.select(i.ref, i.transport, sent.label("sent"), opened.label("open")).join_from(issues, deliveries)
    query = query.where(i.state == IssueState.SENDING).group_by(i.id, i.ref, i.transport).order_by(i.id)
    return [Going(**row) for row in conn.execute(query).mappings()]


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


def get(conn: sa.Connection, id: int) -> DeliveryRow | None:  # noqa: A002 - the column's name
    """Return one delivery, None when there is none."""
    return next((row for row in listing(conn, after=id - 1, limit=1) if row.id == id), None)


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


def of_person(conn: sa.Connection, subscriber_id: int) -> list[dict[str, Any]]:
    """Return what the ledger knows of the mails to a person, oldest first: issue, state, times, the server's words."""
    d, i = deliveries.c, issues.c
    columns = (i.newsletter, i.slot, d.state, d.reason, d.address, d.due_at, d.finished_at, d.reply_code, d.reply_text)
    query = sa.select(*columns).select_from(deliveries.join(issues)).where(d.subscriber_id == subscriber_id)
    return [dict(row) for row in conn.execute(query.order_by(d.id)).mappings()]


def _given(outcome: Recorded, earlier: int, now: datetime) -> tuple[Any, ...]:
    """Return the new values of a row, in the order of `_outcome`; the second ambiguous attempt is uncertain anyway."""
    ambiguous = earlier + int(outcome.ambiguous)
    waits = outcome.state in WAITING
    worn_out = waits and outcome.ambiguous and ambiguous >= MOST_AMBIGUOUS
    return (
        outcome.delivery_id,
        DeliveryState.UNCERTAIN if worn_out else outcome.state,
        outcome.reason,
        outcome.next_at or now,
        ambiguous,
        outcome.attempt.code,
        outcome.attempt.text,
        None if waits and not worn_out else now,
    )


# Made once, because they run for every message.
_held = (
    sa.select(*(deliveries.c[name] for name in ("id", "epoch", "ambiguous", "subscription_id", "to_seq")))
    .where(st.one_of(deliveries.c.id, "ids"), st.among(deliveries.c.state, [DeliveryState.SENDING]))
    .order_by(deliveries.c.id)  # locked in one order, so that two workers never wait for each other
    .with_for_update()
)
_OUTCOME = ("id", "state", "reason", "next_at", "ambiguous", "reply_code", "reply_text", "finished_at")
_outcome = st.few(*(deliveries.c[name] for name in _OUTCOME))
_record = (
    sa.update(deliveries)
    .where(deliveries.c.id == _outcome["id"])
    .values({name: _outcome[name] for name in _OUTCOME[1:]})
)

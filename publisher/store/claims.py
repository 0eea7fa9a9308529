"""Claiming deliveries: candidates are read ahead by any reader, and taken in the transaction that decides."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from publisher import faults
from publisher.model import Claimed, DeliveryState, IssueState, SubscriptionState
from publisher.store import statements as st
from publisher.store.issues import WAITING
from publisher.store.tables import Instant, as_moment, deliveries, issues, subscribers, subscriptions, suppressions

Position = tuple[datetime, int]
"""Where a reader of the queue stands: (next_at, id) of the last row seen, whichever way it reads."""

STRETCH = 256
"""Neighbouring deliveries that belong to the same worker, when several share the queue."""


class Share(NamedTuple):
    """The part of the queue that one of several workers reads, so that they do not all claim the same."""

    rank: int
    workers: int


ALL = Share(0, 1)


@dataclass(frozen=True, slots=True)
class Upcoming:
    """Deliveries that are due, as they would be claimed, and where to read on."""

    candidates: tuple[Claimed, ...]
    last: Position | None
    """None: there was nothing left behind `after`."""


class _Facts(NamedTuple):
    """What decides about a delivery."""

    id: int
    state: str
    attempt: int
    ambiguous: int
    subscriber_id: int | None
    due: bool
    late: bool
    issue_state: str
    subscription_state: str | None
    paused: bool | None
    suppressed: str | None


def upcoming(
    conn: sa.Connection,
    *,
    epoch: int,
    now: datetime,
    limit: int,
    after: Position | None = None,
    backwards: bool = False,
    share: Share = ALL,
    transport: str | None = None,
    without_domains: Collection[str] = (),
    without_newsletters: Collection[str] = (),
) -> Upcoming:
    """Read up to `limit` due deliveries of issues being sent behind `after`, longest due first; nothing is claimed.

    Each comes as its claim by `epoch` at this moment would make it: an earlier claim's date, address and name stay, so
    that every attempt has the same bytes. Reading on behind the last row instead of from the start keeps the cost of a
    row constant however many were taken before (PostgreSQL's index remembers those until it is vacuumed).
    `share`: only the stretches of the queue that are this worker's own. `backwards`: from the end of the queue, where a
    worker that helps others meets them last. `transport`: only what it carries.
    `without_…`: what has to wait for its pace is passed over, so that it holds up nobody else.
    """
    d, p = deliveries.c, subscribers.c
    plain = {d.date_at, d.expires_at, d.next_at}  # read as the driver gives them: neighbours share their moments
    columns = [d[name] for name in Claimed._fields if name not in ("epoch", "address", "name")]
    query = (
        sa.select(
            *(sa.type_coerce(column, sa.Text) if column in plain else column for column in (*columns, d.next_at)),
            sa.func.coalesce(d.address, p.address, ""),
            sa.func.coalesce(d.name, p.name, ""),
        )
        .join_from(deliveries, issues)
        .outerjoin(subscribers, p.id == d.subscriber_id)
        .where(st.among(d.state, WAITING), d.next_at <= now, issues.c.state == IssueState.SENDING)
        .order_by(*((d.next_at.desc(), d.id.desc()) if backwards else (d.next_at, d.id)))
        .limit(limit)
    )
    if after is not None:
        position = sa.tuple_(d.next_at, d.id)
        query = query.where(position < after if backwards else position > after)
    if transport is not None:
        query = query.where(issues.c.transport == transport)
    if without_domains:
        query = query.where(sa.not_(st.one_of(_domain(conn), without_domains)))
    if without_newsletters:
        query = query.where(sa.not_(st.one_of(issues.c.newsletter, without_newsletters)))
    if share.workers > 1:
        query = query.where(d.id // STRETCH % share.workers == share.rank)
    st.by_index(conn)
    rows = conn.execute(query).all()
    last = (as_moment(rows[-1][-3]), rows[-1][0]) if rows else None
    return Upcoming(tuple(_candidate(*tuple(row), epoch=epoch, now=now) for row in rows), last)


def _candidate(
    id: int,  # noqa: A002 - the columns' names, in the order of `Claimed`
    issue_id: int,
    segment_id: int,
    subscription_id: int,
    attempt: int,
    date_at: str | datetime | None,
    message_id: str,
    expires_at: str | datetime,
    ambiguous: int,
    dkim_keys: str | None,
    link_key: str | None,
    next_at: str | datetime,  # noqa: ARG001 - for the position alone
    address: str,
    name: str,
    *,
    epoch: int,
    now: datetime,
) -> Claimed:
    """Return a row as its claim at this moment would make it."""
    return Claimed(
        id=id,
        issue_id=issue_id,
        segment_id=segment_id,
        subscription_id=subscription_id,
        epoch=epoch,
        attempt=attempt + 1,
        address=address,
        name=name,
        date_at=now if date_at is None else as_moment(date_at),
        message_id=message_id,
        expires_at=as_moment(expires_at),
        ambiguous=ambiguous,
        dkim_keys=dkim_keys,
        link_key=link_key,
    )


def _domain(conn: sa.Connection) -> sa.ColumnElement[str]:
    """Return what stands behind the @ of a delivery's address; there is only one (`publisher.addresses`)."""
    address = sa.func.lower(sa.func.coalesce(deliveries.c.address, subscribers.c.address, ""), type_=sa.Text)
    if conn.dialect.name == "postgresql":
        return sa.func.split_part(address, "@", 2, type_=sa.Text)
    return sa.func.substr(address, sa.func.instr(address, "@") + 1, type_=sa.Text)


def take(conn: sa.Connection, candidates: Sequence[Claimed], now: datetime) -> set[int]:
    """Mark candidates as being sent and return the ids of those that stand: the others must not be sent.

    Whoever left, was suppressed or erased gets none, and what is too old is not sent: such rows are closed. A row that
    somebody else has taken, tried or paused since it was read stays as it is.
    """
    if not candidates:
        return set()
    refusals: dict[tuple[DeliveryState, str], list[int]] = {}
    taken = []
    if _all_stand(conn, candidates, now):
        taken = list(candidates)
    else:
        facts = _facts(conn, [candidate.id for candidate in candidates], now)
        for candidate in candidates:
            row = facts.get(candidate.id)
            if row is None or not _still_waits(row, candidate):
                continue
            if refusal := _refusal(row):
                refusals.setdefault(refusal, []).append(candidate.id)
            else:
                taken.append(candidate)
    for (state, reason), ids in refusals.items():
        _close(conn, ids, state, reason, now)
        faults.point("claims.closed")
    _mark(conn, taken, now)
    return {candidate.id for candidate in taken}


def _all_stand(conn: sa.Connection, candidates: Sequence[Claimed], now: datetime) -> bool:
    """Whether every one may be sent: asked first, because it nearly always is so, and the answer is one number.

    Always False on PostgreSQL, where the rows must be locked before they are looked at.
    """
    if conn.dialect.name != "sqlite" or len(candidates) > st.MOST:
        return False
    rows = [(candidate.id, candidate.attempt) for candidate in candidates]
    return bool(st.scalar(conn, _standing, rows=rows, now=now) == len(candidates))


def _facts(conn: sa.Connection, ids: Sequence[int], now: datetime) -> Mapping[int, _Facts]:
    """Read by id what decides about these deliveries; rows that another worker holds are left out.

    On PostgreSQL the rows that decide are locked before they are read, so that who leaves at this moment either is seen
    here, or gets an answer only after this claim. On SQLite the one writer needs no locks.
    """
    if conn.dialect.name == "postgresql":
        held = st.run(conn, _free, ids=list(ids))
        ids = [id_ for id_, *_ in held]
        st.run(conn, _kept_subscriptions, ids=[id_ for _, id_, _ in held if id_ is not None])
        st.run(conn, _kept_subscribers, ids=[id_ for *_, id_ in held if id_ is not None])
    return {row[0]: _Facts(*row) for row in st.run(conn, _deciding, ids=list(ids), now=now)}


def _still_waits(row: _Facts, candidate: Claimed) -> bool:
    """Whether the row is as the candidate was read: the number of attempts tells whether anybody has had it since."""
    waits = row.state in WAITING and row.attempt + 1 == candidate.attempt and row.due
    return waits and row.issue_state == IssueState.SENDING


def _refusal(row: _Facts) -> tuple[DeliveryState, str] | None:
    """Say what becomes of a row that must not be sent, None for one that may."""
    if row.subscriber_id is None or row.subscription_state is None:
        return DeliveryState.SUPPRESSED, "erased"
    if row.subscription_state != SubscriptionState.CONFIRMED:
        return DeliveryState.SUPPRESSED, row.subscription_state
    if row.paused:
        # The cursor stays, so that these articles come after the pause.
        return DeliveryState.SUPPRESSED, "paused"
    if row.suppressed is not None:
        return DeliveryState.SUPPRESSED, row.suppressed
    if row.late and row.ambiguous:
        # It may have reached the reader, and then "expired" would be a lie that sends the articles again.
        return DeliveryState.UNCERTAIN, "not sent again in time, and perhaps sent before"
    if row.late:
        return DeliveryState.EXPIRED, "not sent in time"
    return None


def _close(conn: sa.Connection, ids: Iterable[int], state: DeliveryState, reason: str, now: datetime) -> None:
    statement = sa.update(deliveries).where(st.one_of(deliveries.c.id, ids))
    conn.execute(statement.values(state=state, reason=reason, finished_at=now))
    if state is DeliveryState.UNCERTAIN:
        _move_cursors(conn, ids)


def _move_cursors(conn: sa.Connection, ids: Iterable[int]) -> None:
    """Count what these deliveries hold as received, because it may have been."""
    d, s = deliveries.c, subscriptions.c
    rows = conn.execute(sa.select(d.subscription_id, d.to_seq).where(st.one_of(d.id, ids)).order_by(d.id)).all()
    for row in rows:
        behind = (s.id == row.subscription_id, s.cursor < row.to_seq)
        conn.execute(sa.update(subscriptions).where(*behind).values(cursor=row.to_seq))


# Made once, because they run for every message. Rows are locked in one order, so that workers never wait crosswise.
_free = (
    sa.select(deliveries.c.id, deliveries.c.subscription_id, deliveries.c.subscriber_id)
    .where(st.one_of(deliveries.c.id, "ids"))
    .order_by(deliveries.c.id)
    .with_for_update(skip_locked=True)
)
_kept_subscriptions, _kept_subscribers = (
    sa.select(id_).where(st.one_of(id_, "ids")).order_by(id_).with_for_update(read=True)
    for id_ in (subscriptions.c.id, subscribers.c.id)
)
_deciding = (
    sa.select(
        *(deliveries.c[name] for name in ("id", "state", "attempt", "ambiguous", "subscriber_id")),
        (deliveries.c.next_at <= st.parameter("now", Instant())).label("due"),
        (deliveries.c.expires_at <= st.parameter("now", Instant())).label("late"),
        issues.c.state.label("issue_state"),
        subscriptions.c.state.label("subscription_state"),
        (subscriptions.c.paused_until > st.parameter("now", Instant())).label("paused"),
        suppressions.c.reason.label("suppressed"),
    )
    .join_from(deliveries, issues)
    .outerjoin(subscriptions, subscriptions.c.id == deliveries.c.subscription_id)
    .outerjoin(subscribers, subscribers.c.id == deliveries.c.subscriber_id)
    .outerjoin(suppressions, suppressions.c.address_key == subscribers.c.address_key)
    .where(st.one_of(deliveries.c.id, "ids"))
)
_candidates = st.few(deliveries.c.id, deliveries.c.attempt)
_standing = (
    sa.select(sa.func.count(deliveries.c.id.distinct()))
    .join_from(deliveries, issues)
    .join(subscriptions, subscriptions.c.id == deliveries.c.subscription_id)
    .join(subscribers, subscribers.c.id == deliveries.c.subscriber_id)
    .outerjoin(suppressions, suppressions.c.address_key == subscribers.c.address_key)
    .where(
        deliveries.c.id == _candidates["id"],
        st.among(deliveries.c.state, WAITING),
        deliveries.c.attempt + 1 == _candidates["attempt"],
        deliveries.c.next_at <= st.parameter("now", Instant()),
        deliveries.c.expires_at > st.parameter("now", Instant()),
        issues.c.state == sa.literal_column(f"'{IssueState.SENDING}'"),
        subscriptions.c.state == sa.literal_column(f"'{SubscriptionState.CONFIRMED}'"),
        sa.func.coalesce(subscriptions.c.paused_until <= st.parameter("now", Instant()), sa.true()),
        suppressions.c.address_key.is_(None),
    )
)
_MARKED = ("id", "attempt", "epoch", "date_at", "address", "name", "dkim_keys", "link_key")
_marking = operator.attrgetter(*_MARKED)
_marked = st.few(*(deliveries.c[name] for name in _MARKED))
_mark_all = (
    sa.update(deliveries)
    .where(deliveries.c.id == _marked["id"])
    .values(
        state=sa.literal_column(f"'{DeliveryState.SENDING}'"),
        claimed_at=st.parameter("now", Instant()),
        **{name: _marked[name] for name in _MARKED[1:]},
    )
)


def _mark(conn: sa.Connection, taken: Sequence[Claimed], now: datetime) -> None:
    rows = [_marking(one) for one in taken]
    for first in range(0, len(rows), st.MOST):
        st.run(conn, _mark_all, rows=rows[first : first + st.MOST], now=now)

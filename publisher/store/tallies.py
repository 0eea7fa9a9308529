"""What became of an issue's deliveries, counted in one pass: by state, minute by minute, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.model import DeliveryState
from publisher.store import statements as st
from publisher.store.tables import Instant, deliveries, issues

_UNHAPPY = [state for state in DeliveryState if state not in (DeliveryState.QUEUED, DeliveryState.SENT)]
_MOST_REASONS = 5_000
"""Different words of servers that are read; most of them differ by the address that they repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Deliveries that ended or wait alike, for the same reason and with the same words of the server."""

    state: DeliveryState
    reason: str
    code: int | None
    words: str
    deliveries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The numbers of one issue at one moment."""

    states: Mapping[DeliveryState, int]
    sent: tuple[tuple[datetime, int], ...]
    """By the minute in which the server took them, in order; minutes without any are left out."""


def tally(conn: sa.Connection, issue_id: int) -> Tally:
    """Count an issue's deliveries. One pass over them: seconds for a million, so not while somebody waits."""
    d = deliveries.c
    minute = _minute(conn, d.finished_at).label("minute")
    query = sa.select(d.state, minute, sa.func.count()).where(d.issue_id == issue_id)
    states: dict[DeliveryState, int] = {}
    sent: dict[datetime, int] = {}
    for state, at, count in conn.execute(query.group_by(d.state, minute)):
        states[DeliveryState(state)] = states.get(DeliveryState(state), 0) + count
        if state == DeliveryState.SENT and at is not None:
            sent[at] = count
    return Tally(states=states, sent=tuple(sorted(sent.items())))


def reasons(conn: sa.Connection, issue_id: int) -> list[Reason]:
    """Return why deliveries of an issue were not sent, or not yet, the most frequent first. One pass, as `tally`."""
    d = deliveries.c
    columns = (d.state, d.reason, d.reply_code, d.reply_text)
    query = sa.select(*columns, number := sa.func.count()).where(d.issue_id == issue_id, st.among(d.state, _UNHAPPY))
    query = query.where(sa.or_(d.reason != "", d.reply_text.is_not(None)))
    query = query.group_by(*columns).order_by(number.desc(), *columns).limit(_MOST_REASONS)
    return [
        Reason(state=DeliveryState(state), reason=reason, code=code, words=words or "", deliveries=count)
        for state, reason, code, words, count in conn.execute(query)
    ]


def uncertain(conn: sa.Connection) -> dict[str, int]:
    """Return how many deliveries of each issue are uncertain, by its ref, the latest issue first."""
    d, i = deliveries.c, issues.c
    query = sa.select(i.ref, sa.func.count()).join_from(deliveries, issues)
    query = query.where(st.among(d.state, [DeliveryState.UNCERTAIN])).group_by(i.id, i.ref).order_by(i.id.desc())
    return dict(conn.execute(query).all())


def uncertain_ids(conn: sa.Connection, issue_id: int) -> list[int]:
    """Return the uncertain deliveries of an issue, by id."""
    d = deliveries.c
    query = sa.select(d.id).where(d.issue_id == issue_id, st.among(d.state, [DeliveryState.UNCERTAIN]))
    return list(conn.scalars(query.order_by(d.id)))


def mark_sent(conn: sa.Connection, ids: list[int]) -> list[int]:
    """Count uncertain deliveries as sent, because an operator knows it; returns those that now are.

    Their readers' cursors stand behind these articles already, so that nothing else changes.
    """
    d = deliveries.c
    statement = sa.update(deliveries).where(st.one_of(d.id, ids), st.among(d.state, [DeliveryState.UNCERTAIN]))
    values = {"state": DeliveryState.SENT, "reason": "marked as sent by the operator"}
    return sorted(conn.scalars(statement.values(values).returning(d.id)))


def _minute(conn: sa.Connection, column: sa.Column[datetime]) -> sa.ColumnElement[datetime | None]:
    """Return the beginning of the minute of a moment."""
    if conn.dialect.name == "postgresql":
        return sa.func.date_trunc("minute", column, type_=Instant())
    return sa.type_coerce(sa.func.substr(column, 1, 16, type_=sa.Text()) + sa.literal_column("':00Z'"), Instant())

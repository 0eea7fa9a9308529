"""What an operator may do with a frozen issue: approve, pause, resume, cancel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from publisher import faults
from publisher.errors import RefusedError
from publisher.model import ArticleState, Issue, IssueState, SlotOutcome
from publisher.store import cancelled
from publisher.store import statements as st
from publisher.store.issues import WAITING
from publisher.store.tables import articles, deliveries, issue_articles
from publisher.store.tables import issues as issue_rows
from publisher.store.tables import slots as slot_rows


def approve(
    conn: sa.Connection, issue: Issue, *, wait: timedelta, spread: timedelta = timedelta(), now: datetime
) -> bool:
    """Let a held issue be sent as it was frozen; False when it is not held.

    Its deliveries have their full time (`wait`) from now on, and are spread over as long as they were to be. Raises
    RefusedError when an article of it was withdrawn since: what was frozen cannot be changed, so it has to be composed
    anew.
    """
    a, i = articles.c, issue_articles.c
    joined = sa.select(a.title).join_from(issue_articles, articles)
    gone = joined.where(i.issue_id == issue.id, a.state != ArticleState.PUBLISHED)
    if (title := conn.scalars(gone.order_by(a.id).limit(1)).first()) is not None:
        raise RefusedError(
            f"issue {issue.ref} holds an article that is not published any more: {title!r}; "
            "cancel the issue, and the next one brings the others"
        )
    if not _turn(conn, issue.id, [IssueState.HELD], IssueState.SENDING, reason=""):
        return False
    d = deliveries.c
    if spread:
        _spread(conn, issue.id, wait=wait, spread=spread, now=now)
    else:
        waiting = sa.update(deliveries).where(d.issue_id == issue.id, st.among(d.state, WAITING), d.due_at <= now)
        conn.execute(waiting.values(next_at=now, expires_at=now + wait))
    number = conn.scalar(sa.select(sa.func.count()).where(d.issue_id == issue.id, st.among(d.state, WAITING)))
    _decide(conn, issue, SlotOutcome.DISPATCHED, f"approved, to {number} readers", now)
    return True


def _spread(conn: sa.Connection, issue_id: int, *, wait: timedelta, spread: timedelta, now: datetime) -> None:
    """Let deliveries come due one after another from now on, in the order that their identities gave them before.

    Who is due later anyway, at an hour of his or her own, stays so.
    """
    d = deliveries.c
    mine = (d.issue_id == issue_id, st.among(d.state, WAITING))
    number = conn.scalar(sa.select(sa.func.count()).where(*mine)) or 0
    turn = 0
    for rows in conn.execute(sa.select(d.id, d.due_at).where(*mine).order_by(d.message_id)).partitions(_TOGETHER):
        turns = ((row.id, row.due_at, now + spread * place / number) for place, row in enumerate(rows, turn))
        moved = [(id_, at, at + wait) for id_, due_at, at in turns if due_at < at]
        st.run(conn, _move, rows=st.as_given(moved))
        turn += len(rows)


def pause(conn: sa.Connection, id: int, reason: str = "") -> bool:  # noqa: A002 - the column's name
    """Stop claiming deliveries of an issue, and keep the reason; False when it is not being sent."""
    return _turn(conn, id, [IssueState.SENDING], IssueState.PAUSED, reason=reason)


def resume(conn: sa.Connection, id: int) -> bool:  # noqa: A002 - the column's name
    """Go on with a paused issue; False when it is not paused."""
    return _turn(conn, id, [IssueState.PAUSED], IssueState.SENDING, reason="")


def cancel(conn: sa.Connection, issue: Issue, now: datetime) -> bool:
    """End an issue for good: what waits is suppressed (K18), what is on the wire ends by itself; False when over."""
    unfinished = [IssueState.PLANNED, IssueState.HELD, IssueState.SENDING, IssueState.PAUSED]
    if not _turn(conn, issue.id, unfinished, IssueState.CANCELLED, reason="cancelled by an operator"):
        return False
    d = deliveries.c
    waiting = sa.select(d.id).where(d.issue_id == issue.id, st.among(d.state, WAITING))
    cancelled.close(conn, conn.scalars(waiting), now)
    if issue.state is IssueState.HELD or (issue.state is IssueState.PLANNED and issue.reason):
        _decide(conn, issue, SlotOutcome.SKIPPED, "held, then cancelled", now)
    return True


def untold(conn: sa.Connection) -> list[int]:
    """Return the ids of held issues of which editors were not told yet."""
    c = issue_rows.c
    query = sa.select(c.id).where(c.state == IssueState.HELD, c.told_at.is_(None))
    return list(conn.scalars(query.order_by(c.id)))


def told(conn: sa.Connection, id: int, now: datetime) -> None:  # noqa: A002 - the column's name
    """Note that editors were told of a held issue."""
    conn.execute(sa.update(issue_rows).where(issue_rows.c.id == id).values(told_at=now))


_TOGETHER = 5_000
"""Deliveries moved by one statement: enough for its speed, and few enough to cost no memory."""

_moved = st.given(deliveries.c.id, deliveries.c.next_at, deliveries.c.expires_at)
_move = (
    sa.update(deliveries)
    .where(deliveries.c.id == _moved["id"])
    .values(next_at=_moved["next_at"], expires_at=_moved["expires_at"])
)


def _decide(conn: sa.Connection, issue: Issue, outcome: SlotOutcome, reason: str, now: datetime) -> None:
    """Give the slot of a held issue its last word."""
    c = slot_rows.c
    mine = (c.newsletter == issue.newsletter, c.frequency == issue.frequency, c.slot == issue.slot)
    conn.execute(sa.update(slot_rows).where(*mine).values(outcome=outcome, reason=reason, decided_at=now))


def _turn(conn: sa.Connection, issue_id: int, before: Sequence[IssueState], after: IssueState, **values: str) -> bool:
    c = issue_rows.c
    statement = sa.update(issue_rows).where(c.id == issue_id, c.state.in_(before)).values(state=after, **values)
    turned = conn.execute(statement.returning(c.id)).first() is not None
    faults.point("issue.turned")
    return turned

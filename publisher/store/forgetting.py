"""Forgetting with time: what servers said of mails, then whose they were; the numbers stay (spec delivery §8)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum

import sqlalchemy as sa

from publisher.model import IssueState
from publisher.store import statements as st
from publisher.store.tables import attempts, deliveries, issues, soft_bounces

TOGETHER = 1_000
"""Deliveries in one transaction: what else is to be written waits for some milliseconds only."""


class Forgotten(IntEnum):
    """How much of an issue's deliveries is gone; each step includes the one before."""

    WORDS = 1
    READERS = 2


def forget(conn: sa.Connection, what: Forgotten, before: datetime) -> int | None:
    """Take one step with the oldest issue that ended before this moment; how many deliveries it concerned.

    None: there is nothing left to forget. Issues that still wait for something are left alone.
    """
    i, d = issues.c, deliveries.c
    over = (i.state.in_([IssueState.SENT, IssueState.CANCELLED]), sa.func.coalesce(i.sent_at, i.created_at) < before)
    left = sa.or_(i.forgotten.is_(None), i.forgotten < int(what))
    issue_id = conn.scalar(sa.select(i.id).where(*over, left).order_by(i.id).limit(1))
    if issue_id is None:
        return None
    told = d.reply_text.is_not(None)
    remembered = told if what is Forgotten.WORDS else sa.or_(told, d.subscriber_id.is_not(None), d.address.is_not(None))
    # Not while it is being sent: somebody may have resent one just now.
    query = sa.select(d.id).where(d.issue_id == issue_id, d.finished_at.is_not(None), remembered)
    ids = list(conn.scalars(query.limit(TOGETHER)))
    if len(ids) < TOGETHER:
        conn.execute(sa.update(issues).where(i.id == issue_id).values(forgotten=int(what)))
    _empty(conn, ids, what)
    return len(ids)


def forget_soft_bounces(conn: sa.Connection, before: datetime) -> None:
    """Empty what servers said of readers whom they could not serve then; that they could not still counts."""
    b = soft_bounces.c
    conn.execute(sa.update(soft_bounces).where(b.recorded_at < before, b.reason != "").values(reason=""))


def _empty(conn: sa.Connection, ids: Sequence[int], what: Forgotten) -> None:
    d, a = deliveries.c, attempts.c
    said = sa.update(attempts).where(st.one_of(a.delivery_id, ids), a.code.is_not(None), a.text != "")
    conn.execute(said.values(text=""))
    # Where it failed and with which code may stay: "rcpt: 550 …".
    words = sa.case(
        (sa.func.coalesce(d.reply_text, "") != "", sa.func.replace(d.reason, d.reply_text, "…")), else_=d.reason
    )
    values: dict[str, object] = {"reason": words, "reply_text": None}
    if what is Forgotten.READERS:
        values |= dict.fromkeys(("subscriber_id", "subscription_id", "address", "name"))
    conn.execute(sa.update(deliveries).where(st.one_of(d.id, ids)).values(values))

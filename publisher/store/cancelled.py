"""What becomes of deliveries that wait although their issue was cancelled."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from publisher.model import DeliveryState, IssueState
from publisher.store import cursors
from publisher.store import statements as st
from publisher.store.issues import WAITING
from publisher.store.tables import deliveries
from publisher.store.tables import issues as issue_rows


def close(conn: sa.Connection, ids: Iterable[int], now: datetime) -> None:
    """End those of these deliveries that wait although their issue was cancelled, at its end or while they were sent.

    What may have reached its reader is uncertain: else its articles would be sent again with the next issue.
    """
    d, c = deliveries.c, issue_rows.c
    if not (ids := list(ids)):
        return
    issue_ids = set(conn.scalars(sa.select(d.issue_id).where(st.one_of(d.id, ids))))
    # Locked, so that cancelling at this moment has either happened and is seen here, or sees these waiting.
    query = sa.select(c.id, c.state).where(st.one_of(c.id, issue_ids)).order_by(c.id).with_for_update(read=True)
    cancelled = [row.id for row in conn.execute(query) if row.state == IssueState.CANCELLED]
    if not cancelled:
        return
    perhaps = d.ambiguous > 0
    statement = sa.update(deliveries).where(
        st.one_of(d.id, ids), st.among(d.state, WAITING), st.one_of(d.issue_id, cancelled)
    )
    rows = conn.execute(
        statement.values(
            state=sa.case((perhaps, DeliveryState.UNCERTAIN), else_=DeliveryState.SUPPRESSED),
            reason=sa.case((perhaps, "cancelled, and perhaps sent before"), else_="cancelled"),
            finished_at=now,
        ).returning(d.state, d.subscription_id, d.to_seq)
    ).all()
    reached = (row for row in rows if row.state == DeliveryState.UNCERTAIN)
    cursors.move(conn, ((row.subscription_id, row.to_seq) for row in reached))

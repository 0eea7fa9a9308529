"""Cursors: how far each reader has received articles; they move with outcomes, and never back (DESIGN §4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import subscriptions


def move(conn: sa.Connection, reached: Iterable[Sequence[Any]]) -> None:
    """Move the cursor of each (subscription, highest `seq` received) forward; None: an erased reader, left out."""
    furthest: dict[int, int] = {}
    for subscription_id, to_seq in reached:
        if subscription_id is not None:
            furthest[subscription_id] = max(to_seq, furthest.get(subscription_id, 0))
    rows = sorted(furthest.items())
    for first in range(0, len(rows), st.MOST):
        st.run(conn, _move, rows=rows[first : first + st.MOST])


# Made once, because it runs for every message.
_reached = st.few(subscriptions.c.id, subscriptions.c.cursor)
_move = (
    sa.update(subscriptions)
    .where(subscriptions.c.id == _reached["id"], subscriptions.c.cursor < _reached["cursor"])
    .values(cursor=_reached["cursor"])
)

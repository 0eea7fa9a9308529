"""Undoing what a server said of readers while one issue went out, when it is the server that was wrong (H9)."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from publisher.model import DeliveryState
from publisher.store.tables import deliveries, subscribers, suppressions


class Blamed(NamedTuple):
    """A reader whose address is suppressed because of the reply to one delivery."""

    delivery_id: int
    address: str
    address_key: str


def blamed(conn: sa.Connection, issue_id: int) -> list[Blamed]:
    """Return whom an issue's replies suppressed, by delivery; who was suppressed for another reason too is left out."""
    d, p, x = deliveries.c, subscribers.c, suppressions.c
    query = (
        sa.select(d.id, p.address, p.address_key)
        .join_from(deliveries, subscribers, p.id == d.subscriber_id)
        .join(suppressions, x.address_key == p.address_key)
        .where(d.issue_id == issue_id, d.state == DeliveryState.FAILED, x.kind == "bounce", x.reason == d.reason)
    )
    return [Blamed(*row) for row in conn.execute(query.order_by(d.id))]

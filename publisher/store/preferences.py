"""What people change about their subscriptions and themselves; each change is the caller's to record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from publisher.model import Content, Format
from publisher.store import departures
from publisher.store import statements as st
from publisher.store.tables import Id, subscribers, subscriptions


def hold(conn: sa.Connection, subscriber_id: int) -> bool:
    """Keep everybody else from deciding about a person until the transaction ends; whether there is such a person."""
    return bool(st.run(conn, _held, id=subscriber_id))


_held = sa.select(subscribers.c.id).where(subscribers.c.id == st.parameter("id", Id)).with_for_update()


def choose(
    conn: sa.Connection,
    subscription_id: int,
    *,
    frequency: str,
    categories: Sequence[str] | None,
    content: Content | None,
    hour: int | None,
) -> None:
    """Set what somebody wants of a newsletter, from the next issue on; the cursor stays, so no article is lost."""
    changes = {
        "frequency": frequency,
        "categories": None if categories is None else list(categories),
        "content": content,
        "hour": hour,
    }
    conn.execute(sa.update(subscriptions).where(subscriptions.c.id == subscription_id).values(changes))


def pause(conn: sa.Connection, subscription_id: int, until: datetime | None) -> None:
    """Send nothing of a newsletter before `until`; None: from now on again. What is missed comes afterwards."""
    conn.execute(sa.update(subscriptions).where(subscriptions.c.id == subscription_id).values(paused_until=until))


def describe(
    conn: sa.Connection,
    subscriber_id: int,
    *,
    languages: Sequence[str],
    timezone: str,
    format: Format,  # noqa: A002
) -> None:
    """Set what a person said of themselves."""
    changes = {"languages": list(languages), "timezone": timezone, "format": format}
    conn.execute(sa.update(subscribers).where(subscribers.c.id == subscriber_id).values(changes))


def move(conn: sa.Connection, subscriber_id: int, address: str, address_key: str) -> None:
    """Give a person another address, which must be nobody's."""
    before = conn.scalar(sa.select(subscribers.c.address_key).where(subscribers.c.id == subscriber_id))
    if before is not None:
        departures.note(conn, "moved", before, other=address_key)
    changes = {"address": address, "address_key": address_key}
    conn.execute(sa.update(subscribers).where(subscribers.c.id == subscriber_id).values(changes))


def leave_out(conn: sa.Connection, subscriber_id: int) -> None:
    """Delete a person who never confirmed anything."""
    conn.execute(sa.delete(subscribers).where(subscribers.c.id == subscriber_id))

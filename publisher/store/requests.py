"""How often mail was asked for: what the limits count, under names that tell nobody whose they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import requests


def times(conn: sa.Connection, bucket: str, since: datetime, *, most: int) -> list[datetime]:
    """Return when a bucket was asked for after `since`, newest first, `most` of them."""
    r = requests.c
    query = sa.select(r.asked_at).where(r.bucket == bucket, r.asked_at > since)
    return list(conn.scalars(query.order_by(r.asked_at.desc()).limit(most)))


def note(conn: sa.Connection, buckets: Iterable[str], now: datetime) -> None:
    """Count one request in each bucket."""
    st.insert_all(conn, requests, [{"bucket": bucket, "asked_at": now} for bucket in buckets])


def forget(conn: sa.Connection, before: datetime) -> int:
    """Forget what was asked before that; returns how much it was."""
    return conn.execute(sa.delete(requests).where(requests.c.asked_at <= before)).rowcount

"""How often mail was asked for: what the limits count, under names that tell nobody whose they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import Instant, as_moment, requests


def times(conn: sa.Connection, bucket: str, since: datetime, *, most: int) -> list[datetime]:
    """Return when a bucket was asked for after `since`, newest first, `most` of them."""
    return [as_moment(at) for [at] in st.run(conn, _times, bucket=bucket, since=since, most=most, skip=0)]


def nth(conn: sa.Connection, bucket: str, since: datetime, place: int) -> datetime | None:
    """Return when a bucket was asked for the last time but `place` - 1, None when that was before `since`."""
    rows = st.run(conn, _times, bucket=bucket, since=since, most=1, skip=place - 1)
    return as_moment(rows[0][0]) if rows else None


_r = requests.c
_times = (
    sa.select(_r.asked_at)
    .where(_r.bucket == st.parameter("bucket", sa.Text()), _r.asked_at > st.parameter("since", Instant()))
    .order_by(_r.asked_at.desc())
    .limit(st.parameter("most", sa.Integer()))
    .offset(st.parameter("skip", sa.Integer()))
)


def note(conn: sa.Connection, buckets: Iterable[str], now: datetime) -> None:
    """Count one request in each bucket."""
    st.many(conn, st.into(conn.dialect.name, requests), [{"bucket": bucket, "asked_at": now} for bucket in buckets])


def forget(conn: sa.Connection, before: datetime) -> int:
    """Forget what was asked before that; returns how much it was."""
    return conn.execute(sa.delete(requests).where(requests.c.asked_at <= before)).rowcount

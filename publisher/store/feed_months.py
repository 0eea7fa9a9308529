"""The archive of each feed, month by month: which documents there are, and which are out of date."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import feed_archives, feed_months


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """How far the archive of a feed has followed the articles."""

    feed: str
    """`all`"""
    fingerprint: str
    """Of all that decides the bytes of its documents beside the articles."""
    changed: int
    """Every change of an article up to this number is in its documents, or they are marked as stale."""
    until_at: datetime | None
    """How far the document of the open month goes; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """The document of one month, in all formats."""

    feed: str
    month: str
    """`2026-10`, in UTC."""
    etag: str
    """Of the bytes of all formats together; empty: never written."""
    modified_at: datetime | None
    """When the bytes last changed."""


def archives(conn: sa.Connection) -> dict[str, Archive]:
    """Return the archives there are, by feed."""
    a = feed_archives.c
    rows = conn.execute(sa.select(a.feed, a.fingerprint, a.changed, a.until_at))
    return {
        row.feed: Archive(feed=row.feed, fingerprint=row.fingerprint, changed=row.changed, until_at=row.until_at)
        for row in rows
    }


def put_archives(conn: sa.Connection, archives: Iterable[Archive]) -> None:
    """Remember how far archives have followed."""
    st.upsert(conn, feed_archives, [asdict(archive) for archive in archives], keys=["feed"])


def listing(conn: sa.Connection, feed: str) -> list[Month]:
    """Return the months of a feed, the oldest first."""
    m = feed_months.c
    return [_month(row) for row in conn.execute(sa.select(feed_months).where(m.feed == feed).order_by(m.month))]


def newest(conn: sa.Connection) -> dict[str, str]:
    """Return the open month of each feed that has an archive."""
    m = feed_months.c
    return dict(conn.execute(sa.select(m.feed, sa.func.max(m.month)).group_by(m.feed)).all())


def mark(conn: sa.Connection, feed: str, months: Iterable[str]) -> None:
    """Note that these months of a feed are to be built again; those that are not there yet come into its chain."""
    rows = [{"feed": feed, "month": month, "etag": "", "modified_at": None, "stale": 1} for month in months]
    if rows:
        insert = st.insert(conn, feed_months)
        conn.execute(insert.on_conflict_do_update(index_elements=["feed", "month"], set_={"stale": 1}), rows)


def stale(conn: sa.Connection, limit: int) -> list[Month]:
    """Return months that are to be built, the newest first, because that is where readers begin."""
    m = feed_months.c
    query = sa.select(feed_months).where(m.stale == sa.literal_column("1")).order_by(m.month.desc(), m.feed)
    return [_month(row) for row in conn.execute(query.limit(limit))]


def neighbours(conn: sa.Connection, feed: str, month: str) -> tuple[str, str]:
    """Return the months before and after one in the chain of a feed; empty where there is none."""
    m = feed_months.c
    before = sa.select(sa.func.max(m.month)).where(m.feed == feed, m.month < month)
    after = sa.select(sa.func.min(m.month)).where(m.feed == feed, m.month > month)
    return conn.scalar(before) or "", conn.scalar(after) or ""


def put(conn: sa.Connection, months: Sequence[Month]) -> None:
    """Remember what documents are about to be written; they stay marked until `done`."""
    st.upsert(conn, feed_months, [asdict(month) | {"stale": 1} for month in months], keys=["feed", "month"])


def done(conn: sa.Connection, months: Iterable[Month]) -> None:
    """Note that the documents of these months lie there as remembered."""
    m = feed_months.c
    rows = [{"of": month.feed, "which": month.month} for month in months]
    if rows:
        named = (m.feed == sa.bindparam("of"), m.month == sa.bindparam("which"))
        conn.execute(sa.update(feed_months).where(*named).values(stale=0), rows)


def forget(conn: sa.Connection, feeds: Iterable[str]) -> None:
    """Forget the archives of these feeds."""
    feeds = list(feeds)
    st.delete_in(conn, feed_months.c.feed, feeds)
    st.delete_in(conn, feed_archives.c.feed, feeds)


def _month(row: st.AnyRow) -> Month:
    return Month(feed=row.feed, month=row.month, etag=row.etag, modified_at=row.modified_at)

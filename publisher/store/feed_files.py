"""What each written feed file was: its entity tag and when its bytes last changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import feed_files


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedFile:
    """One file of a feed; `modified_at` is aware UTC and moves only when the bytes change."""

    name: str
    """`all.rss`"""
    feed: str
    """`all`"""
    feed_id: str
    """The lasting Atom id of the feed, the same in all its formats (FR-X6)."""
    etag: str
    modified_at: datetime


def get(conn: sa.Connection, name: str) -> FeedFile | None:
    """Return what is known of one file, None when it was never written."""
    row = conn.execute(sa.select(feed_files).where(feed_files.c.name == name)).one_or_none()
    return _file(row) if row else None


def listing(conn: sa.Connection, feed: str | None = None) -> list[FeedFile]:
    """Return the files of one feed, or of all, by name."""
    query = sa.select(feed_files).order_by(feed_files.c.name)
    return [_file(row) for row in conn.execute(query if feed is None else query.where(feed_files.c.feed == feed))]


def put(conn: sa.Connection, file: FeedFile) -> None:
    """Remember a file, replacing what was known of it."""
    put_all(conn, [file])


def put_all(conn: sa.Connection, files: Iterable[FeedFile]) -> None:
    """Remember files, replacing what was known of them."""
    st.upsert(conn, feed_files, [asdict(file) for file in files], keys=["name"])


def remove(conn: sa.Connection, names: Iterable[str]) -> None:
    """Forget files."""
    st.delete_in(conn, feed_files.c.name, names)


def _file(row: st.AnyRow) -> FeedFile:
    return FeedFile(name=row.name, feed=row.feed, feed_id=row.feed_id, etag=row.etag, modified_at=row.modified_at)


def slugs(conn: sa.Connection) -> set[str]:
    """Return every feed that ever had a file."""
    return set(conn.scalars(sa.select(feed_files.c.feed).distinct()))


def etags(conn: sa.Connection, names: Iterable[str]) -> dict[str, str]:
    """Return the entity tags of these files, as far as they were written."""
    query = sa.select(feed_files.c.name, feed_files.c.etag).where(st.one_of(feed_files.c.name, names))
    return {row.name: row.etag for row in conn.execute(query)}

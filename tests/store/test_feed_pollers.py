"""What pollers say of their readers is kept while they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from publisher.store import feed_pollers
from publisher.store.database import Database
from publisher.store.feed_pollers import Poller

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)


def poller(name: str, subscribers: int, *, file: str = "all.rss", seen_at: datetime = NOW) -> Poller:
    return Poller(name=file, poller=name, subscribers=subscribers, seen_at=seen_at)


def kept(database: Database) -> list[Poller]:
    return database.read(lambda conn: feed_pollers.listing(conn, NOW - timedelta(days=365)))


def test_what_a_poller_said_last_counts(database: Database) -> None:
    """FR-H15."""
    database.write(lambda conn: feed_pollers.put(conn, [poller("feedly", 16), poller("newsblur", 3)], NOW))
    database.write(lambda conn: feed_pollers.put(conn, [poller("feedly", 12)], NOW))
    assert kept(database) == [poller("feedly", 12), poller("newsblur", 3)]


def test_a_poller_that_comes_no_more_is_forgotten(database: Database) -> None:
    """FR-H15: its readers have gone elsewhere, and would be counted twice."""
    old = NOW - feed_pollers.KEPT - timedelta(seconds=1)
    database.write(lambda conn: feed_pollers.put(conn, [poller("feedly", 16, seen_at=old)], old))
    assert kept(database) == [poller("feedly", 16, seen_at=old)]
    database.write(lambda conn: feed_pollers.put(conn, [poller("newsblur", 3)], NOW))
    assert kept(database) == [poller("newsblur", 3)]


def test_invented_pollers_do_not_fill_the_table(database: Database) -> None:
    """H8: whoever comes under a thousand names drives out the oldest of one file, not the others' rows."""
    many = [poller(f"p{n}", n, seen_at=NOW + timedelta(seconds=n)) for n in range(feed_pollers.MOST + 50)]
    other = poller("feedly", 16, file="economy.rss")
    database.write(lambda conn: feed_pollers.put(conn, [other, *many], NOW))
    assert {p.poller for p in kept(database)} == {"feedly", *(p.poller for p in many[50:])}

"""What is known of each written feed file."""

from __future__ import annotations

from dataclasses import replace

from publisher.store import feed_files
from publisher.store.database import Connection, Database
from publisher.store.feed_files import FeedFile
from tests.store.make import HOUR, NOW

RSS = FeedFile(name="all.rss", feed="all", feed_id="tag:example.org,2026:all", etag='"1"', modified_at=NOW)


def test_files_are_remembered_replaced_and_forgotten(database: Database) -> None:
    """By name, by feed, all of them; what was never written is None."""
    atom, other = replace(RSS, name="all.atom"), replace(RSS, name="x.rss", feed="x")
    newer = replace(RSS, etag='"2"', modified_at=NOW + HOUR)

    def work(conn: Connection) -> list[object]:
        for file in (RSS, atom, other, newer):
            feed_files.put(conn, file)
        found = [
            feed_files.get(conn, "all.rss"),
            feed_files.get(conn, "none.rss"),
            feed_files.listing(conn, "all"),
            feed_files.listing(conn),
        ]
        feed_files.remove(conn, ["all.rss", "none.rss"])
        return [*found, feed_files.listing(conn)]

    assert database.write(work) == [newer, None, [atom, newer], [atom, newer, other], [atom, other]]

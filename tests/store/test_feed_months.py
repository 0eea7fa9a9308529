"""What archives and feeds of authors are made of, on every database."""

from __future__ import annotations

from publisher.model import Author
from publisher.store import articles, feed_authors, feed_months
from publisher.store.database import Database
from tests.store.make import HOUR, NOW, draft, new, stored


def test_months_of_what_changed_and_who_wrote_it(database: Database) -> None:
    """Issue 3, points 3 and 5."""
    written = draft("one.md", authors=(Author("Ann"),), categories=("security",))
    (one,) = stored(database, new(written, published_at=NOW - 24 * 60 * HOUR))
    stored(database, new(draft("two.md")))
    month = f"{NOW:%Y-%m}"
    everything = database.read(lambda conn: articles.months(conn, 0))
    assert (len(everything), everything[month]) == (2, True)
    assert database.read(lambda conn: articles.months(conn, 1)) == {month: True}
    assert len(database.read(lambda conn: articles.months(conn, 0, categories=("security",)))) == 1
    assert database.read(lambda conn: feed_authors.with_articles(conn, None)) == {"ann"}
    assert database.read(lambda conn: feed_authors.name_of(conn, "ann")) == "Ann"
    database.write(lambda conn: articles.withdraw(conn, [one], reason="wrong", now=NOW))
    assert False in database.read(lambda conn: articles.months(conn, 0)).values()
    assert database.read(lambda conn: feed_authors.with_articles(conn, ["ann"])) == set()


def test_marked_months_come_newest_first_until_they_are_done(database: Database) -> None:
    database.write(lambda conn: feed_months.mark(conn, "all", ["2026-09", "2026-11", "2026-10"]))
    stale = database.read(lambda conn: feed_months.stale(conn, 2))
    assert [month.month for month in stale] == ["2026-11", "2026-10"]
    assert database.read(lambda conn: feed_months.neighbours(conn, "all", "2026-10")) == ("2026-09", "2026-11")
    database.write(lambda conn: feed_months.done(conn, stale))
    assert [month.month for month in database.read(lambda conn: feed_months.stale(conn, 9))] == ["2026-09"]
    database.write(lambda conn: feed_months.forget(conn, ["all"]))
    assert database.read(feed_months.newest) == {}

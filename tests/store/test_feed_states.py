"""What feeds follow: the numbers of changes, and how the newest are found."""

from __future__ import annotations

import pytest

from publisher.model import Author
from publisher.store import articles, feed_states
from publisher.store.database import Database
from publisher.store.feed_states import FeedState
from tests.store.make import HOUR, NOW, draft, new, stored


def test_a_state_is_kept_and_replaced(database: Database) -> None:
    first = FeedState(feed="all", fingerprint="a", changed=1, next_at=None)
    second = FeedState(feed="all", fingerprint="b", changed=2, next_at=NOW)
    other = FeedState(feed="brief", fingerprint="a", changed=1, next_at=None)
    database.write(lambda conn: feed_states.put(conn, [first, other]))
    database.write(lambda conn: feed_states.put(conn, [second]))
    assert database.read(feed_states.listing) == {"all": second, "brief": other}


def test_each_change_is_seen_by_who_looks_after_it(database: Database) -> None:
    """Issue 3, point 8: and too many are not listed."""
    one = stored(database, new(draft("one.md", authors=(Author("ANNA"),), categories=("security",))))
    stored(database, new(draft("two.md")))
    anna, nobody = frozenset(["anna"]), frozenset[str]()

    def seen(after: int, limit: int = 9) -> list[frozenset[str]] | None:
        found = database.read(lambda conn: feed_states.touched(conn, after, limit=limit))
        return None if found is None else [touched.authors for touched in found]

    assert (seen(0), seen(1), seen(2), seen(0, limit=1)) == ([anna, nobody], [nobody], [], None)
    database.write(lambda conn: articles.withdraw(conn, [one[0]], reason="wrong", now=NOW))
    assert seen(2) == [anna]
    (found,) = database.read(lambda conn: feed_states.touched(conn, 2, limit=9)) or []
    assert (found.categories, found.authors) == (frozenset(["security"]), frozenset(["anna"]))


@pytest.mark.parametrize("many", [1, 500])
def test_the_newest_are_the_same_whichever_way_they_are_found(
    database: Database, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """FR-X7."""
    monkeypatch.setattr("publisher.store.articles._MANY", many)
    for number in range(6):
        item = draft(
            f"{number}.md",
            authors=(Author("Anna"),) if number % 2 else (),
            categories=("security", "economy") if number % 3 else ("sport",),
        )
        stored(database, new(item, published_at=NOW - number * HOUR))

    def titles(**selection: tuple[str, ...]) -> list[str]:
        return [a.slug for a in database.read(lambda conn: articles.for_feed(conn, limit=3, **selection))]

    assert titles(categories=("security", "economy")) == ["1", "2", "4"]
    assert titles(authors=("ANNA",)) == ["1", "3", "5"]
    assert titles(authors=("anna",), categories=("security",)) == ["1", "5"]

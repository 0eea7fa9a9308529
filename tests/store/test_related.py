"""What feeds link as related is noted once: no entry changes by what becomes of another article."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from publisher.model import ArticleState
from publisher.store import articles, feed_months
from publisher.store.article_values import ref_of
from publisher.store.database import Database
from publisher.store.numbering import last_change
from tests.store.make import DAY, NOW, changed, draft, new, stored

HELD = ArticleState.HELD
OCTOBER = datetime(2026, 10, 31, 23, 59, tzinfo=UTC)


def linked(database: Database, key: str) -> list[str]:
    """Keys of the articles that feeds link for this one."""
    found = database.read(lambda conn: articles.get(conn, guid=f"guid:{key}"))
    assert found is not None
    refs = {ref_of(f"guid:{other}"): other for other in ("a", "b", "c", "d")}
    return [refs[ref] for ref in found.linked]


def numbers(database: Database) -> dict[str, int]:
    """The number of the last change of each article, by key."""
    places = database.read(lambda conn: articles.places(conn, limit=100))
    found = database.read(lambda conn: articles.by_ids(conn, [place.id for place in places]))
    return {found[place.id].guid.removeprefix("guid:"): place.changed for place in places}


def test_articles_that_come_together_link_each_other_in_the_order_named(database: Database) -> None:
    """FR-A6."""
    stored(database, new(draft("a", related=("c", "b", "x"))), new(draft("b", related=("a", "b"))), new(draft("c")))
    assert [linked(database, key) for key in "abc"] == [["c", "b"], ["a"], []]
    found = database.read(lambda conn: articles.get(conn, guid="guid:a"))
    assert found is not None
    assert found.related == ("guid:c", "guid:b")


def test_a_later_article_is_linked_while_the_month_of_the_first_is_the_newest(database: Database) -> None:
    """FR-A6, FR-X8: the entry changes, its `updated` does not; all other entries stay."""
    stored(database, new(draft("a", related=("b", "c"))), new(draft("d", related=("a",))))
    before = numbers(database)
    stored(database, new(draft("b"), published_at=NOW + timedelta(minutes=1)))
    assert linked(database, "a") == ["b"]
    after = numbers(database)
    assert after["d"] == before["d"]
    assert after["a"] == after["b"] == database.read(last_change) > before["a"]
    found = database.read(lambda conn: articles.get(conn, guid="guid:a"))
    assert found is not None
    assert found.updated_at == found.published_at


def test_an_article_of_a_month_that_is_over_learns_of_none_that_comes_later(database: Database) -> None:
    """FR-A6, RFC 5005 §4: a closed archive document changes by its own articles alone."""
    stored(database, new(draft("a", related=("b", "c")), published_at=OCTOBER), new(draft("d"), published_at=NOW))
    before = numbers(database)
    stored(database, new(draft("b"), published_at=OCTOBER - DAY), new(draft("c"), published_at=NOW))
    assert linked(database, "a") == []
    assert numbers(database)["a"] == before["a"]
    # Whoever names it from then on does; so does the article itself when it is stored again.
    a = database.read(lambda conn: articles.get(conn, guid="guid:a"))
    assert a is not None
    stored(database, changed(a.id, draft("a", related=("b", "c")), published_at=OCTOBER, change="seen"))
    assert linked(database, "a") == ["b", "c"]


def test_a_month_whose_followers_were_all_taken_back_stays_closed(database: Database) -> None:
    """RFC 5005 §4: its document is in the chain still."""
    stored(database, new(draft("a", related=("b",)), published_at=OCTOBER))
    database.write(lambda conn: feed_months.mark(conn, "all", ["2026-10", "2026-11"]))
    stored(database, new(draft("b"), published_at=OCTOBER))
    assert linked(database, "a") == []


def test_what_is_not_shown_is_linked_when_it_is(database: Database) -> None:
    """FR-X8: neither the address of an article that is held, nor that of one an operator has not released."""
    later = NOW + DAY
    [a, b, c] = stored(
        database,
        new(draft("a", related=("b", "c"))),
        new(draft("b", related=("a",)), state=HELD, published_at=later),
        new(draft("c", related=("a", "b")), state=ArticleState.QUARANTINED),
    )
    assert [linked(database, key) for key in "abc"] == [[], [], []]
    assert database.write(lambda conn: articles.release(conn, [c], NOW)) == [c]
    assert [linked(database, key) for key in "abc"] == [["c"], [], ["a"]]
    assert database.write(lambda conn: articles.release_due(conn, later)) == [b]
    assert [linked(database, key) for key in "abc"] == [["b", "c"], ["a"], ["a", "b"]]
    assert numbers(database)["a"] == numbers(database)["b"] == numbers(database)["c"]
    assert a


def test_a_link_stays_whatever_becomes_of_the_other_article(database: Database) -> None:
    """FR-A6, issue 3 point 5: withdrawn, renamed, or its file in the place of another; until it is named no more."""
    [a, b] = stored(database, new(draft("a", related=("b",))), new(draft("b")))
    before = numbers(database)["a"]
    database.write(lambda conn: articles.withdraw(conn, [b], reason="wrong", now=NOW))
    assert (linked(database, "a"), numbers(database)["a"]) == (["b"], before)
    stored(database, changed(b, draft("elsewhere", title="Another", slug="another")))
    stored(database, new(draft("b"), guid="guid:d"))
    assert (linked(database, "a"), numbers(database)["a"]) == (["b"], before)
    stored(database, changed(a, draft("a", related=("b",), title="Edited")))
    assert linked(database, "a") == ["b"]
    stored(database, changed(a, draft("a")))
    assert linked(database, "a") == []


def test_a_key_names_an_article_of_the_same_source(database: Database) -> None:
    stored(database, new(draft("a", related=("b",))))
    stored(database, new(draft("b")), source="other")
    assert linked(database, "a") == []


@pytest.mark.parametrize("count", [1, 60])
def test_many_that_name_one_are_noted_at_once(database: Database, count: int) -> None:
    stored(database, *(new(draft(f"n{number}", related=("a",))) for number in range(count)))
    stored(database, new(draft("a")))
    found = database.read(lambda conn: articles.listing(conn, limit=100))
    assert sum(article.linked == (ref_of("guid:a"),) for article in found) == count

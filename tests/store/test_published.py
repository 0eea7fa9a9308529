"""When an issue comes into the feed of its newsletter, and that it stays there."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import sqlalchemy as sa

from publisher.config.names import Names
from publisher.model import DeliveryState, IssueState
from publisher.store import deliveries, issues, names, published, tables
from publisher.store.database import Connection, Database
from publisher.store.numbering import last_change
from tests.store.make import DAY, NOW, frozen, reader, segment

PAGES = [
    segment("be/web", is_web=True, language="be", subject="Навіны", html="<p>сеціва</p>", text="сеціва"),
    segment("en/web", is_web=True),
]


def sent(database: Database, ref: str, when: datetime, newsletter: str = "digest") -> int:
    """Freeze an issue that has no reader, and let it be sent."""
    issue_id = frozen(database, [], ref=ref, slot=ref, segments=PAGES, newsletter=newsletter)
    database.write(lambda conn: issues.finish(conn, when))
    return issue_id


def shown(database: Database, newsletter: str = "digest") -> list[tuple[str, datetime]]:
    def read(conn: Connection) -> list[tuple[str, datetime]]:
        places = published.places(conn, newsletter, 10)
        found = published.by_ids(conn, [place.id for place in places], "en")
        assert [place.published_at for place in places] == [found[place.id].published_at for place in places]
        return [(found[place.id].ref, found[place.id].published_at) for place in places]

    return database.read(read)


def test_an_issue_that_is_sent_again_stays_where_it_was(database: Database) -> None:
    """FR-X8: not before it is sent; from then on `published` never changes, also while some of it is sent again."""
    subscription = database.write(lambda conn: reader(conn, "ada@example.org"))
    frozen(database, [subscription], segments=PAGES)
    assert shown(database) == []
    d = tables.deliveries
    uncertain = sa.update(d).values(state=DeliveryState.UNCERTAIN, finished_at=NOW)
    database.write(lambda conn: conn.execute(uncertain))
    assert database.write(lambda conn: issues.finish(conn, NOW)) == [1]
    assert shown(database) == [("r1", NOW)]
    number = database.read(last_change)
    assert database.write(lambda conn: deliveries.resend(conn, [1], now=NOW, until=NOW + DAY)) == [1]
    assert shown(database) == [("r1", NOW)]
    database.write(lambda conn: conn.execute(uncertain))
    assert database.write(lambda conn: issues.finish(conn, NOW + DAY)) == [1]
    assert shown(database) == [("r1", NOW)]
    assert database.read(last_change) == number
    issue = database.read(lambda conn: issues.listing(conn))[0]
    assert (issue.state, issue.sent_at, issue.published_at) == (IssueState.SENT, NOW + DAY, NOW)


def test_issues_stand_in_the_order_in_which_they_were_sent(database: Database) -> None:
    """FR-X7: one that waited for approval comes after those that did not; ties by ref."""
    held = frozen(database, [], ref="held", slot="held", segments=PAGES)
    database.write(lambda conn: conn.execute(sa.update(tables.issues).values(state=IssueState.HELD)))
    sent(database, "b", NOW)
    sent(database, "a", NOW)
    sent(database, "other", NOW, newsletter="other")
    back = sa.update(tables.issues).where(tables.issues.c.id == held).values(state=IssueState.SENDING)
    database.write(lambda conn: conn.execute(back))
    database.write(lambda conn: issues.finish(conn, NOW + DAY))
    assert shown(database) == [("held", NOW + DAY), ("a", NOW), ("b", NOW)]
    assert database.read(lambda conn: published.totals(conn, "digest")) == (3, NOW + DAY)


def test_months_of_issues_are_those_of_utc_and_of_what_is_new(database: Database) -> None:
    """§1.7."""
    october = datetime(2026, 10, 31, 23, 59, 59, 999999, tzinfo=UTC)
    first = sent(database, "first", october)
    number = database.read(last_change)
    second = sent(database, "second", datetime(2026, 11, 1, tzinfo=UTC))
    assert database.read(lambda conn: published.months(conn, "digest", 0)) == {"2026-10": True, "2026-11": True}
    assert database.read(lambda conn: published.months(conn, "digest", number)) == {"2026-11": True}
    assert database.read(lambda conn: published.months(conn, "digest", number + 1)) == {}
    start, end = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    between = database.read(lambda conn: published.places_between(conn, "digest", start, end))
    assert [place.id for place in between] == [first]
    assert second > first


def test_issues_of_a_newsletter_that_joins_another_are_new_there(database: Database) -> None:
    """Renamed by `former`: the archive of the other has to learn of them."""
    sent(database, "old", NOW - 40 * DAY, newsletter="old")
    sent(database, "new", NOW)
    number = database.read(last_change)
    database.write(lambda conn: names.rename(conn, Names(newsletters={"old": "digest"}, frequencies={}, categories={})))
    assert [ref for ref, _ in shown(database)] == ["new", "old"]
    assert "2026-10" in database.read(lambda conn: published.months(conn, "digest", number))


def test_a_page_is_chosen_by_language_and_an_issue_without_one_is_not_shown(database: Database) -> None:
    issue_id = sent(database, "both", NOW)
    bare = frozen(database, [], ref="bare", slot="bare", segments=[segment()])
    database.write(lambda conn: issues.finish(conn, NOW))
    for language, subject in (("be", "Навіны"), ("be-tarask", "Навіны"), ("en", "Subject en/web"), ("ru", "Навіны")):
        found = database.read(partial(published.by_ids, ids=[issue_id, bare], language=language))
        assert {number: issue.page.subject for number, issue in found.items()} == {issue_id: subject}

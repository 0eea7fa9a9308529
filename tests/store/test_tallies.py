"""What an issue's pages count: by state, by minute, by reason, by segment; the same on both databases."""

from __future__ import annotations

from datetime import timedelta

from publisher.model import DeliveryState, Format
from publisher.store import contents, deliveries, issues, people, subscribers, tallies
from publisher.store.database import Connection, Database
from publisher.store.tallies import Reason
from tests.store.make import DAY, HOUR, MINUTE, NOW, claim, draft, frozen, new, outcome, reader, segment, stored

S = DeliveryState
SECOND = timedelta(seconds=1)


def sent_to(database: Database, number: int, **fields: object) -> int:
    """An issue to so many readers; returns its id."""
    ids = [database.write(lambda conn, n=n: reader(conn, f"r{n}@example.org")) for n in range(number)]  # type: ignore[misc]
    return frozen(database, ids, **fields)  # type: ignore[arg-type]


def recorded(database: Database, states: list[tuple[DeliveryState, timedelta]]) -> list[int]:
    """Send the deliveries that wait: the n-th ends in the n-th state, so long after `NOW`; returns their ids."""

    def work(conn: Connection) -> list[int]:
        epoch = deliveries.new_epoch(conn, NOW)
        claimed = claim(conn, epoch=epoch, limit=len(states), now=NOW)
        for one, (state, after) in zip(claimed, states, strict=True):
            deliveries.record(conn, [outcome(one, state)], NOW + after)
        return [one.id for one in claimed]

    return database.write(work)


def test_deliveries_are_counted_by_state_and_sends_by_minute(database: Database) -> None:
    issue_id = sent_to(database, 6)
    recorded(
        database,
        [(S.SENT, SECOND), (S.SENT, 59 * SECOND), (S.SENT, 3 * MINUTE), (S.FAILED, MINUTE), (S.UNCERTAIN, MINUTE)],
    )
    tally = database.read(lambda conn: tallies.tally(conn, issue_id))
    assert tally.states == {S.SENT: 3, S.FAILED: 1, S.UNCERTAIN: 1, S.QUEUED: 1}
    assert tally.sent == ((NOW, 2), (NOW + 3 * MINUTE, 1))
    assert tally.states == database.read(lambda conn: deliveries.counts(conn, issue_id))
    assert database.read(lambda conn: tallies.tally(conn, issue_id + 1)) == tallies.Tally(states={}, sent=())


def test_reasons_tell_state_code_and_words_the_most_frequent_first(database: Database) -> None:
    issue_id = sent_to(database, 4)
    recorded(database, [(S.DEFERRED, SECOND), (S.FAILED, SECOND), (S.FAILED, SECOND), (S.SENT, SECOND)])
    assert database.read(lambda conn: tallies.reasons(conn, issue_id)) == [
        Reason(state=S.FAILED, reason="no such user", code=550, words="no such user", deliveries=2),
        Reason(state=S.DEFERRED, reason="later", code=451, words="later", deliveries=1),
    ]


def test_uncertain_deliveries_wait_for_a_decision_and_count_as_sent_by_the_operator_s_word(database: Database) -> None:
    """Issue 7, 4: resend, or mark as sent; nothing that is not uncertain is touched."""
    issue_id = sent_to(database, 3)
    ids = recorded(database, [(S.UNCERTAIN, SECOND), (S.UNCERTAIN, SECOND), (S.FAILED, SECOND)])
    assert database.read(tallies.uncertain) == {"r1": 2}
    assert database.read(lambda conn: tallies.uncertain_ids(conn, issue_id)) == ids[:2]
    assert database.write(lambda conn: tallies.mark_sent(conn, [ids[0], ids[2], 999])) == [ids[0]]
    assert database.write(lambda conn: tallies.mark_sent(conn, [ids[0]])) == []
    rows = {row.id: (row.state, row.reason) for row in database.read(lambda conn: deliveries.listing(conn))}
    assert [rows[id_] for id_ in ids] == [
        (S.SENT, "marked as sent by the operator"),
        (S.UNCERTAIN, "later"),
        (S.FAILED, "no such user"),
    ]
    assert database.read(tallies.uncertain) == {"r1": 1}


def test_an_issue_s_segments_are_listed_by_their_readers_without_their_bytes(database: Database) -> None:
    issue_id = sent_to(database, 2, segments=[segment("en"), segment("be", language="be", format=Format.TEXT, html="")])
    listed, number = database.read(lambda conn: contents.segment_readers(conn, issue_id, limit=5))
    assert [(one.language, one.format, one.subject, one.readers) for one in listed] == [("en", "html", "Subject en", 2)]
    assert number == 1
    found = database.read(lambda conn: contents.segment_text(conn, issue_id, listed[0].id))
    assert found == contents.SegmentText(html="<p>en</p>", text="en")
    assert database.read(lambda conn: contents.segment_text(conn, issue_id + 1, listed[0].id)) is None


def test_an_issue_s_articles_are_shown_as_they_stand_now(database: Database) -> None:
    ids = stored(database, new(draft("a.md")), new(draft("b.md")))
    issue_id = frozen(database, [database.write(lambda conn: reader(conn, "a@example.org"))], article_ids=ids)
    held = database.read(lambda conn: contents.issue_articles_of(conn, issue_id, limit=1))
    assert [(one.title, one.state) for one in held] == [("Title of a", "published")]
    [found] = database.read(lambda conn: issues.uncounted(conn, ref="r1"))
    assert (found.id, found.deliveries) == (issue_id, {})


def test_readers_are_found_by_the_beginning_of_their_address_whatever_stands_in_it(database: Database) -> None:
    """L15: bound, and no pattern: percent and underscore mean themselves."""

    def fill(conn: Connection) -> None:
        for address in ("ann@example.org", "anna@example.org", "an%a@example.org", "bob@example.org"):
            reader(conn, address)
        subscribers.suppress(conn, "anna@example.org", reason="gone", now=NOW)

    database.write(fill)

    def found(beginning: str, limit: int = 9) -> list[tuple[str, int, str]]:
        matches = database.read(lambda conn: people.search(conn, beginning, limit=limit))
        return [(one.address, one.subscriptions, one.suppressed) for one in matches]

    assert found("ann") == [("ann@example.org", 1, ""), ("anna@example.org", 1, "gone")]
    assert found("an%") == [("an%a@example.org", 1, "")]
    assert found("an_") == []
    assert found("' OR 1=1 --") == []
    assert len(found("a", limit=2)) == 2


def test_who_joined_and_left_is_counted_by_the_hour(database: Database) -> None:
    def fill(conn: Connection) -> None:
        reader(conn, "old@example.org", now=NOW - 9 * DAY)
        first = reader(conn, "a@example.org", now=NOW + MINUTE)
        reader(conn, "b@example.org", now=NOW + 59 * MINUTE)
        subscribers.unsubscribe(conn, first, method="link", now=NOW + 2 * HOUR)

    database.write(fill)
    assert database.read(lambda conn: people.movements(conn, NOW - DAY)) == [
        (NOW, "digest", "confirmed", 2),
        (NOW + 2 * HOUR, "digest", "unsubscribed", 1),
    ]


def test_a_reader_s_mails_are_told_with_the_server_s_words(database: Database) -> None:
    sent_to(database, 1)
    recorded(database, [(S.FAILED, SECOND)])
    [mail] = database.read(lambda conn: people.latest_deliveries(conn, 1, limit=5))
    assert (mail.issue, mail.state, mail.reply_code, mail.reply_text) == ("r1", S.FAILED, 550, "no such user")

"""One issue a slot, frozen whole with its segments and deliveries, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from publisher.model import Claimed, DeliveryState, Format, Issue, IssueState, SlotOutcome
from publisher.store import articles, deliveries, issue_turns, issues
from publisher.store.database import Connection, Database
from publisher.store.tables import deliveries as delivery_rows
from tests.store import make
from tests.store.make import (
    DAY,
    HOUR,
    NOW,
    draft,
    frozen,
    issue,
    new,
    outcome,
    reader,
    segment,
    stored,
)


def readers(database: Database, *names: str) -> list[int]:
    return database.write(lambda conn: [reader(conn, f"{name}@x.org") for name in names])


def issue_of(conn: Connection, issue_id: int) -> Issue:
    found = issues.get(conn, id=issue_id)
    assert found is not None
    return found


def claim(database: Database, limit: int = 99, now: datetime = NOW) -> list[Claimed]:
    def work(conn: Connection) -> list[Claimed]:
        epoch = deliveries.new_epoch(conn, now)
        return make.claim(conn, epoch=epoch, limit=limit, now=now)

    return database.write(work)


def record(database: Database, claimed: Claimed, state: DeliveryState = DeliveryState.SENT) -> None:
    assert database.write(lambda conn: deliveries.record(conn, [outcome(claimed, state, next_at=NOW)], NOW)) == {
        claimed.id
    }


def states(database: Database) -> list[tuple[int, DeliveryState, str]]:
    rows = database.read(lambda conn: deliveries.listing(conn))
    return [(row.issue_id, row.state, row.reason) for row in rows]


# Slots.


def test_a_schedule_counts_from_when_it_was_first_loaded_or_last_changed(database: Database) -> None:
    """Slots before that moment are never due; loading the same schedule again moves nothing (D6)."""

    def since(fingerprint: str, now: datetime, frequency: str = "weekly") -> datetime:
        return database.write(
            lambda conn: issues.schedule_since(
                conn, newsletter="digest", frequency=frequency, fingerprint=fingerprint, now=now
            )
        )

    assert since("mondays", NOW) == NOW
    assert since("mondays", NOW + DAY) == NOW
    assert since("fridays", NOW + DAY) == NOW + DAY
    assert since("fridays", NOW + 2 * DAY) == NOW + DAY
    assert since("mondays", NOW + 3 * DAY, "daily") == NOW + 3 * DAY


def test_a_slot_is_decided_once(database: Database) -> None:
    """P7: what was decided first stays, whoever comes second."""

    def decide(conn: Connection, slot: str, slot_at: datetime, outcome: SlotOutcome) -> bool:
        return issues.decide_slot(
            conn,
            newsletter="digest",
            frequency="weekly",
            slot=slot,
            slot_at=slot_at,
            outcome=outcome,
            reason=f"because {outcome}",
            now=NOW,
        )

    monday, next_monday = ("2026-11-23T07:00", NOW), ("2026-11-30T07:00", NOW + 7 * DAY)
    last = lambda conn: issues.last_decided(conn, newsletter="digest", frequency="weekly")  # noqa: E731
    assert database.read(last) is None
    assert database.write(lambda conn: decide(conn, *next_monday, SlotOutcome.SKIPPED))
    assert database.write(lambda conn: decide(conn, *monday, SlotOutcome.MISSED))
    assert not database.write(lambda conn: decide(conn, *monday, SlotOutcome.DISPATCHED))
    assert database.read(last) == NOW + 7 * DAY
    found = database.read(lambda conn: issues.slots(conn, newsletter="digest", frequency="weekly"))
    assert found == [
        issues.SlotRecord(
            newsletter="digest",
            frequency="weekly",
            slot=slot,
            slot_at=slot_at,
            outcome=decided,
            reason=f"because {decided}",
            decided_at=NOW,
        )
        for (slot, slot_at), decided in ((next_monday, SlotOutcome.SKIPPED), (monday, SlotOutcome.MISSED))
    ]
    assert database.read(lambda conn: issues.slots(conn, limit=1)) == found[:1]
    assert database.read(lambda conn: issues.slots(conn, frequency="daily")) == []
    other = lambda conn: issues.last_decided(conn, newsletter="digest", frequency="manual")  # noqa: E731
    assert database.read(other) is None


# Freezing.


def test_an_issue_is_frozen_with_everything_it_needs(database: Database) -> None:
    """Slot, issue, articles, segments and one queued delivery a reader, in one transaction (§5.2)."""
    ids = stored(database, new(draft("a.md")), new(draft("b.md")))
    ada, bob = readers(database, "ada", "bob")
    segments = [
        segment("en/html"),
        segment("en/web", is_web=True, language="en", html="<p>web</p>"),
        segment("be/web", is_web=True, language="be", subject="Навіны", html="<p>сеціва</p>", text="сеціва"),
        segment("en/text", format=Format.TEXT),
    ]
    issue_id = frozen(database, [ada, bob], to_seq=2, article_ids=ids, segments=segments)
    expected = Issue(
        id=issue_id,
        ref="r1",
        newsletter="digest",
        frequency="weekly",
        slot="2026-11-23T07:00",
        state=IssueState.SENDING,
        reason="",
        to_seq=2,
        settings={"title": "Дайджест"},
        created_at=NOW,
        sent_at=None,
        deliveries={DeliveryState.QUEUED: 2},
    )
    found = database.read(
        lambda conn: [issues.get(conn, id=issue_id), issues.get(conn, ref="r1"), issues.get(conn, ref="r2")]
    )
    assert found == [expected, expected, None]
    assert database.read(lambda conn: issues.article_ids(conn, issue_id)) == sorted(ids)
    infos = database.read(lambda conn: issues.segments(conn, issue_id))
    assert [(info.key, info.language, info.format, info.is_web, info.readers) for info in infos] == [
        ("en/html", "en", Format.HTML, False, 2),
        ("en/web", "en", Format.HTML, True, 0),
        ("be/web", "be", Format.HTML, True, 0),
        ("en/text", "en", Format.TEXT, False, 0),
    ]
    bytes_ = database.read(lambda conn: deliveries.segment(conn, infos[0].id))
    assert bytes_ == deliveries.SegmentBytes(
        head=segments[0].head, body=segments[0].body, settings={"title": "Дайджест"}, language="en", format=Format.HTML
    )
    belarusian = issues.WebSegment(language="be", subject="Навіны", html="<p>сеціва</p>", text="сеціва")
    for language, expected_language in (("be", "be"), ("be-tarask", "be"), ("en-GB", "en"), ("ja", "en")):
        page = database.read(lambda conn, language=language: issues.web_segment(conn, issue_id, language))  # type: ignore[misc]  # a default argument
        assert page is not None
        assert page.language == expected_language
        assert page.language != "be" or page == belarusian
        subjects = database.read(lambda conn, language=language: issues.web_subjects(conn, [issue_id, 999], language))  # type: ignore[misc]  # as above
        assert subjects == {issue_id: page.subject}
    assert database.read(lambda conn: issues.web_segment(conn, 999, "en")) is None
    [slot] = database.read(lambda conn: issues.slots(conn))
    assert (slot.outcome, slot.reason) == (SlotOutcome.DISPATCHED, "2 articles to 2 readers")


def test_a_slot_gives_one_issue(database: Database) -> None:
    """K16: pressing send twice makes one issue; the second attempt leaves nothing behind."""
    [ada] = readers(database, "ada")
    frozen(database, [ada])
    second = database.write(lambda conn: make.freeze(conn, issue(conn, [ada], ref="r2"), NOW))
    assert second is None
    assert [found.ref for found in database.read(lambda conn: issues.listing(conn))] == ["r1"]
    assert states(database) == [(1, DeliveryState.QUEUED, "")]


def test_a_half_built_issue_does_not_exist(database: Database) -> None:
    """A fault in the last row takes slot, issue and segments with it, so that the next attempt can have them (J1)."""
    ada, bob = readers(database, "ada", "bob")

    def work(conn: Connection) -> None:
        make.freeze(conn, issue(conn, [ada, bob]), NOW)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        database.write(work)
    with pytest.raises(IntegrityError):  # two deliveries for one person
        frozen(database, [ada, ada])
    left = database.read(lambda conn: (issues.listing(conn), issues.slots(conn), deliveries.listing(conn)))
    assert left == ([], [], [])
    frozen(database, [ada, bob])


def test_what_still_waits_comes_along_in_the_new_issue(database: Database) -> None:
    """DESIGN §4, Cursor: older queued and deferred deliveries expire; sent ones and those of others stay."""
    ada, bob, eve = readers(database, "ada", "bob", "eve")
    first = frozen(database, [ada, bob, eve], to_seq=1)
    sent, deferred = claim(database, limit=2)
    record(database, sent)
    record(database, deferred, DeliveryState.DEFERRED)
    second = frozen(database, [ada, bob], ref="r2", slot="2026-11-30T07:00", to_seq=2, now=NOW + 7 * DAY)
    assert states(database) == [
        (first, DeliveryState.SENT, "ok"),
        (first, DeliveryState.EXPIRED, "superseded by issue r2"),
        (first, DeliveryState.QUEUED, ""),
        (second, DeliveryState.QUEUED, ""),
        (second, DeliveryState.QUEUED, ""),
    ]


def test_a_reader_whose_mail_is_on_the_wire_is_left_to_the_next_issue(database: Database) -> None:
    """Nobody knows yet where their cursor will be; nothing is lost, since the cursor stands still."""
    ada, bob = readers(database, "ada", "bob")
    first = frozen(database, [ada, bob], to_seq=1)
    [on_the_wire] = claim(database, limit=1)
    second = frozen(database, [ada, bob], ref="r2", slot="2026-11-30T07:00", to_seq=2)
    assert states(database) == [
        (first, DeliveryState.SENDING, ""),
        (first, DeliveryState.EXPIRED, "superseded by issue r2"),
        (second, DeliveryState.QUEUED, ""),
    ]
    record(database, on_the_wire)


def test_a_reader_who_may_have_been_reached_is_left_to_the_next_issue(database: Database) -> None:
    """V8: an ambiguous attempt that waits for its second may have brought the articles; to expire it would be a lie."""
    [ada] = readers(database, "ada")
    first = frozen(database, [ada], to_seq=1)
    [claimed] = claim(database)
    ambiguous = outcome(claimed, DeliveryState.DEFERRED, next_at=NOW, ambiguous=True)
    database.write(lambda conn: deliveries.record(conn, [ambiguous], NOW))
    frozen(database, [ada], ref="r2", slot="2026-11-30T07:00", to_seq=2)
    assert states(database) == [(first, DeliveryState.DEFERRED, "later")]


def test_a_reader_who_received_more_since_composing_is_left_to_the_next_issue(database: Database) -> None:
    """V8: an outcome between composing and freezing must not repeat an article."""
    ada, bob = readers(database, "ada", "bob")
    first = frozen(database, [ada], to_seq=5)
    [claimed] = claim(database)
    record(database, claimed)
    second = frozen(database, [ada, bob], ref="r2", slot="2026-11-30T07:00", to_seq=6, cursor=0)
    found = database.read(lambda conn: deliveries.listing(conn))
    assert [(row.issue_id, row.subscription_id) for row in found] == [(first, ada), (second, bob)]


def test_mails_are_sent_segment_by_segment_in_whatever_order_readers_signed_up(database: Database) -> None:
    """So that a sender reads each segment's bytes once; all are due at the slot, none a moment later."""
    people = readers(database, "ada", "bob", "eve", "kim")
    segments = (segment("en"), segment("ru"))

    def work(conn: Connection) -> None:
        whole = issue(conn, people, segments=segments)
        mixed = [
            replace(delivery, segment_key="ru" if number % 2 == 0 else "en")
            for number, delivery in enumerate(whole.deliveries)
        ]
        make.freeze(conn, replace(whole, deliveries=mixed), NOW)

    database.write(work)
    ada, bob, eve, kim = people
    assert [claimed.subscription_id for claimed in claim(database, now=NOW)] == [bob, kim, ada, eve]


def test_who_left_the_database_before_the_freeze_gets_no_delivery(database: Database) -> None:
    """The others of the same batch do."""
    ada, bob = readers(database, "ada", "bob")

    def work(conn: Connection) -> int | None:
        whole = issue(conn, [ada, bob])
        erased = replace(whole.deliveries[0], subscription_id=bob + 1, message_id="<gone@example.org>")
        return make.freeze(conn, replace(whole, deliveries=[erased, *whole.deliveries]), NOW)

    assert database.write(work) is not None
    assert [row.subscription_id for row in database.read(lambda conn: deliveries.listing(conn))] == [ada, bob]


def test_an_issue_without_any_reader_is_over_at_once(database: Database) -> None:
    """Its page exists, its slot is decided."""
    issue_id = frozen(database, [], segments=[segment(is_web=True)])
    assert database.write(lambda conn: issues.finish(conn, NOW + HOUR)) == [issue_id]
    found = database.read(lambda conn: issues.get(conn, id=issue_id))
    assert found
    assert (found.state, found.sent_at, found.deliveries) == (IssueState.SENT, NOW + HOUR, {})


# The rest of its life.


def test_an_issue_is_sent_when_no_delivery_is_open(database: Database) -> None:
    """V1: queued, deferred and sending ones are open; the sums match at every moment."""
    ada, bob = readers(database, "ada", "bob")
    issue_id = frozen(database, [ada, bob])
    finish = lambda conn: issues.finish(conn, NOW)  # noqa: E731
    assert database.write(finish) == []
    first, second = claim(database)
    assert database.write(finish) == []
    record(database, first)
    record(database, second, DeliveryState.DEFERRED)
    assert database.write(finish) == []
    [again] = claim(database)
    record(database, again, DeliveryState.FAILED)
    assert database.write(finish) == [issue_id]
    assert database.write(finish) == []
    assert database.read(lambda conn: deliveries.counts(conn, issue_id)) == {
        DeliveryState.SENT: 1,
        DeliveryState.FAILED: 1,
    }


def test_a_spread_issue_starts_its_spread_when_it_is_approved(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Point 4 of issue 4: not all at once because it waited; who has an hour of his own later on keeps it."""
    monkeypatch.setattr(issue_turns, "_TOGETHER", 3)
    people = readers(database, *(f"p{number}" for number in range(8)))
    held = database.write(lambda conn: make.freeze(conn, replace(issue(conn, people), held="look at it"), NOW))
    assert held is not None

    def spread(conn: Connection) -> None:
        # As it was frozen: half an hour apart, from NOW on; and one at an hour of his own.
        for row in deliveries.listing(conn):
            due_at = NOW + (DAY if row.id == 8 else (row.id - 1) * HOUR / 2)
            conn.execute(
                sa.update(delivery_rows)
                .where(delivery_rows.c.id == row.id)
                .values(due_at=due_at, next_at=due_at, expires_at=due_at + DAY)
            )

    database.write(spread)
    later = NOW + 2 * HOUR
    assert database.write(
        lambda conn: issue_turns.approve(conn, issue_of(conn, held), wait=DAY, spread=4 * HOUR, now=later)
    )
    listed = database.read(deliveries.listing)
    assert [row.next_at for row in listed] == [*(later + n * HOUR / 2 for n in range(7)), NOW + DAY]
    assert [row.expires_at - row.next_at for row in listed] == [DAY] * 8


def test_a_paused_issue_sends_nothing_until_it_goes_on(database: Database) -> None:
    """Pausing applies at the claim; resuming continues where it stopped."""
    [ada] = readers(database, "ada")
    issue_id = frozen(database, [ada])
    assert database.write(lambda conn: issue_turns.pause(conn, issue_id))
    assert not database.write(lambda conn: issue_turns.pause(conn, issue_id))
    assert claim(database) == []
    assert database.read(deliveries.waiting) == deliveries.Waiting(open=0, next_at=None)
    assert database.write(lambda conn: issues.finish(conn, NOW)) == []
    assert database.write(lambda conn: issue_turns.resume(conn, issue_id))
    assert not database.write(lambda conn: issue_turns.resume(conn, issue_id))
    assert len(claim(database)) == 1


def test_what_a_lost_transport_may_have_sent_counts_as_received(database: Database) -> None:
    """H28, V8: it is uncertain and not sent over another one; so its articles do not come again with the next issue."""
    ada, bob = readers(database, "ada", "bob")
    frozen(database, [ada, bob], to_seq=7)
    [doubtful] = claim(database, limit=1)
    unknown = outcome(doubtful, DeliveryState.DEFERRED, next_at=NOW, ambiguous=True)
    assert database.write(lambda conn: deliveries.record(conn, [unknown], NOW)) == {doubtful.id}
    assert database.write(lambda conn: issues.adopt(conn, ["other"], "other", NOW)) == {"smtp": 1}
    assert [state for _, state, _ in states(database)] == [DeliveryState.UNCERTAIN, DeliveryState.QUEUED]
    found = database.read(lambda conn: make.readers(conn, "digest", "weekly"))
    assert {id_: wishes.cursor for id_, wishes in found.items()} == {ada: 7, bob: 0}


def test_cancelling_suppresses_what_waits(database: Database) -> None:
    """K18: what is on the wire ends by itself, the rest is suppressed as cancelled."""
    ada, bob = readers(database, "ada", "bob")
    issue_id = frozen(database, [ada, bob])
    [on_the_wire] = claim(database, limit=1)
    assert database.write(lambda conn: issue_turns.cancel(conn, issue_of(conn, issue_id), NOW))
    assert not database.write(lambda conn: issue_turns.cancel(conn, issue_of(conn, issue_id), NOW))
    assert claim(database) == []
    record(database, on_the_wire)
    assert states(database) == [(issue_id, DeliveryState.SENT, "ok"), (issue_id, DeliveryState.SUPPRESSED, "cancelled")]
    assert not database.write(lambda conn: issue_turns.resume(conn, issue_id))
    assert database.write(lambda conn: issues.finish(conn, NOW)) == []


def test_issues_are_listed_newest_first(database: Database) -> None:
    """By newsletter and state."""
    for number, newsletter in enumerate(("digest", "alerts", "digest")):
        frozen(database, [], ref=f"r{number}", slot=f"2026-11-2{number}T07:00", newsletter=newsletter)
    database.write(lambda conn: issue_turns.pause(conn, 1))

    def refs(**options: object) -> list[str]:
        return [item.ref for item in database.read(lambda conn: issues.listing(conn, **options))]  # type: ignore[arg-type]  # options

    assert refs() == ["r2", "r1", "r0"]
    assert refs(newsletter="digest") == ["r2", "r0"]
    assert refs(states=[IssueState.PAUSED, IssueState.SENT]) == ["r0"]
    assert refs(limit=1) == ["r2"]


def test_times_without_a_zone_are_refused_by_every_function(database: Database) -> None:
    """One promise for all: a naive time never gets in."""
    naive = datetime(2026, 11, 23, 7)  # noqa: DTZ001 - that is the point
    [ada] = readers(database, "ada")
    calls = [
        lambda conn: issues.schedule_since(conn, newsletter="d", frequency="w", fingerprint="f", now=naive),
        lambda conn: make.freeze(conn, issue(conn, [ada]), naive),
        lambda conn: make.freeze(conn, issue(conn, [ada], due_at=naive), NOW),
        lambda conn: issues.finish(conn, naive),
        lambda conn: deliveries.new_epoch(conn, naive),
        lambda conn: make.claim(conn, epoch=1, limit=1, now=naive),
        lambda conn: deliveries.recover(conn, [1], policy="retry", now=naive),
        lambda conn: reader(conn, "eve@x.org", now=naive),
        lambda conn: articles.failed(conn, "news", "folder", "error", naive),
    ]
    for call in calls:
        with pytest.raises(Exception, match="naive datetime"):
            database.write(call)
    assert database.read(lambda conn: issues.slots(conn)) == []

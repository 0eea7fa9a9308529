"""What is kept of attempts, and what counts against a reader."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from publisher.model import Attempt, Claimed, DeliveryState, Outcome, Recorded
from publisher.store import attempts, deliveries, soft_bounces, subscribers
from publisher.store.attempts import AttemptRow
from publisher.store.database import Database
from tests.store import make
from tests.store.make import DAY, NOW, frozen, outcome, reader

LATER = Attempt(outcome=Outcome.DEFERRED, code=450, text="4.2.0 <b>greylisted</b>", phase="rcpt")


def claimed(
    database: Database, *, ref: str = "r1", slot: str = "2026-11-23T07:00", address: str = "a@x.org"
) -> Claimed:
    """A delivery of a new issue on its way to this reader."""
    id_ = database.write(lambda conn: reader(conn, address))
    frozen(database, [id_], ref=ref, slot=slot)
    epoch = database.write(lambda conn: deliveries.new_epoch(conn, NOW))
    [taken] = database.write(lambda conn: make.claim(conn, epoch=epoch, limit=9, now=NOW))
    return taken


def test_each_attempt_that_came_to_nothing_is_kept_in_the_servers_words(database: Database) -> None:
    """Issue 4, point 7; what was accepted is on the delivery itself."""
    taken = claimed(database)
    deferred = Recorded(
        delivery_id=taken.id, epoch=taken.epoch, state=DeliveryState.DEFERRED, reason="later", attempt=LATER
    )
    sent = outcome(taken, DeliveryState.SENT)
    database.write(lambda conn: attempts.note(conn, [deferred, replace(sent, delivery_id=99)], NOW))
    assert database.read(lambda conn: attempts.listing(conn, taken.id)) == [
        AttemptRow(
            number=1, outcome=Outcome.DEFERRED, phase="rcpt", code=450, text="4.2.0 <b>greylisted</b>", ended_at=NOW
        )
    ]


def test_the_death_of_a_worker_is_an_attempt_of_unknown_outcome(database: Database) -> None:
    """P1: the history tells why a second copy may exist."""
    taken = claimed(database)
    database.write(lambda conn: deliveries.recover(conn, [taken.epoch], policy="retry", now=NOW + DAY))
    [row] = database.read(lambda conn: attempts.listing(conn, taken.id))
    assert (row.number, row.outcome, row.text) == (1, Outcome.AMBIGUOUS, "the worker died while sending")


def tried(database: Database, number: int, days: int, state: DeliveryState = DeliveryState.FAILED) -> Claimed:
    """An issue that is over for the reader, so many days from now."""
    taken = claimed(database, ref=f"r{number}", slot=f"2026-11-2{number}T07:00")
    database.write(lambda conn: deliveries.record(conn, [outcome(taken, state)], NOW + days * DAY))
    return taken


def note(database: Database, taken: Claimed, days: int) -> bool:
    return database.write(partial(soft_bounces.note, delivery_id=taken.id, reason="552 full", now=NOW + days * DAY))


def test_three_issues_in_two_weeks_are_too_many_and_less_is_not(database: Database) -> None:
    """Spec mail §1.7, soft; each issue counts once however often it was tried."""
    one, two, three, four = (tried(database, number, 0) for number in range(4))
    assert [note(database, *event) for event in ((one, 0), (one, 20), (two, 1), (three, 13))] == [False] * 4
    assert database.read(partial(subscribers.suppressed, address_key="a@x.org")) is None
    assert note(database, four, 14)
    reason = "4 issues since 2026-11-23 were not taken, the last one 552 full"
    assert database.read(partial(subscribers.suppressed, address_key="a@x.org")) == reason


def test_what_came_before_an_accepted_mail_has_passed(database: Database) -> None:
    """I15: a mailbox that was full and is not any more keeps its reader."""
    for number, days in ((0, 0), (1, 7)):
        note(database, tried(database, number, days), days)
    tried(database, 2, 8, DeliveryState.SENT)
    assert not note(database, tried(database, 3, 30), 30)


def test_a_delivery_of_somebody_erased_counts_against_nobody(database: Database) -> None:
    assert not database.write(partial(soft_bounces.note, delivery_id=7, reason="full", now=NOW))

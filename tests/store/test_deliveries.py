"""The ledger of the outbox: each delivery is claimed by one worker, recorded once, and never a third copy."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from publisher.errors import NotFoundError
from publisher.model import Claimed, DeliveryState, Recorded, SubscriptionState
from publisher.store import claims, deliveries, issue_turns, issues, preferences, subscribers
from publisher.store.database import Connection, Database
from publisher.store.tables import deliveries as rows
from publisher.store.tables import subscribers as people
from tests.store import make
from tests.store.make import DAY, HOUR, MINUTE, NOW, frozen, outcome, reader

QUEUED, SENDING, SENT, DEFERRED, FAILED, UNCERTAIN, SUPPRESSED, EXPIRED = DeliveryState


@pytest.fixture
def epoch(database: Database) -> int:
    """The number of the worker of this test."""
    return database.write(lambda conn: deliveries.new_epoch(conn, NOW))


def prepared(database: Database, *names: str, **fields: Any) -> list[int]:
    """Freeze an issue for readers of these names and return their subscriptions."""
    ids = database.write(lambda conn: [reader(conn, f"{name}@x.org") for name in names])
    frozen(database, ids, **fields)
    return ids


def claim(database: Database, epoch: int, limit: int = 99, now: datetime = NOW) -> list[Claimed]:
    return database.write(lambda conn: make.claim(conn, epoch=epoch, limit=limit, now=now))


def record(database: Database, *outcomes: Recorded, now: datetime = NOW) -> int:
    return len(database.write(lambda conn: deliveries.record(conn, outcomes, now)))


def ledger(database: Database) -> list[tuple[DeliveryState, str]]:
    return [(row.state, row.reason) for row in database.read(lambda conn: deliveries.listing(conn))]


def cursors(database: Database) -> dict[int, int]:
    found = database.read(lambda conn: make.readers(conn, "digest", "weekly"))
    return {id_: wishes.cursor for id_, wishes in found.items()}


def cancel(conn: Connection) -> bool:
    """Cancel the issue."""
    issue = issues.get(conn, id=1)
    assert issue is not None
    return issue_turns.cancel(conn, issue, NOW)


# Claiming.


@pytest.mark.parametrize("changes", [{"next_at": NOW + HOUR}, {"attempt": 1}], ids=["put off", "tried"])
def test_what_changed_since_it_was_read_stays_as_it_is(database: Database, epoch: int, changes: dict[str, Any]) -> None:
    """V4: put off, or tried by another in the meantime; alone it is refused as it is beside others."""
    prepared(database, "ada", due_at=NOW)

    def work(conn: Connection) -> set[int]:
        found = claims.upcoming(conn, epoch=epoch, now=NOW, limit=9)
        conn.execute(sa.update(rows).values(**changes))
        return claims.take(conn, found.candidates, NOW)

    assert database.write(work) == set()
    assert ledger(database) == [(QUEUED, "")]


def test_a_claim_takes_due_deliveries_longest_due_first(database: Database, epoch: int) -> None:
    """Up to the limit, then the rest, then none; each gets what it needs to be sent."""
    first, second = prepared(database, "ada", "bob", due_at=NOW)
    early = prepared(database, "eve", ref="r0", slot="2026-11-22T07:00", due_at=NOW - HOUR)
    prepared(database, "late", ref="r2", slot="2026-11-24T07:00", due_at=NOW + HOUR)
    claimed = claim(database, epoch, limit=2)
    assert [item.subscription_id for item in claimed] == [*early, first]
    assert claimed[1] == Claimed(
        id=1,
        issue_id=1,
        segment_id=1,
        subscription_id=first,
        epoch=epoch,
        attempt=1,
        address="ada@x.org",
        name="ada",
        date_at=NOW,
        message_id=f"<r1.{first}@example.org>",
        expires_at=NOW + DAY,
        ambiguous=0,
    )
    assert [item.subscription_id for item in claim(database, epoch)] == [second]
    assert claim(database, epoch) == []
    assert claim(database, epoch, limit=0) == []
    assert ledger(database) == [(SENDING, ""), (SENDING, ""), (SENDING, ""), (QUEUED, "")]


def test_every_attempt_has_the_same_bytes(database: Database, epoch: int) -> None:
    """Date, address, name and Message-ID are those of the first claim, whatever has changed since (V5)."""
    prepared(database, "ada")
    [first] = claim(database, epoch)
    record(database, outcome(first, DEFERRED, next_at=NOW + HOUR))
    database.write(lambda conn: conn.execute(sa.update(people).values(address="new@x.org", name="New")))
    assert claim(database, epoch, now=NOW + HOUR - MINUTE) == []
    other = database.write(lambda conn: deliveries.new_epoch(conn, NOW))
    [second] = claim(database, other, now=NOW + HOUR)
    assert second == first._replace(attempt=2, epoch=other)


@pytest.mark.parametrize(
    ("change", "closed"),
    [
        (lambda conn, id_: subscribers.unsubscribe(conn, id_, method="link", now=NOW), (SUPPRESSED, "unsubscribed")),
        (
            lambda conn, _: subscribers.suppress(conn, "ada@x.org", reason="complaint", now=NOW),
            (SUPPRESSED, "complaint"),
        ),
        (lambda conn, _: conn.execute(sa.delete(people).where(people.c.name == "ada")), (SUPPRESSED, "erased")),
        (lambda conn, id_: preferences.pause(conn, id_, NOW + DAY), (SUPPRESSED, "paused")),
    ],
    ids=["unsubscribed", "suppressed", "erased", "paused"],
)
@pytest.mark.parametrize("state", [QUEUED, DEFERRED])
def test_who_is_not_to_be_mailed_is_found_at_the_claim(
    database: Database, epoch: int, change: Any, closed: tuple[DeliveryState, str], state: DeliveryState
) -> None:
    """P3, F16: eligibility is looked at inside the claim; the row is closed with its reason, the others are sent."""
    ada, bob = prepared(database, "ada", "bob")
    if state is DEFERRED:
        record(database, *(outcome(item, DEFERRED, next_at=NOW) for item in claim(database, epoch)))
    database.write(lambda conn: change(conn, ada))
    assert [item.subscription_id for item in claim(database, epoch, limit=1)] == [bob]
    assert ledger(database)[0] == closed
    [row] = database.read(lambda conn: deliveries.listing(conn, states=[SUPPRESSED]))
    assert row.finished_at == NOW


def test_a_pending_reader_is_not_mailed(database: Database, epoch: int) -> None:
    """P4, although nobody should have frozen it."""
    pending = database.write(lambda conn: reader(conn, "ada@x.org", state=SubscriptionState.PENDING))
    frozen(database, [pending])
    assert claim(database, epoch) == []
    assert ledger(database) == [(SUPPRESSED, "pending")]


def test_what_is_too_old_is_not_sent(database: Database, epoch: int) -> None:
    """Older than its expiry means expired; the articles come with the next issue, since the cursor stays."""
    prepared(database, "ada", "bob", expires_at=NOW + HOUR, to_seq=7)
    claimed = claim(database, epoch, limit=1)
    assert claim(database, epoch, now=NOW + HOUR) == []
    assert ledger(database) == [(SENDING, ""), (EXPIRED, "not sent in time")]
    record(database, outcome(claimed[0]))
    assert list(cursors(database).values()) == [7, 0]


def test_a_claim_looks_past_any_number_of_rows_that_must_not_be_sent(database: Database, epoch: int) -> None:
    """One call closes them and still returns what it was asked for."""
    names = [f"p{number}" for number in range(30)]
    ids = prepared(database, *names)

    def leave(conn: Connection) -> None:
        for id_ in ids[:25]:
            subscribers.unsubscribe(conn, id_, method="link", now=NOW)

    database.write(leave)
    assert [item.subscription_id for item in claim(database, epoch, limit=3)] == ids[25:28]
    assert [state for state, _ in ledger(database)] == [SUPPRESSED] * 25 + [SENDING] * 3 + [QUEUED] * 2


# Recording.


def test_an_outcome_is_written_with_the_servers_words(database: Database, epoch: int) -> None:
    """P1: sent, failed with what the server said, deferred until when."""
    prepared(database, "ada", "bob", "eve")
    ada, bob, eve = claim(database, epoch)
    outcomes = [outcome(eve, DEFERRED, next_at=NOW + HOUR), outcome(ada), outcome(bob, FAILED)]
    assert record(database, *outcomes, now=NOW + MINUTE) == 3
    rows = database.read(lambda conn: deliveries.listing(conn))
    assert [(row.state, row.reply_code, row.reply_text, row.finished_at, row.next_at) for row in rows] == [
        (SENT, 250, "ok", NOW + MINUTE, NOW + MINUTE),
        (FAILED, 550, "no such user", NOW + MINUTE, NOW + MINUTE),
        (DEFERRED, 451, "later", None, NOW + HOUR),
    ]
    assert rows[2] == deliveries.DeliveryRow(
        id=3,
        issue_id=1,
        subscription_id=eve.subscription_id,
        subscriber_id=rows[2].subscriber_id,
        state=DEFERRED,
        reason="later",
        attempt=1,
        ambiguous=0,
        to_seq=0,
        due_at=NOW,
        expires_at=NOW + DAY,
        next_at=NOW + HOUR,
        address="eve@x.org",
        name="eve",
        message_id=eve.message_id,
        reply_code=451,
        reply_text="later",
        finished_at=None,
    )


def test_only_the_worker_whose_claim_stands_may_record(database: Database, epoch: int) -> None:
    """K7: a worker that was taken for dead is fenced, and so is a second word on the same attempt."""
    prepared(database, "ada", "bob")
    ada, bob = claim(database, epoch)
    database.write(lambda conn: deliveries.recover(conn, [epoch], policy="retry", now=NOW))
    other = database.write(lambda conn: deliveries.new_epoch(conn, NOW))
    [ada2, bob2] = claim(database, other)
    assert record(database, outcome(ada), outcome(bob, FAILED)) == 0
    assert ledger(database) == [(SENDING, "the worker died while sending")] * 2
    assert record(database, outcome(ada2), outcome(bob2, epoch=epoch)) == 1
    assert record(database, outcome(ada2, FAILED)) == 0
    assert [state for state, _ in ledger(database)] == [SENT, SENDING]


def test_the_cursor_moves_with_the_outcome_and_never_back(database: Database, epoch: int) -> None:
    """What was sent, or may have been, counts as received; what failed or waits does not."""
    ids = prepared(database, "ada", "bob", "eve", "joe", to_seq=5)
    ada, bob, eve, joe = claim(database, epoch)
    record(database, outcome(ada), outcome(bob, FAILED), outcome(eve, UNCERTAIN), outcome(joe, DEFERRED, next_at=NOW))
    assert cursors(database) == dict(zip(ids, (5, 0, 5, 0), strict=True))
    frozen(database, ids, ref="r2", slot="2026-11-30T07:00", to_seq=3)
    record(database, *(outcome(item) for item in claim(database, epoch)))
    assert cursors(database) == dict(zip(ids, (5, 3, 5, 3), strict=True))


def test_a_second_ambiguous_attempt_is_the_last(database: Database, epoch: int) -> None:
    """P2: nobody gets more than two copies, whatever the worker wishes."""
    prepared(database, "ada", to_seq=5)
    [first] = claim(database, epoch)
    record(database, outcome(first, DEFERRED, next_at=NOW, ambiguous=True))
    [second] = claim(database, epoch)
    record(database, outcome(second, DEFERRED, next_at=NOW, ambiguous=True), now=NOW + HOUR)
    assert claim(database, epoch, now=NOW + HOUR) == []
    [row] = database.read(lambda conn: deliveries.listing(conn))
    assert (row.state, row.ambiguous, row.finished_at) == (UNCERTAIN, 2, NOW + HOUR)
    assert list(cursors(database).values()) == [5]


def test_a_sure_refusal_after_an_ambiguous_attempt_is_a_failure(database: Database, epoch: int) -> None:
    """The last word of the server counts as long as it is a word."""
    prepared(database, "ada")
    [first] = claim(database, epoch)
    record(database, outcome(first, DEFERRED, next_at=NOW, ambiguous=True))
    [second] = claim(database, epoch)
    record(database, outcome(second, FAILED))
    assert ledger(database) == [(FAILED, "no such user")]


# Recovery.


def test_retrying_sends_once_more_and_then_gives_up(database: Database, epoch: int) -> None:
    """§5.2 recovery: at least once, two copies at most (K11); the crash is counted durably."""
    prepared(database, "ada", to_seq=5)
    for expected in (deliveries.Recovered(deferred=1, uncertain=0), deliveries.Recovered(deferred=0, uncertain=1)):
        worker = database.write(lambda conn: deliveries.new_epoch(conn, NOW))
        assert len(claim(database, worker)) == 1
        found = database.write(lambda conn, e=worker: deliveries.recover(conn, [e], policy="retry", now=NOW))  # type: ignore[misc]  # a default argument
        assert found == expected
    assert claim(database, epoch) == []
    assert ledger(database) == [(UNCERTAIN, "the worker died while sending")]
    assert list(cursors(database).values()) == [5]


def test_holding_never_repeats(database: Database, epoch: int) -> None:
    """`hold`: what was on the wire is shown as uncertain, and counts as received."""
    prepared(database, "ada", "bob", to_seq=5)
    claim(database, epoch, limit=1)
    found = database.write(lambda conn: deliveries.recover(conn, [epoch], policy="hold", now=NOW))
    assert found == deliveries.Recovered(deferred=0, uncertain=1)
    assert [state for state, _ in ledger(database)] == [UNCERTAIN, QUEUED]
    assert list(cursors(database).values()) == [5, 0]


def test_recovery_leaves_the_living_alone(database: Database, epoch: int) -> None:
    """Only epochs proven dead; workers that ended in order need none."""
    prepared(database, "ada", "bob")
    alive = database.write(lambda conn: deliveries.new_epoch(conn, NOW))
    claim(database, epoch, limit=1)
    [bob] = claim(database, alive, limit=1)
    assert database.read(deliveries.running_epochs) == [epoch, alive]
    database.write(lambda conn: deliveries.recover(conn, [epoch], policy="retry", now=NOW))
    assert [state for state, _ in ledger(database)] == [DEFERRED, SENDING]
    assert database.read(deliveries.running_epochs) == [alive]
    database.write(lambda conn: deliveries.stop_epoch(conn, alive, NOW))
    assert database.read(deliveries.running_epochs) == [alive]  # it left something on the wire: that is no order
    record(database, outcome(bob))
    database.write(lambda conn: deliveries.stop_epoch(conn, alive, NOW))
    assert database.read(deliveries.running_epochs) == []
    assert database.write(lambda conn: deliveries.new_epoch(conn, NOW)) > alive


def test_a_claim_that_was_never_committed_did_not_happen(database: Database, epoch: int) -> None:
    """A crash inside the transaction leaves the rows as they were: unsent, not ambiguous (J1)."""
    prepared(database, "ada")

    def work(conn: Connection) -> None:
        assert len(make.claim(conn, epoch=epoch, limit=1, now=NOW)) == 1
        raise RuntimeError("kill -9")

    with pytest.raises(RuntimeError, match="kill -9"):
        database.write(work)
    [claimed] = claim(database, epoch)
    assert claimed.attempt == 1


# Questions.


def test_what_waits_is_counted_with_the_moment_it_is_due(database: Database, epoch: int) -> None:
    """Open are queued, deferred and sending ones; the next moment is that of one that waits."""
    assert database.read(deliveries.waiting) == deliveries.Waiting(open=0, next_at=None)
    prepared(database, "ada", "bob", due_at=NOW + HOUR)
    assert database.read(deliveries.waiting) == deliveries.Waiting(open=2, next_at=NOW + HOUR)
    ada, bob = claim(database, epoch, now=NOW + HOUR)
    assert database.read(deliveries.waiting) == deliveries.Waiting(open=2, next_at=None)
    record(database, outcome(ada), outcome(bob, DEFERRED, next_at=NOW + 2 * HOUR))
    assert database.read(deliveries.waiting) == deliveries.Waiting(open=1, next_at=NOW + 2 * HOUR)


def test_deliveries_are_listed_by_issue_and_state_page_by_page(database: Database, epoch: int) -> None:
    """By id, going on after the last one seen."""
    prepared(database, "ada", "bob")
    prepared(database, "eve", ref="r2", slot="2026-11-30T07:00")
    claim(database, epoch, limit=1)

    def ids(**options: Any) -> list[int]:
        return [row.id for row in database.read(lambda conn: deliveries.listing(conn, **options))]

    assert ids() == [1, 2, 3]
    assert ids(issue_id=1) == [1, 2]
    assert ids(states=[QUEUED]) == [2, 3]
    assert ids(after=1, limit=1) == [2]


def test_an_unknown_segment_is_an_error(database: Database) -> None:
    """It cannot be, unless somebody deleted it by hand."""
    with pytest.raises(NotFoundError, match="no segment 7"):
        database.read(lambda conn: deliveries.segment(conn, 7))


# Side by side.


def test_workers_side_by_side_never_share_a_delivery(database: Database) -> None:
    """K6: every row is claimed exactly once; on PostgreSQL by several connections at the same time."""
    ids = prepared(database, *(f"p{number}" for number in range(40)))
    start = threading.Barrier(4)

    def work(_: int) -> list[Claimed]:
        epoch = database.write(lambda conn: deliveries.new_epoch(conn, NOW))
        start.wait()
        claimed: list[Claimed] = []
        while batch := claim(database, epoch, limit=3):
            claimed += batch
            record(database, *(outcome(item) for item in batch))
        return claimed

    with ThreadPoolExecutor(4) as pool:
        claimed = [item for items in pool.map(work, range(4)) for item in items]
    assert sorted(item.subscription_id for item in claimed) == sorted(ids)
    assert {state for state, _ in ledger(database)} == {SENT}


def test_a_worker_does_not_wait_for_rows_another_is_claiming(postgresql_url: str, tmp_path: Path) -> None:
    """SKIP LOCKED: the second worker takes the next rows while the first transaction is still open."""
    with (
        Database.open(postgresql_url, data_dir=tmp_path) as first,
        Database.open(postgresql_url, data_dir=tmp_path) as second,
    ):
        ids = prepared(first, "ada", "bob")
        epochs = [first.write(lambda conn: deliveries.new_epoch(conn, NOW)) for _ in range(2)]

        def work(conn: Connection) -> list[int]:
            mine = make.claim(conn, epoch=epochs[0], limit=1, now=NOW)
            theirs = claim(second, epochs[1], limit=2)
            return [item.subscription_id for item in (*mine, *theirs)]

        assert first.write(work) == ids


@pytest.mark.parametrize("act", ["unsubscribe", "suppress"])
def test_leaving_and_claiming_at_the_same_moment_are_put_in_order(
    postgresql_url: str, tmp_path: Path, act: str
) -> None:
    """P3: a claim that meets somebody leaving waits for the answer and does not mail them."""
    with Database.open(postgresql_url, data_dir=tmp_path) as database, ThreadPoolExecutor(1) as pool:
        [ada] = prepared(database, "ada")
        epoch = database.write(lambda conn: deliveries.new_epoch(conn, NOW))

        def leave(conn: Connection) -> Any:
            if act == "unsubscribe":
                subscribers.unsubscribe(conn, ada, method="one-click", now=NOW)
            else:
                subscribers.suppress(conn, "ada@x.org", reason="complaint", now=NOW)
            claiming = pool.submit(claim, database, epoch)
            waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            while not claiming.done() and not conn.scalar(waiting):
                pass
            return claiming

        assert database.write(leave).result(timeout=30) == []
        assert ledger(database)[0][0] is SUPPRESSED


def test_the_ledger_is_searched_by_its_partial_indexes(database: Database) -> None:
    """J17: claiming, recovering and finishing read what is open, not years of what was sent."""
    plans: list[str] = []

    def work(conn: Connection) -> None:
        if conn.dialect.name == "postgresql":
            conn.exec_driver_sql("SET LOCAL enable_seqscan = off")  # an empty table is always read whole

        @sa.event.listens_for(conn, "before_cursor_execute", retval=True)
        def explain(
            _conn: object, cursor: Any, statement: str, parameters: Any, _context: object, _many: bool
        ) -> tuple[str, Any]:
            prefix = "EXPLAIN" if conn.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
            if "deliveries" in statement:
                cursor.execute(f"{prefix} {statement}", parameters)
                plans.append(" ".join(str(part) for row in cursor.fetchall() for part in row))
            return statement, parameters

        make.claim(conn, epoch=1, limit=1, now=NOW)
        deliveries.recover(conn, [1], policy="retry", now=NOW)
        issues.finish(conn, NOW)

    database.write(work)
    used = [re.findall("ix_deliveries_([a-z]+)", plan) for plan in plans]
    if database.dialect == "sqlite":
        assert used == [["waiting"], ["sending"], ["open"]]
    else:  # while the table is small, any of the partial ones does
        assert all(set(names) & {"waiting", "sending", "open"} for names in used)


def test_a_block_is_read_in_the_order_of_the_queue_whatever_the_statistics_say(postgresql_database: Database) -> None:
    """J17: a planner that takes thousands of rows just queued for a handful does not read and sort them all."""
    plans: list[str] = []

    def work(conn: Connection) -> None:
        conn.exec_driver_sql("ANALYZE deliveries")  # as of before, and to be undone with this transaction
        frozen_ids = [reader(conn, f"p{number}@x.org") for number in range(1200)]
        make.freeze(conn, make.issue(conn, frozen_ids), NOW)

        @sa.event.listens_for(conn, "before_cursor_execute", retval=True)
        def explain(
            _conn: object, cursor: Any, statement: str, parameters: Any, _context: object, _many: bool
        ) -> tuple[str, Any]:
            if "ORDER BY deliveries.next_at" in statement:
                cursor.execute(f"EXPLAIN (ANALYZE) {statement}", parameters)
                plans.append("\n".join(row[0] for row in cursor.fetchall()))
            return statement, parameters

        claims.upcoming(conn, epoch=1, now=NOW, limit=10)
        claims.upcoming(conn, epoch=1, now=NOW, limit=10, after=(NOW, 500))
        claims.upcoming(conn, epoch=1, now=NOW, limit=10, backwards=True)
        deliveries.waiting(conn)

    postgresql_database.write(work)
    assert len(plans) == 4
    for plan in plans:
        assert "ix_deliveries_waiting" in plan
        assert "Sort" not in plan


def test_an_operator_may_send_what_is_uncertain_or_failed_once_more(database: Database, epoch: int) -> None:
    """§5.2: the same bytes, the same life of two unknown outcomes; what is sent or waits stays as it is."""
    prepared(database, "ada", "bob", "eve", "joe", expires_at=NOW + HOUR)
    ada, bob, eve, _ = claim(database, epoch)
    record(database, outcome(ada, UNCERTAIN, ambiguous=True), outcome(bob, FAILED), outcome(eve))
    until = NOW + DAY
    again = database.write(lambda conn: deliveries.resend(conn, [1, 2, 3, 4, 99], now=NOW + 2 * HOUR, until=until))
    assert again == [1, 2]
    first, second = claim(database, epoch, now=NOW + 2 * HOUR)
    assert first == ada._replace(attempt=2, expires_at=until, ambiguous=1)
    record(database, outcome(first, DEFERRED, next_at=NOW, ambiguous=True), outcome(second))
    assert [state for state, _ in ledger(database)] == [UNCERTAIN, SENT, SENT, SENDING]


def test_sending_again_opens_the_issue_again(database: Database, epoch: int) -> None:
    """An issue that was finished is being sent until its last delivery has ended."""
    prepared(database, "ada")
    [ada] = claim(database, epoch)
    record(database, outcome(ada, UNCERTAIN))
    assert database.write(lambda conn: issues.finish(conn, NOW)) == [1]
    database.write(lambda conn: deliveries.resend(conn, [1], now=NOW, until=NOW + DAY))
    assert len(claim(database, epoch)) == 1


def test_what_comes_back_after_its_issue_was_cancelled_has_ended(database: Database, epoch: int) -> None:
    """K18: a mail under way when its issue is cancelled is not tried again, and does not wait for ever (V1)."""
    prepared(database, "ada", "bob", "eve", "joe")
    ada, bob, eve, _ = claim(database, epoch)
    assert database.write(cancel)
    record(
        database,
        outcome(ada, DEFERRED, next_at=NOW),
        outcome(bob, DEFERRED, next_at=NOW, ambiguous=True),
        outcome(eve),
    )
    database.write(lambda conn: deliveries.recover(conn, [epoch], policy="retry", now=NOW))
    assert ledger(database) == [
        (SUPPRESSED, "cancelled"),
        (UNCERTAIN, "cancelled, and perhaps sent before"),
        (SENT, "ok"),
        (UNCERTAIN, "cancelled, and perhaps sent before"),
    ]
    assert database.write(lambda conn: deliveries.resend(conn, [2, 4], now=NOW, until=NOW + DAY)) == []


def test_cancelling_counts_what_may_have_arrived_as_received(database: Database, epoch: int) -> None:
    """V8: else the next issue would bring the same articles again."""
    [ada, bob] = prepared(database, "ada", "bob", to_seq=7)
    first, _ = claim(database, epoch)
    record(database, outcome(first, DEFERRED, next_at=NOW, ambiguous=True))
    database.write(lambda conn: deliveries.give_back(conn, epoch, NOW))
    database.write(cancel)
    assert ledger(database) == [(UNCERTAIN, "cancelled, and perhaps sent before"), (SUPPRESSED, "cancelled")]
    assert cursors(database) == {ada: 7, bob: 0}


def test_cancelling_and_an_outcome_at_the_same_moment_are_put_in_order(postgresql_database: Database) -> None:
    """K18 on PostgreSQL: the outcome waits for the cancelling, or the other way round; nothing is left waiting."""
    epoch = postgresql_database.write(lambda conn: deliveries.new_epoch(conn, NOW))
    prepared(postgresql_database, "ada")
    [ada] = claim(postgresql_database, epoch)
    recorded = threading.Event()

    def cancel_then() -> None:
        recorded.wait()
        postgresql_database.write(cancel)

    def work(conn: Connection) -> None:
        deliveries.record(conn, [outcome(ada, DEFERRED, next_at=NOW)], NOW)
        recorded.set()
        query = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        while not conn.scalar(query):
            pass

    with ThreadPoolExecutor(1) as threads:
        cancelling = threads.submit(cancel_then)
        postgresql_database.write(work)
        cancelling.result()
    assert ledger(postgresql_database) == [(SUPPRESSED, "cancelled")]

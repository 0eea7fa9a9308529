"""Forgetting with time: first what servers said, then whose a delivery was; the sums stay (delivery §8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial

import pytest
import sqlalchemy as sa

from publisher.model import Attempt, DeliveryState, Outcome
from publisher.store import attempts, deliveries, erasures, forgetting, issue_turns, issues, soft_bounces
from publisher.store.database import Connection, Database
from publisher.store.forgetting import Forgotten
from publisher.store.tables import soft_bounces as soft_rows
from tests.store import make
from tests.store.make import DAY, NOW, frozen, outcome, reader

SENT, FAILED = DeliveryState.SENT, DeliveryState.FAILED
SAID = Attempt(outcome=Outcome.REFUSED, code=552, text="5.2.2 <bob@x.org> over quota", phase="rcpt")


def sent(database: Database, *names: str) -> list[int]:
    """Send an issue to readers: all are reached but the last, whose mailbox is full; return their subscriptions."""
    ids = database.write(lambda conn: [reader(conn, f"{name}@x.org") for name in names])
    frozen(database, ids)

    def work(conn: Connection) -> None:
        epoch = deliveries.new_epoch(conn, NOW)
        taken = make.claim(conn, epoch=epoch, limit=99, now=NOW)
        done = [outcome(one) for one in taken[:-1]]
        done.append(replace(outcome(taken[-1], FAILED), attempt=SAID, reason=f"rcpt: 552 {SAID.text}"))
        attempts.note(conn, done, NOW)
        soft_bounces.note(conn, taken[-1].id, SAID.text, NOW)
        deliveries.record(conn, done, NOW)
        issues.finish(conn, NOW)

    database.write(work)
    return ids


def forget(database: Database, what: Forgotten, before: datetime) -> list[int | None]:
    """Take steps until nothing is left; return how many deliveries each concerned."""
    steps: list[int | None] = [0]
    while steps[-1] is not None:
        steps.append(database.write(partial(forgetting.forget, what=what, before=before)))
    return steps[1:]


def rows(database: Database) -> list[deliveries.DeliveryRow]:
    return database.read(deliveries.listing)


def test_the_words_of_servers_go_and_where_it_failed_stays(database: Database) -> None:
    """§8: 30 days; servers repeat addresses. What the operator counts by, state and code, is not about a person."""
    sent(database, "ada", "bob")
    before = rows(database)
    assert forget(database, Forgotten.WORDS, NOW) == [None]  # not older yet
    assert rows(database) == before
    assert forget(database, Forgotten.WORDS, NOW + DAY) == [2, None]
    database.write(lambda conn: forgetting.forget_soft_bounces(conn, NOW + DAY))
    ada, bob = rows(database)
    assert (ada.state, ada.reply_code, ada.reply_text) == (SENT, 250, None)
    assert (bob.state, bob.reason, bob.reply_code, bob.reply_text) == (FAILED, "rcpt: 552 …", 552, None)
    assert (bob.subscriber_id, bob.address) == (before[1].subscriber_id, "bob@x.org")
    [tried] = database.read(lambda conn: attempts.listing(conn, bob.id))
    assert (tried.code, tried.text) == (552, "")
    assert database.read(lambda conn: conn.scalars(sa.select(soft_rows.c.reason)).all()) == [""]


def test_after_a_longer_time_a_delivery_is_a_number_in_the_sums_of_its_issue(database: Database) -> None:
    """§8: 90 days; the subscriber's id is dropped, the counts are kept, and the words go with it in any case."""
    ids = sent(database, "ada", "bob")
    counts = database.read(lambda conn: deliveries.counts(conn, 1))
    assert forget(database, Forgotten.READERS, NOW + DAY) == [2, None]
    for row in rows(database):
        assert (row.subscriber_id, row.subscription_id, row.address, row.name, row.reply_text) == (None,) * 5
    assert rows(database)[1].reason == "rcpt: 552 …"
    assert database.read(lambda conn: deliveries.counts(conn, 1)) == counts == {SENT: 1, FAILED: 1}
    assert database.read(lambda conn: deliveries.of_person(conn, 1)) == []
    assert forget(database, Forgotten.WORDS, NOW + DAY) == [None]
    # The next issue finds the same readers, with the cursors that they had.
    assert len(database.read(lambda conn: issues.segments(conn, 1))) == 1
    frozen(database, ids, ref="r2", slot="2026-11-30T07:00")
    assert [row.subscription_id for row in rows(database)] == [None, None, *ids]


def test_long_issues_are_forgotten_in_short_transactions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending goes on in between; what began is finished by the next sweep."""
    monkeypatch.setattr(forgetting, "TOGETHER", 2)
    sent(database, "ada", "bob", "eve", "zoe")
    assert database.write(partial(forgetting.forget, what=Forgotten.READERS, before=NOW + DAY)) == 2
    assert [row.address for row in rows(database)] == [None, None, "eve@x.org", "zoe@x.org"]
    assert forget(database, Forgotten.READERS, NOW + DAY) == [2, 0, None]
    assert {row.address for row in rows(database)} == {None}


def test_what_is_not_over_is_not_forgotten(database: Database) -> None:
    """An issue that is held or paused for months still has to find its readers; a cancelled one has none to find."""
    [ada] = database.write(lambda conn: [reader(conn, "ada@x.org")])
    frozen(database, [ada])
    assert database.write(lambda conn: issue_turns.pause(conn, 1))
    assert forget(database, Forgotten.READERS, NOW + 400 * DAY) == [None]

    def cancel(conn: Connection) -> None:
        issue = issues.get(conn, id=1)
        assert issue is not None
        assert issue_turns.cancel(conn, issue, NOW)

    database.write(cancel)
    assert forget(database, Forgotten.READERS, NOW + DAY) == [1, None]
    [row] = rows(database)
    assert (row.state, row.reason, row.subscriber_id) == (DeliveryState.SUPPRESSED, "cancelled", None)


def test_what_is_sent_again_is_forgotten_again(database: Database) -> None:
    """An operator resends one of an old issue: the server's new words have their time, and go too."""
    sent(database, "ada", "bob")
    forget(database, Forgotten.WORDS, NOW + DAY)
    later = NOW + 40 * DAY
    assert database.write(lambda conn: deliveries.resend(conn, [2], now=later, until=later + DAY)) == [2]
    assert forget(database, Forgotten.WORDS, later + DAY) == [None]

    def work(conn: Connection) -> None:
        [taken] = make.claim(conn, epoch=deliveries.new_epoch(conn, later), limit=9, now=later)
        deliveries.record(conn, [outcome(taken)], later)
        issues.finish(conn, later)

    database.write(work)
    assert forget(database, Forgotten.WORDS, later) == [None]
    assert forget(database, Forgotten.WORDS, later + DAY) == [1, None]
    assert [row.reply_text for row in rows(database)] == [None, None]


def test_who_was_erased_is_found_without_reading_years_of_nameless_deliveries(sqlite_database: Database) -> None:
    """The sweep empties what was on the wire at an erasure every hour; it looks at the issues of late alone."""
    plans: list[str] = []

    def work(conn: Connection) -> None:
        @sa.event.listens_for(conn, "before_cursor_execute", retval=True)
        def explain(
            _conn: object, cursor: sa.CursorResult[object], statement: str, parameters: object, *_: object
        ) -> tuple[str, object]:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[attr-defined]  # the driver's cursor
            plans.append(" ".join(str(part) for row in cursor.fetchall() for part in row))
            return statement, parameters

        erasures.blank(conn)

    sqlite_database.write(work)
    assert len(plans) == 2
    assert all("(issue_id=? AND subscriber_id=?)" in plan for plan in plans), plans

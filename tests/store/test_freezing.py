"""Freezing an issue part by part: whoever dies in between, each reader gets one delivery, no slot is decided twice."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from publisher.model import DeliveryState, IssueState, SubscriptionState
from publisher.store import claims, deliveries, freezing, issue_turns, issues, replaying, subscribers
from publisher.store.database import Connection, Database
from tests import freezer
from tests.store import make
from tests.store.make import NOW, dump, frozen, issue, outcome, reader

S = DeliveryState


def readers(database: Database, number: int) -> list[int]:
    return database.write(lambda conn: [reader(conn, f"r{one:03d}@x.org") for one in range(number)])


def joined(process: ForkServerProcess) -> int | None:
    process.join()
    return process.exitcode


@pytest.fixture
def place(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, str]:
    """Where another process finds the database."""
    url = request.getfixturevalue("postgresql_url") if database.dialect == "postgresql" else ""
    return tmp_path, url


def town(database: Database) -> tuple[list[int], list[int]]:
    """Readers and those without news; an older issue of which mails wait, are on the wire, are doubtful, are sent."""
    people = readers(database, 12)
    frozen(database, people[:7], to_seq=1, cursor=0)

    def work(conn: Connection) -> None:
        epoch = deliveries.new_epoch(conn, NOW)
        _, doubtful, sent = make.claim(conn, epoch=epoch, limit=3, now=NOW)
        deliveries.record(
            conn, [outcome(doubtful, S.DEFERRED, next_at=NOW, ambiguous=True), outcome(sent, S.SENT)], NOW
        )

    database.write(work)
    return people[:6] + people[7:10], people[6:7] + people[10:]


def ledger(database: Database) -> tuple[Any, ...]:
    """All that freezing decides, without ids that PostgreSQL leaves out after a crash."""

    def look(conn: Connection) -> tuple[Any, ...]:
        rows = deliveries.listing(conn, limit=9999)
        names = {one.id: one.ref for one in issues.listing(conn)}
        cursors = {id_: one.cursor for id_, one in make.readers(conn, "digest", "weekly").items()}
        mails = sorted((names[r.issue_id], r.subscription_id or 0, r.state, r.reason, r.message_id) for r in rows)
        return mails, cursors, [(one.ref, one.state) for one in issues.listing(conn)], issues.slots(conn)

    return database.read(look)


CRASHES = [
    "freezing.begun:1",
    *(f"freezing.queued:{n}" for n in range(1, 5)),
    *(f"freezing.committed:{n}" for n in range(1, 4)),
]


@pytest.mark.parametrize("fault", CRASHES)
def test_a_crash_while_freezing_is_made_good_by_whoever_comes_next(
    database: Database, place: tuple[Path, str], fault: str
) -> None:
    """P1, P7, J1, V8: the outcome is that of a freeze that was never disturbed; before it, nothing is sent or shown."""
    people, silent = town(database)
    assert joined(freezer.start(*place, people, silent, fault=fault)) == 137
    assert not [one for one in database.read(issues.listing) if one.ref == "r2" and one.state != IssueState.PLANNED]
    due = database.read(lambda conn: claims.upcoming(conn, epoch=1, now=NOW, limit=99)).candidates
    assert [one for one in due if one.message_id.startswith("<r2.")] == []
    assert joined(freezer.start(*place, people, silent)) == 0
    mails, cursors, states, slots = ledger(database)
    first, second = ([row[1:4] for row in mails if row[0] == ref] for ref in ("r1", "r2"))
    superseded = "superseded by issue r2"
    wire, doubtful, sent, *waited = people[:6]
    waits, *nothing = silent
    assert first == [
        (wire, S.SENDING, ""),
        (doubtful, S.DEFERRED, "later"),
        (sent, S.SENT, "ok"),
        *((one, S.EXPIRED, superseded) for one in waited),
        (waits, S.QUEUED, ""),
    ]
    assert second == [(one, S.QUEUED, "") for one in people[3:]]
    assert cursors == dict.fromkeys([*people, waits], 0) | {sent: 1} | dict.fromkeys(nothing, 2)
    assert states == [("r2", IssueState.SENDING), ("r1", IssueState.SENDING)]
    assert {one.slot: one.reason for one in slots} == {
        "2026-11-23T07:00": "0 articles to 7 readers",
        "2026-11-30T07:00": "0 articles to 9 readers",
    }
    assert dump(database)["planned_deliveries"] == []


def test_a_freeze_killed_again_and_again_forgets_and_doubles_nobody(sqlite_database: Database, tmp_path: Path) -> None:
    """P1, J1: `kill -9` at whatever moment, until one gets to the end."""
    people = readers(sqlite_database, 400)
    queued = 0
    kills = 0
    while True:
        process = freezer.start(tmp_path, "", people, together=2)
        while (
            process.is_alive() and len(sqlite_database.read(lambda conn: deliveries.listing(conn, limit=999))) < queued
        ):
            pass
        if not process.is_alive() and joined(process) == 0:
            break
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        joined(process)
        kills += 1
        queued = len(sqlite_database.read(lambda conn: deliveries.listing(conn, limit=999))) + 40
    assert kills >= 1
    rows = sqlite_database.read(lambda conn: deliveries.listing(conn, limit=999))
    assert sorted(row.subscription_id or 0 for row in rows) == people
    assert {row.state for row in rows} == {S.QUEUED}
    assert [one.state for one in sqlite_database.read(issues.listing)] == [IssueState.SENDING]


@pytest.fixture
def begun(database: Database, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], int]:
    """Nine readers, and an issue of which the first three are queued."""
    monkeypatch.setattr(freezing, "_TOGETHER", 3)
    people = readers(database, 9)

    def work(conn: Connection) -> int | None:
        new = issue(conn, people, to_seq=1, cursor=0)
        return freezing.begin(conn, new, freezing.parts(new), NOW)

    issue_id = database.write(work)
    assert issue_id is not None
    assert database.write(lambda conn: freezing.go_on(conn, issue_id, NOW))
    return people, issue_id


def queued(database: Database) -> list[int | None]:
    return [row.subscription_id for row in database.read(deliveries.listing)]


def test_who_leaves_between_two_parts_gets_no_mail(database: Database, begun: tuple[list[int], int]) -> None:
    """P3, F16: queued or not yet, the claim finds it."""
    people, issue_id = begun
    for one in (people[0], people[8]):
        database.write(lambda conn, one=one: subscribers.unsubscribe(conn, one, method="link", now=NOW))  # type: ignore[misc]  # a default argument
    freezing.complete(database, issue_id, NOW)
    taken = database.write(lambda conn: make.claim(conn, epoch=deliveries.new_epoch(conn, NOW), limit=99, now=NOW))
    assert [one.subscription_id for one in taken] == people[1:8]


def test_who_received_the_articles_between_two_parts_is_left_out(
    database: Database, begun: tuple[list[int], int]
) -> None:
    """V8: another issue, by hand for example, has brought them; the cursor says so."""
    people, issue_id = begun
    frozen(database, [people[5]], ref="r9", slot="2026-11-23T07:01", to_seq=1, cursor=0)
    [mail] = [
        one
        for one in database.write(
            lambda conn: make.claim(conn, epoch=deliveries.new_epoch(conn, NOW), limit=9, now=NOW)
        )
        if one.subscription_id == people[5]
    ]
    database.write(lambda conn: deliveries.record(conn, [outcome(mail, S.SENT)], NOW))
    freezing.complete(database, issue_id, NOW)
    rows = database.read(lambda conn: deliveries.listing(conn, issue_id=issue_id))
    assert [row.subscription_id for row in rows] == [one for one in people if one != people[5]]


def test_an_issue_cancelled_while_it_is_frozen_goes_no_further(
    database: Database, begun: tuple[list[int], int]
) -> None:
    """K18: what was queued is suppressed, nothing more is queued, and its slot stays decided."""
    people, issue_id = begun

    def cancel(conn: Connection) -> bool:
        found = issues.get(conn, id=issue_id)
        assert found is not None
        return issue_turns.cancel(conn, found, NOW)

    assert database.write(cancel)
    freezing.complete(database, issue_id, NOW)
    rows = database.read(deliveries.listing)
    assert [(row.subscription_id, row.state) for row in rows] == [(one, S.SUPPRESSED) for one in people[:3]]
    assert dump(database)["planned_deliveries"] == []
    assert [one.state for one in database.read(issues.listing)] == [IssueState.CANCELLED]
    second = database.write(lambda conn: make.freeze(conn, issue(conn, people, ref="r2"), NOW))
    assert second is None


def test_an_issue_that_shall_wait_for_approval_waits_when_it_is_whole(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned, then held: nobody can approve a half of it."""
    monkeypatch.setattr(freezing, "_TOGETHER", 3)
    people = readers(database, 5)

    def work(conn: Connection) -> int | None:
        new = replace(issue(conn, people), held="look at it")
        return freezing.begin(conn, new, freezing.parts(new), NOW)

    issue_id = database.write(work)
    assert issue_id is not None

    def look(conn: Connection) -> tuple[IssueState, str, bool]:
        found = issues.get(conn, id=issue_id)
        assert found is not None
        return found.state, found.reason, issue_turns.approve(conn, found, wait=make.DAY, now=NOW)

    assert database.write(look) == (IssueState.PLANNED, "look at it", False)
    freezing.complete(database, issue_id, NOW)
    assert database.write(look) == (IssueState.HELD, "look at it", True)


def test_a_restored_copy_of_a_half_frozen_issue_mails_nobody_of_it(
    database: Database, begun: tuple[list[int], int]
) -> None:
    """§5.4: the original went on and may have sent it to all: its articles count as received by everybody."""
    people, _ = begun
    assert database.write(lambda conn: replaying.hold_open(conn, NOW)) == 9
    rows = database.read(deliveries.listing)
    assert [(row.subscription_id, row.state) for row in rows] == [(one, S.UNCERTAIN) for one in people]
    cursors = database.read(lambda conn: make.readers(conn, "digest", "weekly")).values()
    assert {one.cursor for one in cursors} == {1}


@pytest.mark.anyio
async def test_others_are_answered_while_an_issue_is_frozen(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two parts whoever signs up or leaves has a turn: each is answered before the issue is whole."""
    monkeypatch.setattr(freezing, "_TOGETHER", 5)
    people = readers(sqlite_database, 50)
    loop = asyncio.get_running_loop()
    seen: list[tuple[IssueState, int]] = []
    write = sqlite_database.write

    async def sign_up(number: int) -> None:
        await sqlite_database.ashare(lambda conn: reader(conn, f"new{number}@x.org", state=SubscriptionState.PENDING))
        [found] = await sqlite_database.aread(issues.listing)
        seen.append((found.state, sum(found.deliveries.values())))

    def interrupted(work: Any) -> Any:
        done = write(work)
        asyncio.run_coroutine_threadsafe(sign_up(len(seen)), loop).result()
        return done

    monkeypatch.setattr(sqlite_database, "write", interrupted)

    def work(conn: Connection) -> int | None:
        new = issue(conn, people, cursor=0)
        return freezing.begin(conn, new, freezing.parts(new), NOW)

    issue_id = await asyncio.to_thread(sqlite_database.write, work)
    assert issue_id is not None
    await asyncio.to_thread(freezing.complete, sqlite_database, issue_id, NOW)
    planned = [(IssueState.PLANNED, number) for number in range(0, 50, 5)]
    assert seen == [*planned, (IssueState.SENDING, 50)]

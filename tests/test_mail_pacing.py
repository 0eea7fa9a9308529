"""Paces at work: real servers and databases, a clock that the naps move."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from publisher.errors import StoreError
from publisher.mail import pacing
from publisher.mail.outbox import OutboxReport
from publisher.mail.pace import PROVIDERS, RECOVERY, Limit, Pace, Provider, Rate, Slow, by_domain
from publisher.mail.pacing import Pacer, Paces
from publisher.model import Claimed, Outcome
from publisher.store import attempts, claims, deliveries, issues, paces
from publisher.store.database import Connection, Database
from tests.office import NAMES, NOW, Office, S, check_ledgers
from tests.smtp_server import Script, SmtpServer, smtp_server

pytestmark = pytest.mark.anyio

MINUTE = timedelta(minutes=1)


@pytest.fixture
def office(sqlite_database: Database) -> Office:
    opened = Office(sqlite_database)
    opened.fill(NAMES)
    return opened


def move(office: Office, *domains: str) -> None:
    """Spread the readers over these domains."""

    def work(conn: Connection) -> None:
        for row in deliveries.listing(conn, limit=1000):
            domain = domains[row.id % len(domains)]
            conn.exec_driver_sql(f"UPDATE deliveries SET address = 'r{row.id}@{domain}' WHERE id = {row.id}")

    office.db.write(work)


class Watched(Pacer):
    """A pacer that counts what it has let on."""

    on = 0
    back = 0  # by another thread, so a number of its own

    def sift(self, rows: Iterable[Claimed], now: datetime) -> list[Claimed]:
        """Count as usual."""
        going = super().sift(rows, now)
        self.on += len(going)
        return going

    def due(self, now: datetime) -> list[Claimed]:
        """Count as usual."""
        going = super().due(now)
        self.on += len(going)
        return going

    def charge(self, conn: Connection, rows: Sequence[Claimed], now: datetime) -> Sequence[Claimed]:
        """Take back what is refused."""
        going = super().charge(conn, rows, now)
        self.back += len(rows) - len(going)
        return going


async def send(
    office: Office, server: SmtpServer, pacer: Watched, **options: Any
) -> tuple[OutboxReport, list[datetime]]:
    """Send with naps that move the office's clock once all that was let on is recorded; return when each was."""
    times: list[datetime] = []

    class Times(list[tuple[str, int, int | None]]):
        def append(self, step: tuple[str, int, int | None]) -> None:
            times.append(office.clock.now)

    async def nap(seconds: float) -> None:
        async with asyncio.timeout(60):
            while len(times) + pacer.back < pacer.on:  # noqa: ASYNC110 - nobody else would tell
                await asyncio.sleep(0)
        office.clock.now += timedelta(seconds=max(seconds, 0.001))

    office.steps = Times()
    report = await office.send(server, pacer=pacer, over="smtp", pause=nap, **options)
    return report, times


async def test_a_transport_keeps_to_its_rate_and_everybody_is_served(database: Database) -> None:
    """Issue 4, point 4, on both databases: one a second, three connections, nobody lost and nobody twice."""
    office = Office(database)
    office.fill(NAMES)
    pacer = Watched("smtp", Paces(transports={"smtp": Limit(Rate.parse("1/s"))}))
    async with smtp_server() as server:
        report, times = await send(office, server, pacer)
        assert report == OutboxReport(sent=12)
        assert server.connections <= 3
        check_ledgers(office, server.received)
    assert timedelta(seconds=11) <= times[-1] - NOW < timedelta(seconds=13)
    assert all(later - one >= timedelta(seconds=1) for one, later in pairwise(times))


async def test_two_workers_share_a_rate(database: Database) -> None:
    """Point 4: what one of them has used the other does not get, and neither waits for ever."""
    office = Office(database)
    office.fill(NAMES)
    other = replace(office, epoch=database.write(lambda conn: deliveries.new_epoch(conn, NOW)))
    limits = Paces(transports={"smtp": Limit(Rate.parse("1/s"))})
    times: list[datetime] = []

    async def nap(seconds: float) -> None:
        office.clock.now += timedelta(seconds=max(0.01, seconds / 4))
        await asyncio.sleep(0.002)

    class Charging(Pacer):
        def charge(self, conn: Connection, rows: Sequence[Claimed], now: datetime) -> Sequence[Claimed]:
            granted = super().charge(conn, rows, now)
            times.extend([now] * len(granted))
            return granted

    async with smtp_server() as server, asyncio.timeout(60):
        reports = await asyncio.gather(
            *(one.send(server, pacer=Charging("smtp", limits), over="smtp", pause=nap) for one in (office, other))
        )
        assert sum(report.sent for report in reports) == len(server.received) == 12
        check_ledgers(office, server.received)
    assert all(later - one >= timedelta(seconds=1) for one, later in pairwise(sorted(times)))


async def test_what_a_pace_refused_is_read_once_more_and_not_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V4, at the source: of a delivery there is one copy at a time, also while its second claim is being written."""
    office = Office(database)
    office.fill(NAMES[:1])
    read: list[list[int]] = []
    claiming, looked = threading.Event(), threading.Event()
    upcoming = claims.upcoming

    def slow(conn: Connection, **options: Any) -> claims.Upcoming:
        if len(read) == 3:  # twice for the first time, the second of which found nothing new; twice after the refusal
            assert claiming.wait(10)
        return upcoming(conn, **options)

    class Refusing(Pacer):
        asked = 0

        def sift(self, rows: Iterable[Claimed], now: datetime) -> list[Claimed]:
            going = super().sift(rows, now)
            read.append([row.id for row in going])
            if len(read) == 4:
                looked.set()
            return going

        def charge(self, conn: Connection, rows: Sequence[Claimed], now: datetime) -> Sequence[Claimed]:
            self.asked += 1
            if self.asked == 1:
                return []  # as if another worker had used the pace up
            claiming.set()
            assert looked.wait(10)
            return rows

    monkeypatch.setattr(claims, "upcoming", slow)
    async with smtp_server() as server:
        limits = Paces(transports={"smtp": Limit(Rate.parse("1000/s"))})
        pacer = Refusing("smtp", limits)
        assert await office.send(server, pacer=pacer, over="smtp", connections=1) == OutboxReport(sent=1)
    assert read[:4] == [[1], [], [1], []]


async def test_where_a_pace_may_refuse_a_claim_no_envelope_goes_before_it(office: Office) -> None:
    """Delivery §5.2: the only way out of an open envelope is to hang up, and a pace may refuse often."""

    class Stingy(Pacer):
        refused: frozenset[int] = frozenset()

        def charge(self, conn: Connection, rows: Sequence[Claimed], now: datetime) -> Sequence[Claimed]:
            """Refuse every second delivery once."""
            going = super().charge(conn, rows, now)
            kept = [row for row in going if row.id % 2 or row.id in self.refused]
            self.refused |= {row.id for row in rows}
            return kept

    pacer = Stingy("smtp", Paces(transports={"smtp": Limit(Rate.parse("1000/s"))}))
    async with smtp_server(Script(extensions=("PIPELINING",))) as server:
        assert await office.send(server, connections=1, pacer=pacer) == OutboxReport(sent=12)
        said = Counter(command.partition(" ")[0] for command in server.commands)
        assert said == {"EHLO": 1, "MAIL": 12, "RCPT": 12, "DATA": 12, "QUIT": 1}
        check_ledgers(office, server.received)


async def test_what_was_settled_while_it_was_being_read_is_not_made_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V4, at the source: a reading that began before a mail went shows it as due; it is no second mail."""
    office = Office(database)
    office.fill(NAMES[:1])
    looked, written = threading.Event(), threading.Event()
    office.tell = lambda *_: written.set()
    upcoming, readings = claims.upcoming, 0

    def slow(conn: Connection, **options: Any) -> claims.Upcoming:
        nonlocal readings
        readings += 1
        found = upcoming(conn, **options)
        if readings == 2:
            looked.set()
            assert written.wait(10)
        return found

    class Patient(Watched):
        def charge(self, conn: Connection, rows: Sequence[Claimed], now: datetime) -> Sequence[Claimed]:
            assert looked.wait(10)
            return super().charge(conn, rows, now)

    monkeypatch.setattr(claims, "upcoming", slow)
    pacer = Patient("smtp", Paces(transports={"smtp": Limit(Rate.parse("1/s"))}))
    async with smtp_server() as server:
        report = await office.send(server, pacer=pacer, over="smtp", connections=1)
    assert (report, len(server.received)) == (OutboxReport(sent=1), 1)
    assert (pacer.on, pacer.back, readings) == (1, 0, 3)


async def test_a_limited_provider_holds_up_nobody_else(office: Office) -> None:
    """Point 4: the rest goes at once; what waits longer than a minute is left to a later run, which knows the level."""
    move(office, "gmail.com", "googlemail.com", "example.net")
    configured = Paces(providers={"google": Limit(Rate.parse("30/h"))})
    async with smtp_server() as server:
        report, _ = await send(office, server, Watched("smtp", configured))
        assert (report.sent, report.waiting) == (5, 7)
        assert report.later_at == NOW + 2 * MINUTE
        assert Counter(m.rcpt_to.partition("@")[2] for m in server.received)["example.net"] == 4
        report, _ = await send(office, server, Watched("smtp", configured))
        assert (report.sent, report.later_at) == (0, NOW + 2 * MINUTE)
        while report.later_at is not None:
            office.clock.now = report.later_at
            report, _ = await send(office, server, Watched("smtp", configured))
        assert office.clock.now == NOW + 14 * MINUTE
        check_counts(office)
        assert Counter(office.states().values()) == {S.SENT: 12}


async def test_what_waits_for_a_pace_is_not_read_again_and_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand of one provider cost those behind them nothing, and no memory either."""
    monkeypatch.setattr(pacing, "ENOUGH", 2)
    move(office, *["gmail.com"] * 9, "example.net")
    pacer = Watched("smtp", Paces(providers={"google": Limit(Rate.parse("1/h"))}))
    async with smtp_server() as server:
        report, _ = await send(office, server, pacer)
    assert (report.sent, report.waiting) == (2, 10)
    assert pacer.full_domains == ("gmail.com", "google", "googlemail.com")
    assert not pacer.full


async def test_a_newsletter_has_a_pace_of_its_own(office: Office) -> None:
    pacer = Watched("smtp", Paces(newsletters={"weekly": Limit(Rate.parse("2/s")), "daily": Limit(Rate.parse("1/d"))}))
    async with smtp_server() as server:
        report, times = await send(office, server, pacer)
    assert report.sent == 12
    assert times[-1] - NOW >= timedelta(seconds=5)


async def test_a_throttling_provider_is_slowed_alone_and_nobody_is_blamed(office: Office) -> None:
    """Spec mail §1.7, throttle: a rest, then half the rate, kept through a restart; the others go on (H21)."""
    move(office, "hotmail.com", "example.net")
    refused = {
        f"r{number}@hotmail.com": "451 4.7.650 the mail server has been temporarily rate limited"
        for number in range(99)
    }
    async with smtp_server(Script(refused=refused)) as server:
        report, _ = await send(office, server, Watched(), connections=1)
        assert (report.sent, report.deferred, report.held) == (6, 1, "")
        [told] = report.slowed
        assert told.startswith("microsoft gets nothing until 08:00 UTC, then 60 an hour: rcpt: 451 4.7.650")
        assert report.later_at == NOW + timedelta(hours=1)
        server.script.refused.clear()
        # Another process would know it too.
        office.clock.now += timedelta(minutes=58)
        assert (await send(office, server, Watched()))[0].sent == 0
        office.clock.now += timedelta(minutes=2)
        report, times = await send(office, server, Watched())
        assert (report.sent, report.waiting) == (6, 0)
        assert times[-1] - times[0] >= timedelta(seconds=100)
        check_counts(office)
    history = [office.db.read(partial(attempts.listing, delivery_id=row.id)) for row in office.rows()]
    assert [(one.outcome, one.code) for found in history for one in found] == [(Outcome.DEFERRED, 451)]
    assert office.issue_state() == "sent"


async def test_a_relay_that_throttles_everybody_rests(office: Office) -> None:
    """H21: three providers in a row with nothing accepted is no provider's doing."""
    move(office, "a.example", "b.example", "c.example")
    async with smtp_server(Script(rcpt=["421 4.7.0 too many messages"] * 99)) as server:
        report, _ = await send(office, server, Watched(), connections=1)
        assert report.held == "we are too fast for the server: 421 4.7.0 too many messages"
        assert (report.deferred, report.waiting, report.lasting) == (3, 12, False)


async def test_a_stop_does_not_wait_for_a_pace(office: Office) -> None:
    """P2: whoever waits for what comes later goes home at once."""
    pacer = Watched("smtp", Paces(transports={"smtp": Limit(Rate.parse("1/m"))}))

    async def stop(seconds: float) -> None:
        office.stop.set()
        await pacing_forever.wait()

    pacing_forever = asyncio.Event()
    async with smtp_server() as server:
        report = await asyncio.wait_for(office.send(server, pacer=pacer, over="smtp", pause=stop), 10)
    assert report.sent == len(server.received) == 12 - report.waiting <= 1


async def test_what_a_complaint_came_to_is_not_lost_when_the_pace_cannot_be_written(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J4: the outcome waits in the backlog, and the next run begins with it."""

    def fail(*_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(paces, "change", fail)
    backlog: list[object] = []
    async with smtp_server(Script(rcpt=["421 4.7.0 slow down"])) as server:
        with pytest.raises(StoreError, match="disk full"):
            await office.send(server, backlog=backlog, connections=1)
    assert Counter(office.states().values())[S.SENDING] == 0
    assert Counter(office.states().values())[S.DEFERRED] == 1


async def test_only_what_its_transport_carries_is_sent_and_what_it_may_have_sent_is_not_handed_on(
    office: Office,
) -> None:
    """H28: the first dies in the gap; the second never gets its mail, and what is in doubt stays in doubt."""
    office.db.write(lambda conn: conn.exec_driver_sql("UPDATE issues SET transport = 'bulk'"))
    async with smtp_server(Script(dot=["close"])) as first, smtp_server() as second:
        assert await office.send(second, over="smtp") == OutboxReport()
        done = await office.send(first, over="bulk", connections=1)
        assert (done.sent, done.deferred, done.waiting) == (11, 1, 1)
        assert office.db.write(lambda conn: issues.adopt(conn, ["smtp", "bulk"], "smtp", NOW)) == {}
        office.clock.now += timedelta(hours=1)
        # Only when the operator takes the transport away another one gets its issues.
        assert office.db.write(lambda conn: issues.adopt(conn, ["smtp"], "smtp", NOW)) == {"bulk": 1}
        assert await office.send(second, over="smtp") == OutboxReport()
        assert second.received == []
    [doubtful] = [row for row in office.rows() if row.state is not S.SENT]
    assert (doubtful.state, doubtful.reason) == (
        S.UNCERTAIN,
        "perhaps sent over bulk, which is configured no more",
    )
    check_counts(office)


def check_counts(office: Office) -> None:
    """V1: the sum of the states is the number of deliveries."""
    issue = office.db.read(partial(issues.get, ref="0a1b2c3d4e5f"))
    assert issue is not None
    assert sum(issue.deliveries.values()) == len(office.subscription)


def test_what_waits_when_a_complaint_is_forgotten_goes_on_in_the_same_run(sqlite_database: Database) -> None:
    """H21: from then on nothing is limited, and yet nobody is left behind who waited."""
    office = Office(sqlite_database)
    office.fill(NAMES[:6])
    slow = Slow(per_hour=60, since_at=NOW, rests_until=NOW + MINUTE, reason="451 slow down")
    office.db.write(lambda conn: paces.change(conn, paces.key_of_provider("smtp", "example.net"), Pace(slow=slow)))
    before, after = NOW + RECOVERY - timedelta(seconds=1), NOW + RECOVERY
    pacer = Pacer()
    office.db.read(lambda conn: pacer.load(conn, before))
    rows = office.db.read(partial(claims.upcoming, epoch=office.epoch, now=before, limit=9)).candidates
    assert len(pacer.sift(rows, before)) == 4  # what 240 an hour let through at once
    assert pacer.next_at(after) == after
    assert pacer.limited
    assert [row.id for row in pacer.due(after)] == [5, 6]
    assert not pacer.limited


def test_an_operators_provider_is_known_by_its_domains() -> None:
    table = by_domain([*PROVIDERS, Provider("university", ("example.edu",))])
    pacer = Pacer("smtp", Paces(providers={"university": Limit(Rate.parse("1/h"))}, domains=table))
    assert pacer.limited
    assert not Pacer().limited

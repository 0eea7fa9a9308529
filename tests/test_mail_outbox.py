"""The outbox with a real database and real servers: the server's ledger against ours."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TypeVar

import pytest

from publisher.errors import StoreError
from publisher.mail import outbox
from publisher.mail.clerk import GATHER, GATHER_BUSY, Clerk, Patience
from publisher.mail.compose import Composer
from publisher.mail.outbox import OutboxReport
from publisher.mail.smtp import Timeouts
from publisher.mail.steps import Policy, Step
from publisher.model import (
    Format,
    IssueState,
)
from publisher.store import claims, deliveries, issue_turns, issues, subscribers
from publisher.store.database import Connection, Database
from publisher.tokens import Keyring
from tests.office import KEYRING, NAMES, NOW, Office, S, check_ledgers
from tests.smtp_server import Script, smtp_server

pytestmark = pytest.mark.anyio

T = TypeVar("T")


@pytest.fixture
def office(sqlite_database: Database) -> Office:
    opened = Office(sqlite_database)
    opened.fill(NAMES)
    return opened


async def test_everybody_gets_one_message_of_their_own(database: Database) -> None:
    """V1–V5, on both databases: twelve readers over three connections; the issue is sent when nothing is open."""
    office = Office(database)
    office.fill(NAMES)
    async with smtp_server() as server:
        report = await office.send(server)
        assert report == OutboxReport(sent=12)
        assert server.connections <= 3
        check_ledgers(office, server.received)
        assert Counter(m.rcpt_to for m in server.received) == Counter(f"{name}@Example.net" for name in NAMES)
    assert set(office.states().values()) == {S.SENT}
    assert office.issue_state() is IssueState.SENT
    assert [done for _, done, _ in office.steps] == list(range(1, 13))
    assert {(label, total) for label, _, total in office.steps} == {("sending", 12)}


async def test_a_second_run_sends_nothing(office: Office) -> None:
    """Sent is sent."""
    async with smtp_server() as server:
        await office.send(server)
        assert await office.send(server) == OutboxReport()
        assert len(server.received) == 12


async def test_each_refusal_touches_its_own_reader_only(office: Office) -> None:
    """H9, H10: greylisted comes again after the pause, unknown is suppressed, the rest is sent."""
    refused = {
        "reader01@Example.net": "450 4.2.0 greylisted",
        "reader02@Example.net": "550 5.1.1 no such user",
        "reader03@Example.net": "550 5.7.1 blocked as spam",
    }
    async with smtp_server(Script(refused=refused)) as server:
        report = await office.send(server)
        assert report == OutboxReport(sent=9, deferred=1, suppressed=1, failed=1, waiting=1)
        assert office.issue_state() is IssueState.SENDING
        states = office.states()
        assert [states[name] for name in NAMES[:4]] == [S.SENT, S.DEFERRED, S.FAILED, S.FAILED]
        keys = [f"{name}@example.net" for name in NAMES[:4]]
        suppressed = [office.db.read(partial(subscribers.suppressed, address_key=key)) for key in keys]
        assert suppressed == [None, None, "rcpt: 550 5.1.1 no such user", None]

        server.script.refused.clear()
        office.clock.now += timedelta(minutes=4)
        assert (await office.send(server)).sent == 0
        office.clock.now += timedelta(minutes=1)
        assert await office.send(server) == OutboxReport(sent=1)
        check_ledgers(office, server.received)
    assert office.issue_state() is IssueState.SENT


async def test_who_leaves_before_the_claim_gets_nothing(office: Office) -> None:
    """P3, V6, F16, H2: unsubscribed between queue and claim is suppressed, without an envelope."""
    async with smtp_server() as server:
        office.db.write(
            lambda conn: subscribers.unsubscribe(conn, office.subscription["reader05"], method="one-click", now=NOW)
        )
        report = await office.send(server)
        assert report == OutboxReport(sent=11)
        assert office.states()["reader05"] is S.SUPPRESSED
        assert not any("reader05" in command for command in server.commands)


async def test_who_leaves_while_an_issue_is_being_sent_gets_nothing(office: Office) -> None:
    """H2: the effect is visible to the next claim of an issue being sent."""

    def leave(label: str, done: int, total: int | None) -> None:
        if done == 1:
            office.db.write(
                lambda conn: subscribers.unsubscribe(conn, office.subscription["reader11"], method="link", now=NOW)
            )

    async with smtp_server() as server:
        await outbox.run(
            office.db,
            office.transport(server),
            composer=Composer(KEYRING),
            epoch=office.epoch,
            connections=1,
            clock=office.clock,
            dice=lambda: 0.5,
            stop=office.stop,
            progress=leave,
        )
        assert "reader11" not in {m.rcpt_to.partition("@")[0] for m in server.received}
    assert office.states()["reader11"] is S.SUPPRESSED


async def test_a_crash_after_the_dot_repeats_the_same_bytes_once(office: Office) -> None:
    """P2, V4, V5: at most one repeat per connection, with the same Message-ID, Date and bytes, days later or not."""
    async with smtp_server(Script(dot=["silence"])) as server:
        running = asyncio.create_task(office.send(server, connections=1))
        await server.at_dot.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert Counter(office.states().values()) == {S.SENDING: 1, S.QUEUED: 11}

        office.clock.now += timedelta(hours=3)
        assert office.crash() == deliveries.Recovered(deferred=1, uncertain=0)
        office.db.write(
            lambda conn: subscribers.add(
                conn,
                address="other@example.net",
                address_key="other@example.net",
                name="",
                languages=["en"],
                timezone="UTC",
                format=Format.HTML,
                now=NOW,
            )
        )
        assert await office.send(server) == OutboxReport(sent=12)
        assert len(server.received) == 13
        check_ledgers(office, server.received)
        twice = [m for m in server.received if m.message_id == server.received[0].message_id]
        assert len(twice) == 2
        assert twice[0].content == twice[1].content


async def test_a_server_that_takes_the_dot_and_hangs_up_gets_two_copies_at_most(office: Office) -> None:
    """H14: tried once more after the pause, then uncertain and left to the operator."""
    async with smtp_server(Script(dot=["close"] * 24)) as server:
        assert await office.send(server, connections=6) == OutboxReport(deferred=12, waiting=12)
        office.clock.now += timedelta(hours=1)
        assert await office.send(server, connections=6) == OutboxReport(uncertain=12)
        office.clock.now += timedelta(hours=1)
        assert await office.send(server, connections=6) == OutboxReport()
        check_ledgers(office, server.received)
        assert len(server.received) == 24
    assert set(office.states().values()) == {S.UNCERTAIN}
    assert {row.ambiguous for row in office.rows()} == {2}


async def test_hold_never_repeats(office: Office) -> None:
    """P2 with `on_uncertain = "hold"`."""
    async with smtp_server(Script(dot=["close"])) as server:
        report = await office.send(server, policy=Policy(on_uncertain="hold"))
        assert report == OutboxReport(sent=11, uncertain=1)
        office.clock.now += timedelta(hours=1)
        await office.send(server)
        assert len(server.received) == 12


async def test_a_fault_before_the_dot_repeats_nothing(office: Office) -> None:
    """H13: certainly unsent is sent later, once."""
    async with smtp_server(Script(rcpt=["close"], data=["451 4.3.0 later"])) as server:
        first = await office.send(server, connections=1)
        office.clock.now += timedelta(hours=1)
        second = await office.send(server, connections=1)
        assert first.sent + second.sent == 12
        assert first.deferred == second.sent > 0
        assert max(Counter(m.message_id for m in server.received).values()) == 1
        check_ledgers(office, server.received)


async def test_a_mail_sent_again_after_a_rotation_of_keys_has_the_same_bytes(office: Office) -> None:
    """P2, V5, F13: the server took it and did not say so; the second copy is the first one, link and all."""
    before, ring = Keyring([b"k" * 32]), Keyring([b"k" * 32])
    async with smtp_server(Script(dot=["close"])) as server:
        await office.send(server, connections=1, composer=Composer(ring))
        ring.adopt(Keyring([b"n" * 32, b"k" * 32]))
        office.clock.now += timedelta(hours=1)
        await office.send(server, connections=1, composer=Composer(ring))
        office.freeze()
        await office.send(server, connections=1, composer=Composer(ring))
    copies = Counter(message.message_id for message in server.received)
    [twice] = [id_ for id_, number in copies.items() if number == 2]
    first, second = (message for message in server.received if message.message_id == twice)
    assert first.content == second.content
    links = [re.search(rb"List-Unsubscribe: <\S+/u/([\w-]+)>", message.content) for message in server.received]
    old = {before.unsubscribe_token(id_).encode() for id_ in office.subscription.values()}
    assert [found is not None and found[1] in old for found in links] == [True] * 13 + [False] * 12


@pytest.mark.parametrize(
    "script",
    [Script(greeting=["554 5.7.1 blocked"] * 9), Script(mail=["550 5.1.8 sender refused"] * 9)],
    ids=["554", "550"],
)
async def test_a_transport_at_fault_keeps_the_queue(office: Office, script: Script) -> None:
    """H3, H8: it stops at once, says why, costs no reader anything, and goes on when mended."""
    async with smtp_server(script) as server:
        report = await office.send(server)
        assert report.held.startswith(("connect: 554", "mail: 550"))
        assert report.waiting == 12
        assert report.sent == report.failed == 0
        script.greeting.clear()
        script.mail.clear()
        assert (await office.send(server)).sent == 12
        check_ledgers(office, server.received)


async def test_many_unknown_outcomes_in_a_minute_rest_the_transport(office: Office) -> None:
    """§5.2, H24: more than twice as many as there are connections; the others stay as they are."""
    async with smtp_server(Script(dot=["close"] * 24)) as server:
        report = await office.send(server)
        assert report.held.startswith(("7 mails", "8 mails", "9 mails"))
        assert report.deferred <= 9
        assert len(server.received) == report.deferred
        check_ledgers(office, server.received)


async def test_a_server_that_knows_nobody_costs_few_readers(office: Office) -> None:
    """H9: ten addresses at most, then it rests until somebody looks."""
    async with smtp_server(Script(rcpt=["550 5.1.1 no such user"] * 99)) as server:
        report = await office.send(server)
        assert report.lasting
        assert "addresses do not exist" in report.held
        assert report.suppressed <= 10
        assert report.waiting == 12 - report.suppressed


@pytest.mark.parametrize(
    ("step", "reply", "said"),
    [
        ("rcpt", "550 5.1.1 no such user", [*["MAIL", "RCPT", "DATA", "RSET"] * 10, "QUIT"]),
        ("mail", "530 5.7.0 authentication required", ["MAIL", "RCPT", "DATA", "RSET", "QUIT"]),
    ],
)
async def test_after_an_alarm_the_server_hears_of_nobody_else(
    office: Office, step: str, reply: str, said: list[str]
) -> None:
    """H8, H9: no envelope goes before a claim that will be refused, and the server is left in order."""
    script = Script(extensions=("PIPELINING",))
    getattr(script, step).extend([reply] * 99)
    async with smtp_server(script) as server:
        assert (await office.send(server, connections=1)).held
        assert [command.partition(" ")[0] for command in server.commands[1:]] == said
        assert server.connections == 1


async def test_refused_as_a_sender_five_times_in_a_row_it_rests(office: Office) -> None:
    """Spec mail §1.7, policy: nobody is suppressed for it, and nobody's mail is spent on trying again."""
    async with smtp_server(Script(rcpt=["550 5.7.1 blocked, see our list"] * 99)) as server:
        report = await office.send(server)
        assert (report.suppressed, report.lasting) == (0, True)
        assert report.held.startswith("we are refused as a sender: 550 5.7.1 blocked")
        assert 5 <= report.failed <= 7


async def test_an_issue_that_three_domains_refuse_is_paused(office: Office) -> None:
    """H20: for what it says, with nobody accepting it; the others wait, their addresses are not scored."""

    def spread(conn: Connection) -> None:
        for row in deliveries.listing(conn):
            address = f"r{row.id}@host{row.id}.example"
            conn.exec_driver_sql("UPDATE deliveries SET address = ? WHERE id = ?", (address, row.id))

    office.db.write(spread)
    async with smtp_server(Script(dot=["554 5.6.0 we do not like what it says"] * 99)) as server:
        report = await office.send(server)
        assert (report.held, report.suppressed) == ("", 0)
        assert len(report.paused) == 1
        assert "refuse what the issue says: 554" in report.paused[0]
        assert 3 <= report.failed <= 5
    assert office.issue_state() is IssueState.PAUSED


async def test_an_issue_too_big_for_the_server_is_paused_at_once(office: Office) -> None:
    """H4: what the server said it takes decides for all, before DATA; nobody's mail is spent on finding out."""
    async with smtp_server(Script(extensions=["SIZE 300"])) as server:
        report = await office.send(server)
        assert (report.held, len(report.paused), report.waiting) == ("", 1, 0)
        assert report.paused[0].startswith("too-big: the message has ")
        assert 1 <= report.failed <= 3  # as many as there are connections
        assert not [command for command in server.commands if command.startswith("MAIL")]
    assert office.issue_state() is IssueState.PAUSED
    states = Counter(office.states().values())
    assert states == {S.FAILED: report.failed, S.QUEUED: 12 - report.failed}


async def test_stop_finishes_what_is_under_way_and_claims_no_more(office: Office) -> None:
    """P2: a normal stop repeats none and loses none."""
    async with smtp_server() as server:

        def stop_after_four(label: str, done: int, total: int | None) -> None:
            if done == 4:
                office.stop.set()

        office.steps = _Told(stop_after_four)
        report = await office.send(server)
        assert 4 <= report.sent <= 9  # by then two others may have claimed, and each of the three has one under way
        assert report.waiting == 12 - report.sent
        assert report.sent == len(server.received)
        assert S.SENDING not in office.states().values()
        office.stop.clear()
        await office.send(server)
        assert len(server.received) == 12
        check_ledgers(office, server.received)


@pytest.mark.parametrize("change", ["pause", "cancel"])
async def test_pausing_and_cancelling_act_within_one_mail_a_connection(office: Office, change: str) -> None:
    """Issue 4, K18: what was claimed by then goes out, nothing else; resuming brings the rest, cancelling none."""
    at: list[int] = []

    def turn(label: str, done: int, total: int | None) -> None:
        if done != 4 or at:
            return
        issue = office.db.read(partial(issues.get, id=1))
        assert issue is not None
        if change == "pause":
            office.db.write(partial(issue_turns.pause, id=1))
        else:
            office.db.write(lambda conn: issue_turns.cancel(conn, issue, office.clock.now))
        at.append(len(server.received))

    office.tell = turn
    async with smtp_server(Script(extensions=("PIPELINING",))) as server:
        report = await office.send(server, connections=3)
        assert at[0] <= report.sent == len(server.received) <= at[0] + 3
        assert report.held == ""
        left = 12 - report.sent
        assert Counter(office.states().values()) == {
            S.SENT: report.sent,
            S.QUEUED if change == "pause" else S.SUPPRESSED: left,
        }
        assert office.db.write(partial(issue_turns.resume, id=1)) is (change == "pause")
        assert (await office.send(server)).sent == (left if change == "pause" else 0)
        check_ledgers(office, server.received)


async def test_a_stop_waits_for_a_silent_server_only_so_long(office: Office) -> None:
    """K9: after the grace it is as after a crash: written down as unknown, tried once more, the rest untouched."""
    async with smtp_server(Script(dot=["silence"])) as server:
        running = asyncio.create_task(office.send(server, connections=1, grace=0.05))
        await server.at_dot.wait()
        office.stop.set()
        report = await running
        assert (report.sent, report.waiting) == (0, 12)
        assert Counter(office.states().values()) == {S.DEFERRED: 1, S.QUEUED: 11}
        office.stop.clear()
        office.clock.now += timedelta(hours=1)
        assert (await office.send(server)).sent == 12
        assert len(server.received) == 13
        check_ledgers(office, server.received)


class _Told(list[tuple[str, int, int | None]]):
    """A list that tells of what is appended."""

    def __init__(self, tell: Callable[[str, int, int | None], None]) -> None:
        super().__init__()
        self._tell = tell

    def append(self, step: tuple[str, int, int | None]) -> None:
        super().append(step)
        self._tell(*step)


async def test_one_readers_bad_data_stops_nobody_else(office: Office) -> None:
    """E3: failed with the reason; the issue goes out."""

    def spoil(conn: Connection) -> None:
        for row in deliveries.listing(conn):
            if "reader04" in row.message_id:
                conn.exec_driver_sql("UPDATE deliveries SET address = ? WHERE id = ?", ("a b@c.example", row.id))

    office.db.write(spoil)
    async with smtp_server() as server:
        assert await office.send(server) == OutboxReport(sent=11, failed=1)
    (failed,) = [row for row in office.rows() if row.state is S.FAILED]
    assert failed.reason.startswith("message: 'a b@c.example'")


async def test_a_mail_that_cannot_be_made_costs_no_connection(office: Office) -> None:
    """E3: its envelope goes neither ahead nor behind, so that nothing is to be taken back."""

    def spoil(conn: Connection) -> None:
        [id_] = [row.id for row in deliveries.listing(conn) if "reader04" in row.message_id]
        conn.exec_driver_sql("UPDATE deliveries SET message_id = '<a b@c.example>' WHERE id = ?", (id_,))

    office.db.write(spoil)
    async with smtp_server(Script(extensions=("PIPELINING",))) as server:
        assert await office.send(server, connections=1) == OutboxReport(sent=11, failed=1)
        assert server.connections == 1
        assert not any("reader04" in command for command in server.commands)


async def test_what_another_worker_took_over_is_not_overwritten(office: Office) -> None:
    """K7: an outcome that comes after the own death was proven is fenced."""
    async with smtp_server(Script(dot=["silence"])) as server:
        running = asyncio.create_task(office.send(server, connections=1, timeouts=Timeouts(dot=0.3)))
        await server.at_dot.wait()
        office.crash()
        report = await running
        assert report.fenced == 1
        assert report.uncertain == 0


async def test_a_worker_taken_for_dead_claims_nothing_more(office: Office) -> None:
    """K7: its outcomes are fenced, what it has not claimed is left to others; then it starts anew."""
    async with smtp_server(Script(dot=["silence"])) as server:
        running = asyncio.create_task(office.send(server, connections=1, timeouts=Timeouts(dot=0.3)))
        await server.at_dot.wait()
        old = office.epoch
        office.crash()
        report = await running
        assert (report.fenced, report.sent, report.waiting) == (1, 0, 12)
        assert report.held.startswith("the database has lost sight of this worker")
        assert office.epoch > old
        assert (await office.send(server)).sent == 12
        check_ledgers(office, server.received)


async def test_a_worker_that_lost_its_life_sign_claims_nothing_more(office: Office) -> None:
    """K7: it stops by itself before others recover what it has under way, and its outcomes are still written."""
    async with smtp_server() as server:
        seen = [True]

        def lose(label: str, done: int, total: int | None) -> None:
            seen[0] = done < 3

        office.steps = _Told(lose)
        report = await office.send(server, connections=1, alive=lambda: seen[0])
        assert 3 <= report.sent == len(server.received) <= 4  # the next had been claimed together with the outcome
        assert report.held.startswith("the database has lost sight of this worker")
        assert S.SENDING not in office.states().values()


async def test_a_delivery_claimed_twice_in_one_transaction_is_sent_once(office: Office) -> None:
    """V2: should a delivery be read twice, two connections that ask for it together do not both send it."""
    found = await office.db.aread(partial(claims.upcoming, epoch=office.epoch, now=NOW, limit=1))
    [claimed] = found.candidates
    clerk = Clerk(office.db, clock=lambda: NOW, may_claim=lambda: True, backlog=[])
    said = await asyncio.gather(clerk.turn(None, claimed), clerk.turn(None, claimed))
    assert [each.stands for each in said] == [True, False]


@pytest.mark.parametrize("repaired", [True, False], ids=["in this run", "before the next"])
async def test_an_outcome_that_could_not_be_written_is_kept_and_written_later(
    office: Office, monkeypatch: pytest.MonkeyPatch, repaired: bool
) -> None:
    """J4: never on without the outcome; what is known stays known, is written when there is room, repeats nothing."""
    real, calls = deliveries.record, Counter[str]()
    backlog: list[Step] = []

    def fail(*arguments: object, **options: object) -> set[int]:
        calls["record"] += 1
        if calls["record"] == 4 or (calls["record"] > 4 and not repaired):
            raise StoreError("disk full")
        return real(*arguments, **options)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(deliveries, "record", fail)
    async with smtp_server() as server:
        with pytest.raises(StoreError, match="disk full"):
            await office.send(server, backlog=backlog)
        states = Counter(office.states().values())
        arrived = len(server.received)
        assert arrived < 12
        assert states[S.SENT] + len(backlog) == arrived
        assert bool(backlog) is not repaired
        monkeypatch.undo()
        report = await office.send(server, backlog=backlog)
        assert (report.sent, backlog) == (12 - arrived, [])
        check_ledgers(office, server.received)
        assert len(server.received) == 12
    assert set(office.states().values()) == {S.SENT}


async def test_a_claim_whose_commit_seemed_to_fail_waits_again(office: Office) -> None:
    """J13: the database had done it all the same; no body was written, so nothing is in doubt."""
    now = office.clock.now

    def take(conn: Connection) -> None:
        found = claims.upcoming(conn, epoch=office.epoch, now=now, limit=3)
        claims.take(conn, found.candidates, now)

    office.db.write(take)
    async with smtp_server() as server:
        assert (await office.send(server)).sent == 12
        assert len(server.received) == 12
    assert {row.ambiguous for row in office.rows()} == {0}


async def test_many_connections_share_a_commit(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """§5.2: one transaction records current outcomes and marks the next deliveries, for all that are ready."""
    commits: list[int] = []
    real = office.db.awrite

    async def counted(work: Callable[[Connection], T]) -> T:
        commits.append(1)
        return await real(work)

    monkeypatch.setattr(office.db, "awrite", counted)
    async with smtp_server(Script(extensions=("PIPELINING",))) as server:
        await office.send(server, connections=6)
        assert len(server.received) == 12
    assert len(commits) < 12


def test_a_busy_process_waits_longer_for_company_in_a_transaction() -> None:
    """§5.2: far from the server waiting more only loses, short of processor it wins; what was used lately decides."""
    used = iter([9.0, 9.0625, 9.07, 9.13])
    patience = Patience(lambda: next(used))
    asked = (100.0, 100.05, 100.125, 100.2, 100.25, 100.375)
    assert [patience.seconds(now) for now in asked] == [
        *(GATHER, GATHER),  # since the start 9 s in 100, and no look within a tenth of a second
        *(GATHER_BUSY, GATHER_BUSY),  # 62 ms in 125
        *(GATHER, GATHER_BUSY),  # 7 ms in 125, then 60
    ]

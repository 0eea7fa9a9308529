"""Hostile, slow and broken servers, as the catalogue H numbers them (delivery §6), where no other test has them.

H1, H3–H10, H12–H14, H16–H19, H21, H23 by phase: test_mail_smtp. H9, H10, H13, H14, H20, H24 with a whole issue:
test_mail_outbox.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from publisher.mail import sockets
from publisher.mail.outbox import OutboxReport
from publisher.mail.smtp import Timeouts, Transport
from publisher.model import Outcome
from publisher.store.database import Database
from tests.ledgers import assert_invariants
from tests.office import NAMES, Office, S, check_ledgers
from tests.smtp_server import Action, Script, SmtpServer, smtp_server
from tests.test_mail_smtp import MESSAGE, PIPELINING, QUICK, one

pytestmark = pytest.mark.anyio


@pytest.fixture
def office(sqlite_database: Database) -> Office:
    opened = Office(sqlite_database)
    opened.fill(NAMES)
    return opened


@pytest.mark.parametrize("step", ["greeting", "ehlo", "mail", "rcpt", "data", "dot"])
async def test_a_slow_answer_is_waited_for(step: str) -> None:
    """H2, H15: octet by octet within the time that the phase has."""
    usual = {"greeting": "220 ready", "ehlo": "250 loopback", "data": "354 go on"}.get(step, "250 ok")
    attempt = await one(Script(**{step: [f"slowly {usual}"]}))  # type: ignore[arg-type]  # one of the lists
    assert (attempt.outcome, attempt.phase) == (Outcome.ACCEPTED, "dot")


@pytest.mark.parametrize(
    ("step", "outcome", "phase"),
    [
        ("greeting", Outcome.DEFERRED, "connect"),
        ("ehlo", Outcome.DEFERRED, "connect"),
        ("mail", Outcome.DEFERRED, "mail"),
        ("rcpt", Outcome.DEFERRED, "rcpt"),
        ("data", Outcome.DEFERRED, "data"),
        ("dot", Outcome.AMBIGUOUS, "dot"),
    ],
)
async def test_an_answer_that_never_ends_has_a_deadline(step: str, outcome: Outcome, phase: str) -> None:
    """H2, H3, H4: the time is for the whole answer, not for each octet; and its length has a limit."""
    attempt = await one(Script(**{step: ["endless"]}), timeouts=QUICK)  # type: ignore[arg-type]  # one of the lists
    assert (attempt.outcome, attempt.code, attempt.phase) == (outcome, None, phase)


@pytest.mark.parametrize(
    "script",
    [
        Script(greeting=["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]),
        Script(greeting=["220-" + "banner " * 100_000 + "\r\n220 ready"]),
        Script(greeting=["220-more\r\n" * 100_000]),
        Script(ehlo=["250-X-EXTENSION\r\n" * 100_000]),
    ],
    ids=["TLS", "one megabyte", "a hundred thousand lines", "as many extensions"],
)
async def test_what_a_server_says_takes_little_memory(script: Script) -> None:
    """H3, H4: a greeting that is none, or has no end, leaves the recipient untouched."""
    attempt = await one(script, timeouts=QUICK)
    assert (attempt.outcome, attempt.code, attempt.phase) == (Outcome.DEFERRED, None, "connect")
    assert len(attempt.text) < 4000


async def test_duplicate_and_odd_extensions_are_no_obstacle() -> None:
    """H4: the server means what it says twice, and what it invents is none of our business."""
    attempt = await one(Script(extensions=["SIZE", "size 1000", "PIPELINING", "X-🦆", "PIPELINING x y"]))
    assert attempt.outcome is Outcome.ACCEPTED


async def test_too_many_recipients_is_no_fault_of_this_one(office: Office) -> None:
    """H11: one recipient an envelope, so 452 means later."""
    async with smtp_server(Script(rcpt=[None, "452 4.5.3 too many recipients"])) as server:
        report = await office.send(server, connections=1)
        assert (report.suppressed, report.failed) == (0, 0)
        office.clock.now += timedelta(hours=1)
        await office.send(server, connections=1)
        assert set(office.states().values()) == {S.SENT}
        assert all(command.count("@") == 1 for command in server.commands if command.startswith("RCPT"))
        assert max(Counter(m.message_id for m in server.received).values()) == 1


@pytest.mark.parametrize("extensions", [PIPELINING, ("SIZE 1000000",)], ids=["pipelined", "plain"])
async def test_a_server_that_drops_us_after_so_many_mails_costs_nothing(
    sqlite_database: Database, extensions: tuple[str, ...]
) -> None:
    """H21, H22: closed without a word, or with 421, after some mails; goes on at the next row, none twice."""
    office = Office(sqlite_database)
    office.fill([f"person{number:03d}" for number in range(90)])
    after = ([None] * 9 + ["close"]) * 3 + ([None] * 9 + ["421 4.7.0 enough for this connection"]) * 9
    async with smtp_server(Script(extensions=extensions, after_dot=list(after))) as server:
        report = await office.send(server, connections=2)
        assert report == OutboxReport(sent=90)
        office.ledger.received = server.received
        assert_invariants(office.ledger, office.db, at_risk=0)


async def test_a_thousand_accepted_then_all_reset_is_at_most_one_a_connection(sqlite_database: Database) -> None:
    """H24: the mails in the gap when every connection was reset at once."""
    office = Office(sqlite_database)
    office.fill([f"person{number:03d}" for number in range(60)])
    async with smtp_server(Script(extensions=PIPELINING, dot=[None] * 30 + ["close"] * 6)) as server:
        await office.send(server, connections=6)
        office.clock.now += timedelta(hours=1)
        await office.send(server, connections=6)
        office.ledger.received = server.received
        assert_invariants(office.ledger, office.db, at_risk=6)
        assert set(office.states().values()) == {S.SENT}


async def test_a_servers_words_are_kept_as_plain_text(office: Office) -> None:
    """H25: no escape sequence, no line break of its own reaches a terminal, a log or a page."""
    words = '550 5.7.0 \x1b[31mred\x1b[0m <script>alert("x")</script> \x9b2J \u202eevil\x00'
    async with smtp_server(Script(rcpt=[words])) as server:
        await office.send(server, connections=1)
    [failed] = [row for row in office.rows() if row.state is S.FAILED]
    assert failed.reply_text is not None
    assert "script" in failed.reply_text
    assert not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 for letter in failed.reply_text + failed.reason)


async def test_a_greylisting_server_sees_the_same_message_again(office: Office) -> None:
    """H27: greylisted by Message-ID or by bytes; both are stable over days, whatever the clock says meanwhile."""
    async with smtp_server(Script(dot=["451 4.7.1 greylisted"] * 12)) as server:
        await office.send(server)
        for _ in range(2):
            office.clock.now += timedelta(hours=7)
            await office.send(server)
        assert set(office.states().values()) == {S.SENT}
        assert len(server.received) == 24
        assert len({m.message_id for m in server.received}) == len({m.digest for m in server.received}) == 12


# Names (H26).


Found = list[sockets.Address]
V4, V6 = socket.AF_INET, socket.AF_INET6


def at(port: int, host: str = "127.0.0.1") -> sockets.Address:
    """An address as the resolver gives it."""
    family, where = (V6, (host, port, 0, 0)) if ":" in host else (V4, (host, port))
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: Found | OSError) -> list[str]:
    """Answer questions for addresses with these, one after another; returns the names asked for."""
    asked: list[str] = []
    coming = list(answers)

    async def getaddrinfo(host: str, port: int, **_: object) -> Found:
        asked.append(host)
        answer = coming.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


def named(port: int = 25, **options: object) -> Transport:
    settings: dict[str, object] = {"security": "plain", "hello_name": "mail.example.org", **options}
    return Transport("relay.example", port, **settings)  # type: ignore[arg-type]  # each test names what it changes


@pytest.mark.parametrize(
    "error",
    [socket.gaierror(socket.EAI_NONAME, "Name or service not known"), socket.gaierror(socket.EAI_AGAIN, "try again")],
    ids=["NXDOMAIN", "SERVFAIL"],
)
async def test_a_name_without_an_address_is_no_readers_fault(
    office: Office, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """H26: everything waits, and says why."""
    async with smtp_server() as server:
        found = [at(server.port)]
        resolving(monkeypatch, *[error] * 3, *[found] * 3)
        monkeypatch.setattr(office, "transport", lambda server, timeouts: lambda: named(server.port))
        report = await office.send(server)
        assert report.held.startswith("connect: relay.example: [Errno")
        assert (report.waiting, report.sent) == (12, 0)
        assert (await office.send(server)).sent == 12
        check_ledgers(office, server.received)


async def test_a_resolver_that_does_not_answer_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """H26: 30 s by default."""

    async def getaddrinfo(*_: object, **__: object) -> Found:
        return await asyncio.Event().wait()  # type: ignore[return-value]  # never

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    attempt = await named(timeouts=Timeouts(connect=0.05)).send("s@example.org", "r@example.net", MESSAGE)
    assert (attempt.outcome, attempt.phase) == (Outcome.DEFERRED, "connect")
    assert attempt.text == "relay.example: no answer about its address"


async def test_an_address_is_asked_for_again_at_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """H26: TTL 0; a server that moved is found where it is now."""
    async with smtp_server() as old, smtp_server() as new:
        asked = resolving(monkeypatch, [at(old.port)], [at(new.port)])
        door = named(max_messages=1)
        for rcpt in ("a@example.net", "b@example.net"):
            assert (await door.send("s@example.org", rcpt, MESSAGE)).outcome is Outcome.ACCEPTED
        await door.close()
        assert asked == ["relay.example"] * 2
        assert [[m.rcpt_to[0] for m in server.received] for server in (old, new)] == [["a"], ["b"]]


@pytest.mark.parametrize("silent", [True, False], ids=["black hole", "refused"])
async def test_an_unreachable_address_delays_the_next_but_little(monkeypatch: pytest.MonkeyPatch, silent: bool) -> None:
    """H26: AAAA without a route; the other family is tried beside it (RFC 8305), and the loser is let go."""
    loop = asyncio.get_running_loop()
    real: Callable[..., object] = loop.sock_connect
    tried: list[str] = []

    async def sock_connect(plug: socket.socket, where: tuple[object, ...]) -> None:
        tried.append(str(where[0]))
        if where[0] == "2001:db8::1" and silent:
            await asyncio.Event().wait()
        if where[0] == "2001:db8::1":
            raise OSError(101, "Network is unreachable")
        await real(plug, where)  # type: ignore[misc]  # a coroutine

    monkeypatch.setattr(sockets, "HEAD_START", 0.01)
    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    async with smtp_server() as server:
        resolving(monkeypatch, [at(25, "2001:db8::1"), at(25, "2001:db8::1"), at(server.port)])
        door = named()
        assert (await door.send("s@example.org", "r@example.net", MESSAGE)).outcome is Outcome.ACCEPTED
        await door.close()
    assert tried == ["2001:db8::1", "127.0.0.1"]
    running = [str(task.get_coro()) for task in asyncio.all_tasks()]
    assert not any("_connected" in name for name in running), running


async def test_no_address_that_answers_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """H1, H26: refused everywhere, and a name that exists but has no address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    resolving(monkeypatch, [at(port), at(port)], [])
    texts = [(await named(port).send("s@example.org", "r@example.net", MESSAGE)).text for _ in range(2)]
    assert f"cannot connect to relay.example port {port}: [Errno 111]" in texts[0]
    assert texts[1].endswith("it has no address")


async def test_a_server_that_accepts_nothing_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """H1: SYN into a black hole."""

    async def sock_connect(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", sock_connect)
    resolving(monkeypatch, [at(25), at(25, "2001:db8::1")])
    attempt = await named(timeouts=Timeouts(connect=0.05)).send("s@example.org", "r@example.net", MESSAGE)
    assert attempt.text == "cannot connect to relay.example port 25: no answer within 0.05 s"
    assert (attempt.outcome, attempt.phase) == (Outcome.DEFERRED, "connect")


# Whose mail is whose (H29).


@dataclass
class Chaos(Script):
    """A server that hangs up, defers and speaks out of turn at random, but never leaves a mail in doubt.

    Nor does it ask to be spared, for which sending would slow down.
    """

    dice: random.Random = field(default_factory=lambda: random.Random(29))
    share: float = 0.05

    def next(self, step: str) -> Action:
        """Misbehave now and then."""
        words: dict[str, list[Action]] = {
            "mail": ["close", "451 4.3.0 later"],
            "rcpt": ["close", "450 4.2.0 greylisted"],
            "data": ["close", "451 4.3.0 later", "250 what"],
            "dot": ["451 4.3.0 later"],
            "after_dot": ["close", "250 ok", "421 4.4.2 bye", "550 5.0.0 no", "354 go on"],
        }
        if step in words and self.dice.random() < self.share:
            return self.dice.choice(words[step])
        return None


async def send_through_chaos(office: Office, server: SmtpServer, readers: int) -> None:
    """Send until everybody has their mail, however often the server hangs up."""
    office.fill([f"person{number:06d}" for number in range(readers)])
    office.ledger.received = server.received
    for _ in range(200):
        report = await office.send(server, connections=6)
        if not report.waiting:
            break
        office.clock.now += timedelta(minutes=10)
    assert_invariants(office.ledger, office.db, at_risk=0)
    accepted = Counter(row.state for row in office.rows())
    assert accepted == {S.SENT: readers}


async def test_nobody_gets_the_mail_of_another(sqlite_database: Database) -> None:
    """H29: RCPT, To and the token are one reader's, for each mail, with envelopes riding ahead and connections lost.

    `python -m tests.bench.kill_outbox --chaos 100000` does it for 10^5 mails.
    """
    async with smtp_server(Chaos(extensions=PIPELINING)) as server:
        await send_through_chaos(Office(sqlite_database), server, 300)
        assert server.connections > 30


async def test_a_mail_under_way_is_not_lost_to_a_reused_connection(office: Office) -> None:
    """H23: RSET and NOOP unanswered; the refusal stands, the next goes out on another connection."""
    script = Script(rcpt=["550 5.1.1 no such user"], rset=["silence"])
    async with smtp_server(script) as server:
        report = await office.send(server, connections=1, timeouts=QUICK)
        assert (report.sent, report.suppressed) == (11, 1)
        assert server.connections == 2

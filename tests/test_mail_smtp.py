"""A transport against real servers that misbehave: how far each message came is always known exactly."""

from __future__ import annotations

import asyncio
import copy
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from publisher.config import Smtp
from publisher.mail.dialogue import BrokenError, Dialogue
from publisher.mail.smtp import Envelope, Timeouts, Transport
from publisher.model import Attempt, Outcome
from tests.smtp_server import Script, SmtpServer, smtp_server

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: commands run on uvloop, whoever builds on the package perhaps on asyncio's own."""
    return "asyncio", {"use_uvloop": request.param}


TLS = Path(__file__).parent / "data" / "tls"
MESSAGE = b"From: a@example.org\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n.dotted\r\n..\r\n.\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n"
LARGE += (b"y" * 76 + b"\r\n") * 200_000  # more than the buffers of both kernels hold
QUICK = Timeouts(
    connect=5, greeting=0.2, mail=0.2, rcpt=0.2, data=0.2, block=0.3, dot=0.2, goodbye=0.2
)  # of a silence the script promises, so a slow machine only waits longer


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "loopback.pem", TLS / "loopback.key")
    return context


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(TLS / "loopback.pem"))


def transport(server: SmtpServer, **options: object) -> Transport:
    settings: dict[str, object] = {"security": "plain", "hello_name": "mail.example.org", **options}
    return Transport("127.0.0.1", server.port, **settings)  # type: ignore[arg-type]  # each test names what it changes


async def one(script: Script, message: bytes = MESSAGE, rcpt: str = "r@example.net", **options: object) -> Attempt:
    """Send one message to a server that follows the script."""
    async with smtp_server(script) as server:
        door = transport(server, **options)
        try:
            return await door.send("s@example.org", rcpt, message)
        finally:
            await door.close()


@pytest.fixture
async def server() -> AsyncIterator[SmtpServer]:
    async with smtp_server() as running:
        yield running


async def test_bytes_at_the_server_are_the_bytes_intended(server: SmtpServer) -> None:
    """E10: dot-stuffing on the way, nothing else; the envelope as given; the EHLO name as configured."""
    door = transport(server)
    attempt = await door.send("s@example.org", "r@example.net", MESSAGE)
    await door.close()
    assert attempt == Attempt(outcome=Outcome.ACCEPTED, code=250, text="2.0.0 queued as 1", phase="dot")
    assert [(m.mail_from, m.rcpt_to, m.content) for m in server.received] == [
        ("s@example.org", "r@example.net", MESSAGE)
    ]
    assert server.commands == [
        "EHLO mail.example.org",
        f"MAIL FROM:<s@example.org> SIZE={len(MESSAGE)}",
        "RCPT TO:<r@example.net>",
        "DATA",
        "QUIT",
    ]


async def test_a_large_message_arrives_whole(server: SmtpServer) -> None:
    """16 MB through buffers of some hundred KB."""
    server.script.extensions = ()
    door = transport(server)
    attempt = await door.send("s@example.org", "r@example.net", LARGE)
    await door.close()
    assert attempt.outcome is Outcome.ACCEPTED
    assert server.received[0].content == LARGE


async def test_one_connection_carries_many_messages(server: SmtpServer) -> None:
    """Reused, renewed after the limit; refused recipients in between leave it in order (RSET)."""
    server.script.refused["gone@example.net"] = "550 5.1.1 no such user"
    door = transport(server, max_messages=3)
    names = ["a", "gone", "b", "c", "d"]
    outcomes = [(await door.send("s@example.org", f"{name}@example.net", MESSAGE)).outcome for name in names]
    await door.close()
    assert outcomes == [Outcome.ACCEPTED, Outcome.REFUSED, *[Outcome.ACCEPTED] * 3]
    assert [m.rcpt_to[0] for m in server.received] == ["a", "b", "c", "d"]
    assert server.connections == 2
    assert server.commands.count("RSET") == 1


@pytest.mark.parametrize(
    ("script", "attempt"),
    [
        # H3: greetings that are none
        (Script(greeting=["421 4.3.2 busy"]), (Outcome.DEFERRED, 421, "connect")),
        (Script(greeting=["554 5.7.1 your network is blocked"]), (Outcome.REFUSED, 554, "connect")),
        (Script(greeting=["HTTP/1.1 400 Bad Request"]), (Outcome.DEFERRED, None, "connect")),
        (Script(greeting=["x" * 200_000]), (Outcome.DEFERRED, None, "connect")),
        (Script(greeting=["close"]), (Outcome.DEFERRED, None, "connect")),
        (Script(greeting=["silence"]), (Outcome.DEFERRED, None, "connect")),
        (Script(ehlo=["421 later"]), (Outcome.DEFERRED, 421, "connect")),
        (Script(ehlo=["close"]), (Outcome.DEFERRED, None, "connect")),
        # H8, H9, H10
        (Script(mail=["451 4.3.0 later"]), (Outcome.DEFERRED, 451, "mail")),
        (Script(mail=["550 5.1.8 sender unknown"]), (Outcome.REFUSED, 550, "mail")),
        (Script(mail=["silence"]), (Outcome.DEFERRED, None, "mail")),
        (Script(mail=["354 what"]), (Outcome.DEFERRED, None, "mail")),
        (Script(rcpt=["550 5.1.1 no such user"]), (Outcome.REFUSED, 550, "rcpt")),
        (Script(rcpt=["450 4.2.0 greylisted"]), (Outcome.DEFERRED, 450, "rcpt")),
        (Script(rcpt=["421 4.7.0 too fast"]), (Outcome.DEFERRED, 421, "rcpt")),
        (Script(rcpt=["close"]), (Outcome.DEFERRED, None, "rcpt")),
        (Script(rcpt=["silence"]), (Outcome.DEFERRED, None, "rcpt")),
        (Script(rcpt=["251 2.1.5 will forward"]), (Outcome.ACCEPTED, 250, "dot")),
        (Script(rcpt=["252 2.5.2 cannot verify, will try"]), (Outcome.ACCEPTED, 250, "dot")),
        # H12
        (Script(data=["250 ok"]), (Outcome.DEFERRED, None, "data")),
        (Script(data=["500 what"]), (Outcome.REFUSED, 500, "data")),
        (Script(data=["451 later"]), (Outcome.DEFERRED, 451, "data")),
        (Script(data=["354 go on\r\n354 go on"]), (Outcome.DEFERRED, None, "body")),
        # H14–H19: after the dot
        (Script(dot=["close"]), (Outcome.AMBIGUOUS, None, "dot")),
        (Script(dot=["silence"]), (Outcome.AMBIGUOUS, None, "dot")),
        (Script(dot=["25"]), (Outcome.AMBIGUOUS, None, "dot")),
        (Script(dot=["2500 ok"]), (Outcome.AMBIGUOUS, None, "dot")),
        (Script(dot=["-1"]), (Outcome.AMBIGUOUS, None, "dot")),
        (Script(dot=["\x00\udcff\udcfe"]), (Outcome.AMBIGUOUS, None, "dot")),
        (Script(dot=["250-ok\r\n" * 300]), (Outcome.AMBIGUOUS, None, "dot")),
        (Script(dot=["250-ok\r\n550 no"]), (Outcome.AMBIGUOUS, None, "dot")),
        (Script(dot=["354 more"]), (Outcome.AMBIGUOUS, 354, "dot")),
        (Script(dot=["250"]), (Outcome.ACCEPTED, 250, "dot")),
        (Script(dot=["250-one\r\n250 two"]), (Outcome.ACCEPTED, 250, "dot")),
        (Script(dot=["451 4.3.0 later"]), (Outcome.DEFERRED, 451, "dot")),
        (Script(dot=["421 4.3.0 later"]), (Outcome.DEFERRED, 421, "dot")),
        (Script(dot=["554 5.7.1 spam"]), (Outcome.REFUSED, 554, "dot")),
        # H23
        (Script(quit=["silence"]), (Outcome.ACCEPTED, 250, "dot")),
        (Script(rcpt=["550 5.1.1 no"], rset=["silence"]), (Outcome.REFUSED, 550, "rcpt")),
    ],
    ids=repr,
)
@pytest.mark.parametrize("pipelining", [False, True], ids=["plain", "pipelined"])
async def test_a_fault_is_known_by_its_phase(
    script: Script, attempt: tuple[Outcome, int | None, str], pipelining: bool
) -> None:
    """H3, H8, H9, H10, H12, H14, H16, H17, H19, H23 by delivery §5.3: outcome, code, how far the message came."""
    extensions = ("PIPELINING", *script.extensions) if pipelining else script.extensions
    came = await one(copy.deepcopy(replace(script, extensions=extensions)), timeouts=QUICK)
    assert (came.outcome, came.code, came.phase) == attempt
    assert came.text or came.code == 250
    assert came.text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("action", "outcome", "code"),
    [
        ("close", Outcome.DEFERRED, None),
        ("stall", Outcome.DEFERRED, None),
        ("552 5.3.4 too much", Outcome.REFUSED, 552),
        ("452 4.3.1 disk full", Outcome.DEFERRED, 452),
        ("250 thank you already", Outcome.DEFERRED, None),
    ],
)
async def test_before_the_last_octet_nothing_was_accepted(action: str, outcome: Outcome, code: int | None) -> None:
    """H13: whatever interrupts the body, the message is unsent, because its end was never written."""
    came = await one(Script(body=[action], extensions=()), LARGE, timeouts=QUICK)
    assert (came.outcome, came.code, came.phase) == (outcome, code, "body")


async def test_an_unsolicited_line_ends_the_connection_not_the_message(server: SmtpServer) -> None:
    """H18: sent stays sent; the next message goes over a fresh connection and gets its own answer."""
    server.script.after_dot = ["550 5.0.0 changed my mind"]
    server.script.refused["gone@example.net"] = "550 5.1.1 no such user"
    door = transport(server)
    first = await door.send("s@example.org", "a@example.net", MESSAGE)
    second = await door.send("s@example.org", "gone@example.net", MESSAGE)
    third = await door.send("s@example.org", "b@example.net", MESSAGE)
    await door.close()
    assert [first.outcome, second.outcome, third.outcome] == [Outcome.ACCEPTED, Outcome.REFUSED, Outcome.ACCEPTED]
    assert server.connections == 2


async def test_a_connection_found_closed_costs_nothing(server: SmtpServer) -> None:
    """P9, H21: some servers close after so many messages without a word; the next goes out at once on a new one."""
    server.script.after_dot = ["close", "close"]
    door = transport(server)
    outcomes = [(await door.send("s@example.org", f"{n}@example.net", MESSAGE)).outcome for n in range(3)]
    await door.close()
    assert outcomes == [Outcome.ACCEPTED] * 3
    assert [m.rcpt_to[0] for m in server.received] == ["0", "1", "2"]
    assert server.connections == 3


async def test_a_server_that_ends_a_connection_between_messages_is_asked_again(server: SmtpServer) -> None:
    """H21: 421 instead of the next envelope, after so many messages."""
    door = transport(server)
    assert (await door.send("s@example.org", "a@example.net", MESSAGE)).outcome is Outcome.ACCEPTED
    server.script.mail = ["421 4.7.0 enough on this connection"]
    assert (await door.send("s@example.org", "b@example.net", MESSAGE)).outcome is Outcome.ACCEPTED
    server.script.mail = ["421 4.7.0 too fast", "421 4.7.0 too fast"]
    assert (await door.send("s@example.org", "c@example.net", MESSAGE)).code == 421
    await door.close()
    assert [m.rcpt_to[0] for m in server.received] == ["a", "b"]


async def test_a_dropped_connection_is_replaced_once_and_never_in_the_gap(server: SmtpServer) -> None:
    """A reused connection that dies before the dot is tried again at once; after the dot never."""
    door = transport(server)
    assert (await door.send("s@example.org", "a@example.net", MESSAGE)).outcome is Outcome.ACCEPTED
    server.script.rcpt = ["close"]
    assert (await door.send("s@example.org", "b@example.net", MESSAGE)).outcome is Outcome.ACCEPTED
    server.script.dot = ["close"]
    assert (await door.send("s@example.org", "c@example.net", MESSAGE)).outcome is Outcome.AMBIGUOUS
    await door.close()
    assert [m.rcpt_to[0] for m in server.received] == ["a", "b", "c"]


async def test_a_message_given_up_leaves_no_answer_for_the_next_command(server: SmtpServer) -> None:
    """Cancelled while waiting after the dot: the connection is cut, not asked to QUIT and not used again."""
    server.script.dot = ["silence"]
    door = transport(server)
    sending = asyncio.create_task(door.send("s@example.org", "a@example.net", MESSAGE))
    await server.at_dot.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert (await door.send("s@example.org", "b@example.net", MESSAGE)).outcome is Outcome.ACCEPTED
    await door.close()
    assert server.connections == 2
    assert server.commands.count("QUIT") == 1


def envelope(rcpt: str, message: bytes = MESSAGE) -> Envelope:
    return Envelope("s@example.org", rcpt, len(message))


async def several(door: Transport, *recipients: str) -> list[Attempt]:
    """Send a message to each, the envelope of the next behind the body of the one before."""
    rest = [envelope(rcpt) for rcpt in recipients[1:]]
    return [
        await door.send("s@example.org", rcpt, MESSAGE, behind=behind)
        for rcpt, behind in zip(recipients, [*rest, None], strict=True)
    ]


PIPELINING = ("PIPELINING", "SIZE 1000000")


async def test_the_next_envelope_rides_behind_the_body() -> None:
    """RFC 2920: where the server offers it a message costs one round trip; each gets its own answers all the same."""
    async with smtp_server(Script(extensions=PIPELINING, refused={"b@x.example": "550 5.1.1 no such user"})) as server:
        door = transport(server)
        attempts = await several(door, "a@x.example", "b@x.example", "c@x.example", "d@x.example")
        await door.close()
        assert [(a.phase, a.code) for a in attempts] == [("dot", 250), ("rcpt", 550), ("dot", 250), ("dot", 250)]
        assert [m.rcpt_to for m in server.received] == ["a@x.example", "c@x.example", "d@x.example"]
        assert server.connections == 1
        verbs = [command.partition(" ")[0] for command in server.commands]
        assert verbs == ["EHLO", *["MAIL", "RCPT", "DATA"] * 2, "RSET", *["MAIL", "RCPT", "DATA"] * 2, "QUIT"]


async def test_a_message_that_is_not_to_be_sent_after_all_closes_its_envelope() -> None:
    """Delivery §5.2: ineligible after 354 means hang up; nothing was written, the next message goes out elsewhere."""
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        door = transport(server)
        await door.send("s@example.org", "a@x.example", MESSAGE, behind=envelope("b@x.example"))
        await door.abandon()
        await door.send("s@example.org", "c@x.example", MESSAGE, behind=envelope("d@x.example"))
        await door.send("s@example.org", "e@x.example", MESSAGE)  # another than announced
        await door.close()
        assert [m.rcpt_to for m in server.received] == ["a@x.example", "c@x.example", "e@x.example"]
        assert server.connections == 3


async def test_an_envelope_precedes_its_message() -> None:
    """Delivery §5.2: written while the message waits for its claim; one that stands open already is not written again.

    The first connection is made by `send`.
    """
    async with smtp_server(Script(extensions=PIPELINING, refused={"c@x.example": "550 5.1.1 no such user"})) as server:
        door = transport(server)
        attempts = []
        for rcpt in ("a@x.example", "b@x.example", "c@x.example", "d@x.example"):
            door.precede(envelope(rcpt))
            door.precede(envelope(rcpt))
            attempts.append(await door.send("s@example.org", rcpt, MESSAGE))
        await door.close()
        assert [(a.phase, a.code) for a in attempts] == [("dot", 250), ("dot", 250), ("rcpt", 550), ("dot", 250)]
        assert [m.rcpt_to for m in server.received] == ["a@x.example", "b@x.example", "d@x.example"]
        verbs = [command.partition(" ")[0] for command in server.commands]
        assert verbs == ["EHLO", *["MAIL", "RCPT", "DATA"] * 3, "RSET", *["MAIL", "RCPT", "DATA"], "QUIT"]
        assert server.connections == 1


async def test_an_envelope_that_preceded_in_vain_reaches_nobody() -> None:
    """Delivery §5.2: ineligible after 354 means hang up; another message than announced goes out elsewhere."""
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        door = transport(server)
        await door.send("s@example.org", "a@x.example", MESSAGE)
        door.precede(envelope("b@x.example"))
        await door.abandon()
        await door.send("s@example.org", "c@x.example", MESSAGE)
        door.precede(envelope("d@x.example"))
        await door.send("s@example.org", "e@x.example", MESSAGE)
        await door.close()
        assert [m.rcpt_to for m in server.received] == ["a@x.example", "c@x.example", "e@x.example"]
        assert server.connections == 3


@pytest.mark.parametrize(
    ("extensions", "options", "rcpt"),
    [
        (("SIZE 1000000",), {}, "b@x.example"),
        (PIPELINING, {"max_messages": 1}, "b@x.example"),
        (("PIPELINING", "SIZE 10"), {}, "b@x.example"),
        (PIPELINING, {}, "Редактор@x.example"),
    ],
    ids=["no pipelining", "worn out", "too big", "not to be said here"],
)
async def test_nothing_precedes_that_the_server_would_not_take_so(
    extensions: tuple[str, ...], options: dict[str, object], rcpt: str
) -> None:
    """RFC 2920 §3.1; and an envelope that cannot be opened is for `send` to refuse."""
    async with smtp_server(Script(extensions=extensions)) as server:
        door = transport(server, **options)
        await door.send("s@example.org", "a@x.example", b"\r\n\r\n")
        said = len(server.commands)
        door.precede(envelope(rcpt))
        await door.close()
        assert server.commands[said:] == ["QUIT"]


async def test_nothing_precedes_on_a_connection_that_is_lost() -> None:
    """H21: hung up after the reply; the message goes over the next connection."""
    async with smtp_server(Script(extensions=PIPELINING, after_dot=["close"])) as server:
        door = transport(server)
        await door.send("s@example.org", "a@x.example", MESSAGE)
        assert door._dialogue is not None
        await door._dialogue._closed
        door.precede(envelope("b@x.example"))
        assert (await door.send("s@example.org", "b@x.example", MESSAGE)).code == 250
        await door.close()
        assert [m.rcpt_to for m in server.received] == ["a@x.example", "b@x.example"]
        assert server.connections == 2


async def test_a_connection_lost_behind_an_envelope_that_preceded_costs_nothing() -> None:
    """H21: the server hung up while the message waited for its claim."""
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        door = transport(server)
        await door.send("s@example.org", "a@x.example", MESSAGE)
        server.script.rcpt = ["close"]
        door.precede(envelope("b@x.example"))
        assert door._dialogue is not None
        assert door._ahead == envelope("b@x.example")
        await door._dialogue._closed
        assert (await door.send("s@example.org", "b@x.example", MESSAGE)).code == 250
        await door.close()
        assert [m.rcpt_to for m in server.received] == ["a@x.example", "b@x.example"]
        assert server.connections == 2


@pytest.mark.parametrize(
    "line",
    ["250 ok", "550 5.0.0 changed my mind", "421 4.3.0 bye", "354 more", "250 a\r\n550 b", "250 a\r\n250 b\r\n354 c"],
)
async def test_a_line_out_of_turn_is_no_answer_to_what_rode_ahead(line: str) -> None:
    """H18 with a riding envelope: what came between shifts every reply; the message goes out anew and right."""
    async with smtp_server(Script(extensions=PIPELINING, after_dot=[line])) as server:
        door = transport(server)
        attempts = await several(door, "a@x.example", "b@x.example", "c@x.example")
        await door.close()
        assert [a.code for a in attempts] == [250, 250, 250]
        assert [m.rcpt_to for m in server.received] == ["a@x.example", "b@x.example", "c@x.example"]
        assert {m.content for m in server.received} == {MESSAGE}
        assert server.connections == 2


async def test_a_connection_lost_with_an_envelope_open_costs_nothing() -> None:
    """H21: hung up after the reply, while the next envelope was on its way."""
    async with smtp_server(Script(extensions=PIPELINING, after_dot=["close"] * 2)) as server:
        door = transport(server)
        attempts = await several(door, "a@x.example", "b@x.example", "c@x.example")
        await door.close()
        assert [a.code for a in attempts] == [250, 250, 250]
        assert len(server.received) == server.connections == 3


async def test_a_connection_has_its_time() -> None:
    """Renewed after so many messages or seconds; no envelope rides on one that is to be renewed."""
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        door = transport(server, max_messages=2)
        await several(door, *(f"{n}@x.example" for n in range(5)))
        await door.close()
        assert (server.connections, server.commands.count("QUIT"), len(server.received)) == (3, 3, 5)
        door = transport(server, max_age=-1.0)
        await several(door, "a@x.example", "b@x.example")
        await door.close()
        assert (server.connections, server.commands.count("QUIT")) == (5, 5)


class Wire(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.cut = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def abort(self) -> None:
        self.cut = True

    def is_closing(self) -> bool:
        return self.cut

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


async def test_a_close_that_has_already_arrived_leaves_no_doubt() -> None:
    """H13: hung up right after 354; the loop is asked once before the dot, so that this is no ambiguous attempt."""
    wire = Wire()
    dialogue = Dialogue(wire)
    asyncio.get_running_loop().call_soon(dialogue.eof_received)
    with pytest.raises(BrokenError, match="closed the connection"):
        await dialogue.body(b"Hello\r\n", 1)
    assert wire.written == b""


async def test_a_close_right_behind_the_answers_leaves_no_doubt() -> None:
    """H13: answered at the last moment before the claim of what preceded, and hung up; the dot would be ambiguous."""
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        door = transport(server)
        await door.send("s@example.org", "a@x.example", MESSAGE)
        door.precede(envelope("b@x.example"))
        dialogue = door._dialogue
        assert dialogue is not None
        while dialogue.waiting:  # noqa: ASYNC110 - a turn or two of the event loop
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(dialogue.eof_received)
        assert (await door.send("s@example.org", "b@x.example", MESSAGE)).code == 250
        await door.close()
        assert [m.rcpt_to for m in server.received] == ["a@x.example", "b@x.example"]
        assert server.connections == 2


async def test_nobody_listening_is_no_recipients_fault() -> None:
    """H1: refused connections and unknown hosts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    door = Transport("127.0.0.1", port, security="plain", hello_name="mail.example.org")
    attempt = await door.send("s@example.org", "r@example.net", MESSAGE)
    assert (attempt.outcome, attempt.code, attempt.phase) == (Outcome.DEFERRED, None, "connect")
    assert "127.0.0.1 port" in attempt.text
    await door.close()


async def test_a_message_too_big_for_the_server_opens_no_envelope() -> None:
    """H4: SIZE is compared before MAIL; 0 and nonsense mean no limit."""
    async with smtp_server(Script(extensions=["SIZE 50"])) as server:
        door = transport(server)
        attempt = await door.send("s@example.org", "r@example.net", MESSAGE)
        await door.close()
        assert (attempt.outcome, attempt.phase) == (Outcome.REFUSED, "message")
        assert "50 at most" in attempt.text
        assert server.commands == ["EHLO mail.example.org", "QUIT"]
    for size in ("SIZE 0", "SIZE", "SIZE many"):
        assert (await one(Script(extensions=[size]))).outcome is Outcome.ACCEPTED


async def test_an_international_address_needs_a_server_that_takes_it() -> None:
    """Spec mail §1.5: no envelope without SMTPUTF8; with it, the address goes out in its own letters."""
    attempt = await one(Script(), rcpt="редактор@example.net")
    assert (attempt.outcome, attempt.phase, attempt.text.partition(":")[0]) == (
        Outcome.REFUSED,
        "message",
        "smtputf8-unsupported",
    )
    async with smtp_server(Script(extensions=["SMTPUTF8"])) as server:
        door = transport(server)
        await door.send("s@example.org", "редактор@example.net", MESSAGE)
        await door.close()
        assert server.commands[1:3] == ["MAIL FROM:<s@example.org> SMTPUTF8", "RCPT TO:<редактор@example.net>"]


@pytest.mark.parametrize("rcpt", ["a@b.example>\r\nRCPT TO:<c@d.example", "a b@c.example", "<>", "", "a\x00@b.example"])
async def test_an_address_injects_no_command(rcpt: str) -> None:
    """F1 at the lowest layer."""
    async with smtp_server() as server:
        door = transport(server)
        attempt = await door.send("s@example.org", rcpt, MESSAGE)
        await door.close()
        assert (attempt.outcome, attempt.phase) == (Outcome.REFUSED, "message")
        assert server.commands == ["EHLO mail.example.org", "QUIT"]


async def test_starttls_that_is_not_offered_means_no_mail() -> None:
    """H5: never in clear, whoever stripped the offer; the password neither."""
    async with smtp_server() as server:
        door = transport(server, security="starttls", username="user", password="secret")
        attempt = await door.send("s@example.org", "r@example.net", MESSAGE)
        await door.close()
        assert (attempt.outcome, attempt.code, attempt.phase) == (Outcome.REFUSED, None, "tls")
        assert server.commands == ["EHLO mail.example.org"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_travels_encrypted(security: str) -> None:
    """Both ways into TLS; several messages over one connection; the password only inside."""
    script = Script(extensions=["AUTH LOGIN PLAIN"])
    async with smtp_server(script, tls=server_context(), implicit=security == "tls") as server:
        door = transport(server, security=security, tls_context=trusting(), username="user", password="geheim€")
        outcomes = [(await door.send("s@example.org", f"{n}@example.net", MESSAGE)).outcome for n in range(2)]
        await door.close()
        assert outcomes == [Outcome.ACCEPTED] * 2
        assert [m.content for m in server.received] == [MESSAGE] * 2
        verbs = [command.partition(" ")[0] for command in server.commands]
        assert verbs == [
            *(["EHLO", "STARTTLS"] if security == "starttls" else []),
            *["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "MAIL", "RCPT", "DATA", "QUIT"],
        ]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_nobody_vouches_for_is_refused(security: str) -> None:
    """H6: held, not sent."""
    async with smtp_server(tls=server_context(), implicit=security == "tls") as server:
        door = transport(server, security=security)
        attempt = await door.send("s@example.org", "r@example.net", MESSAGE)
        await door.close()
        assert (attempt.outcome, attempt.phase) == (Outcome.REFUSED, "tls")
        assert "certificate" in attempt.text.lower()
        assert server.received == []


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (Script(extensions=["AUTH PLAIN LOGIN"], auth=["535 5.7.8 wrong password"]), (Outcome.REFUSED, 535, "auth")),
        (Script(extensions=["AUTH PLAIN LOGIN"], auth=["454 4.7.0 later"]), (Outcome.DEFERRED, 454, "auth")),
        (Script(extensions=["AUTH GSSAPI"]), (Outcome.REFUSED, None, "auth")),
        (Script(extensions=[]), (Outcome.REFUSED, None, "auth")),
        (Script(extensions=["AUTH PLAIN"], auth=["close"]), (Outcome.DEFERRED, None, "connect")),
    ],
    ids=repr,
)
async def test_one_login_is_tried_and_no_more(script: Script, expected: tuple[Outcome, int | None, str]) -> None:
    """H7: a wrong password costs one attempt, not one per method."""
    async with smtp_server(copy.deepcopy(script)) as server:
        door = transport(server, username="user", password="secret", timeouts=QUICK)
        attempt = await door.send("s@example.org", "r@example.net", MESSAGE)
        await door.close()
        assert (attempt.outcome, attempt.code, attempt.phase) == expected
        assert sum(command.startswith("AUTH") for command in server.commands) <= 1
        assert not any(command.startswith("MAIL") for command in server.commands)


async def test_a_transport_is_made_from_its_table(server: SmtpServer) -> None:
    """The name given in EHLO is the table's, else the caller's."""
    table = Smtp(host="localhost", port=server.port, security="plain", password=SecretStr("x"))
    for settings in (table, table.model_copy(update={"hello_name": "own.example.org"})):
        door = Transport.from_config(settings, hello_name="[127.0.0.1]")
        await door.send("s@example.org", "r@example.net", MESSAGE)
        await door.close()
    assert [c for c in server.commands if c.startswith("EHLO")] == ["EHLO [127.0.0.1]", "EHLO own.example.org"]
    with pytest.raises(ValueError, match="EHLO"):
        Transport.from_config(table, hello_name="a b")

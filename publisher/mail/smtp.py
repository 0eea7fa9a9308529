"""SMTP: one connection that carries messages one after another and says exactly how far each of them came."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import re
import ssl
from dataclasses import dataclass
from typing import Literal, NamedTuple

import aiosmtplib

from publisher import faults
from publisher.config import Server
from publisher.mail import sockets
from publisher.mail.dialogue import BLOCK, Answer, BrokenError, Dialogue, last_block, readable, take_over
from publisher.mail.replies import TOO_BIG, classify
from publisher.model import Attempt

_ENVELOPE = re.compile(r"[^\s<>\x00-\x20\x7f\ud800-\udfff]*\Z")
_HELLO = re.compile(r"[A-Za-z0-9.-]+\Z|\[[0-9A-Za-z:.]+\]\Z")

MAX_MESSAGES = 100
"""Messages per connection: what large senders use, and below the limits of most providers (spec mail §1.6)."""

_ANSWERED = {"mail": "smtp.mail", "rcpt": "smtp.rcpt", "data": "smtp.data"}
"""The points behind the replies to an envelope."""

MAX_AGE = 300.0
"""Seconds a connection is used: addresses and load balancers behind a name change."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait in each phase; RFC 5321 §4.5.3.2 except for `connect` and `goodbye`, which are ours."""

    connect: float = 30
    greeting: float = 300
    mail: float = 300
    rcpt: float = 300
    data: float = 120
    block: float = 180
    dot: float = 600
    goodbye: float = 5


class Envelope(NamedTuple):
    """Who sends to whom, and how many octets."""

    mail_from: str
    rcpt_to: str
    size: int


class _NotConnectedError(Exception):
    """Setting up the connection failed in `phase`."""

    def __init__(self, phase: str, code: int | None, text: str) -> None:
        self.phase, self.code, self.text = phase, code, text
        super().__init__(text)


@functools.cache
def default_tls() -> ssl.SSLContext:
    """Return the process's TLS context: it verifies certificates and names, and takes milliseconds to build."""
    return ssl.create_default_context()


class Transport:
    """A connection to one server, opened when first needed, kept, and renewed after `MAX_MESSAGES` or any surprise.

    Not for concurrent use: one transport has one message under way.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: Literal["starttls", "tls", "plain"],
        hello_name: str,
        username: str = "",
        password: str = "",
        timeouts: Timeouts = Timeouts(),
        tls_context: ssl.SSLContext | None = None,
        max_messages: int = MAX_MESSAGES,
        max_age: float = MAX_AGE,
    ) -> None:
        """Remember where and how to connect. `hello_name`: a host name, or an address literal in brackets."""
        if not _HELLO.match(hello_name):
            raise ValueError(f"{hello_name!r} cannot be the name given in EHLO")
        self._host, self._port, self._security = host, port, security
        self._hello_name = hello_name
        self._username, self._password = username, password
        self._timeouts = timeouts
        self._tls_context = tls_context
        self._max_messages = max_messages
        self._max_age = max_age
        self._dialogue: Dialogue | None = None
        self._extensions: dict[str, str] = {}
        self._sent = 0
        self._since = 0.0
        self._ahead: Envelope | None = None  # written behind the last body or since; its replies are to be heard
        self._preceded = False  # since: they may have come this very moment

    @classmethod
    def from_config(cls, server: Server, *, hello_name: str, timeouts: Timeouts = Timeouts()) -> Transport:
        """Make a transport from its table; `hello_name` is the choice where the table makes none."""
        return cls(
            server.host,
            server.port,
            security=server.security,
            hello_name=server.hello_name or hello_name,
            username=server.username,
            password=server.password.get_secret_value(),
            timeouts=timeouts,
        )

    async def send(
        self,
        mail_from: str,
        rcpt_to: str,
        message: bytes | tuple[bytes, ...],
        *,
        dotless: bool = False,
        behind: Envelope | None = None,
    ) -> Attempt:
        """Send one message to one recipient and say what came of it, in the server's words where it said any.

        Never raises for anything a server or the network does. `message` is whole, perhaps in pieces, with CRLF, not
        dot-stuffed; `dotless` says that it ends with CRLF and no line begins with a dot, so that nobody need look.
        `behind` names the envelope of the next message: where the server takes pipelined commands it rides behind this
        body (RFC 2920), so that a message costs one round trip. The next `send` uses it; `abandon` when none follows.
        """
        pieces = (message,) if isinstance(message, bytes) else message
        envelope = Envelope(mail_from, rcpt_to, sum(map(len, pieces)))
        reused = self._dialogue is not None and self._dialogue.alive
        content = pieces if dotless else (_stuffed(b"".join(pieces)),)
        attempt = await self._send_once(envelope, content, behind)
        dropped = attempt.code is None and attempt.phase in ("mail", "rcpt", "data", "body")
        if reused and (dropped or attempt.phase == "mail"):
            # Servers close connections they find old or full, some without a word, and a line out of turn looks like
            # a reply to what rode ahead. The message is certainly unsent.
            await self._drop()
            attempt = await self._send_once(envelope, content, behind)
        return attempt

    async def try_out(self) -> Attempt | None:
        """Connect, greet, secure and log in, then leave without sending; return what failed, None when nothing did."""
        try:
            self._dialogue = await self._connect()
        except _NotConnectedError as fault:
            return _attempt(fault.phase, fault.code, fault.text)
        await self.close()
        return None

    def precede(self, envelope: Envelope) -> None:
        """Write the envelope of the next message, so that its replies come while the message waits for its turn.

        Only where the server takes pipelined commands and a connection stands; else `send` does it. As with what rides
        behind a body: the next `send` uses it, or `abandon`.
        """
        dialogue = self._dialogue
        if dialogue is None or self._ahead is not None or not dialogue.alive:
            return
        if octets := self._riding(envelope):
            dialogue.ask(octets, 3)
            self._ahead, self._preceded = envelope, True
            faults.point("smtp.asked")

    async def abandon(self) -> None:
        """Give up the envelope that rode ahead, if one did: the only way out of an open DATA is to hang up."""
        if self._ahead is not None:
            await self._drop()

    async def close(self) -> None:
        """Take leave of the server, if there is a connection."""
        await self.abandon()
        if self._dialogue is not None:
            dialogue, self._dialogue = self._dialogue, None
            faults.point("smtp.leaving")
            await dialogue.close(self._timeouts.goodbye)

    async def _send_once(self, envelope: Envelope, content: tuple[bytes, ...], behind: Envelope | None) -> Attempt:
        if self._dialogue is not None and not self._dialogue.alive:
            await self._drop()
        if self._ahead is not None and self._ahead != envelope:
            await self._drop()
        if self._worn_out() and self._ahead is None:
            await self.close()
        if self._dialogue is None:
            faults.point("smtp.dialling")
            try:
                self._dialogue = await self._connect()
            except _NotConnectedError as fault:
                return _attempt(fault.phase, fault.code, fault.text)
            faults.point("smtp.connected")
            self._sent, self._since = 0, asyncio.get_running_loop().time()
        if self._ahead is None and (refusal := self._unsuitable(envelope)):
            return _attempt("message", None, refusal)
        self._sent += 1
        attempt = await self._transaction(self._dialogue, envelope, content, behind)
        if attempt.code is None or attempt.code == 421 or not self._dialogue.alive:
            await self._drop()
        return attempt

    def _worn_out(self) -> bool:
        """Whether the connection has carried its messages or seen its time."""
        return self._sent >= self._max_messages or asyncio.get_running_loop().time() - self._since > self._max_age

    def _unsuitable(self, envelope: Envelope) -> str:
        """Return why this envelope should not be opened on this server, "" when it may."""
        mail_from, rcpt_to = envelope.mail_from, envelope.rcpt_to
        if not _ENVELOPE.match(mail_from) or not _ENVELOPE.match(rcpt_to) or not rcpt_to:
            return "the address cannot stand in an SMTP command"
        if not (mail_from + rcpt_to).isascii() and "smtputf8" not in self._extensions:
            return "smtputf8-unsupported: the address has letters outside ASCII, and the server does not offer SMTPUTF8"
        limit = self._extensions.get("size", "")
        if limit.isascii() and limit.isdigit() and 0 < int(limit) < envelope.size:
            return f"{TOO_BIG}: the message has {envelope.size} octets, the server takes {int(limit)} at most"
        return ""

    def _commands(self, envelope: Envelope) -> tuple[bytes, bytes, bytes]:
        """Return MAIL, RCPT and DATA, each with its CRLF."""
        options = f" SIZE={envelope.size}" if "size" in self._extensions else ""
        if not (envelope.mail_from + envelope.rcpt_to).isascii():
            options += " SMTPUTF8"
        mail = f"MAIL FROM:<{envelope.mail_from}>{options}\r\n"
        return mail.encode(), f"RCPT TO:<{envelope.rcpt_to}>\r\n".encode(), b"DATA\r\n"

    async def _transaction(
        self, dialogue: Dialogue, envelope: Envelope, content: tuple[bytes, ...], behind: Envelope | None
    ) -> Attempt:
        phase = "mail"
        try:
            opened, self._ahead = self._ahead is not None, None
            if not opened and "pipelining" in self._extensions:
                dialogue.ask(b"".join(self._commands(envelope)), 3)
                faults.point("smtp.asked")
                opened = True
            # Answered long before it was claimed: what came behind the answers, or the end, has been seen by now.
            settled = opened and not self._preceded and not dialogue.waiting
            refused = await (self._opened(dialogue) if opened else self._open(dialogue, envelope))
            if refused is not None:
                return refused
            faults.point("smtp.opened")
            phase = "body"
            # Pieces that are short together go as they are; what is long goes block by block.
            long = b"".join(content) if envelope.size > BLOCK or len(content) == 1 else b""
            if not settled or len(long) > BLOCK:
                early = await dialogue.body(long, self._timeouts.block)
                if early is not None:
                    dialogue.abort()  # half a message is on the way: there is no orderly way back
                    return _unaccepted(phase, early)
            riding = self._riding(behind)
            faults.point("smtp.before-dot")
            dialogue.finish((last_block(long),) if long else content, riding, 4 if riding else 1)
            phase = "dot"
            faults.point("smtp.after-dot")
            self._ahead, self._preceded = behind if riding else None, False
            answer = await dialogue.hear(self._timeouts.dot)
            faults.point("smtp.answered")
        except BrokenError as fault:
            return _attempt(phase, None, str(fault))
        if answer.code // 100 == 3:
            dialogue.abort()
        return _attempt(phase, answer.code, answer.text)

    def _riding(self, behind: Envelope | None) -> bytes:
        """Return the commands to write behind the final dot, none when the next message needs another connection."""
        if behind is None or "pipelining" not in self._extensions or self._worn_out() or self._unsuitable(behind):
            return b""
        return b"".join(self._commands(behind))

    async def _open(self, dialogue: Dialogue, envelope: Envelope) -> Attempt | None:
        """Open an envelope command by command; None when the server waits for the message."""
        limits = (self._timeouts.mail, self._timeouts.rcpt, self._timeouts.data)
        steps = zip(("mail", "rcpt", "data"), self._commands(envelope), limits, strict=True)
        for phase, command, limit in steps:
            try:
                dialogue.ask(command, 1)
                faults.point("smtp.asked")
                answer = await dialogue.hear(limit)
            except BrokenError as fault:
                return _attempt(phase, None, str(fault))
            faults.point(_ANSWERED[phase])
            if not _goes_on(phase, answer):
                return await self._refused(dialogue, phase, answer)
        return None

    async def _opened(self, dialogue: Dialogue) -> Attempt | None:
        """Hear the replies to an envelope written at once; None when the server waits for the message."""
        limits = (self._timeouts.mail, self._timeouts.rcpt, self._timeouts.data)
        refusal: tuple[str, Answer] | None = None
        for phase, limit in zip(("mail", "rcpt", "data"), limits, strict=True):
            try:
                answer = dialogue.heard() or await dialogue.hear(limit)
            except BrokenError as fault:
                return _unaccepted(*refusal) if refusal else _attempt(phase, None, str(fault))
            faults.point(_ANSWERED[phase])
            if refusal is not None:
                if answer.code // 100 in (2, 3):
                    # Nothing can be accepted after what was refused, unless a line came out of turn. A server that
                    # waits for a message without recipients (RFC 2920 §3.1) is left the same way.
                    dialogue.abort()
                    return self._out_of_step(refusal, phase, answer)
            elif not _goes_on(phase, answer):
                refusal = (phase, answer)
        return await self._refused(dialogue, *refusal) if refusal else None

    def _out_of_step(self, refusal: tuple[str, Answer], phase: str, answer: Answer) -> Attempt:
        """Describe replies that do not fit together: believed only where 354 follows a refused recipient."""
        if phase == "data" and answer.code == 354 and refusal[0] == "rcpt":
            return _unaccepted(*refusal)
        text = f"replies that do not fit together: {refusal[1].code} to {refusal[0].upper()}, then {answer.code}"
        return _attempt(refusal[0], None, text)

    async def _refused(self, dialogue: Dialogue, phase: str, answer: Answer) -> Attempt:
        """Leave the envelope so that the connection can carry the next message."""
        attempt = _unaccepted(phase, answer)
        faults.point("smtp.refused")
        if attempt.code is None:
            dialogue.abort()  # it does not speak SMTP as we do
        elif answer.code != 421:
            try:
                reset = await dialogue.command(b"RSET", self._timeouts.goodbye)
                if reset.code // 100 != 2:
                    dialogue.abort()
            except BrokenError:
                pass  # seen by `alive`; the answer we came for is known
        return attempt

    async def _drop(self) -> None:
        self._ahead = None
        if self._dialogue is not None:
            dialogue, self._dialogue = self._dialogue, None
            dialogue.abort()
            await dialogue.close(self._timeouts.goodbye)
            faults.point("smtp.dropped")

    async def _connect(self) -> Dialogue:
        """Let aiosmtplib open, secure, introduce and authenticate, step by step, so that each fault has its name."""
        try:
            plug = await sockets.connect(self._host, self._port, self._timeouts.connect)
        except sockets.UnreachableError as error:
            raise _NotConnectedError("connect", None, str(error)) from error
        client = aiosmtplib.SMTP(
            hostname=self._host,
            sock=plug,
            local_hostname=self._hello_name,
            use_tls=self._security == "tls",
            start_tls=False,  # ours below; None would mean "if it happens to be offered"
            tls_context=(self._tls_context or default_tls()) if self._security != "plain" else None,
            timeout=self._timeouts.greeting,
        )
        phase = "connect"
        try:
            await self._greet(client)
            if self._username:
                phase = "auth"
                await self._authenticate(client)
            dialogue, self._extensions = _take_over(client), dict(client.esmtp_extensions)
        except (aiosmtplib.SMTPException, OSError, _NotConnectedError) as error:
            client.close()
            plug.close()
            raise _not_connected(phase, error) from error
        except BaseException:
            client.close()
            plug.close()
            raise
        return dialogue

    async def _greet(self, client: aiosmtplib.SMTP) -> None:
        await client.connect()
        await _introduce(client)
        if self._security != "starttls":
            return
        if not client.supports_extension("starttls"):
            raise _NotConnectedError("tls", None, "the server does not offer STARTTLS, and nothing is sent in clear")
        await client.starttls()
        await _introduce(client)  # what it said before, somebody in between may have said (RFC 3207 §4.2)

    async def _authenticate(self, client: aiosmtplib.SMTP) -> None:
        """Log in once, by one method: a second try with the same password only brings the account's lock closer."""
        encrypted = client.get_transport_info("sslcontext") is not None
        if not encrypted and not _is_loopback(client.get_transport_info("peername")):
            raise _NotConnectedError("auth", None, "a password is not sent over an unencrypted connection")
        methods = {"plain": client.auth_plain, "login": client.auth_login, "cram-md5": client.auth_crammd5}
        for method, log_in in methods.items():
            if method in client.server_auth_methods:
                await log_in(self._username, self._password)
                return
        raise _NotConnectedError("auth", None, "the server offers none of the ways to log in: PLAIN, LOGIN, CRAM-MD5")


def _take_over(client: aiosmtplib.SMTP) -> Dialogue:
    if client.transport is None:
        raise _NotConnectedError("connect", None, "the server closed the connection")
    return take_over(client.transport)


async def _introduce(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError as error:
        if error.code == 421 or not client.is_connected:
            raise
        await client.helo()


def _not_connected(phase: str, error: Exception) -> _NotConnectedError:
    """Name the phase and the words of a failure to connect."""
    if isinstance(error, _NotConnectedError):
        return error
    if isinstance(error, aiosmtplib.SMTPResponseException):
        # aiosmtplib gives code -1 to what is no reply at all.
        return _NotConnectedError(phase, error.code if error.code >= 200 else None, readable(error.message))
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _NotConnectedError("tls", None, f"TLS: {cause}")
    return _NotConnectedError("connect", None, str(error) or type(error).__name__)


def _is_loopback(peer: object) -> bool:
    try:
        return isinstance(peer, tuple) and ipaddress.ip_address(peer[0]).is_loopback
    except ValueError:
        return False


def _goes_on(phase: str, answer: Answer) -> bool:
    """Whether this reply to a command of the envelope is the one hoped for."""
    return answer.code == 354 if phase == "data" else answer.code // 100 == 2


def _unaccepted(phase: str, answer: Answer) -> Attempt:
    """Describe a reply before the final dot that is not the one expected."""
    if answer.code // 100 in (4, 5):
        return _attempt(phase, answer.code, answer.text)
    return _attempt(phase, None, f"unexpected reply: {answer.code} {answer.text}")


def _attempt(phase: str, code: int | None, text: str) -> Attempt:
    return Attempt(outcome=classify(phase, code, text).outcome, code=code, text=text, phase=phase)


def _stuffed(message: bytes) -> bytes:
    """Double the first dot of each line (RFC 5321 §4.5.2)."""
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    if b"\n." in message:
        message = message.replace(b"\n.", b"\n..")
    return b"." + message if message.startswith(b".") else message

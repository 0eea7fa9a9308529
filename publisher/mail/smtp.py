"""SMTP: one connection that carries messages one after another and says exactly how far each of them came."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Literal

import aiosmtplib

from publisher.config import Smtp
from publisher.mail.dialogue import Answer, BrokenError, Dialogue, readable, take_over
from publisher.mail.replies import classify
from publisher.model import Attempt

_ENVELOPE = re.compile(r"[^\s<>\x00-\x20\x7f\ud800-\udfff]*\Z")
_HELLO = re.compile(r"[A-Za-z0-9.-]+\Z|\[[0-9A-Za-z:.]+\]\Z")

MAX_MESSAGES = 100
"""Messages per connection: what large senders use, and below the limits of most providers (spec mail §1.6)."""


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
        self._dialogue: Dialogue | None = None
        self._extensions: dict[str, str] = {}
        self._sent = 0

    @classmethod
    def from_config(cls, smtp: Smtp, *, hello_name: str, timeouts: Timeouts = Timeouts()) -> Transport:
        """Make a transport from its table; `hello_name` is the choice where the table makes none."""
        return cls(
            smtp.host,
            smtp.port,
            security=smtp.security,
            hello_name=smtp.hello_name or hello_name,
            username=smtp.username,
            password=smtp.password.get_secret_value(),
            timeouts=timeouts,
        )

    async def send(self, mail_from: str, rcpt_to: str, message: bytes) -> Attempt:
        """Send one message to one recipient and say what came of it, in the server's words where it said any.

        Never raises for anything a server or the network does. `message` is whole, with CRLF, not dot-stuffed.
        """
        reused = self._dialogue is not None and self._dialogue.alive
        attempt = await self._send_once(mail_from, rcpt_to, message)
        dropped = attempt.code is None and attempt.phase in ("mail", "rcpt", "data", "body")
        if reused and (dropped or (attempt.code == 421 and attempt.phase == "mail")):
            # Servers close connections they find old or full, some without a word. The message is certainly unsent.
            await self._drop()
            attempt = await self._send_once(mail_from, rcpt_to, message)
        return attempt

    async def close(self) -> None:
        """Take leave of the server, if there is a connection."""
        if self._dialogue is not None:
            dialogue, self._dialogue = self._dialogue, None
            await dialogue.close(self._timeouts.goodbye)

    async def _send_once(self, mail_from: str, rcpt_to: str, message: bytes) -> Attempt:
        if self._dialogue is not None and not self._dialogue.alive:
            await self._drop()
        if self._sent >= self._max_messages:
            await self.close()
        if self._dialogue is None:
            try:
                self._dialogue = await self._connect()
            except _NotConnectedError as fault:
                return _attempt(fault.phase, fault.code, fault.text)
            self._sent = 0
        refusal = self._unsuitable(mail_from, rcpt_to, message)
        if refusal:
            return _attempt("message", None, refusal)
        self._sent += 1
        attempt = await self._transaction(self._dialogue, mail_from, rcpt_to, message)
        if attempt.code is None or attempt.code == 421 or not self._dialogue.alive:
            await self._drop()
        return attempt

    def _unsuitable(self, mail_from: str, rcpt_to: str, message: bytes) -> str:
        """Return why no envelope should be opened for this message on this server, "" when one may."""
        if not _ENVELOPE.match(mail_from) or not _ENVELOPE.match(rcpt_to) or not rcpt_to:
            return "the address cannot stand in an SMTP command"
        if not (mail_from + rcpt_to).isascii() and "smtputf8" not in self._extensions:
            return "smtputf8-unsupported: the address has letters outside ASCII, and the server does not offer SMTPUTF8"
        limit = self._extensions.get("size", "")
        if limit.isascii() and limit.isdigit() and 0 < int(limit) < len(message):
            return f"the message has {len(message)} octets, the server takes {int(limit)} at most"
        return ""

    async def _transaction(self, dialogue: Dialogue, mail_from: str, rcpt_to: str, message: bytes) -> Attempt:
        options = f" SIZE={len(message)}" if "size" in self._extensions else ""
        if not (mail_from + rcpt_to).isascii():
            options += " SMTPUTF8"
        phase = "mail"
        try:
            answer = await dialogue.command(f"MAIL FROM:<{mail_from}>{options}".encode(), self._timeouts.mail)
            if answer.code // 100 != 2:
                return await self._refused(dialogue, phase, answer)
            phase = "rcpt"
            answer = await dialogue.command(f"RCPT TO:<{rcpt_to}>".encode(), self._timeouts.rcpt)
            if answer.code // 100 != 2:
                return await self._refused(dialogue, phase, answer)
            phase = "data"
            answer = await dialogue.command(b"DATA", self._timeouts.data)
            if answer.code != 354:
                return await self._refused(dialogue, phase, answer)
            phase = "body"
            early = await dialogue.body(_stuffed(message), self._timeouts.block)
            if early is not None:
                dialogue.abort()  # half a message is on the way: there is no orderly way back
                return _unaccepted(phase, early)
            phase = "dot"
            answer = await dialogue.command(b".", self._timeouts.dot)
        except BrokenError as fault:
            return _attempt(phase, None, str(fault))
        if answer.code // 100 == 3:
            dialogue.abort()
        return _attempt(phase, answer.code, answer.text)

    async def _refused(self, dialogue: Dialogue, phase: str, answer: Answer) -> Attempt:
        """Leave the envelope so that the connection can carry the next message."""
        attempt = _unaccepted(phase, answer)
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
        if self._dialogue is not None:
            dialogue, self._dialogue = self._dialogue, None
            dialogue.abort()
            await dialogue.close(self._timeouts.goodbye)

    async def _connect(self) -> Dialogue:
        """Let aiosmtplib open, secure, introduce and authenticate, step by step, so that each fault has its name."""
        plug = await self._open_socket()
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

    async def _open_socket(self) -> socket.socket:
        """Connect to the first of the host's addresses that answers."""
        loop = asyncio.get_running_loop()
        last: Exception | None = None
        try:
            async with asyncio.timeout(self._timeouts.connect):
                addresses = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = str(error) or "no answer about its address"
            raise _NotConnectedError("connect", None, f"{self._host}: {reason}") from error
        for family, kind, number, _, address in addresses:
            plug = socket.socket(family, kind, number)
            try:
                plug.setblocking(False)
                plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                async with asyncio.timeout(self._timeouts.connect):
                    await loop.sock_connect(plug, address)
                return plug
            except OSError as error:  # TimeoutError is one
                plug.close()
                last = error
            except BaseException:
                plug.close()
                raise
        reason = str(last) or f"no answer within {self._timeouts.connect:g} s"
        where = f"{self._host} port {self._port}"
        raise _NotConnectedError("connect", None, f"cannot connect to {where}: {reason}") from last

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


def _unaccepted(phase: str, answer: Answer) -> Attempt:
    """Describe a reply before the final dot that is not the one expected."""
    if answer.code // 100 in (4, 5):
        return _attempt(phase, answer.code, answer.text)
    return _attempt(phase, None, f"unexpected reply: {answer.code} {answer.text}")


def _attempt(phase: str, code: int | None, text: str) -> Attempt:
    return Attempt(outcome=classify(phase, code, text).outcome, code=code, text=text, phase=phase)


def _stuffed(message: bytes) -> bytes:
    """Double the first dot of each line (RFC 5321 §4.5.2); ours have none, but the door does not rely on it."""
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    if b"\n." in message:
        message = message.replace(b"\n.", b"\n..")
    return b"." + message if message.startswith(b".") else message

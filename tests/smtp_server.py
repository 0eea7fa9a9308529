"""A real SMTP server on loopback whose every misbehaviour has a name; it keeps its own ledger."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

CHALLENGE = b"<1896.697170952@loopback>"

Action = str | None
"""A reply to give ("250 ok"), or one of the words: `close` (hang up), `silence` (never answer), `endless` (octets that
never become a line, as long as the client listens), `slowly 250 ok` (octet by octet), None (as usual)."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message whose final dot arrived, written down before the reply to it."""

    mail_from: str
    rcpt_to: str
    content: bytes
    began_at: float = 0.0
    """When its first octet came, on this machine's monotonic clock."""
    refused: bool = False
    """The reply said so: nobody gets it."""

    @property
    def message_id(self) -> str:
        """The value of its Message-ID header."""
        for line in self.content.split(b"\r\n"):
            if line.lower().startswith(b"message-id: "):
                return line[12:].decode()
        return ""

    @property
    def digest(self) -> str:
        """The sha256 of its bytes."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class Script:
    """What the server does; each list is used up from the left, then the server behaves."""

    greeting: list[Action] = field(default_factory=list)
    ehlo: list[Action] = field(default_factory=list)
    starttls: list[Action] = field(default_factory=list)
    """Said to STARTTLS, and then nothing follows."""
    auth: list[Action] = field(default_factory=list)
    mail: list[Action] = field(default_factory=list)
    rcpt: list[Action] = field(default_factory=list)
    data: list[Action] = field(default_factory=list)
    dot: list[Action] = field(default_factory=list)
    rset: list[Action] = field(default_factory=list)
    quit: list[Action] = field(default_factory=list)
    after_dot: list[Action] = field(default_factory=list)
    """Said or done without being asked, right after the reply to the dot."""
    body: list[Literal["close", "stall"] | str | None] = field(default_factory=list)
    """Once 354 is out and the first octets came: hang up, read no more, or say this."""
    refused: dict[str, str] = field(default_factory=dict)
    """Reply to RCPT by recipient, always."""
    extensions: Iterable[str] = ("SIZE 1000000", "8BITMIME", "ENHANCEDSTATUSCODES")

    def next(self, step: str) -> Action:
        """Take what comes next at a step."""
        actions: list[Action] = getattr(self, step)
        return actions.pop(0) if actions else None


class SmtpServer:
    """The running server: its port, what it received and what it was told."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None, implicit: bool) -> None:
        self.script = script
        self.received: list[Received] = []
        self.commands: list[str] = []
        self.connections = 0
        self.at_dot: asyncio.Event = asyncio.Event()
        self._tls, self._implicit = tls, implicit
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen on a free port of the loopback address."""
        context = self._tls if self._implicit else None
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context, limit=2**25)

    async def stop(self) -> None:
        """Hang up everywhere."""
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await _Session(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, UnicodeError, asyncio.CancelledError):
            pass  # the client hung up, or the test is over
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


class _HangUpError(ConnectionError):
    """The script says so."""


class _Session:
    def __init__(self, server: SmtpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.script = server, server.script
        self.reader, self.writer = reader, writer
        self.sender = self.recipient = ""
        self.accepted: list[str] = []

    async def run(self) -> None:
        await self.answer("greeting", "220 loopback ready")
        while True:
            line = (await self.reader.readuntil(b"\n")).decode().rstrip("\r\n")
            self.server.commands.append(line)
            verb = line.partition(" ")[0].upper()
            if verb == "EHLO":
                extensions = [*self.script.extensions, *(["STARTTLS"] if self.offers_tls else [])]
                await self.answer(
                    "ehlo", "\r\n".join(["250-loopback", *(f"250-{each}" for each in extensions), "250 HELP"])
                )
            elif verb == "STARTTLS" and self.offers_tls:
                if (action := self.script.next("starttls")) is not None:
                    await self.act(action)
                    continue
                await self.say("220 go ahead")
                await self.writer.start_tls(self.server._tls)  # type: ignore[arg-type]  # offered only when there is one
            elif verb == "AUTH":
                if not self.script.auth and "PLAIN" not in line:
                    self.server.commands.append(await self.challenged(line))
                await self.answer("auth", "235 2.7.0 welcome")
            elif verb == "MAIL":
                self.sender = line.partition("<")[2].partition(">")[0]
                self.accepted = ["MAIL"] if (await self.answer("mail", "250 2.1.0 ok")).startswith("2") else []
            elif verb == "RCPT" and not self.accepted:
                await self.say("503 5.5.1 MAIL first")
            elif verb == "RCPT":
                self.recipient = line.partition("<")[2].partition(">")[0]
                usual = self.script.refused.get(self.recipient, "250 2.1.5 ok")
                self.accepted += ["RCPT"] if (await self.answer("rcpt", usual)).startswith("2") else []
            elif verb == "DATA" and self.accepted != ["MAIL", "RCPT"]:
                await self.say("503 5.5.1 RCPT first")
            elif verb == "DATA":
                if (await self.answer("data", "354 go on")).startswith("354"):
                    await self.take_message()
            elif verb == "QUIT":
                await self.answer("quit", "221 bye")
                return
            else:
                await self.answer("rset", "250 ok")

    @property
    def offers_tls(self) -> bool:
        tls = self.server._tls is not None and not self.server._implicit
        return tls and self.writer.get_extra_info("sslcontext") is None

    async def challenged(self, line: str) -> str:
        """Ask what LOGIN and CRAM-MD5 ask for, and return the answer."""
        await self.say(f"334 {base64.b64encode(CHALLENGE if 'CRAM' in line else b'Password:').decode()}")
        return (await self.reader.readuntil(b"\n")).decode().rstrip("\r\n")

    async def take_message(self) -> None:
        action = self.script.next("body")
        if action is not None:
            await self.reader.read(1000)
            if action == "stall":
                self.reader._transport.pause_reading()  # type: ignore[attr-defined]  # what a server out of memory does
                await asyncio.Event().wait()
            await self.act(action)
        first = await self.reader.readexactly(1)
        began_at = time.monotonic()
        raw = first + await self.reader.readuntil(b"\r\n.\r\n")
        content = raw[:-3].replace(b"\r\n..", b"\r\n.")
        reply = self.script.next("dot") or f"250 2.0.0 queued as {len(self.server.received) + 1}"
        refused = reply.startswith(("4", "5"))
        self.server.received.append(Received(self.sender, self.recipient, content, began_at, refused))
        self.server.at_dot.set()
        await self.act(reply)
        await self.act(self.script.next("after_dot"))

    async def answer(self, step: str, usual: str) -> str:
        action = self.script.next(step)
        await self.act(action or usual)
        return (action or usual).removeprefix("slowly ")

    async def act(self, action: Action) -> None:
        if action is None:
            return
        if action == "close":
            raise _HangUpError
        if action == "silence":
            await asyncio.Event().wait()
        while action == "endless":
            await self.trickle("x")
        if action.startswith("slowly "):
            await self.trickle(action.removeprefix("slowly ") + "\r\n")
        else:
            await self.say(action)

    async def trickle(self, text: str) -> None:
        for octet in text.encode():
            self.writer.write(bytes([octet]))
            await self.writer.drain()
            await asyncio.sleep(0.002)

    async def say(self, text: str) -> None:
        self.writer.write(text.encode("utf-8", "surrogateescape") + b"\r\n")
        await self.writer.drain()


@asynccontextmanager
async def smtp_server(
    script: Script | None = None, *, tls: ssl.SSLContext | None = None, implicit: bool = False
) -> AsyncIterator[SmtpServer]:
    """Run a server during a block. `tls` is offered as STARTTLS, or spoken from the first octet if `implicit`."""
    server = SmtpServer(script or Script(), tls, implicit)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()

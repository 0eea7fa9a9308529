"""The embedded inbox: an SMTP server on loopback that keeps what it is given in a Maildir, byte for byte."""

from __future__ import annotations

import asyncio
import email
import ipaddress
import os
import re
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import cast

from aiosmtpd.smtp import SMTP, Envelope, Session

MAX_MESSAGE = 32 * 1024 * 1024
"""Octets of a message at most."""
_KEY = re.compile(r"([0-9]{8,})\.publisher\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A message in a list."""

    key: str
    sender: str
    to: str
    subject: str
    date: datetime | None
    """As its Date header says; None where that is missing or wrong."""
    size: int
    """Octets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMessage:
    """A message to look at."""

    key: str
    sender: str
    to: str
    subject: str
    date: datetime | None
    headers: tuple[tuple[str, str], ...]
    """Decoded, in the order of the message."""
    html: str | None
    text: str | None
    raw: bytes


class Inbox:
    """A Maildir and, once started, the server that fills it. Reading needs no server."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server: asyncio.Server | None = None
        self._sessions: set[_Session] = set()
        self._last = 0
        self._writing = asyncio.Lock()

    async def start(self, host: str, port: int) -> int:
        """Listen on a loopback address; port 0 is any. Returns the port. Raises ValueError off loopback, OSError."""
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"the embedded inbox listens on loopback only, not on {host}: it takes mail for everybody")
        for name in ("tmp", "new", "cur"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        self._last = max((number for number, _ in self._files()), default=0)
        # Bound here: an event loop would take the address for a name, and look it up on a thread.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        self._server = await asyncio.get_running_loop().create_server(lambda: _Session(self), sock=listener)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and hang up; what was accepted is on disk."""
        if self._server is None:
            return
        self._server.close()
        for session in list(self._sessions):
            session.hang_up()
        while self._sessions:  # noqa: ASYNC110 - one or two turns, at a stop
            await asyncio.sleep(0)  # the loop tells each of them that its connection is gone
        await self._server.wait_closed()
        self._server = None

    def messages(self, limit: int = 200) -> list[Summary]:
        """Return the newest messages, newest first."""
        newest = sorted(self._files(), reverse=True)[:limit]
        return [summary for _, path in newest if (summary := _summary(path)) is not None]

    def read(self, key: str) -> ParsedMessage | None:
        """Return one message, None when there is none of that key."""
        for folder in ("new", "cur"):
            path = self._directory / folder / key
            if _KEY.match(key) and path.is_file():
                return _parsed(key, path.read_bytes())
        return None

    def forget(self, addresses: Collection[str]) -> int:
        """Delete the messages that name one of these addresses anywhere; returns how many. Blocking."""
        wanted = {address.encode() for address in addresses} | {address.lower().encode() for address in addresses}
        gone = 0
        for _, path in list(self._files()):
            content = path.read_bytes()
            if any(address in content or address in content.lower() for address in wanted):
                path.unlink(missing_ok=True)
                gone += 1
        return gone

    async def keep(self, content: bytes) -> None:
        """Store one message durably under the next number: whole in `new`, or not at all."""
        async with self._writing:
            self._last += 1
            name = f"{self._last:08d}.publisher"
            await asyncio.to_thread(_write, self._directory, name, content)

    def _files(self) -> Iterator[tuple[int, Path]]:
        for folder in ("new", "cur"):
            directory = self._directory / folder
            for path in directory.iterdir() if directory.is_dir() else ():
                if match := _KEY.match(path.name):
                    yield int(match[1]), path


class _Handler:
    """What aiosmtpd calls."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - its form
        content = envelope.content
        if not isinstance(content, bytes):
            return "554 5.6.0 no message"
        try:
            await self._inbox.keep(content)
        except OSError as error:
            return f"452 4.3.1 cannot be stored: {error.strerror}"
        return "250 2.0.0 kept"


class _Session(SMTP):
    """One connection; the inbox knows the open ones, so that stopping does not wait for their clients."""

    def __init__(self, inbox: Inbox) -> None:
        super().__init__(
            _Handler(inbox),
            data_size_limit=MAX_MESSAGE,
            enable_SMTPUTF8=True,
            hostname="localhost",  # or it would ask the resolver for the name of this machine, on the event loop
            ident="Publisher inbox",
            loop=asyncio.get_running_loop(),
        )
        self._inbox = inbox
        self._wire: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the open sessions."""
        self._wire = cast("asyncio.WriteTransport", transport)  # in all but name: uvloop's inherit from nothing
        self._inbox._sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Leave the open sessions."""
        self._inbox._sessions.discard(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        """Close the connection at once."""
        if self._wire is not None:
            self._wire.abort()


def _write(directory: Path, name: str, content: bytes) -> None:
    draft = directory / "tmp" / name
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(directory / "new" / name)
    folder = os.open(directory / "new", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _summary(path: Path) -> Summary | None:
    try:
        with path.open("rb") as file:
            message = BytesHeaderParser().parse(file)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:  # deleted or moved by a mail program meanwhile
        return None
    return Summary(
        key=path.name,
        sender=_header(message, "From"),
        to=_header(message, "To"),
        subject=_header(message, "Subject"),
        date=_date(message),
        size=size,
    )


def _parsed(key: str, raw: bytes) -> ParsedMessage:
    # The older parser and `decode_header`: the newer ones raise on mail that is malformed in one of many ways.
    message = email.message_from_bytes(raw)
    return ParsedMessage(
        key=key,
        sender=_header(message, "From"),
        to=_header(message, "To"),
        subject=_header(message, "Subject"),
        date=_date(message),
        headers=tuple((name, _decoded(str(value))) for name, value in message.items()),
        html=_content(message, "text/html"),
        text=_content(message, "text/plain"),
        raw=raw,
    )


def _header(message: Message, name: str) -> str:
    return _decoded(str(message[name] or ""))


def _decoded(value: str) -> str:
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", value)
    try:
        return str(make_header(decode_header(unfolded)))
    except (HeaderParseError, LookupError, ValueError):
        return unfolded  # as it came: an unknown charset or broken base64 is worth seeing


def _date(message: Message) -> datetime | None:
    try:
        date = parsedate_to_datetime(str(message["Date"]))
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else None


def _content(message: Message, media_type: str) -> str | None:
    for part in message.walk():
        if part.get_content_type() == media_type and not part.is_multipart():
            payload = part.get_payload(decode=True)
            octets = payload if isinstance(payload, bytes) else b""
            try:
                return octets.decode(part.get_content_charset("utf-8"), "replace")
            except LookupError:
                return octets.decode("utf-8", "replace")
    return None

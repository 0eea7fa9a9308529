"""SMTP command and reply over an open connection, which it stops trusting at the first surprise."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from typing import NamedTuple, cast

MAX_LINE = 2048
"""Octets of a reply line at most: four times what RFC 5321 §4.5.3.1.5 allows."""
MAX_LINES = 100
MAX_TEXT = 2000
"""Characters of a reply kept."""
BLOCK = 65536
"""Octets of a body given to the connection at a time, so that a server that stops reading is noticed."""

_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Answer(NamedTuple):
    """A well-formed reply: its code and its lines joined by newlines, free of control characters."""

    code: int
    text: str


class BrokenError(Exception):
    """The connection cannot be used any more; the text says why."""


class Dialogue(asyncio.Protocol):
    """Drives one connection after set-up. Whoever speaks out of turn, or not in SMTP, is cut off."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._expected: deque[asyncio.Future[Answer]] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self._in_body = False
        self._early: Answer | None = None
        self._broken = ""
        self._closed = asyncio.get_running_loop().create_future()
        transport.set_protocol(self)
        # Writing pauses while octets are still ours, so "written" means handed to the kernel. Not 0: for asyncio's TLS
        # that is a buffer full while empty.
        transport.set_write_buffer_limits(high=1, low=0)

    @property
    def alive(self) -> bool:
        """Whether the connection still holds and nothing unexpected came over it."""
        spoken = (self._buffer or self._lines) and not self._expected
        return not self._broken and not spoken and not self._transport.is_closing()

    def ask(self, octets: bytes, replies: int) -> list[asyncio.Future[Answer]]:
        """Write commands, each with its CRLF, and return their coming replies in order (RFC 2920). See `hear`.

        Raises BrokenError when the connection is known to be lost; then nothing was written.
        """
        self._check()
        loop = asyncio.get_running_loop()
        coming = [loop.create_future() for _ in range(replies)]
        self._expected.extend(coming)
        self._transport.write(octets)
        return coming

    async def hear(self, reply: asyncio.Future[Answer], timeout: float) -> Answer:  # noqa: ASYNC109 - it breaks the dialogue
        """Return a reply that was asked for. Raises BrokenError, and the command may have arrived all the same."""
        if reply.done():
            return reply.result()
        try:
            async with asyncio.timeout(timeout):
                return await reply
        except TimeoutError:
            self._break(f"no reply within {timeout:g} s")
            raise BrokenError(self._broken) from None
        except asyncio.CancelledError:
            self._break("given up while waiting for a reply")  # which the next command would take for its own
            raise

    async def command(self, line: bytes, timeout: float) -> Answer:  # noqa: ASYNC109 - as above
        """Send one line (without CRLF) and return the reply. Raises BrokenError, and the line may have arrived."""
        [reply] = self.ask(line + b"\r\n", 1)
        return await self.hear(reply, timeout)

    async def body(self, content: bytes, timeout: float) -> Answer | None:  # noqa: ASYNC109 - as above
        """Write dot-stuffed content, but neither its last block nor the dot, until the kernel has it.

        `timeout` is for each block. Returns the reply of a server that could not wait for the end, else None; then the
        last block and the dot are for `finish`. Raises BrokenError; then the message cannot have been accepted, because
        its end was never written.
        """
        self._check()
        self._in_body, self._early = True, None
        try:
            view = memoryview(content)
            for start in range(0, _last(content), BLOCK):
                self._transport.write(view[start : start + BLOCK])
                await self._written(timeout)
                if self._early:
                    return self._early
            # One turn of the loop, so that a refusal or an end that has already arrived is seen before the dot.
            await asyncio.sleep(0)
            if self._early is None:
                self._check()
            return self._early
        except asyncio.CancelledError:
            self._break("given up in the middle of a message")
            raise
        finally:
            self._in_body = False

    def finish(self, content: bytes, behind: bytes, replies: int) -> list[asyncio.Future[Answer]]:
        """Write the last block of a content, the dot and what rides behind it; return the replies as `ask` does.

        At once, because each write is a call of the kernel: from here on nobody knows whether the message arrived.
        """
        return self.ask(b"".join((memoryview(content)[_last(content) :], b".\r\n", behind)), replies)

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109 - as above
        """Take leave politely if the connection still works, then cut it."""
        if self.alive:
            with contextlib.suppress(BrokenError):  # every message has its answer, whatever becomes of this one
                await self.command(b"QUIT", timeout)
        self.abort()
        await self._closed

    def abort(self) -> None:
        """Cut the connection at once."""
        self._broken = self._broken or "connection cut"
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what the server says."""
        self._buffer += data
        while not self._broken and (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            self._take(line)
        if len(self._buffer) > MAX_LINE:
            self._break("a reply line without end")

    def eof_received(self) -> bool:
        """Treat half a connection as none."""
        self._break("the server closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits."""
        self._break(str(exc) if exc else "the server closed the connection")
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """Hear from the transport that octets are still waiting here."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Hear from the transport that the kernel has everything."""
        self._writable.set()

    def _take(self, line: bytes) -> None:
        match = _REPLY_LINE.match(line)
        code = match[1] if match else b""
        if match is None or len(line) > MAX_LINE or len(self._lines) >= MAX_LINES:
            self._break(f"not an SMTP reply: {_readable([line])[:200]!r}")
            return
        if self._lines and self._lines[0][:3] != code:
            self._break(f"a reply of several codes: {_readable([*self._lines, line])[:200]!r}")
            return
        self._lines.append(line)
        if match[2] == b"-":
            return
        answer = Answer(int(code), _readable([each[4:] for each in self._lines]))
        self._lines = []
        if self._expected:
            reply = self._expected.popleft()
            if not reply.done():  # else nobody waits any more
                reply.set_result(answer)
        elif self._in_body and self._early is None:
            self._early = answer
            self._writable.set()
        else:
            self._break(f"the server spoke out of turn: {answer.code} {answer.text[:200]}")

    async def _written(self, timeout: float) -> None:  # noqa: ASYNC109 - as above
        if self._writable.is_set() and not self._broken:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._writable.wait()
        except TimeoutError:
            self._break(f"the server took nothing for {timeout:g} s")
        if self._early is None:
            self._check()

    def _check(self) -> None:
        if self._buffer or self._lines:
            self._break("the server spoke out of turn")
        if self._transport.is_closing():
            self._break("the connection is closed")
        if self._broken:
            raise BrokenError(self._broken)

    def _break(self, reason: str) -> None:
        if self._broken:
            return
        self._broken = reason
        self._writable.set()
        while self._expected:
            reply = self._expected.popleft()
            if not reply.done():
                reply.set_exception(BrokenError(reason))
                reply.exception()  # seen: replies to an envelope that rode ahead are perhaps never asked for
        self._transport.abort()


def _last(content: bytes) -> int:
    """Return where the last block of a content begins."""
    return max(0, len(content) - 1) // BLOCK * BLOCK


def take_over(transport: asyncio.BaseTransport) -> Dialogue:
    """Return a dialogue that from now on hears everything that comes over the transport."""
    return Dialogue(cast("asyncio.Transport", transport))


def readable(text: str) -> str:
    """Return a server's words without control characters, short enough to keep."""
    return _CONTROLS.sub("", text)[:MAX_TEXT].strip()


def _readable(lines: list[bytes]) -> str:
    return readable("\n".join(line.decode("utf-8", "replace").strip() for line in lines))

"""SMTP command and reply over an open connection, which it stops trusting at the first surprise."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, cast

from publisher import faults

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
    """Drives one connection after set-up. Whoever speaks out of turn, or not in SMTP, is cut off.

    One task at a time uses it. What happens for every message is kept short: one future for each wait, and one timer
    that is set again only when it runs out.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._lines: list[bytes] = []
        self._expected = 0  # replies asked for that have not come
        self._answers: deque[Answer] = deque()  # replies that have come and were not heard
        self._writable = True
        self._in_body = False
        self._early: Answer | None = None
        self._broken = ""
        self._waiter: asyncio.Future[None] | None = None
        self._deadline, self._too_late = 0.0, ""
        self._timer: asyncio.TimerHandle | None = None
        self._closed = self._loop.create_future()
        transport.set_protocol(self)
        # Writing pauses while octets are still ours, so "written" means handed to the kernel. Not 0: for asyncio's TLS
        # that is a buffer full while empty.
        transport.set_write_buffer_limits(high=1, low=0)

    @property
    def alive(self) -> bool:
        """Whether the connection still holds and nothing unexpected came over it."""
        spoken = (self._rest or self._lines) and not self._expected
        return not self._broken and not spoken and not self._transport.is_closing()

    def ask(self, octets: bytes, replies: int) -> None:
        """Write commands, each with its CRLF, whose replies come in order (RFC 2920); `hear` each.

        Raises BrokenError when the connection is known to be lost; then nothing was written.
        """
        self._check()
        self._expected += replies
        self._transport.write(octets)

    async def hear(self, timeout: float) -> Answer:  # noqa: ASYNC109 - it breaks the dialogue
        """Return the next reply asked for. Raises BrokenError, and the command may have arrived all the same."""
        while not self._answers:
            if self._broken:
                raise BrokenError(self._broken)
            await self._wait(timeout, "no reply", "given up while waiting for a reply")
        return self._answers.popleft()

    def heard(self) -> Answer | None:
        """Return the next reply asked for if it has come already."""
        return self._answers.popleft() if self._answers else None

    @property
    def waiting(self) -> bool:
        """Whether replies asked for have not come yet."""
        return self._expected > 0

    async def command(self, line: bytes, timeout: float) -> Answer:  # noqa: ASYNC109 - as above
        """Send one line (without CRLF) and return the reply. Raises BrokenError, and the line may have arrived."""
        self.ask(line + b"\r\n", 1)
        return await self.hear(timeout)

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
                faults.point("smtp.block")
                while not self._writable and not self._broken and self._early is None:
                    await self._wait(timeout, "the server took nothing", "given up in the middle of a message")
                if self._early is None:
                    self._check()
                else:
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

    def finish(self, content: Sequence[bytes | memoryview], behind: bytes, replies: int) -> None:
        """Write what is left of a content, the dot and what rides behind it; the replies come as after `ask`.

        At once, because each write is a call of the kernel: from here on nobody knows whether the message arrived.
        """
        self._check()
        self._expected += replies
        self._transport.writelines((*content, b".\r\n" + behind))

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
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self._broken:
                return
            self._take(line.removesuffix(b"\r"))
        if len(self._rest) > MAX_LINE:
            self._break("a reply line without end")
        if lines:
            self._wake()

    def eof_received(self) -> bool:
        """Treat half a connection as none."""
        self._break("the server closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits."""
        self._break(str(exc) if exc else "the server closed the connection")
        if self._timer is not None:
            self._timer.cancel()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """Hear from the transport that octets are still waiting here."""
        self._writable = False

    def resume_writing(self) -> None:
        """Hear from the transport that the kernel has everything."""
        self._writable = True
        self._wake()

    def _take(self, line: bytes) -> None:
        understood = _understood(line) if len(line) <= MAX_LINE and len(self._lines) < MAX_LINES else None
        if understood is None:
            self._break(f"not an SMTP reply: {_readable([line])[:200]!r}")
            return
        answer, is_last = understood
        if self._lines or not is_last:
            if self._lines and self._lines[0][:3] != line[:3]:
                self._break(f"a reply of several codes: {_readable([*self._lines, line])[:200]!r}")
                return
            self._lines.append(line)
            if not is_last:
                return
            answer = Answer(answer.code, _readable([each[4:] for each in self._lines]))
            self._lines = []
        if self._expected:
            self._expected -= 1
            self._answers.append(answer)
        elif self._in_body and self._early is None:
            self._early = answer
        else:
            self._break(f"the server spoke out of turn: {answer.code} {answer.text[:200]}")

    async def _wait(self, timeout: float, too_late: str, given_up: str) -> None:  # noqa: ASYNC109 - as above
        """Wait until something happens; what, the caller looks up. After `timeout` seconds the dialogue breaks."""
        self._deadline, self._too_late = self._loop.time() + timeout, f"{too_late} within {timeout:g} s"
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self._break(given_up)  # a reply still to come would be taken for the next command's
            raise
        finally:
            self._waiter = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() < self._deadline:  # what it was set for has come since, and something else is waited for
            self._set_timer()
        else:
            self._break(self._too_late)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _check(self) -> None:
        if self._rest or self._lines:
            self._break("the server spoke out of turn")
        if self._transport.is_closing():
            self._break("the connection is closed")
        if self._broken:
            raise BrokenError(self._broken)

    def _break(self, reason: str) -> None:
        if self._broken:
            return
        self._broken = reason
        self._expected = 0
        self._wake()
        self._transport.abort()


@functools.lru_cache(maxsize=256)
def _understood(line: bytes) -> tuple[Answer, bool] | None:
    """Return a line of a reply and whether it is the last; None for what is none. Servers repeat themselves."""
    match = _REPLY_LINE.match(line)
    return (Answer(int(match[1]), _readable([line[4:]])), match[2] != b"-") if match else None


def _last(content: bytes) -> int:
    """Return where the last block of a content begins."""
    return max(0, len(content) - 1) // BLOCK * BLOCK


def last_block(content: bytes) -> memoryview:
    """Return what `Dialogue.body` leaves to `finish`."""
    return memoryview(content)[_last(content) :]


def take_over(transport: asyncio.BaseTransport) -> Dialogue:
    """Return a dialogue that from now on hears everything that comes over the transport."""
    return Dialogue(cast("asyncio.Transport", transport))


def readable(text: str) -> str:
    """Return a server's words without control characters, short enough to keep."""
    return _CONTROLS.sub("", text)[:MAX_TEXT].strip()


def _readable(lines: list[bytes]) -> str:
    return readable("\n".join(line.decode("utf-8", "replace").strip() for line in lines))

"""Signing beside the event loop: by scribes, which are processes and so leave its lock alone, else by threads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from types import TracebackType
from typing import Self, cast

from publisher.mail.dkim import Key, Unsigned
from publisher.mail.scribe import DIGEST, DIGESTS, HEAD, KEY, LENGTH, READY
from publisher.threads import spare

WORTH = 1_000
"""Messages that a run must have before it for scribes to be started: each takes as long as signing 500 by threads."""

THREADS = 2

SCRIBES = 2
"""Two sign more than one event loop can send. Also where they share two processors with it: signing takes longer than
all else that a message needs, and one process beside loop, writer and server would get too small a share for it."""

PATIENCE = 30.0
"""Seconds in which a scribe must sign a handful of digests; one that does not is stopped, and threads go on."""

GOODBYE = 5.0
"""Seconds in which a scribe must end once nobody talks to it."""


def usual_scribes() -> int:
    """Return how many scribes sign on this machine; with one processor threads are faster."""
    # Not all there are: a container may be bound to one. Only Linux tells.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return SCRIBES if usable > 1 else 0


class GoneError(Exception):
    """A scribe has ended or does not answer."""


class Signing:
    """Signs for one run; use as an asynchronous context manager.

    A thread that signs must take the interpreter's lock back after every signature, and keeps the event loop waiting
    for it; a process does not. While a scribe starts, and when one is lost, threads sign: the signatures are the same.
    """

    def __init__(self, scribes: int = 0) -> None:
        """`scribes`: how many processes sign; with none, threads do."""
        self._wanted = scribes
        self._threads: Executor | None = None
        self._scribes: list[_Scribe] = []
        self._starting: asyncio.Task[None] | None = None
        self.by_scribes = 0
        """Signatures that scribes made."""

    async def __aenter__(self) -> Self:
        if self._wanted > 0:
            self._starting = asyncio.create_task(self._start())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._starting is not None:
                # For milliseconds; broken off, it would leave a process that nobody knows.
                await asyncio.wait([self._starting])
            await asyncio.gather(*(scribe.end() for scribe in self._scribes))
        finally:
            if self._threads is not None:
                self._threads.shutdown()
        if self._starting is not None:
            self._starting.result()

    async def sign(self, wanted: Sequence[Unsigned]) -> list[bytes]:
        """Return the header lines of signatures."""
        values = await self._values(wanted)
        return [each.signed(value) for each, value in zip(wanted, values, strict=True)]

    async def _values(self, wanted: Sequence[Unsigned]) -> Sequence[bytes]:
        if ready := [scribe for scribe in self._scribes if scribe.ready]:
            try:
                values = await min(ready, key=lambda scribe: scribe.busy).sign(wanted)
            except GoneError:
                pass
            else:
                self.by_scribes += len(values)
                return values
        if self._threads is None:
            self._threads = spare(THREADS, "publisher-sign")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(_sign_all, wanted))

    async def _start(self) -> None:
        # Where no process may be started, or none of the threads by which asyncio waits for one, threads go on signing.
        with contextlib.suppress(OSError, RuntimeError):
            for _ in range(self._wanted):
                self._scribes.append(await _Scribe.start())


class _Scribe(asyncio.Protocol):
    """A process that signs, and the connection to it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._transport: asyncio.Transport | None = None
        self._keys: dict[Key, int] = {}
        self._asked: deque[tuple[int, asyncio.Future[list[bytes]]]] = deque()
        self._rest = b""
        self._started = self._lost = False

    @classmethod
    async def start(cls) -> Self:
        """Start a process; it says itself when it is ready."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "publisher.mail.scribe",
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                )
            except BaseException:
                ours.close()
                raise
        scribe = cls(process)
        ours.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: scribe, sock=ours)
        return scribe

    @property
    def ready(self) -> bool:
        """Whether it may be asked: it has started, and it is not lost."""
        return self._started and not self._lost

    @property
    def busy(self) -> int:
        """How many frames it has before it."""
        return len(self._asked)

    async def sign(self, wanted: Sequence[Unsigned]) -> list[bytes]:
        """Return the signatures. Raises GoneError."""
        if self._transport is None or not self.ready:
            raise GoneError
        answer: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        self._asked.append((len(wanted), answer))
        digests = b"".join([DIGEST.pack(self._number(each.key), each.digest) for each in wanted])
        self._transport.write(HEAD.pack(DIGESTS, len(digests)) + digests)
        patience = asyncio.get_running_loop().call_later(PATIENCE, self._lose)
        try:
            return await answer
        finally:
            patience.cancel()

    async def end(self) -> None:
        """Hang up and wait until the process has ended."""
        self._lose()
        try:
            await asyncio.wait_for(self._process.wait(), GOODBYE)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember how to talk to it."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take signatures, or hear that it is ready."""
        octets = self._rest + data
        if not self._started:
            self._started, octets = True, octets.removeprefix(READY)
        while self._asked:
            number, answer = self._asked[0]
            values, end = _values(octets, number)
            if len(values) < number:
                break
            octets = octets[end:]
            self._asked.popleft()
            if not answer.done():
                answer.set_result(values)
        self._rest = octets

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio calls it so
        """Let nobody wait for it."""
        self._lose()

    def _number(self, key: Key) -> int:
        """Return the number it knows a key by, and tell it the key if it knows it not."""
        if key not in self._keys and self._transport is not None:
            self._keys[key] = len(self._keys)
            octets = key.export()
            self._transport.write(HEAD.pack(KEY, len(octets)) + octets)
        return self._keys[key]

    def _lose(self) -> None:
        self._lost = True
        if self._transport is not None:
            self._transport.abort()
        for _, answer in self._asked:
            if not answer.done():
                answer.set_exception(GoneError())
        self._asked.clear()


def _values(octets: bytes, number: int) -> tuple[list[bytes], int]:
    """Return up to so many signatures as have come whole, and where they end."""
    values: list[bytes] = []
    at = 0
    while len(values) < number and len(octets) >= at + LENGTH.size:
        (length,) = LENGTH.unpack_from(octets, at)
        end = at + LENGTH.size + length
        if len(octets) < end:
            break
        values.append(octets[at + LENGTH.size : end])
        at = end
    return values, at


def _sign_all(wanted: Sequence[Unsigned]) -> list[bytes]:
    """Sign, on a thread: only what does its work without the interpreter's lock, so that it holds up nobody."""
    return [each.key.sign(each.digest) for each in wanted]

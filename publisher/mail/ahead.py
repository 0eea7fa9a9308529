"""Reading ahead: deliveries that are due, with their messages made, wait for connections instead of the reverse."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from publisher import faults
from publisher.mail.compose import Draft, Parcel
from publisher.mail.dkim import Unsigned
from publisher.mail.pacing import Pacer
from publisher.model import Claimed
from publisher.store import claims, deliveries, workers
from publisher.store.claims import ALL, Position, Share, Upcoming
from publisher.store.database import Connection, Database
from publisher.store.deliveries import SegmentBytes

BLOCK = 256
"""Rows read at once: enough that reading costs nothing beside sending, little to hold in memory."""

CHUNK = 16
"""Messages made in one go, so that handing them to whoever signs costs little beside making them."""

AT_ONCE = 4
"""Chunks made at the same time: each of two scribes signs one and has the next before it."""

FRESH = timedelta(minutes=1)
"""What was read longer ago is read again: a first claim writes the moment of reading into the Date header."""

PATIENCE = timedelta(minutes=1)
"""How long a run waits for something's pace: connections that are idle for longer are not worth keeping."""

NAP = 5.0
"""Seconds after which it looks whether something else has come due while it waits."""

HELP = 16
"""Blocks of the whole queue that are read once a worker's own share has come to its end, before it is looked at again:
looking for what is its own means passing over all that is not."""

KEPT_SEGMENTS = 64
"""Segments kept in memory: an issue has few, and their readers come in any order."""


MakeDraft = Callable[[Claimed, SegmentBytes], Draft]
"""Makes one reader's message; never raises for what is in a row."""

Sign = Callable[[Sequence[Unsigned]], Awaitable[Sequence[bytes]]]
"""Makes the header lines of signatures."""


class Ahead:
    """A short queue of parcels, filled by one task; use as an asynchronous context manager."""

    def __init__(
        self,
        db: Database,
        draft: MakeDraft,
        *,
        epoch: int,
        clock: Callable[[], datetime],
        sign: Sign,
        want: int,
        transport: str | None = None,
        gate: Pacer | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._db, self._draft, self._clock = db, draft, clock
        self._epoch, self._sign, self._want = epoch, sign, want
        self._transport, self._gate, self._pause = transport, gate, pause
        self.later_at: datetime | None = None
        """When what waits for its pace may go on, if that was too long to wait for."""
        self._rows: deque[Claimed] = deque()
        self._ready: deque[Parcel] = deque()
        self._known: set[int] = set()  # read, and not yet settled: reading from the start meets them again
        self._gone: set[int] = set()  # settled since the last reading began, which may show them as they were before
        self._after: Position | None = None
        self._found = False  # something new since reading began at the start
        self._helping = 0  # blocks still to be read of what other workers have before them
        self._segments: dict[int, SegmentBytes] = {}
        self._exhausted = False
        self._failure: Exception | None = None
        self._room = asyncio.Event()
        self._waiting: deque[asyncio.Future[None]] = deque()
        """Connections that have nothing to send."""
        self._settled = asyncio.Event()

    async def __aenter__(self) -> Ahead:
        self._filling = asyncio.create_task(self._fill())
        self._filling.add_done_callback(lambda _: self._tell())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._filling.cancel()
        await asyncio.wait([self._filling])

    def pop(self) -> Parcel | None:
        """Return the next parcel if one is ready."""
        stale = self._clock() - FRESH
        while self._ready:
            parcel = self._ready.popleft()
            if len(self._ready) < self._want:
                self._room.set()
            if parcel.claimed.attempt > 1 or parcel.claimed.date_at >= stale:
                return parcel
            self.settled(parcel.claimed)  # found again, with today's date, when reading starts over
        return None

    async def next(self) -> Parcel | None:
        """Return the next parcel, None when nothing is due any more. Raises what reading or composing raised."""
        while (parcel := self.pop()) is None:
            if self._failure is not None:
                raise self._failure
            if self._filling.done() and not self._filling.cancelled():
                self._filling.result()
            if self._exhausted or self._filling.done():
                return None
            news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(news)
            await news  # when connections are cancelled, all of them are: nobody waits for what one was told
        return parcel

    def _tell(self, number: int | None = None) -> None:
        """Wake so many of those that wait, longest waiting first; None: all. More would look in vain."""
        while self._waiting and number != 0:
            news = self._waiting.popleft()
            if not news.done():
                news.set_result(None)
                number = None if number is None else number - 1

    def end(self) -> None:
        """Let nobody wait for what comes later."""
        self._exhausted = True
        self._tell()

    def settled(self, claimed: Claimed) -> None:
        """Hear that nothing is under way for a delivery any more."""
        self._known.discard(claimed.id)
        self._gone.add(claimed.id)
        self._settled.set()

    async def _fill(self) -> None:
        making: set[asyncio.Task[None]] = set()
        try:
            while await self._read():
                chunk = [self._rows.popleft() for _ in range(min(CHUNK, len(self._rows)))]
                pairs = [(claimed, await self._segment(claimed.segment_id)) for claimed in chunk]
                making.add(asyncio.create_task(self._make(pairs)))
                if len(making) >= AT_ONCE:
                    _, making = await asyncio.wait(making, return_when=asyncio.FIRST_COMPLETED)
                while len(self._ready) >= self._want:
                    self._room.clear()
                    await self._room.wait()
            if making:
                await asyncio.wait(making)
            self._exhausted = True
        finally:
            for task in making:
                task.cancel()

    async def _make(self, pairs: Sequence[tuple[Claimed, SegmentBytes]]) -> None:
        try:
            drafts = [self._draft(claimed, segment) for claimed, segment in pairs]
            unsigned = [each for draft in drafts for each in draft.unsigned]
            signatures = iter(await self._sign(unsigned) if unsigned else ())
            parcels = [draft.parcel([next(signatures) for _ in draft.unsigned]) for draft in drafts]
        except Exception as error:  # noqa: BLE001 - `next` raises it
            self._failure = error
            self._tell()
        else:
            faults.point("ahead.composed")
            self._ready.extend(parcels)
            self._tell(len(parcels))

    async def _read(self) -> bool:
        """Make sure that there are rows to compose; False when nothing is due any more."""
        while not self._rows:
            gate = self._gate if self._gate is not None and self._gate.limited else None
            if gate is not None:
                self._rows.extend(gate.due(self._clock()))
                if self._rows:
                    break
            if (gate is None or not gate.full) and await self._read_on(gate):
                continue
            if gate is None or not await self._wait(gate):
                return False
        return True

    async def _read_on(self, gate: Pacer | None) -> bool:
        """Read a block; False when it ends a round from the start to the end of the queue in which nothing was new."""
        now = self._clock()
        find = partial(claims.upcoming, epoch=self._epoch, now=now, limit=BLOCK, after=self._after)
        if gate is not None:
            find = partial(find, without_domains=gate.full_domains, without_newsletters=gate.full_newsletters)
        find = partial(find, transport=self._transport)
        self._gone.clear()
        found, share = await self._db.aread(partial(self._all if self._helping else self._own, find))
        faults.point("ahead.read")
        passed = self._known | self._gone
        fresh = [candidate for candidate in found.candidates if candidate.id not in passed]
        # What was settled meanwhile is due still if its pace refused it, and not if it was sent: the next round tells.
        unsure = any(candidate.id in self._gone for candidate in found.candidates)
        self._known.update(candidate.id for candidate in fresh)
        self._rows.extend(gate.sift(fresh, now) if gate is not None else fresh)
        self._found = self._found or bool(fresh) or unsure
        ended = len(found.candidates) < BLOCK
        self._after = None if ended else found.last
        # What came due meanwhile stands at the start, so a round that found something is followed by another.
        goes_on = not ended or self._found
        self._found = self._found and not ended
        return self._turn(share, goes_on=goes_on)

    def _own(self, find: Callable[..., Upcoming], conn: Connection) -> tuple[Upcoming, Share]:
        share = workers.share(conn, self._epoch)
        return find(conn, share=share), share

    def _all(self, find: Callable[..., Upcoming], conn: Connection) -> tuple[Upcoming, Share]:
        return find(conn, backwards=True), ALL

    def _turn(self, share: Share, *, goes_on: bool) -> bool:
        """Help the others at the end of our own share, from the end of the queue, and look at our own now and then."""
        if self._helping:
            self._helping -= 1
            if not goes_on:
                self._helping = 0
            elif not self._helping:
                self._after, self._found = None, False
        elif share.workers > 1 and not goes_on:
            self._helping, goes_on = HELP, True
        return goes_on

    async def _wait(self, gate: Pacer) -> bool:
        """Wait until something that waits for its pace may go; False when nothing may so soon."""
        now = self._clock()
        at = gate.next_at(now)
        if at is None and self._known:
            # What is under way may come back, because another worker has used up its pace.
            self._settled.clear()
            await self._settled.wait()
            return True
        if at is None or at - now > PATIENCE:
            self.later_at = at
            return False
        # In short naps, because meanwhile other things come due.
        await self._pause(min(NAP, max(0.0, (at - now).total_seconds())))
        return True

    async def _segment(self, segment_id: int) -> SegmentBytes:
        if segment_id not in self._segments:
            found = await self._db.aread(lambda conn: deliveries.segment(conn, segment_id))
            faults.point("ahead.segment")
            while len(self._segments) >= KEPT_SEGMENTS:
                del self._segments[next(iter(self._segments))]
            self._segments[segment_id] = found
        return self._segments[segment_id]

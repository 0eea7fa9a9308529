"""The clerk: one transaction at a time writes what all connections have to say and claims what they send next."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NamedTuple

from publisher import addresses, faults
from publisher.mail.steps import Step
from publisher.model import Claimed, DeliveryState
from publisher.store import attempts, claims, deliveries, soft_bounces, subscribers, workers
from publisher.store.database import Connection, Database

GATHER, GATHER_BUSY = 0.002, 0.008
"""Seconds in which connections gather for one transaction: about what a sync takes on a solid-state disk; and four
times as long for a process that is busy, because then transactions cost what messages could have (measured: a tenth
more messages a second), while one that waits for servers only loses by waiting more (8 %)."""

BUSY = 0.4
"""Processors in use from which on a process is busy: 40 ms away from the server it uses 0.2, beside it 0.5 to 0.8."""

LOOK = 0.1
"""Seconds between two looks at how busy the process is."""

Charge = Callable[[Connection, Sequence[Claimed], datetime], Sequence[Claimed]]
"""Counts deliveries about to be claimed against their paces, in the claiming transaction; returns those that may go."""


class Patience:
    """How long connections gather, by what this process used of the processors since the last look."""

    def __init__(self, processor: Callable[[], float] = time.process_time) -> None:
        """`processor`: seconds of it that this process has used."""
        self._processor = processor
        self._looked, self._used = -LOOK, 0.0
        self._gather = GATHER

    def seconds(self, now: float) -> float:
        """Return how long to gather; `now` is in seconds, on a clock that never goes back."""
        if (passed := now - self._looked) >= LOOK:
            used = self._processor()
            self._gather = GATHER_BUSY if used - self._used >= BUSY * passed else GATHER
            self._looked, self._used = now, used
        return self._gather


class Said(NamedTuple):
    """What became of a turn: whether its outcome was written, and whether the next delivery may be sent."""

    written: bool
    stands: bool


class _Turn(NamedTuple):
    done: Step | None
    following: Claimed | None
    said: asyncio.Future[Said]


@dataclass(slots=True)
class _Batch:
    """What one transaction writes."""

    turns: list[_Turn] = field(default_factory=list)
    done: list[Step] = field(default_factory=list)
    kept: int = 0
    """How many of `done` come from the backlog."""
    following: list[Claimed] = field(default_factory=list)


class _Written(NamedTuple):
    """What one transaction came to: whose outcomes were written, who was claimed, whether this worker is fenced."""

    written: set[int]
    taken: set[int]
    fenced: bool


class Clerk:
    """Writes the ledger for one run of the outbox.

    While a transaction is being written the connections that finish meanwhile gather, and share the next one: the more
    there are, the fewer syncs a message costs. So it also waits a little until `together` of them have come. `clock`,
    `may_claim` and `charge` are called on the writer's thread.
    `backlog` holds outcomes that could not be written; it outlives the run.
    """

    def __init__(
        self,
        db: Database,
        *,
        clock: Callable[[], datetime],
        may_claim: Callable[[], bool],
        backlog: list[Step],
        together: int = 1,
        charge: Charge | None = None,
    ) -> None:
        self._db, self._clock, self._may_claim, self._charge = db, clock, may_claim, charge
        self._backlog = backlog
        self._together = together
        self.fenced = False
        """Whether another worker has declared this one dead: it may claim nothing more."""
        self._turns: deque[_Turn] = deque()
        self._going = False
        self._gathering: asyncio.TimerHandle | None = None
        self._patience = Patience()
        self._writing: asyncio.Future[_Written] | None = None

    async def turn(self, done: Step | None, following: Claimed | None) -> Said:
        """Record what came of one delivery and claim the next, both or neither durable when this returns.

        Raises StoreError or BusyError when the ledger cannot be written; the outcome is kept in the backlog then.
        """
        loop = asyncio.get_running_loop()
        turn = _Turn(done, following, loop.create_future())
        self._turns.append(turn)
        if self._writing is None and not self._going:
            self._going = True
            loop.call_soon(self._go_on)  # not at once: others may be about to say something in this same moment
        return await turn.said

    def keep(self, done: Step) -> None:
        """Remember an outcome that nobody waits for, to be written with the next transaction."""
        self._backlog.append(done)

    async def flush(self) -> None:
        """Write the backlog, if there is one. Raises as `turn` does."""
        if self._backlog:
            await self.turn(None, None)

    async def close(self) -> None:
        """Wait for what is being written."""
        while self._turns or self._writing is not None:
            self._go_on(enough=True)
            if self._writing is not None:
                await asyncio.wait([self._writing])

    def _go_on(self, *, enough: bool = False) -> None:
        """Write what has gathered, unless it is worth waiting for more."""
        self._going = False
        if self._writing is not None or not self._turns:
            return
        # Where few come while a transaction is written (a server far away), waiting for more would only delay them.
        if self._together // 4 <= len(self._turns) < self._together and not enough:
            if self._gathering is None:
                loop = asyncio.get_running_loop()
                self._gathering = loop.call_later(self._patience.seconds(loop.time()), self._stop_gathering)
            return
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        batch = _Batch()
        self._writing = self._db.begin_write(partial(self._write, batch))
        self._writing.add_done_callback(partial(self._written, batch))

    def _stop_gathering(self) -> None:
        self._gathering = None
        self._go_on(enough=True)

    def _fill(self, batch: _Batch) -> None:
        """Take in everything that waits, unless that was done already: a transaction that runs again is the same."""
        if batch.turns:
            return
        batch.turns += (self._turns.popleft() for _ in range(len(self._turns)))
        batch.kept = len(self._backlog)
        batch.done = [*self._backlog[: batch.kept], *(turn.done for turn in batch.turns if turn.done)]
        batch.following = [turn.following for turn in batch.turns if turn.following]

    def _write(self, batch: _Batch, conn: Connection) -> _Written:
        """Write a transaction, on the writer's thread; who came while it was busy elsewhere comes along."""
        self._fill(batch)
        faults.point("clerk.begin")
        now, following = self._clock(), batch.following
        written = _record(conn, batch.done, now)
        faults.point("clerk.recorded")
        # Asked here and not before waiting for the writer: meanwhile somebody may have said stop.
        claiming = bool(following) and self._may_claim()
        stands = not claiming or workers.stands(conn, following[0].epoch)
        granted = self._charge(conn, following, now) if self._charge and claiming and stands else following
        faults.point("clerk.charged")
        taken = claims.take(conn, granted, now) if claiming and stands else set()
        faults.point("clerk.taken")
        return _Written(written, taken, not stands)

    def _written(self, batch: _Batch, writing: asyncio.Future[_Written]) -> None:
        """Tell the connections; the next transaction begins before they go on."""
        self._writing = None
        if error := writing.exception():
            self._fill(batch)  # the transaction may not even have begun
            self._backlog += batch.done[batch.kept :]
            for turn in batch.turns:
                if not turn.said.done():
                    turn.said.set_exception(error)
        else:
            faults.point("clerk.committed")
            del self._backlog[: batch.kept]
            self._tell(batch.turns, writing.result())
        self._go_on()

    def _tell(self, turns: Sequence[_Turn], found: _Written) -> None:
        self.fenced = self.fenced or found.fenced
        for turn in turns:
            if not turn.said.done():
                said = turn.done is None or turn.done.record.delivery_id in found.written
                stands = turn.following is not None and turn.following.id in found.taken
                if turn.following is not None:
                    # A claim is one connection's, should two ask for it at once.
                    found.taken.discard(turn.following.id)
                turn.said.set_result(Said(said, stands))


def _record(conn: Connection, steps: Sequence[Step], now: datetime) -> set[int]:
    written = deliveries.record(conn, [step.record for step in steps], now)
    unusual = [step for step in steps if step.record.state is not DeliveryState.SENT]
    if unusual:
        _record_unusual(conn, [step for step in unusual if step.record.delivery_id in written], now)
    return written


def _record_unusual(conn: Connection, steps: Sequence[Step], now: datetime) -> None:
    """Remember what did not go well, and what counts against a reader's address."""
    attempts.note(conn, [step.record for step in steps], now)
    faults.point("clerk.noted")
    for step in steps:
        if step.suppress:
            key = addresses.parse(step.address).key
            if subscribers.get(conn, address_key=key) is not None:  # who was erased meanwhile is not written down again
                subscribers.suppress(conn, key, reason=step.suppress, now=now)
        elif step.soft:
            soft_bounces.note(conn, step.record.delivery_id, step.soft, now)

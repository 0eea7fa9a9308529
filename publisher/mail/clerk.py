"""The clerk: one transaction at a time writes what all connections have to say and claims what they send next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from publisher import addresses, faults
from publisher.mail.steps import Step
from publisher.model import Claimed, DeliveryState
from publisher.store import attempts, claims, deliveries, soft_bounces, subscribers, workers
from publisher.store.database import Connection, Database

GATHER = 0.002
"""Seconds in which connections gather for one transaction: about what a sync takes on a solid-state disk."""

Charge = Callable[[Connection, Sequence[Claimed], datetime], Sequence[Claimed]]
"""Counts deliveries about to be claimed against their paces, in the claiming transaction; returns those that may go."""


class Said(NamedTuple):
    """What became of a turn: whether its outcome was written, and whether the next delivery may be sent."""

    written: bool
    stands: bool


@dataclass(frozen=True, slots=True)
class _Turn:
    done: Step | None
    following: Claimed | None
    said: asyncio.Future[Said]


class Clerk:
    """Writes the ledger for one run of the outbox.

    While a transaction is being written the connections that finish meanwhile gather, and share the next one: the more
    there are, the fewer syncs a message costs. So it also waits a little until `together` of them have come.
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
        self._enough = asyncio.Event()
        self.fenced = False
        """Whether another worker has declared this one dead: it may claim nothing more."""
        self._turns: list[_Turn] = []
        self._writing: asyncio.Task[None] | None = None

    async def turn(self, done: Step | None, following: Claimed | None) -> Said:
        """Record what came of one delivery and claim the next, both or neither durable when this returns.

        Raises StoreError or BusyError when the ledger cannot be written; the outcome is kept in the backlog then.
        """
        turn = _Turn(done, following, asyncio.get_running_loop().create_future())
        self._turns.append(turn)
        if len(self._turns) >= self._together:
            self._enough.set()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
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
        while self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        try:
            while self._turns:
                await self._gather()
                turns, self._turns = self._turns, []
                await self._write_together(turns)
        finally:
            self._writing = None

    async def _gather(self) -> None:
        # Where few come while a transaction is written (a server far away), waiting for more would only delay them.
        if self._together // 4 <= len(self._turns) < self._together:
            timer = asyncio.get_running_loop().call_later(GATHER, self._enough.set)
            await self._enough.wait()
            timer.cancel()
        self._enough.clear()

    async def _write_together(self, turns: Sequence[_Turn]) -> None:
        kept = len(self._backlog)
        done = [*self._backlog, *(turn.done for turn in turns if turn.done)]
        following = [turn.following for turn in turns if turn.following]
        now = self._clock()
        faults.point("clerk.begin")

        def work(conn: Connection) -> tuple[set[int], set[int], bool]:
            written = _record(conn, done, now)
            faults.point("clerk.recorded")
            # Asked here and not before waiting for the writer: meanwhile somebody may have said stop.
            claiming = bool(following) and self._may_claim()
            stands = not claiming or workers.stands(conn, following[0].epoch)
            granted = self._charge(conn, following, now) if self._charge and claiming and stands else following
            taken = claims.take(conn, granted, now) if claiming and stands else set()
            faults.point("clerk.taken")
            return written, taken, not stands

        try:
            written, taken, fenced = await self._db.awrite(work)
        except BaseException as error:
            self._backlog += done[kept:]
            for turn in turns:
                if not turn.said.done():
                    turn.said.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        faults.point("clerk.committed")
        self.fenced = self.fenced or fenced
        del self._backlog[:kept]
        for turn in turns:
            if not turn.said.done():
                said = turn.done is None or turn.done.record.delivery_id in written
                stands = turn.following is not None and turn.following.id in taken
                if turn.following is not None:
                    taken.discard(turn.following.id)  # a claim is one connection's, should two ask for it at once
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
    for step in steps:
        if step.suppress:
            key = addresses.parse(step.address).key
            if subscribers.get(conn, address_key=key) is not None:  # who was erased meanwhile is not written down again
                subscribers.suppress(conn, key, reason=step.suppress, now=now)
        elif step.soft:
            soft_bounces.note(conn, step.record.delivery_id, step.soft, now)

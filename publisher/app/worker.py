"""This worker: the epoch that fences what it claims, the sign that it lives, and the recovery of those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

import structlog

from publisher import faults
from publisher.clock import now
from publisher.errors import BusyError, StoreError
from publisher.store import deliveries, workers
from publisher.store.database import Connection, Database
from publisher.store.deliveries import Recovered
from publisher.store.workers import LifeSign

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LOOK_EVERY = 5.0
"""Seconds between two looks at our own life sign and those of others."""

PATIENCE = timedelta(seconds=20)
"""How long a life sign may be missing: after a restart of the database all of them are, and the living come back."""


class Worker:
    """Nothing may be claimed before `begin`; `end` settles what is left. Others look at us only on PostgreSQL."""

    def __init__(
        self,
        database: Database,
        policy: Literal["retry", "hold"],
        *,
        clock: Callable[[], datetime] = now,
        look_every: float = LOOK_EVERY,
        patience: timedelta = PATIENCE,
    ) -> None:
        self._database = database
        self.policy = policy
        """What becomes of mails of which a dead worker left open whether they arrived."""
        self._clock, self._look_every, self._patience = clock, look_every, patience
        self._sign: LifeSign | None = None
        self._watching: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._missing: dict[int, datetime] = {}
        self.alive = False
        """Whether others can see that this worker lives, as far as we know; nothing is claimed while they cannot."""

    @property
    def epoch(self) -> int:
        """The number that fences what this worker claims; each `begin` takes a new one."""
        if self._sign is None:
            raise RuntimeError("a worker has no epoch before it begins")
        return self._sign.epoch

    async def begin(self) -> None:
        """Take a new epoch and recover the workers that are proven dead. Raises StoreError and BusyError."""
        self._sign = await asyncio.to_thread(LifeSign.begin, self._database, self._clock())
        self.alive = True
        faults.point("worker.registered")
        await self._recover(timedelta())
        if self._database.dialect != "sqlite":  # there the lock on the directory says that nobody else works
            self._watching = asyncio.create_task(self._watch())

    async def end(self) -> None:
        """Settle what this worker left on the wire when it was broken off, and note that it has ended."""
        moment, epoch = self._clock(), self.epoch
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
            self._watching = None
        try:
            left = await self._database.awrite(
                lambda conn: deliveries.recover(conn, [epoch], policy=self.policy, now=moment)
            )
            faults.point("worker.ended")
        finally:
            self.alive = False
            if self._sign is not None:
                await asyncio.to_thread(self._sign.end)
        if left.deferred or left.uncertain:
            log.warning("sending was broken off", deferred=left.deferred, uncertain=left.uncertain)

    async def look(self) -> bool:
        """See whether our life sign stands, and take it up again if it may be; False when a new epoch is needed."""
        if self._sign is None:
            return False
        async with self._looking:
            if not await asyncio.to_thread(self._sign.holds):
                self.alive = False  # at once: what follows may take its time
                self.alive = await asyncio.to_thread(self._sign.renew)
                log.warning("the database had lost sight of this worker", epoch=self.epoch, back=self.alive)
        return self.alive

    async def recover(self) -> Recovered:
        """Settle what workers left on the wire whose life sign has been missing for some time."""
        return await self._recover(self._patience)

    async def _recover(self, patience: timedelta) -> Recovered:
        moment = self._clock()

        def work(conn: Connection) -> tuple[dict[int, datetime], list[int], Recovered]:
            missing = {epoch: self._missing.get(epoch, moment) for epoch in workers.dead(conn, own=self.epoch)}
            gone = [epoch for epoch, since in missing.items() if moment - since >= patience]
            recovered = Recovered(deferred=0, uncertain=0)
            if gone:
                recovered = deliveries.recover(conn, gone, policy=self.policy, now=moment)
            return missing, gone, recovered

        self._missing, gone, recovered = await self._database.awrite(work)
        faults.point("worker.recovered")
        if gone:
            log.warning("recovered", workers=gone, deferred=recovered.deferred, uncertain=recovered.uncertain)
        return recovered

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._look_every)
            try:
                await self.look()
                await self.recover()
            except (StoreError, BusyError) as error:
                log.warning("life signs cannot be seen", reason=str(error))

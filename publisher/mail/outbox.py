"""The outbox: deliveries are claimed, sent and recorded, one at a time on each connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from publisher import addresses
from publisher.mail.message import personalise
from publisher.mail.steps import USUAL, Policy, Step, next_step
from publisher.model import Attempt, Claimed, DeliveryState, Outcome
from publisher.store import deliveries, issues, subscribers
from publisher.store.database import Connection, Database
from publisher.store.deliveries import SegmentBytes
from publisher.tokens import Keyring, unsubscribe_url

KEPT_SEGMENTS = 64
"""Segments kept in memory: an issue has few, and their readers come in any order."""


class Transport(Protocol):
    """A connection to the next hop; one message is under way on it at a time."""

    async def send(self, mail_from: str, rcpt_to: str, message: bytes) -> Attempt:
        """Send one message and say what came of it; never raises for what a server does."""

    async def close(self) -> None:
        """Leave."""


Progress = Callable[[str, int, int | None], None]
"""Told of each message: what is being done, how many are done, of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxReport:
    """What one run came to."""

    sent: int = 0
    deferred: int = 0
    failed: int = 0
    uncertain: int = 0
    suppressed: int = 0
    """Failed because the address does not exist; it is never mailed again."""
    expired: int = 0
    fenced: int = 0
    """Outcomes not written, because another worker had taken the delivery over."""
    waiting: int = 0
    """Deliveries still open."""
    held: str = ""
    """Why sending stopped before everything due was tried; "" when it was."""


async def run(
    db: Database,
    transport: Callable[[], Transport],
    *,
    keyring: Keyring,
    epoch: int,
    connections: int,
    clock: Callable[[], datetime],
    dice: Callable[[], float],
    stop: asyncio.Event,
    progress: Progress | None = None,
    policy: Policy = USUAL,
) -> OutboxReport:
    """Send what is due until nothing is, until told to stop, or until the transport is unfit.

    Each connection has one delivery `sending` at most; one transaction records its outcome and claims the next, so that
    a crash repeats at most one message per connection (P2). After `stop` nothing is claimed and messages under way are
    finished. Cancelling instead is a crash: what was under way is for `deliveries.recover`.
    Raises StoreError when the ledger cannot be written; then, too, nothing more is sent.
    """
    run_ = _Run(db, transport, keyring, epoch, clock, dice, stop, progress, policy)
    await run_.prepare()
    workers = [asyncio.create_task(run_.work()) for _ in range(connections)]
    try:
        outcomes = await asyncio.gather(*workers, return_exceptions=True)
    except asyncio.CancelledError:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return await run_.finish()


class _Run:
    """What the connections of one run share."""

    def __init__(
        self,
        db: Database,
        transport: Callable[[], Transport],
        keyring: Keyring,
        epoch: int,
        clock: Callable[[], datetime],
        dice: Callable[[], float],
        stop: asyncio.Event,
        progress: Progress | None,
        policy: Policy,
    ) -> None:
        self._db, self._transport, self._keyring = db, transport, keyring
        self._epoch, self._clock, self._dice = epoch, clock, dice
        self._stop, self._progress, self._policy = stop, progress, policy
        self._segments: dict[int, SegmentBytes] = {}
        self._counts: Counter[str] = Counter()
        self._total = 0
        self._held = ""
        self._broken = False

    async def prepare(self) -> None:
        """Learn how much there is to do."""
        self._total = (await self._db.aread(deliveries.waiting)).open

    async def work(self) -> None:
        """Carry deliveries over one connection, one after another."""
        door = self._transport()
        try:
            claimed = await self._turn(None)
            while claimed is not None:
                attempt = await self._attempt(door, claimed)
                step = next_step(attempt, claimed, now=self._clock(), policy=self._policy, chance=self._dice())
                self._held = self._held or step.hold
                claimed = await self._turn((claimed, step))
        except BaseException:
            self._broken = True  # the others finish what they have under way and claim no more
            raise
        finally:
            await door.close()

    async def finish(self) -> OutboxReport:
        """Close issues that have nothing open and sum up."""
        now = self._clock()
        await self._db.awrite(lambda conn: issues.finish(conn, now))
        waiting = await self._db.aread(deliveries.waiting)
        return OutboxReport(**self._counts, waiting=waiting.open, held=self._held)

    async def _turn(self, done: tuple[Claimed, Step] | None) -> Claimed | None:
        """Record what came of one delivery and claim the next, in one transaction."""
        now = self._clock()

        def turn(conn: Connection) -> tuple[int, list[Claimed]]:
            written = _write(conn, *done, now) if done else 1
            # Asked here and not before waiting for the writer: meanwhile somebody may have said stop.
            go_on = not (self._stop.is_set() or self._held or self._broken)
            return written, deliveries.claim(conn, epoch=self._epoch, limit=1, now=now) if go_on else []

        written, claimed = await self._db.awrite(turn)
        if done:
            self._count(done[1], written)
        return claimed[0] if claimed else None

    def _count(self, step: Step, written: int) -> None:
        state = step.record.state
        suppressed = state is DeliveryState.FAILED and step.suppress
        self._counts["fenced" if not written else "suppressed" if suppressed else state] += 1
        if self._progress:
            done = self._counts.total()
            self._progress("sending", done, max(done, self._total))

    async def _attempt(self, door: Transport, claimed: Claimed) -> Attempt:
        segment = await self._segment(claimed.segment_id)
        settings = segment.settings
        try:
            message = personalise(
                segment.head,
                segment.body,
                address=claimed.address,
                name=claimed.name,
                date=claimed.date_at,
                message_id=claimed.message_id,
                unsubscribe_url=unsubscribe_url(
                    settings["public_url"], self._keyring.unsubscribe_token(claimed.subscription_id)
                ),
            )
        except ValueError as error:
            # One reader's data must not stop the others (E3).
            return Attempt(outcome=Outcome.REFUSED, code=None, text=str(error), phase="message")
        return await door.send(settings["from_address"], claimed.address, message)

    async def _segment(self, segment_id: int) -> SegmentBytes:
        if segment_id not in self._segments:
            found = await self._db.aread(lambda conn: deliveries.segment(conn, segment_id))
            while len(self._segments) >= KEPT_SEGMENTS:
                del self._segments[next(iter(self._segments))]
            self._segments[segment_id] = found
        return self._segments[segment_id]


def _write(conn: Connection, claimed: Claimed, step: Step, now: datetime) -> int:
    written = deliveries.record(conn, [step.record], now)
    if step.suppress and written:
        key = addresses.parse(claimed.address).key
        subscribers.suppress(conn, key, reason=step.suppress, now=now)
    return written

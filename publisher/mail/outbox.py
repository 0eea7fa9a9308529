"""The outbox: deliveries are read ahead, claimed and recorded together, and sent one at a time on each connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from publisher import faults
from publisher.errors import PublisherError
from publisher.mail.ahead import Ahead
from publisher.mail.breaker import Alarm, Breaker
from publisher.mail.clerk import Clerk
from publisher.mail.compose import Composer, Parcel
from publisher.mail.pacing import Pacer
from publisher.mail.signing import WORTH, Signing, usual_scribes
from publisher.mail.smtp import Envelope
from publisher.mail.steps import GIVEN_UP, USUAL, Policy, Step, next_step
from publisher.model import Attempt, Claimed, DeliveryState, Outcome
from publisher.store import deliveries, issue_turns, issues
from publisher.store.database import Database

GRACE = 30.0
"""Seconds that messages under way may take after a stop; what has no answer then is recovered as after a crash."""

_UNSEEN = "the database has lost sight of this worker, and others take over what it had claimed; it starts anew"


class Transport(Protocol):
    """A connection to the next hop; one message is under way on it at a time."""

    async def send(
        self,
        mail_from: str,
        rcpt_to: str,
        message: tuple[bytes, ...],
        *,
        dotless: bool = False,
        behind: Envelope | None = None,
    ) -> Attempt:
        """Send one message and say what came of it; never raises for what a server does."""

    def precede(self, envelope: Envelope) -> None:
        """Send the envelope of the next message, if that can be done without waiting."""

    async def abandon(self) -> None:
        """Give up the envelope that was sent ahead."""

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
    lasting: bool = False
    """Whether it should rest until an operator says otherwise."""
    paused: tuple[str, ...] = ()
    """Why issues were paused, one sentence for each."""
    later_at: datetime | None = None
    """When deliveries that are due and wait for their pace may go on; None: none does."""
    slowed: tuple[str, ...] = ()
    """Providers that said "too fast", with what follows, one sentence for each."""


async def settle(db: Database, backlog: list[Step], *, clock: Callable[[], datetime]) -> None:
    """Write outcomes that an earlier run could not write. Raises StoreError or BusyError when that still fails."""
    await Clerk(db, clock=clock, may_claim=lambda: False, backlog=backlog).flush()


async def run(
    db: Database,
    transport: Callable[[], Transport],
    *,
    composer: Composer,
    epoch: int,
    connections: int,
    clock: Callable[[], datetime],
    dice: Callable[[], float],
    stop: asyncio.Event,
    progress: Progress | None = None,
    policy: Policy = USUAL,
    backlog: list[Step] | None = None,
    breaker: Breaker | None = None,
    grace: float = GRACE,
    alive: Callable[[], bool] = lambda: True,
    over: str | None = None,
    pacer: Pacer | None = None,
    tally: Counter[str] | None = None,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    scribes: int | None = None,
) -> OutboxReport:
    """Send what is due until nothing is, until told to stop, or until the transport is unfit.

    Each connection has one delivery `sending` at most. One transaction, shared by the connections, records what came of
    their deliveries and claims the next; bodies are written only after it, so that a crash repeats at most one message
    per connection (P2). After `stop` nothing is claimed and messages under way are finished, for `grace` seconds.
    Cancelling instead is a crash: what was under way is for `deliveries.recover`.

    `over` names the transport whose deliveries are sent, None: all there are. `pacer` knows its paces; what has to wait
    for one is waited for (`pause`, seconds) up to a minute, else left to a later run. `tally` counts what became of
    deliveries, by state, while the run goes on. `scribes` processes sign, None: as many as are usual on this machine,
    if there is enough to be signed.

    `alive` says whether others can still see that this worker lives (`LifeSign`); once it does not, nothing is claimed.

    Raises StoreError or BusyError when the ledger cannot be written; then, too, nothing more is sent. Outcomes that are
    known but not written stay in `backlog`; give the same list to the next run, which begins by writing them.
    """
    kept = [] if backlog is None else backlog
    breaker = breaker or Breaker(connections)
    pacer = pacer or Pacer()
    run_ = _Run(
        db, transport, epoch, clock, dice, stop, progress, policy, kept, breaker, alive, connections, over, pacer, tally
    )
    await run_.prepare()
    if scribes is None:
        scribes = usual_scribes() if composer.signs and run_.total >= WORTH else 0
    async with Signing(scribes) as signing:
        ahead = Ahead(
            db,
            composer.draft,
            epoch=epoch,
            clock=clock,
            sign=signing.sign,
            want=2 * connections + 8,
            transport=over,
            gate=pacer,
            pause=pause,
        )
        async with ahead:
            workers = [asyncio.create_task(run_.work(ahead)) for _ in range(connections)]
            await run_.attend(workers, ahead, grace)
    return await run_.finish(ahead.later_at)


class _Run:
    """What the connections of one run share."""

    def __init__(
        self,
        db: Database,
        transport: Callable[[], Transport],
        epoch: int,
        clock: Callable[[], datetime],
        dice: Callable[[], float],
        stop: asyncio.Event,
        progress: Progress | None,
        policy: Policy,
        backlog: list[Step],
        breaker: Breaker,
        alive: Callable[[], bool],
        connections: int,
        over: str | None,
        pacer: Pacer,
        tally: Counter[str] | None,
    ) -> None:
        self._db, self._transport = db, transport
        self._epoch, self._clock, self._dice = epoch, clock, dice
        self._stop, self._progress, self._policy = stop, progress, policy
        self._over, self._pacer = over, pacer
        self._clerk = Clerk(
            db,
            clock=clock,
            may_claim=lambda: self._going,
            backlog=backlog,
            together=max(1, connections // 2),  # half write while the others send
            charge=pacer.charge,
        )
        self._sizes: dict[int, int] = {}
        self._slowed: list[str] = []
        self._counts: Counter[str] = Counter() if tally is None else tally
        self.total = 0
        """Deliveries that were open at the start."""
        self._held = ""
        self._lasting = False
        self._paused: list[str] = []
        self._breaker = breaker
        self._alive = alive
        self._broken: BaseException | None = None
        self._given_up = False

    @property
    def _going(self) -> bool:
        return not (self._stop.is_set() or self._held or self._broken or self._clerk.fenced) and self._alive()

    async def prepare(self) -> None:
        """Write what an earlier run could not, and learn how much there is to do."""
        await self._clerk.flush()
        faults.point("outbox.flushed")
        now = self._clock()
        # Claims that were committed although it seemed not: no body was written for them.
        await self._db.awrite(lambda conn: deliveries.give_back(conn, self._epoch, now, transport=self._over))
        faults.point("outbox.given-back")
        self.total = (await self._db.aread(lambda conn: deliveries.waiting(conn, transport=self._over))).open
        await self._db.aread(lambda conn: self._pacer.load(conn, now))

    async def work(self, ahead: Ahead) -> None:
        """Carry deliveries over one connection, one after another."""
        door = self._transport()
        try:
            parcel: Parcel | None = await ahead.next()
            done: Step | None = None
            while parcel or done:
                # After an alarm the server hears of nobody else, and after a stop it is told QUIT.
                if parcel and self._going and self._may_ride(parcel):
                    door.precede(parcel.envelope)
                said = await self._clerk.turn(done, parcel.claimed if parcel else None)
                if done:
                    self._count(done, said.written)
                    done = None
                if parcel and said.stands:
                    faults.point("outbox.claimed")
                    following = ahead.pop() if self._going else None
                    done = await self._deliver(door, parcel, following)
                else:
                    await door.abandon()
                    if parcel and self._pacer.limited:
                        # It may be what the next one waits for, and come back as just that: so it is said once, here.
                        ahead.settled(parcel.claimed)
                        parcel = None
                    following = await ahead.next() if self._going else None
                if parcel:
                    ahead.settled(parcel.claimed)
                if not self._going:
                    ahead.end()  # others may be waiting for what comes later
                parcel = following
        except BaseException as error:
            if not isinstance(self._broken, Exception):
                self._broken = error  # the others finish what they have under way and claim no more
            ahead.end()
            raise
        finally:
            await door.close()

    async def attend(self, workers: Sequence[asyncio.Task[None]], ahead: Ahead, grace: float) -> None:
        """Wait for the connections; after a stop for `grace` seconds at most."""
        stopped = asyncio.create_task(self._stop.wait())
        try:
            working = asyncio.create_task(asyncio.wait(workers))
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
            ahead.end()
            if self._stop.is_set():
                faults.point("outbox.stopping")
            await asyncio.wait({working}, timeout=grace)
            self._given_up = not working.done()
        finally:
            stopped.cancel()
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
            await self._clerk.close()

    async def finish(self, later_at: datetime | None) -> OutboxReport:
        """Close issues that have nothing open and sum up."""
        if self._broken and not isinstance(self._broken, asyncio.CancelledError):
            with contextlib.suppress(PublisherError):  # the disk may have room again; else the next run begins with it
                await self._clerk.flush()
            raise self._broken
        await self._clerk.flush()
        faults.point("outbox.emptied")
        now = self._clock()
        await self._db.awrite(lambda conn: issues.finish(conn, now))
        waiting = await self._db.aread(lambda conn: deliveries.waiting(conn, transport=self._over))
        return OutboxReport(
            **self._counts,
            waiting=waiting.open,
            held=self._held or self._unseen(),
            lasting=self._lasting,
            paused=tuple(self._paused),
            later_at=later_at or (self._pacer.refused_until if waiting.open else None),
            slowed=tuple(self._slowed),
        )

    def _unseen(self) -> str:
        """Say that others take this worker for dead, or soon will; "" when they do not."""
        return _UNSEEN if self._clerk.fenced or not self._alive() else ""

    def _count(self, step: Step, written: bool) -> None:
        state = step.record.state
        suppressed = state is DeliveryState.FAILED and step.suppress
        self._counts["fenced" if not written else "suppressed" if suppressed else state] += 1
        if self._progress:
            done = self._counts.total()
            self._progress("sending", done, max(done, self.total))

    async def _deliver(self, door: Transport, parcel: Parcel, following: Parcel | None) -> Step:
        if parcel.refusal:
            await door.abandon()
            attempt = parcel.refusal
        else:
            behind = following.envelope if following and self._may_ride(following) else None
            envelope, message = parcel.envelope, parcel.message
            try:
                attempt = await door.send(
                    envelope.mail_from, envelope.rcpt_to, message, dotless=parcel.dotless, behind=behind
                )
            except asyncio.CancelledError:
                if self._given_up:  # else the run itself was broken off, and what was under way is for `recover`
                    self._clerk.keep(self._step(parcel.claimed, GIVEN_UP))
                raise
        faults.point("outbox.attempted")
        step = self._step(parcel.claimed, attempt)
        self._held = self._held or step.hold
        try:
            if attempt.outcome is Outcome.ACCEPTED:
                self._heed_accepted(parcel.claimed, attempt)
            else:
                await self._heed(parcel.claimed, attempt, step)
        except BaseException:
            self._clerk.keep(step)  # what came of the attempt must not be lost with what follows from it
            raise
        return step

    def _may_ride(self, parcel: Parcel) -> bool:
        """Whether an envelope may go before its claim: where a pace may refuse that, it would cost the connection."""
        return parcel.refusal is None and not self._pacer.limited

    def _heed_accepted(self, claimed: Claimed, attempt: Attempt) -> None:
        now = self._clock()
        self._pacer.accepted(claimed, now)
        self._breaker.note(claimed, attempt, now)

    async def _heed(self, claimed: Claimed, attempt: Attempt, step: Step) -> None:
        """Draw the conclusions that reach beyond the delivery itself."""
        now, size = self._clock(), 0
        if attempt.outcome is Outcome.AMBIGUOUS:
            size = await self._size(claimed.issue_id)
        if step.slow and (told := await self._pacer.complained(self._db, claimed, step.slow, now)):
            self._slowed.append(told)
        if alarm := self._breaker.note(claimed, attempt, now, deliveries=size):
            await self._raise(alarm)
        faults.point("outbox.heeded")

    async def _size(self, issue_id: int) -> int:
        """Return how many deliveries an issue has; asked for seldom, so remembered for the run only."""
        if issue_id not in self._sizes:
            counts = await self._db.aread(lambda conn: deliveries.counts(conn, issue_id))
            self._sizes[issue_id] = sum(counts.values())
        return self._sizes[issue_id]

    async def _raise(self, alarm: Alarm) -> None:
        """Stop what an alarm says: an issue, or everything."""
        if alarm.issue_id is None:
            self._held, self._lasting = self._held or alarm.reason, self._lasting or alarm.lasting
            return
        issue_id = alarm.issue_id
        if await self._db.awrite(lambda conn: issue_turns.pause(conn, issue_id, alarm.reason)):
            faults.point("outbox.alarmed")
            self._paused.append(alarm.reason)

    def _step(self, claimed: Claimed, attempt: Attempt) -> Step:
        return next_step(attempt, claimed, now=self._clock(), policy=self._policy, chance=self._dice())

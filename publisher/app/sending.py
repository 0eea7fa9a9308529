"""From deliveries to mail: the life of this worker, its transport, and what an operator may ask of the outbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog

from publisher import faults, links, reports
from publisher.app.lanes import Lane, Teller, paces
from publisher.app.publishing import Publishing
from publisher.app.shared import Made, Shared, Stories, paused_because, silent
from publisher.app.worker import Worker
from publisher.clock import dice, now
from publisher.config import DEFAULT_TRANSPORT, sending_problems
from publisher.control import Progress
from publisher.errors import BusyError, ConfigurationError, StoreError
from publisher.feeds.spec import NEWSLETTER_PREFIX
from publisher.mail import outbox
from publisher.mail.compose import Composer
from publisher.mail.inbox import Inbox
from publisher.mail.outbox import OutboxReport
from publisher.mail.smtp import Transport
from publisher.mail.steps import Policy
from publisher.store import deliveries, freezing, issues, meta, tallies
from publisher.store.database import Connection

log: structlog.stdlib.BoundLogger = structlog.get_logger()

RESENT_FOR = timedelta(days=1)
"""How long a delivery that an operator sends again may be tried."""


class Sending(Stories):
    """The stories of deliveries. Nothing is sent before `begin`, and `end` settles what was on the wire."""

    def __init__(self, shared: Shared, publishing: Publishing) -> None:
        super().__init__(shared)
        self.publishing = publishing
        self.inbox = Inbox(shared.config.data_dir / "inbox") if shared.config.smtp.embedded else None
        self.worker = Worker(shared.database, shared.config.smtp.on_uncertain)
        limits = paces(shared.config)
        self.lanes = {name: Lane(name, server, limits, shared.stop) for name, server in shared.config.servers.items()}
        self._leaving: dict[Lane, asyncio.Task[None]] = {}
        """Transports that the configuration has no more, until what they had on the wire is settled."""
        self._counted: Counter[tuple[str, str]] = Counter()
        """What became of deliveries in the runs that ended, by outcome and transport."""
        self._inbox_port = 0
        self._broken_off = False
        self._running = 0
        self._quiet = asyncio.Condition()

    async def close(self) -> None:
        """Stop the inbox and end this worker."""
        if self.inbox is not None and self._inbox_port:
            await self.inbox.stop()
        if self._leaving:
            await asyncio.wait(self._leaving.values())
        await self.end()

    def adopt(self, before: Made) -> None:
        """Go by the configuration that is shared now: runs that it concerns end in order, and begin anew by it (D7)."""
        old, new = before.config, self.config
        self.worker.policy = new.smtp.on_uncertain
        anew = paces(old) != paces(new) or before.signer is not self.shared.signer
        anew = anew or (old.smtp.bounce_domain, old.smtp.on_uncertain) != (
            new.smtp.bounce_domain,
            new.smtp.on_uncertain,
        )
        limits = paces(new)
        for name, server in new.servers.items():
            if name not in self.lanes:
                self.lanes[name] = Lane(name, server, limits, self.shared.stop)
            elif anew or self.lanes[name].server != server:
                self.lanes[name].change(server, limits)
        for name in self.lanes.keys() - new.servers.keys():
            lane = self.lanes.pop(name)
            lane.halt.set()
            self._leaving[lane] = asyncio.create_task(self._leave(lane))
        self.shared.woken.set()

    async def _leave(self, lane: Lane) -> None:
        """Settle what a transport that is gone had on the wire, and let another one carry its issues."""
        try:
            async with lane.running:
                await outbox.settle(self.database, lane.backlog, clock=now)
            faults.point("lane.settled")
            await self._hand_over()
        except (StoreError, BusyError) as error:  # the next start hands its issues over
            log.warning("a transport's issues wait for the next start", transport=lane.name, reason=str(error))
        else:
            self._count(lane)
            del self._leaving[lane]

    async def _hand_over(self) -> None:
        adopted = await self.database.awrite(
            lambda conn: issues.adopt(conn, list(self.lanes), DEFAULT_TRANSPORT, now())
        )
        faults.point("lane.adopted")
        for transport, number in adopted.items():
            log.warning("the transport is gone, another one carries its issues", transport=transport, issues=number)
        self.shared.woken.set()

    async def begin(self) -> None:
        """Start as a new worker, which recovers those proven dead, and take over what transports that are gone left."""
        await self.worker.begin()
        moment = now()

        def begin(conn: Connection) -> tuple[dict[str, int], dict[str, str]]:
            adopted = issues.adopt(conn, list(self.lanes), DEFAULT_TRANSPORT, moment)
            return adopted, {name: meta.get(conn, reports.rests_key(name)) or "" for name in self.lanes}

        adopted, resting = await self.database.awrite(begin)
        for transport, number in adopted.items():
            log.warning("the transport is gone, another one carries its issues", transport=transport, issues=number)
        for name, lane in self.lanes.items():
            lane.resting = resting[name]

    async def end(self) -> None:
        """Write what is known and not written yet, and end this worker."""
        for lane in (*self.lanes.values(), *self._leaving):
            await outbox.settle(self.database, lane.backlog, clock=now)
        await self.worker.end()

    async def prepare(self) -> None:
        """Start the embedded inbox if it is configured. Raises ConfigurationError when mail can go nowhere."""
        if problems := sending_problems(self.config):
            raise ConfigurationError(problems)
        if self.inbox is not None and not self._inbox_port:
            self._inbox_port = await self.inbox.start("127.0.0.1", 0)

    def transport(self, name: str = "") -> Transport:
        """Return a new connection to a server ("": that of [smtp]), or to the embedded inbox, over SMTP either way."""
        # One that a reload took away while somebody was about to use it is replaced by the usual one.
        server = self.config.servers.get(name or DEFAULT_TRANSPORT, self.config.smtp)
        hello = server.hello_name or urlsplit(links.public_url(self.config)).hostname or "localhost"
        if self.inbox is not None:
            server = server.model_copy(
                update={"host": "127.0.0.1", "port": self._inbox_port, "security": "plain", "username": ""}
            )
        return Transport.from_config(server, hello_name=hello)

    async def send(self, *, by_hand: bool = True, progress: Progress = silent) -> dict[str, Any]:
        """Send what is due over every transport until nothing is, or until told to stop.

        `by_hand`: an operator wants it, whatever made sending rest.
        """
        await self.complete()
        teller = Teller(progress, now)
        results = await asyncio.gather(
            *(self.send_over(name, by_hand=by_hand, progress=teller.lane(lane)) for name, lane in self.lanes.items()),
            return_exceptions=True,
        )
        done: dict[str, OutboxReport] = {}
        for name, result in zip(self.lanes, results, strict=True):
            if isinstance(result, BaseException):
                raise result  # the others have ended too, and wrote what they had
            done[name] = result
        return _combined(done)

    async def complete(self) -> None:
        """Go on with issues that a crash left half frozen, before anything is decided or sent that comes after them."""
        if self.shared.paused or self.database.damage:
            return
        for issue_id in await self.database.aread(freezing.unfinished):
            log.warning("an issue was left half frozen; the rest of it is queued now", issue=issue_id)
            await asyncio.to_thread(freezing.complete, self.database, issue_id, now())
            self.shared.woken.set()

    async def send_over(self, name: str, *, by_hand: bool = False, progress: Progress = silent) -> OutboxReport:
        """Do as `send` does over one transport; the others neither wait for it nor fail with it."""
        await self.prepare()
        lane = self.lanes.get(name)
        if lane is None:  # a reload took it away, and its issues go over another one
            return OutboxReport()
        async with lane.running:
            if self.shared.paused:
                waiting = await self.database.aread(partial(deliveries.waiting, transport=name))
                return OutboxReport(waiting=waiting.open, held=paused_because(self.shared.paused))
            if self.database.damage:
                return OutboxReport(held=self.database.damage)
            if by_hand:
                await self.rest(lane, "")
            elif lane.resting:
                waiting = await self.database.aread(partial(deliveries.waiting, transport=name))
                return OutboxReport(waiting=waiting.open, held=lane.resting, lasting=True)
            async with self._as_worker():
                report = await self._run(lane, progress)
            if report.lasting:
                await self.rest(lane, report.held)
        for reason in report.paused:
            log.error("issue paused", reason=reason)
        for reason in report.slowed:
            log.warning("a provider is slowed", transport=name, reason=reason)
        if report.sent or report.failed or report.uncertain or report.expired:
            # An issue may just have become sent, and so an entry of its newsletter's feed.
            await self.publishing.feeds([f"{NEWSLETTER_PREFIX}{one.slug}" for one in self.config.newsletters])
        return report

    async def _run(self, lane: Lane, progress: Progress) -> OutboxReport:
        if self.lanes.get(lane.name) is not lane:  # a reload took it away while this run waited for its turn
            return OutboxReport()
        self._count(lane)
        return await outbox.run(
            self.database,
            lambda: self.transport(lane.name),
            composer=Composer(
                self.shared.keyring, signer=self.shared.signer, bounce_domain=self.config.smtp.bounce_domain
            ),
            epoch=self.worker.epoch,
            connections=lane.server.connections,
            clock=now,
            dice=dice,
            stop=lane.begin(),
            progress=progress,
            policy=Policy(on_uncertain=self.config.smtp.on_uncertain),
            backlog=lane.backlog,
            breaker=lane.breaker,
            alive=lambda: self.worker.alive and not self._broken_off,
            over=lane.name,
            pacer=lane.pacer,
            tally=lane.tally,
        )

    def _count(self, lane: Lane) -> None:
        for outcome, number in lane.tally.items():
            self._counted[outcome, lane.name] += number
        lane.tally = Counter()

    @property
    def counted(self) -> Counter[tuple[str, str]]:
        """How many attempts came to what since this process began, by outcome and transport."""
        total = self._counted.copy()
        for lane in (*self.lanes.values(), *self._leaving):
            total.update({(outcome, lane.name): number for outcome, number in lane.tally.items()})
        return total

    @contextlib.asynccontextmanager
    async def _as_worker(self) -> AsyncIterator[None]:
        """Work as the one worker that all lanes are; one that was broken off begins anew once all lanes are quiet."""
        async with self._quiet:
            while not await self.worker.look() or self._broken_off:
                if self._running:
                    self._broken_off = True  # so that the others come to their ends
                    await self._quiet.wait()
                    continue
                # Nothing of ours is on the wire any more, so what stood there is settled as after a crash.
                await self.end()
                await self.begin()
                self._broken_off = False
            self._running += 1
        try:
            yield
        except (StoreError, BusyError):
            raise  # nothing is in doubt: what is known waits in the backlog, and the next run begins with it
        except BaseException:
            self._broken_off = True
            raise
        finally:
            self._running -= 1
            async with self._quiet:
                self._quiet.notify_all()

    async def rest(self, lane: Lane, reason: str) -> None:
        """Note why nothing is to be sent until an operator wants it, also after a restart; "" that it may be."""
        if reason != lane.resting:
            await self.database.awrite(lambda conn: meta.put(conn, reports.rests_key(lane.name), reason))
            if reason:
                lane.resting = reason
            else:
                lane.wake()

    async def resend(self, ids: Sequence[int], *, progress: Progress = silent) -> dict[str, Any]:
        """Let uncertain or failed deliveries be sent once more: whoever got the first copy gets a second."""
        progress("looking", 0, len(ids))
        moment = now()
        again = await self.database.awrite(
            lambda conn: deliveries.resend(conn, ids, now=moment, until=moment + RESENT_FOR)
        )
        if again:
            self.shared.woken.set()
        return {"waiting": again, "refused": sorted(set(ids) - set(again))}

    async def mark_sent(self, ids: Sequence[int], *, progress: Progress = silent) -> dict[str, Any]:
        """Count uncertain deliveries as sent: the operator knows that they arrived, or wants no second copy."""
        progress("marking", 0, len(ids))
        marked = await self.database.awrite(lambda conn: tallies.mark_sent(conn, list(ids)))
        return {"sent": marked, "refused": sorted(set(ids) - set(marked))}


def _combined(reports_: Mapping[str, OutboxReport]) -> dict[str, Any]:
    """Return the report of all transports, as JSON has it; each by itself where there are several."""
    values = {name: asdict(report) for name, report in reports_.items()}
    for value in values.values():
        value["later_at"] = value["later_at"].isoformat(timespec="seconds") if value["later_at"] else None
    several = len(values) > 1
    total: dict[str, Any] = {
        key: sum(value[key] for value in values.values())
        for key, number in asdict(OutboxReport()).items()
        if isinstance(number, int) and not isinstance(number, bool)
    }
    held = [f"{name}: {value['held']}" if several else value["held"] for name, value in values.items() if value["held"]]
    total["held"] = "; ".join(held)
    total["lasting"] = any(value["lasting"] for value in values.values())
    total["later_at"] = min((value["later_at"] for value in values.values() if value["later_at"]), default=None)
    for key in ("paused", "slowed"):
        total[key] = [reason for value in values.values() for reason in value[key]]
    return total | ({"transports": values} if several else {})

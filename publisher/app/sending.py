"""From deliveries to mail: the life of this worker, its transport, and what an operator may ask of the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog

from publisher import links, reports
from publisher.app.clock import dice, now
from publisher.app.publishing import Publishing
from publisher.app.shared import Shared, Stories, silent
from publisher.app.worker import Worker
from publisher.config import sending_problems
from publisher.control import Progress
from publisher.errors import BusyError, ConfigurationError, StoreError
from publisher.feeds.spec import NEWSLETTER_PREFIX
from publisher.mail import outbox
from publisher.mail.breaker import Breaker
from publisher.mail.compose import Composer
from publisher.mail.inbox import Inbox
from publisher.mail.outbox import OutboxReport
from publisher.mail.smtp import Transport
from publisher.mail.steps import Policy, Step
from publisher.store import deliveries, meta

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
        self.backlog: list[Step] = []
        """What became of deliveries, as far as it could not be written yet (J4)."""
        self.breaker = Breaker(shared.config.smtp.connections)
        self.resting = ""
        """Why nothing is sent until an operator says `publisher send`; "" when it is."""
        self._sending = asyncio.Lock()
        self._inbox_port = 0
        self._broken_off = False

    async def close(self) -> None:
        """Stop the inbox and end this worker."""
        if self.inbox is not None and self._inbox_port:
            await self.inbox.stop()
        await self.end()

    async def begin(self) -> None:
        """Start as a new worker, which recovers those proven dead."""
        await self.worker.begin()
        resting = await self.database.aread(lambda conn: meta.get(conn, reports.SENDING_RESTS))
        self.resting = resting or ""

    async def end(self) -> None:
        """Write what is known and not written yet, and end this worker."""
        await outbox.settle(self.database, self.backlog, clock=now)
        await self.worker.end()

    async def prepare(self) -> None:
        """Start the embedded inbox if it is configured. Raises ConfigurationError when mail can go nowhere."""
        if problems := sending_problems(self.config):
            raise ConfigurationError(problems)
        if self.inbox is not None and not self._inbox_port:
            self._inbox_port = await self.inbox.start("127.0.0.1", 0)

    def transport(self) -> Transport:
        """Return a new connection to the configured server, or to the embedded inbox, over SMTP either way."""
        smtp = self.config.smtp
        hello = smtp.hello_name or urlsplit(links.public_url(self.config)).hostname or "localhost"
        if self.inbox is not None:
            smtp = smtp.model_copy(
                update={"host": "127.0.0.1", "port": self._inbox_port, "security": "plain", "username": ""}
            )
        return Transport.from_config(smtp, hello_name=hello)

    async def send(self, *, by_hand: bool = True, progress: Progress = silent) -> dict[str, Any]:
        """Send what is due until nothing is, or until told to stop.

        `by_hand`: an operator wants it, whatever made sending rest.
        """
        await self.prepare()
        async with self._sending:
            if by_hand:
                await self._rest("")
            elif self.resting:
                waiting = await self.database.aread(deliveries.waiting)
                return asdict(OutboxReport(waiting=waiting.open, held=self.resting, lasting=True))
            if not await self.worker.look() or self._broken_off:
                # Nothing of ours is on the wire any more, so what stood there is settled as after a crash.
                await self.end()
                await self.begin()
                self._broken_off = False
            try:
                report = await outbox.run(
                    self.database,
                    self.transport,
                    composer=Composer(
                        self.shared.keyring,
                        signer=self.shared.signer,
                        bounce_domain=self.config.smtp.bounce_domain,
                    ),
                    epoch=self.worker.epoch,
                    connections=self.config.smtp.connections,
                    clock=now,
                    dice=dice,
                    stop=self.shared.stop,
                    progress=progress,
                    policy=Policy(on_uncertain=self.config.smtp.on_uncertain),
                    backlog=self.backlog,
                    breaker=self.breaker,
                    alive=lambda: self.worker.alive,
                )
            except (StoreError, BusyError):
                raise  # nothing is in doubt: what is known waits in the backlog, and the next run begins with it
            except BaseException:
                self._broken_off = True
                raise
            if report.lasting:
                await self._rest(report.held)
        for reason in report.paused:
            log.error("issue paused", reason=reason)
        if report.sent or report.failed or report.uncertain or report.expired:
            # An issue may just have become sent, and so an entry of its newsletter's feed.
            await self.publishing.feeds([f"{NEWSLETTER_PREFIX}{one.slug}" for one in self.config.newsletters])
        return asdict(report)

    async def _rest(self, reason: str) -> None:
        """Note why nothing is to be sent until an operator wants it, also after a restart; "" that it may be."""
        if reason != self.resting:
            if not reason:
                self.breaker = Breaker(self.config.smtp.connections)
            await self.database.awrite(lambda conn: meta.put(conn, reports.SENDING_RESTS, reason))
            self.resting = reason

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

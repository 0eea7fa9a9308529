"""What goes on all the while, beside the clock: mails and notices are sent, hubs told, the database looked after."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from functools import partial

import structlog

from publisher.app import App, now
from publisher.app.lanes import LONGEST_REST, Lane
from publisher.config import DEFAULT_TRANSPORT
from publisher.errors import BusyError, StoreError
from publisher.service.problems import Problems
from publisher.service.waking import TICK
from publisher.store import deliveries, notices

log: structlog.stdlib.BoundLogger = structlog.get_logger()

SHORTEST_PAUSE = timedelta(seconds=0.5)
"""Between two looks at the outbox, whatever is due."""

CHECKING = 1.0
"""Seconds between two looks at whether the database's file is still there."""


class Loops:
    """The loops of a running service; each ends once the app is told to stop."""

    def __init__(self, app: App, problems: Problems) -> None:
        self.app, self.problems = app, problems
        self.lanes_changed = asyncio.Event()
        """Set when the configuration may have other transports."""

    async def keep_sending(self) -> None:
        """Empty the outbox over each transport; one that is out of reach holds up no other."""
        tasks: dict[Lane, asyncio.Task[None]] = {}
        changed = asyncio.create_task(self.lanes_changed.wait())
        try:
            while not self.app.shared.stop.is_set():
                for lane in self.app.sending.lanes.values():
                    if lane not in tasks:
                        tasks[lane] = asyncio.create_task(self._keep_sending_over(lane))
                await asyncio.wait({changed, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
                for lane in [lane for lane, task in tasks.items() if task.done()]:
                    await tasks.pop(lane)
                if changed.done():
                    self.lanes_changed.clear()
                    changed = asyncio.create_task(self.lanes_changed.wait())
            await asyncio.gather(*tasks.values())
        finally:
            changed.cancel()
            for task in tasks.values():
                task.cancel()

    async def _keep_sending_over(self, lane: Lane) -> None:
        """Send whenever something may be due: after a dispatch, at a retry's time, at each tick.

        A server that is out of reach is asked again after 30 s, then after twice as long each time.
        """
        what = "sending" if lane.name == DEFAULT_TRANSPORT else f"sending over {lane.name}"
        while not self.app.shared.stop.is_set() and self.app.sending.lanes.get(lane.name) is lane:
            self.app.shared.woken.clear()
            pause = TICK
            try:
                report = await self.app.sending.send_over(lane.name)
                lane.health = lane.health.after(report.held)
                waiting = await self.app.database.aread(partial(deliveries.waiting, transport=lane.name))
                # What waits for its pace is due already, and would have us ask again and again.
                next_at = report.later_at or waiting.next_at
                if next_at is not None:
                    pause = min(pause, max(SHORTEST_PAUSE, next_at - now()))
            except (StoreError, BusyError) as error:
                lane.health = lane.health.after(str(error))
            self.problems.note(what, lane.health.problem)
            if lane.health.problem:
                pause = lane.health.rest
                log.error("sending stopped", transport=lane.name, again_in=pause.total_seconds())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.app.shared.woken.wait(), pause.total_seconds())

    async def keep_noticing(self) -> None:
        """Send confirmations and links when they are asked for, however long an issue is being sent (F4)."""
        failures = 0
        while not self.app.shared.stop.is_set():
            self.app.readers.noticed.clear()
            pause = TICK.total_seconds()
            try:
                problem = (await self.app.readers.notify())["held"]
                waits = await self.app.database.aread(notices.next_at)
                if waits is not None:
                    pause = min(pause, max(0.5, (waits - now()).total_seconds()))
            except (StoreError, BusyError) as error:
                problem = str(error)
            self.problems.note("notices", problem)
            failures = failures + 1 if problem else 0
            if problem:
                pause = min(LONGEST_REST, TICK * 2 ** min(failures - 1, 8)).total_seconds()
                log.error("notices stopped", again_in=pause)
            # While the server is out of reach, one more notice is no reason to ask it again.
            woken = self.app.shared.stop if problem else self.app.readers.noticed
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), pause)

    async def keep_telling(self) -> None:
        """Tell hubs of changed feeds when they change and when a hub is to be tried again, beside everything else."""
        while not self.app.shared.stop.is_set():
            try:
                report = await self.app.shared.announcer.tell()
                if report.failed:
                    log.warning("hubs not told", failed=report.failed, given_up=report.given_up)
                await self.app.shared.announcer.wait()
            except (StoreError, BusyError) as error:
                log.warning("hubs not told", reason=str(error))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.app.shared.stop.wait(), TICK.total_seconds())

    async def keep_checking(self) -> None:
        """End the service when its database's file is gone or another: what is written there now is lost (J7)."""
        while not self.app.shared.stop.is_set():
            self.app.standing.check()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.app.shared.stop.wait(), CHECKING)

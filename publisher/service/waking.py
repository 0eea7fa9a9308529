"""What the service does by the clock: it collects, looks for what is due, sweeps, and stores who polled."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from publisher.app import App, now
from publisher.config import Source
from publisher.errors import BusyError, StoreError
from publisher.service.problems import Problems
from publisher.store import feed_pollers
from publisher.web.polls import Polls

if TYPE_CHECKING:
    from publisher.schedule import Timer, Wake

log: structlog.stdlib.BoundLogger = structlog.get_logger()

TICK = timedelta(seconds=30)
"""How often the database is asked what is due, whatever the timer says (DESIGN §6)."""

SAVING = timedelta(minutes=1)
"""How often the numbers of readers behind pollers are stored; what a crash takes they say again at the next poll."""

SWEEPING = timedelta(hours=1)
"""How often sign-ups are looked for that nobody confirmed in time."""

LONGEST_LOOK = 900.0
"""Seconds that may pass between two looks at what is due: an issue for a million readers takes minutes to compose."""


class Waking:
    """The timer of a running service, and what it wakes for."""

    def __init__(self, app: App, problems: Problems, polls: Polls) -> None:
        self.app, self.problems, self.polls = app, problems, polls
        self.timer: Timer | None = None
        """Wakes for what is due; None before it serves."""
        self.looked_at: float | None = None
        """When the last look at what is due was over, by the loop's clock; None before it serves."""
        self._wakes: dict[str, Wake] = {}
        self._sources: dict[str, Source] = {}

    def start(self) -> None:
        """Begin to wake, in the running event loop."""
        from publisher.schedule import Timer  # here: nobody who waits for an answer is to wait for a scheduler to load

        self.looked_at = asyncio.get_running_loop().time()
        self.timer = Timer(self.wake)
        self.timer.start()
        self._set_wakes(self.timer)

    def adopt(self, timer: Timer) -> None:
        """Go by the configuration that the app took up just now, and look at once."""
        self._set_wakes(timer)
        timer.wake("look", at=now())

    async def stop(self) -> None:
        """Wake no more, and wait until what goes on has finished."""
        if self.timer is not None:
            await self.timer.stop()

    @property
    def mark(self) -> tuple[object, float]:
        """What changes as it gets on, and how many seconds it may stand still."""
        return self.looked_at, LONGEST_LOOK

    @property
    def overdue(self) -> str:
        """Why what is due was not looked at in time; "" when it was."""
        if self.looked_at is None or asyncio.get_running_loop().time() - self.looked_at <= LONGEST_LOOK:
            return ""
        return f"no slot was looked for during the last {LONGEST_LOOK / 60:.0f} minutes"

    def _set_wakes(self, timer: Timer) -> None:
        """Wake for what there is now; what stays as it was keeps its turn, a source that changed is collected."""
        from publisher.schedule import Wake  # as above

        moment = now()
        wakes: dict[str, Wake] = {
            "tick": Wake(at=moment, every=TICK),
            "polls": Wake(every=SAVING),
            "sweep": Wake(at=moment, every=SWEEPING),
        }
        sources = {f"collect {source.name}": source for source in self.app.config.sources}
        for name, source in sources.items():
            wakes[name] = Wake(at=moment, every=source.interval)
        for name, wake in self._wakes.items():
            if name in wakes and wake.every == wakes[name].every and self._sources.get(name) == sources.get(name):
                wakes[name] = wake
        self._wakes, self._sources = wakes, sources
        timer.set(wakes)
        self._wake_at_next_slots(timer)

    def _wake_at_next_slots(self, timer: Timer) -> None:
        moment = now()
        zone = self.app.config.site.timezone
        for newsletter in self.app.config.newsletters:
            for name, frequency in newsletter.frequencies.items():
                if slot := frequency.schedule(zone).next(moment):
                    timer.wake(f"slot {newsletter.slug} {name}", at=slot.at)

    async def wake(self, name: str) -> None:
        """Do what a wake-up is for."""
        kind, _, what = name.partition(" ")
        try:
            if kind == "collect":
                await self._collect(what)
            elif kind == "sweep":
                await self.app.readers.sweep()
                await self.app.keeping.forget()
            elif kind == "polls":
                await self.save_polls()
            else:
                await self._look()
        except (StoreError, BusyError) as error:
            # The database is out of reach or its disk is full: pages go on, and the next wake-up tries again.
            log.warning("wake-up failed", name=name, reason=str(error))
            self.problems.note("database", str(error))
        else:
            self.problems.note("database", None)
        finally:
            if kind == "slot" and self.timer is not None:
                self._wake_at_next_slots(self.timer)

    async def _collect(self, name: str) -> None:
        if name not in [source.name for source in self.app.config.sources]:
            return  # a reload took it away as its turn came
        done = await self.app.publishing.collect([name], wait=False)
        for source in done["sources"]:
            self.problems.note(f"source {source['name']}", source.get("error") or source.get("alarm"))
        self.problems.note_feeds(done["feeds"])

    async def _look(self) -> None:
        """Do what is due by the clock."""
        await self.app.standing.count()
        await self.app.publishing.release_due()
        self.problems.note_feeds(await self.app.publishing.refresh_feeds())
        for done in await self.app.dispatching.run_due():
            failed = done["outcome"] == "failed"
            self.problems.note(
                f"newsletter {done['newsletter']} {done['frequency']}", done["reason"] if failed else None
            )
        self.problems.note("clock", self.app.dispatching.clock_problem)
        self.problems.note("editors", "; ".join(await self.app.issuing.tell_editors()))
        self.looked_at = asyncio.get_running_loop().time()

    async def save_polls(self) -> None:
        """Store what pollers said of their readers since the last time."""
        moment = now()
        pollers = self.polls.take(moment)
        if pollers:
            try:
                await self.app.database.awrite(lambda conn: feed_pollers.put(conn, pollers, moment))
            except (StoreError, BusyError) as error:
                log.warning("polls not counted", reason=str(error))

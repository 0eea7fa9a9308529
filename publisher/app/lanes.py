"""Lanes: what each transport has of its own, so that one in trouble never holds up another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from publisher.config import Config, Server
from publisher.control import Progress
from publisher.mail import progress as told
from publisher.mail.breaker import Breaker
from publisher.mail.pace import PROVIDERS, REST, Limit, Provider, Rate, by_domain
from publisher.mail.pacing import Pacer, Paces
from publisher.mail.steps import Step
from publisher.slots import parse_duration

FIRST_REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=10)
"""Waits before a server that could not be reached is asked again: doubled each time."""

OFTEN = timedelta(milliseconds=200)
"""Progress is put into words no oftener: people cannot read faster, and messages go out faster."""


@dataclass(frozen=True, slots=True)
class Health:
    """How a transport has fared lately."""

    failures: int = 0
    """Runs in a row that it stopped."""
    problem: str = ""
    """Why the last one stopped; "" when all is well."""

    def after(self, problem: str) -> Health:
        """Return the health after a run that stopped for this reason, or went well."""
        return Health(self.failures + 1, problem) if problem else Health()

    @property
    def rest(self) -> timedelta:
        """How long to wait before the next run; none when all is well."""
        if not self.failures:
            return timedelta()
        return min(LONGEST_REST, FIRST_REST * (1 << min(self.failures - 1, 8)))


class Halt(asyncio.Event):
    """Set by itself, or when the whole service is told to stop."""

    def __init__(self, stop: asyncio.Event) -> None:
        super().__init__()
        self._stop = stop

    def is_set(self) -> bool:
        """Whether to halt."""
        return super().is_set() or self._stop.is_set()

    async def wait(self) -> Literal[True]:
        """Wait until one of the two is set."""
        waiting = {asyncio.ensure_future(super().wait()), asyncio.ensure_future(self._stop.wait())}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
        return True


class Lane:
    """One transport: its connections' breaker and pace, what could not be written yet, and whether it rests."""

    def __init__(self, name: str, server: Server, paces: Paces, stop: asyncio.Event) -> None:
        self.name, self.server = name, server
        self._stop = stop
        self.halt = Halt(stop)
        """Ends the run that goes on, in order: what is on the wire is finished, nothing more is claimed."""
        self.pacer = Pacer(name, paces)
        self.breaker = Breaker(server.connections)
        self.backlog: list[Step] = []
        """What became of deliveries, as far as it could not be written yet (J4)."""
        self.resting = ""
        """Why nothing is sent until an operator says `publisher send`; "" when it is."""
        self.health = Health()
        self.running = asyncio.Lock()
        self.tally: Counter[str] = Counter()
        """What became of deliveries in the run that goes on, by state."""

    def change(self, server: Server, paces: Paces) -> None:
        """Go by other settings from the next run on, which follows at once."""
        if server.connections != self.server.connections:
            self.breaker = Breaker(server.connections)
        self.server, self.pacer = server, Pacer(self.name, paces)
        self.health = Health()
        self.halt.set()

    def begin(self) -> Halt:
        """Return the sign by which the run that begins now is to end."""
        self.halt = Halt(self._stop)
        return self.halt

    def wake(self) -> None:
        """Forget what made it rest: an operator wants it."""
        self.resting = ""
        self.breaker = Breaker(self.server.connections)


def paces(config: Config) -> Paces:
    """Return the limits that are configured."""
    known = {provider.name: provider for provider in PROVIDERS}
    limits: dict[str, Limit] = {}
    providers = dict(known)
    for table in config.providers:
        before = known.get(table.name, Provider(table.name, ()))
        rest = parse_duration(table.rest) if table.rest else before.rest or REST
        providers.pop(table.name, None)  # the operator's come last, and so have the domains that two of them name
        providers[table.name] = Provider(table.name, (*before.domains, *table.domains), rest)
        limits[table.name] = Limit(Rate.parse(table.rate)) if table.rate else Limit()
    return Paces(
        transports={name: server.limit for name, server in config.servers.items()},
        providers=limits,
        newsletters={newsletter.slug: newsletter.limit for newsletter in config.newsletters},
        domains=by_domain(providers.values()),
    )


class Teller:
    """Puts the progress of several lanes into one line, now and then."""

    def __init__(self, progress: Progress, clock: Callable[[], datetime]) -> None:
        self._progress, self._clock = progress, clock
        self._since = clock()
        self._last = datetime.min.replace(tzinfo=self._since.tzinfo)
        self._lanes: dict[str, tuple[Lane, int, int]] = {}

    def lane(self, lane: Lane) -> Progress:
        """Return what a lane's run tells its progress to."""

        def tell(label: str, done: int, total: int | None) -> None:  # noqa: ARG001 - the counts say more
            self._lanes[lane.name] = (lane, done, total or done)
            now = self._clock()
            if now - self._last >= OFTEN or done == total:
                self._last = now
                self._tell(now)

        return tell

    def _tell(self, now: datetime) -> None:
        done = sum(done for _, done, _ in self._lanes.values())
        total = sum(total for _, _, total in self._lanes.values())
        tally: Counter[str] = Counter()
        for lane, _, _ in self._lanes.values():
            tally.update(lane.tally)
        self._progress(told.in_words(tally, spent=now - self._since, left=total - done), done, total)

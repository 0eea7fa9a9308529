"""Telling hubs that feeds changed (WebSub): after the new bytes are live, once a change, again until it is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from publisher.http import Answer, Fetcher
from publisher.store import hub_pings
from publisher.store.database import Database
from publisher.store.hub_pings import Ping

SECONDS = 10.0
"""A hub that has not answered by then did not (FR-W2)."""

_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(hours=6)
_PATIENCE = timedelta(hours=24)
"""News that a hub could not be told for a day are no news: readers have polled long since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PingReport:
    """What telling the hubs came to."""

    told: int = 0
    failed: int = 0
    given_up: int = 0


def next_attempt(ping: Ping, now: datetime) -> datetime | None:
    """Return when to tell a hub again that just did not take `ping`: 30 s, doubling to 6 h; None after a day."""
    pause = min(_FIRST_PAUSE * 2 ** min(ping.attempts, 20), _LONGEST_PAUSE)
    return None if now + pause > ping.changed_at + _PATIENCE else now + pause


async def tell(db: Database, fetcher: Fetcher, clock: Callable[[], datetime]) -> PingReport:
    """Send every ping that is due, the hubs side by side, and record what came of each at once."""
    moment = clock()
    due = await db.aread(lambda conn: hub_pings.due(conn, moment))
    by_hub = [list(pings) for _, pings in groupby(sorted(due, key=lambda ping: ping.hub), key=lambda ping: ping.hub)]
    return _sum(await asyncio.gather(*(_tell_one(db, fetcher, pings, clock) for pings in by_hub)))


async def _tell_one(db: Database, fetcher: Fetcher, pings: Sequence[Ping], clock: Callable[[], datetime]) -> PingReport:
    done = []
    answer = Answer(200, "")
    for ping in pings:
        # One that does not answer is not asked about the next feed: a hundred feeds would wait ten seconds each.
        if answer.status is not None:
            fields = {"hub.mode": "publish", "hub.url": ping.topic, "hub.topic": ping.topic}
            answer = await fetcher.post_form(ping.hub, fields, seconds=SECONDS)
        done.append(await _record(db, ping, answer, clock()))
    return _sum(done)


async def _record(db: Database, ping: Ping, answer: Answer, now: datetime) -> PingReport:
    if answer.is_success:
        await db.awrite(lambda conn: hub_pings.told(conn, ping))
        return PingReport(told=1)
    again = next_attempt(ping, now)
    problem = f"status {answer.status}: {answer.text}" if answer.status else answer.text
    await db.awrite(lambda conn: hub_pings.failed(conn, ping, problem, again))
    return PingReport(failed=1, given_up=again is None)


def _sum(reports: Iterable[PingReport]) -> PingReport:
    told = failed = given_up = 0
    for report in reports:
        told, failed, given_up = told + report.told, failed + report.failed, given_up + report.given_up
    return PingReport(told=told, failed=failed, given_up=given_up)

"""The numbers of this moment for metrics: kept as things happen or counted now and then, never at a scrape."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from publisher import __version__
from publisher.app.dispatching import Dispatching
from publisher.app.publishing import Publishing
from publisher.app.readers import Readers
from publisher.app.reloading import Reloading
from publisher.app.sending import Sending
from publisher.app.shared import Shared, Stories
from publisher.clock import now
from publisher.errors import BusyError, StoreError
from publisher.metrics import Distribution, Lag, Values
from publisher.store import counted
from publisher.store.counted import Counted

log: structlog.stdlib.BoundLogger = structlog.get_logger()

COUNT_EVERY = 15.0
"""Seconds between two counts: what Prometheus usually leaves between two scrapes."""
SHARE = 20
"""A count is followed by a pause of at least so many times its length, so that it takes 5 % of a core at most."""
LOOK_EVERY = 0.1
"""Seconds between two looks at how late the event loop is."""
BLOCKED = 1.0
"""Seconds of lateness that the log tells (K14)."""

Polled = Mapping[tuple[str, str], Mapping[int, int]]
"""Requests for feeds by (feed, format) and HTTP status."""
Found = Iterator[tuple[Iterable[str], float | Distribution]]


class Measuring(Stories):
    """Counts what the database knows in the background, and gathers it with what the stories counted themselves."""

    def __init__(
        self,
        shared: Shared,
        *,
        publishing: Publishing,
        sending: Sending,
        dispatching: Dispatching,
        readers: Readers,
        reloading: Reloading,
    ) -> None:
        super().__init__(shared)
        self._publishing, self._sending, self._dispatching = publishing, sending, dispatching
        self._readers, self._reloading = readers, reloading
        self.lag = Lag()
        self._counted: Counted | None = None
        self._counted_at: datetime | None = None

    @property
    def deliveries_open(self) -> int:
        """How many deliveries were open when they were last counted."""
        return sum(self._counted.deliveries.values()) if self._counted is not None else 0

    async def count(self) -> None:
        """Count what the database knows. Raises StoreError and BusyError."""
        wanted = [(n.slug, frequency) for n in self.config.newsletters for frequency in n.frequencies]
        self._counted = await self.database.aread(lambda conn: counted.everything(conn, wanted))
        self._counted_at = now()

    @property
    def last(self) -> tuple[Counted, datetime] | None:
        """What was counted last, and when; None before the first count."""
        return None if self._counted is None or self._counted_at is None else (self._counted, self._counted_at)

    async def keep_counting(self) -> None:
        """Count again and again until the service stops."""
        loop = asyncio.get_running_loop()
        while not self.shared.stop.is_set():
            begun = loop.time()
            try:
                await self.count()
            except (StoreError, BusyError) as error:
                log.warning("not counted for metrics", reason=str(error))
            pause = max(COUNT_EVERY, SHARE * (loop.time() - begun))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.shared.stop.wait(), pause)

    async def keep_looking_at_the_loop(self) -> None:
        """Note how late the event loop comes to what is due, until the service stops (K14)."""
        loop = asyncio.get_running_loop()
        while not self.shared.stop.is_set():
            due = loop.time() + LOOK_EVERY
            await asyncio.sleep(LOOK_EVERY)
            late = loop.time() - due
            self.lag.note(late)
            if late > BLOCKED:
                log.warning("the event loop was blocked", seconds=round(late, 1))

    def values(self, problems: Mapping[str, Any], *, ready: bool, polls: Polled) -> Values:
        """Return every number of this moment, by metric."""
        reloading = self._reloading
        found: dict[str, Any] = {
            "publisher_build_info": [((__version__, self.database.dialect), 1)],
            "publisher_ready": [((), ready)],
            "publisher_paused": [((), bool(self.shared.paused))],
            "publisher_problem": [((part,), 1) for part in sorted(problems)],
            "publisher_collections_total": _pairs(self._publishing.collections),
            "publisher_ingested_articles_total": _pairs(self._publishing.ingested),
            "publisher_feed_builds_total": _singles(self._publishing.builds),
            "publisher_feed_polls_total": _polled(polls),
            "publisher_slots_total": _pairs(self._dispatching.counted),
            "publisher_slot_next_timestamp_seconds": list(self._next_slots()),
            "publisher_deliveries_total": _pairs(self._sending.counted),
            "publisher_transport_resting": [
                ((name,), bool(lane.resting)) for name, lane in self._sending.lanes.items()
            ],
            "publisher_transport_failures": [
                ((name,), lane.health.failures) for name, lane in self._sending.lanes.items()
            ],
            "publisher_notices_total": _singles(self._readers.counted),
            "publisher_worker_alive": [((), self._sending.worker.alive)],
            "publisher_config_reloads_total": _singles(reloading.counted),
            "publisher_config_last_reload_success": [((), reloading.last_taken)],
            "publisher_config_last_reload_success_timestamp_seconds": [((), reloading.taken_at.timestamp())],
            "publisher_event_loop_lag_seconds": [((), self.lag.seen)],
            "publisher_disk_free_bytes": [((), shutil.disk_usage(self.config.data_dir).free)],
        }
        if self.database.dialect == "sqlite":
            found["publisher_database_bytes"] = [((), _size_of(Path(self.database.where)))]
        if self._counted is not None and self._counted_at is not None:
            found["publisher_counted_timestamp_seconds"] = [((), self._counted_at.timestamp())]
            found |= _of_database(self._counted)
        return found

    def _next_slots(self) -> Found:
        moment, zone = now(), self.config.site.timezone
        for newsletter in self.config.newsletters:
            for name, frequency in newsletter.frequencies.items():
                if slot := frequency.schedule(zone).next(moment):
                    yield (newsletter.slug, name), slot.at.timestamp()


def _of_database(found: Counted) -> dict[str, Any]:
    sources = found.sources.items()
    return {
        "publisher_articles": _singles(found.articles),
        "publisher_source_articles": [((name,), source.articles) for name, source in sources],
        "publisher_source_skipped": [((name,), source.skipped) for name, source in sources],
        "publisher_source_alarm": [((name,), source.alarm) for name, source in sources],
        "publisher_source_last_success_timestamp_seconds": [
            ((name,), source.last_success_at.timestamp()) for name, source in sources if source.last_success_at
        ],
        "publisher_hub_topics": _singles(found.hubs),
        "publisher_subscriptions": _pairs(found.subscriptions),
        "publisher_suppressions": [((), found.suppressions)],
        "publisher_slot_last_timestamp_seconds": [(key, at.timestamp()) for key, at in found.slots.items()],
        "publisher_issues": _singles(found.issues),
        "publisher_outbox_deliveries": _singles(found.deliveries),
        "publisher_uncertain_deliveries": [((), found.uncertain)],
    }


def _singles(numbers: Mapping[str, int]) -> list[tuple[tuple[str], int]]:
    return [((str(name),), number) for name, number in sorted(numbers.items())]


def _pairs(numbers: Mapping[Any, int]) -> list[tuple[tuple[str, ...], int]]:
    return [(tuple(map(str, labels)), number) for labels, number in sorted(numbers.items())]


def _polled(polls: Polled) -> list[tuple[tuple[str, str, str], int]]:
    return [
        ((feed, form, str(status)), number)
        for (feed, form), statuses in sorted(polls.items())
        for status, number in sorted(statuses.items())
    ]


def _size_of(file: Path) -> int:
    """Return the bytes of a SQLite file and its log."""
    total = 0
    for path in (file, file.with_name(f"{file.name}-wal")):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total

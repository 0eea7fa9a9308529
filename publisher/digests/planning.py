"""What the coming slots of a newsletter would do, as things stand now; slots that are overdue come first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from publisher import slots
from publisher.config import Config, Newsletter
from publisher.digests import DispatchReport, blackout, dispatch
from publisher.digests.issue import Ids
from publisher.digests.material import pending
from publisher.render import Renderer
from publisher.slots import Due, Slot
from publisher.store import issues, readers
from publisher.store.database import Connection, Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A slot that is not decided. What it would hold is known of the first one of each frequency that would run."""

    newsletter: str
    frequency: str
    slot: Slot | None
    """None: the next news will tell (`schedule`)."""
    schedule: str
    """In words."""
    readers: int
    report: DispatchReport | None = None
    skipped: str = ""
    """Why it would be skipped or missed whatever there is to tell; "" when it would not."""
    late: str = ""
    """How late it is, and what becomes of it; "" when it is still to come."""


def plan(
    db: Database,
    config: Config,
    newsletter: Newsletter,
    *,
    renderer: Renderer,
    now: datetime,
    ids: Ids,
    count: int = 5,
) -> tuple[Planned, ...]:
    """Return overdue slots and the next `count` of a newsletter in order of time, and what the first would do.

    A frequency whose next slot comes later than all these is not left out for it.
    """
    overdue: list[Planned] = []
    coming: list[Planned] = []
    first_ones: list[Planned] = []
    for name in newsletter.frequencies:
        look = _Look(db, config, newsletter, name, renderer, now, ids)
        late = list(look.overdue())
        first = not any(planned.report for planned in late)
        mine = [look.at(slot, closely=first and place == 0) for place, slot in enumerate(look.upcoming(count))]
        first_ones += mine[:1]
        coming += mine
        overdue += late
    shown = (one for place, one in enumerate(sorted(coming, key=_moment)) if place < count or one in first_ones)
    return (*sorted(overdue, key=_moment), *shown)


class _Look:
    """A look at the slots of one frequency."""

    def __init__(
        self,
        db: Database,
        config: Config,
        newsletter: Newsletter,
        name: str,
        renderer: Renderer,
        now: datetime,
        ids: Ids,
    ) -> None:
        self._db, self._config, self._newsletter, self._name = db, config, newsletter, name
        self._renderer, self._now, self._ids = renderer, now, ids
        self._schedule = newsletter.frequencies[name].schedule(config.site.timezone)
        self._readers, self._due, self._pending = db.read(
            lambda conn: (
                len(readers.of(conn, newsletter.slug, (name,), now)),
                _due(conn, config, newsletter, name, now),
                pending(conn, newsletter, name, self._schedule),
            )
        )

    def overdue(self) -> Iterator[Planned]:
        """Yield the slots that a service would decide at once."""
        limit = self._newsletter.frequencies[self._name].lateness(self._config.site.timezone)
        for slot in self._due.missed:
            yield self.at(slot, late=f"{said(self._now - slot.at)} late, more than {said(limit)}: it will be missed")
        if (run := self._due.run) is not None:
            others = f", in place of {len(self._due.folded)} before it" if self._due.folded else ""
            late = f"{said(self._now - run.at)} late: it goes out when the service runs{others}"
            yield self.at(run, closely=True, late=late)

    def upcoming(self, count: int) -> Iterator[Slot | None]:
        """Yield the next slots; of a schedule that follows news the one that awaits its time, else None."""
        if self._schedule.delay is not None:
            if self._pending is None or self._pending.at > self._now:
                yield self._pending
            return
        slot = self._schedule.next(self._now)
        while slot and count:
            yield slot
            slot, count = self._schedule.next(slot.at), count - 1

    def at(self, slot: Slot | None, *, closely: bool = False, late: str = "") -> Planned:
        """Return a slot; `closely`: with what it would hold now."""
        dark = blackout(self._newsletter, slot) if slot else ""
        report = None
        if closely and slot and not dark:
            report = dispatch(
                self._db,
                self._config,
                self._newsletter,
                self._name,
                slot,
                renderer=self._renderer,
                now=self._now,
                ids=self._ids,
                dry_run=True,
            )
        return Planned(
            newsletter=self._newsletter.slug,
            frequency=self._name,
            slot=slot,
            schedule=self._schedule.describe(),
            readers=self._readers,
            report=report,
            skipped=dark,
            late=late,
        )


def said(length: timedelta) -> str:
    """Return a length of time in the largest units that matter: `2 d 3 h`, `5 h 20 min`, `45 min`."""
    minutes = int(length / timedelta(minutes=1))
    days, hours, left = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{left} min" if left and not days else ""]
    return " ".join(part for part in parts if part) or "less than a minute"


def _moment(planned: Planned) -> tuple[datetime, str]:
    return planned.slot.at if planned.slot else datetime.max.replace(tzinfo=UTC), planned.frequency


def _due(conn: Connection, config: Config, newsletter: Newsletter, name: str, now: datetime) -> Due:
    """Return what is overdue; nothing of a schedule that no service has loaded yet."""
    frequency = newsletter.frequencies[name]
    schedule = frequency.schedule(config.site.timezone)
    since = issues.known_since(conn, newsletter=newsletter.slug, frequency=name, fingerprint=schedule.fingerprint)
    if since is None:
        return Due()
    return slots.due(
        schedule,
        last_decided_at=issues.last_decided(conn, newsletter=newsletter.slug, frequency=name),
        since_at=since,
        now=now,
        max_lateness=frequency.lateness(config.site.timezone),
        catch_up=frequency.catch_up,
        pending=pending(conn, newsletter, name, schedule),
    )

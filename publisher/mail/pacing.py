"""Keeping to paces while sending: what may go now goes on, what may not waits here, and complaints are remembered."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from publisher import faults
from publisher.mail.pace import (
    FRESH,
    PROVIDERS,
    UNLIMITED,
    Limit,
    Pace,
    Provider,
    by_domain,
    charged,
    free_at,
    provider_of,
    rate_now,
    throttled,
)
from publisher.model import Claimed
from publisher.store import issues, paces
from publisher.store.database import Connection, Database
from publisher.store.paces import key_of_newsletter, key_of_provider, key_of_transport

ENOUGH = 128
"""Deliveries that wait here for one pace before no more of them are read: a few seconds' worth for most."""

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Paces:
    """What the configuration limits."""

    transports: Mapping[str, Limit] = field(default_factory=dict)
    providers: Mapping[str, Limit] = field(default_factory=dict)
    newsletters: Mapping[str, Limit] = field(default_factory=dict)
    domains: Mapping[str, Provider] = field(default_factory=lambda: by_domain(PROVIDERS))


NO_LIMITS = Paces()


class Pacer:
    """The paces of one transport, for one run at a time; `charge` may be called from another thread than the rest.

    While nothing is limited, `limited` is False and nobody need ask anything else.
    """

    def __init__(self, transport: str = "smtp", configured: Paces = NO_LIMITS) -> None:
        self._transport, self._domains = transport, configured.domains
        self._key = key_of_transport(transport)
        limits = {self._key: configured.transports.get(transport, UNLIMITED)}
        limits |= {key_of_provider(transport, name): limit for name, limit in configured.providers.items()}
        newsletters = {slug: limit for slug, limit in configured.newsletters.items() if limit.sets_something}
        limits |= {key_of_newsletter(slug): limit for slug, limit in newsletters.items()}
        self._limits = {key: limit for key, limit in limits.items() if limit.sets_something}
        self._active = set(self._limits)
        self._by_newsletter = bool(newsletters)
        self._newsletters: dict[int, str] = {}
        self._paces: dict[str, Pace] = {}
        """As the database had them last, and what was let on since and is not charged there yet."""
        self._heard: deque[Mapping[str, Pace]] = deque()
        self._waiting: dict[str, deque[Claimed]] = {}
        self.refused_until: datetime | None = None
        """When the first of those that `charge` refused may try again."""
        self._minute: datetime | None = None
        self._this: Counter[str] = Counter()
        self._last: Counter[str] = Counter()

    @property
    def limited(self) -> bool:
        """Whether anything is limited at all, or still waits here for what was."""
        return bool(self._active or self._waiting)

    def load(self, conn: Connection, now: datetime) -> None:
        """Learn what the database remembers, and begin anew: what waited here is read again."""
        mine = f"{key_of_provider(self._transport, '')}"
        self._paces = {
            key: pace
            for key, pace in paces.load(conn).items()
            if key == self._key or key.startswith(mine) or key in self._limits
        }
        slow = {key for key, pace in self._paces.items() if pace.slow and pace.slow.rate(now)}
        self._active = {*self._limits, *slow}
        self._waiting.clear()
        self._heard.clear()
        self.refused_until = None
        if self._by_newsletter:
            self._newsletters = issues.newsletters(conn)

    # Reading ahead

    def sift(self, rows: Iterable[Claimed], now: datetime) -> list[Claimed]:
        """Return what may go on; the others wait here until `due` returns them."""
        self._listen()
        return [row for row in rows if self._goes(row, now)]

    def due(self, now: datetime) -> list[Claimed]:
        """Return what has waited here long enough, as if it had been read just now."""
        self._listen()
        ready: list[Claimed] = []
        for key in list(self._waiting):
            rows = self._waiting[key]
            while rows and self._free_at(key, now) <= now:
                row = rows.popleft()
                if self._goes(row, now):
                    ready.append(row._replace(date_at=now) if row.attempt == 1 else row)
            if not rows:
                del self._waiting[key]
        return ready

    def next_at(self, now: datetime) -> datetime | None:
        """Return when something that waits here may go; None when nothing waits."""
        return min((self._free_at(key, now) for key in self._waiting), default=None)

    @property
    def full(self) -> bool:
        """Whether enough waits for the transport as a whole, so that nothing need be read."""
        return self._enough(self._key)

    @property
    def full_domains(self) -> tuple[str, ...]:
        """Domains of which enough waits here."""
        if not self._waiting:
            return ()
        mine = key_of_provider(self._transport, "")
        names = {key.removeprefix(mine) for key in self._waiting if key.startswith(mine) and self._enough(key)}
        known = [domain for domain, provider in self._domains.items() if provider.name in names]
        return tuple(sorted({*known, *names}))

    @property
    def full_newsletters(self) -> tuple[str, ...]:
        """Newsletters of which enough waits here."""
        if not self._by_newsletter:
            return ()
        mine = key_of_newsletter("")
        return tuple(sorted(k.removeprefix(mine) for k in self._waiting if k.startswith(mine) and self._enough(k)))

    # Claiming

    def charge(self, conn: Connection, rows: Sequence[Claimed], now: datetime) -> Sequence[Claimed]:
        """Count deliveries about to be claimed; return those that all paces grant, as all workers have used them."""
        if not self._active or not rows:
            return rows
        self._learn(conn, rows)
        wanted = [self._keys(row) for row in rows]
        found = paces.charge(conn, wanted, self._limits, now)
        self._heard.append(found.paces)
        for keys, granted in zip(wanted, found.granted, strict=True):
            if not granted:
                at = max(free_at(self._limits.get(key, UNLIMITED), found.paces[key], now) for key in keys)
                self.refused_until = min(at, self.refused_until or at)
        return [row for row, granted in zip(rows, found.granted, strict=True) if granted]

    def hurry(self, conn: Connection, row: Claimed, now: datetime) -> datetime | None:
        """Count a mail that goes before all others; None when it may go, else when the rest of its provider ends."""
        keys = self._keys(row)
        return paces.hurry(conn, keys, self._limits, now) if keys else None

    # Outcomes

    def accepted(self, row: Claimed, now: datetime) -> None:
        """Count a mail that was taken: how fast we are is asked when somebody complains."""
        if self._minute is None or now - self._minute >= MINUTE:
            quiet = self._minute is None or now - self._minute >= 2 * MINUTE
            self._last, self._this, self._minute = (Counter() if quiet else self._this), Counter(), now
        self._this[row.address.rpartition("@")[2]] += 1

    async def complained(self, db: Database, row: Claimed, reason: str, now: datetime) -> str:
        """Slow the provider down that said "too fast"; returns what to tell of it, "" when it is known already."""
        provider = provider_of(row.address, self._domains)
        key = key_of_provider(self._transport, provider.name)
        rate = self._per_hour(provider.name)

        def work(conn: Connection) -> tuple[Pace, Pace]:
            before = paces.locked(conn, key)
            after = throttled(before, per_hour=rate, rest=provider.rest, reason=reason, now=now)
            if after is not before:
                paces.change(conn, key, after)
                faults.point("pace.complained")
            return before, after

        before, after = await db.awrite(work)
        self._heard.append({key: after})
        self._active.add(key)
        if after is before or after.slow is None:
            return ""
        slow = after.slow
        return (
            f"{provider.name} gets nothing until {slow.rests_until:%H:%M} UTC, then {slow.per_hour} an hour: {reason}"
        )

    def _per_hour(self, provider: str) -> float:
        counts = [
            sum(n for domain, n in minute.items() if provider_of(f"@{domain}", self._domains).name == provider)
            for minute in (self._this, self._last)
        ]
        return 60.0 * max(counts)

    # Inside

    def _goes(self, row: Claimed, now: datetime) -> bool:
        keys = self._keys(row)
        if not keys:
            return True
        at, key = max((self._free_at(key, now), key) for key in keys)
        if at > now:
            self._waiting.setdefault(key, deque()).append(row)
            return False
        for each in keys:
            pace = self._paces.get(each, FRESH)
            self._paces[each] = charged(self._limits.get(each, UNLIMITED), pace, now)
        return True

    def _keys(self, row: Claimed) -> tuple[str, ...]:
        keys = [self._key, key_of_provider(self._transport, provider_of(row.address, self._domains).name)]
        if newsletter := self._newsletters.get(row.issue_id):
            keys.append(key_of_newsletter(newsletter))
        return tuple(key for key in keys if key in self._active)

    def _free_at(self, key: str, now: datetime) -> datetime:
        limit, pace = self._limits.get(key, UNLIMITED), self._paces.get(key, FRESH)
        if key not in self._limits and rate_now(limit, pace, now) is None:
            self._active.discard(key)  # the complaint is forgotten
        return free_at(limit, pace, now)

    def _enough(self, key: str) -> bool:
        return len(self._waiting.get(key, ())) >= ENOUGH

    def _listen(self) -> None:
        """Take in what charges found; what was let on and is not charged yet stays counted."""
        while self._heard:
            for key, pace in self._heard.popleft().items():
                known = self._paces.get(key, FRESH).full_at
                later = pace.full_at if known is None or (pace.full_at and pace.full_at > known) else known
                self._paces[key] = replace(pace, full_at=later)

    def _learn(self, conn: Connection, rows: Sequence[Claimed]) -> None:
        """Know the newsletters of issues that appeared since the last time; asked for only where one is limited."""
        if self._by_newsletter and (new := {row.issue_id for row in rows} - self._newsletters.keys()):
            self._newsletters |= issues.newsletters(conn, new)

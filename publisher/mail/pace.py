"""Pace: how fast mail may go out, decided over frozen values with `now` passed in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_MOST = 1_000_000
_LONGEST = 366
_MICROSECOND = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)

SLOWEST = 60
"""Mails an hour below which nobody is slowed: one a minute, what large senders fall back to (spec mail §1.6)."""

RECOVERY = timedelta(hours=3)
"""How long after its last complaint a provider is treated as before: its rate has doubled what it complained of."""

REST = timedelta(minutes=1)
"""How long a provider gets nothing after it said "too fast", unless the table knows better."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many mails in any stretch of time as long as `period`, never more.

    A bucket that holds `burst` and gives one back each `interval`. Full, it lets through burst + period / interval in a
    period, and one less when that moment itself is not counted in; `interval` is chosen so that this is `number`.
    """

    number: int
    period: timedelta

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Return what `10/s`, `600/m`, `5000/h` or `50000/d` means; raise ValueError for anything else."""
        match = re.fullmatch(r"([0-9]{1,9}) ?/ ?([smhd])", text.strip())
        if match is None:
            raise ValueError(f"{text[:40]!r} is not a rate: mails per second, minute, hour or day, such as '600/m'")
        number = int(match[1])
        if not 0 < number <= _MOST:
            raise ValueError(f"{text[:40]!r} must be from 1 to {_MOST} mails; leave the key out for no limit")
        return cls(number, _UNITS[match[2]])

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        return f"{self.number}/{next(unit for unit, period in _UNITS.items() if period == self.period)}"

    @property
    def burst(self) -> int:
        """How many may go at once after a quiet time: few, since providers dislike bursts (spec mail P12)."""
        return max(1, self.number // 50)

    @property
    def interval(self) -> timedelta:
        """Time in which one more may go, rounded up."""
        return -(-self.period // (self.number + 1 - self.burst) // _MICROSECOND) * _MICROSECOND

    @property
    def per_hour(self) -> float:
        """For comparing."""
        return self.number * (_HOUR / self.period)


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A new sender's first days: `start` mails on the first, growing by the same factor each day to `end`."""

    start: int
    end: int
    days: int

    @classmethod
    def parse(cls, text: str) -> WarmUp:
        """Return what `200 to 50000 in 30d` means; raise ValueError for anything else."""
        match = re.fullmatch(r"([0-9]{1,9}) to ([0-9]{1,9}) in ([0-9]{1,4})d", text.strip())
        if match is None:
            raise ValueError(
                f"{text[:40]!r} is no warming up: mails on the first day and on the last, '200 to 50000 in 30d'"
            )
        start, end, days = (int(number) for number in match.groups())
        if not 0 < start <= end <= _MOST or not 0 < days <= _LONGEST:
            raise ValueError(
                f"{text[:40]!r} must grow from at least 1 to at most {_MOST} mails a day, in 1 to {_LONGEST} days"
            )
        return cls(start, end, days)

    def rate(self, since: datetime, now: datetime) -> Rate | None:
        """Return what the day allows, spread evenly over it; None once warm."""
        day = max(0, (now - since) // timedelta(days=1))
        if day >= self.days:
            return None
        growth = (self.end / self.start) ** (day / max(1, self.days - 1))
        return Rate(min(_MOST, max(1, round(self.start * growth))), timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Limit:
    """What the configuration says of one transport, provider or newsletter."""

    rate: Rate | None = None
    warm_up: WarmUp | None = None

    @property
    def sets_something(self) -> bool:
        """Whether there is anything to keep to."""
        return self.rate is not None or self.warm_up is not None


UNLIMITED = Limit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """A receiver said "too fast": half the rate it complained of, rising by as much again each hour (AIMD)."""

    per_hour: int
    since_at: datetime
    rests_until: datetime
    """Nothing is sent before."""
    reason: str
    """In the server's words."""

    def rate(self, now: datetime) -> Rate | None:
        """Return what is thought bearable by now; None when all is forgotten."""
        passed = max(timedelta(0), now - self.since_at)
        if passed >= RECOVERY and now >= self.rests_until:
            return None
        return Rate(min(_MOST, int(self.per_hour * (1 + passed / _HOUR))), _HOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the database remembers of one transport, provider or newsletter."""

    full_at: datetime | None = None
    """When its bucket will be full again if nothing more is sent; in the past: it is full."""
    since_at: datetime | None = None
    """When its first mail went while it was warming up."""
    slow: Slow | None = None


FRESH = Pace()


def rate_now(limit: Limit, pace: Pace, now: datetime) -> Rate | None:
    """Return the slowest of what is configured, what the warming up allows and what the receiver bears."""
    rates = (
        limit.rate,
        limit.warm_up.rate(pace.since_at or now, now) if limit.warm_up else None,
        pace.slow.rate(now) if pace.slow else None,
    )
    return max((rate for rate in rates if rate is not None), key=lambda rate: rate.interval, default=None)


def free_at(limit: Limit, pace: Pace, now: datetime) -> datetime:
    """Return when one more mail may go: `now` or later."""
    begin = max(now, pace.slow.rests_until) if pace.slow else now
    rate = rate_now(limit, pace, now)
    if rate is None or pace.full_at is None:
        return begin
    interval, room = rate.interval, rate.burst * rate.interval
    # Further than empty it cannot be: the rate was another one, or the clock has gone back.
    full_at = min(pace.full_at, now + room)
    return max(begin, full_at + interval - room)


def charged(limit: Limit, pace: Pace, now: datetime) -> Pace:
    """Return the pace after one mail has gone, which `free_at` allowed."""
    rate = rate_now(limit, pace, now)
    if rate is None:
        return pace
    full_at = min(max(pace.full_at or now, now), now + rate.burst * rate.interval)
    since_at = pace.since_at or (now if limit.warm_up else None)
    return replace(pace, full_at=full_at + rate.interval, since_at=since_at)


def hurried(limit: Limit, pace: Pace, now: datetime) -> Pace:
    """Return the pace after one mail has gone that waited for nothing: the next wait the longer for it."""
    after, rate = charged(limit, pace, now), rate_now(limit, pace, now)
    return replace(after, full_at=max(pace.full_at or now, now) + rate.interval) if rate else after


def throttled(pace: Pace, *, per_hour: float, rest: timedelta, reason: str, now: datetime) -> Pace:
    """Return the pace after a receiver said "too fast", while mail went to it at `per_hour`.

    Half of that, or of what was thought bearable; what was under way already when it complained counts once.
    """
    if pace.slow is not None and now < pace.slow.rests_until:
        return pace
    borne = pace.slow.rate(now) if pace.slow else None
    least = min(per_hour, borne.per_hour) if borne else per_hour
    slow = Slow(per_hour=max(SLOWEST, int(least / 2)), since_at=now, rests_until=now + (rest or REST), reason=reason)
    return replace(pace, slow=slow)


@dataclass(frozen=True, slots=True)
class Provider:
    """Receivers of mail behind many domains, who judge us as one."""

    name: str
    domains: tuple[str, ...]
    rest: timedelta = REST
    """How long it wants to be left alone once it said "too fast"."""


PROVIDERS: tuple[Provider, ...] = (
    Provider("google", ("gmail.com", "googlemail.com")),
    Provider(
        "microsoft",  # an hour at least after a deferral for rate (spec mail P11)
        (
            "outlook.com",
            "hotmail.com",
            "live.com",
            "msn.com",
            "hotmail.co.uk",
            "hotmail.fr",
            "outlook.fr",
            "live.co.uk",
        ),
        timedelta(hours=1),
    ),
    Provider(
        "yahoo",  # two hours after [TSS04] (spec mail §1.6)
        ("yahoo.com", "ymail.com", "rocketmail.com", "aol.com", "aim.com", "yahoo.co.uk", "yahoo.fr", "yahoo.de"),
        timedelta(hours=2),
    ),
    Provider("apple", ("icloud.com", "me.com", "mac.com")),
    Provider("mail-ru", ("mail.ru", "inbox.ru", "list.ru", "bk.ru", "internet.ru", "xmail.ru")),
    Provider("yandex", ("yandex.ru", "ya.ru", "yandex.com", "yandex.by", "yandex.kz", "yandex.ua", "narod.ru")),
    Provider("proton", ("proton.me", "protonmail.com", "pm.me", "protonmail.ch")),
    Provider("gmx", ("gmx.de", "gmx.net", "gmx.com", "gmx.at", "gmx.ch", "web.de", "mail.com")),
    Provider("comcast", ("comcast.net",)),
)
"""Domains whose mail is taken by the same machines; every other domain is a provider of its own."""


def by_domain(providers: Iterable[Provider]) -> Mapping[str, Provider]:
    """Return the table of domains; of two providers that claim one, the later has it."""
    return MappingProxyType({domain: provider for provider in providers for domain in provider.domains})


def provider_of(address: str, table: Mapping[str, Provider]) -> Provider:
    """Return who takes mail for this address."""
    domain = address.rpartition("@")[2].lower()
    return table.get(domain) or Provider(domain, (domain,))

"""Schedules as people mean them: which local wall times are planned, and which of them are due now."""

from __future__ import annotations

import difflib
import functools
import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, pairwise
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from publisher.cron import WEEKDAYS, cron_line

_WEEKDAY_NAMES = ("Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UNIT_NAMES = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}

MINIMUM_PERIOD = timedelta(minutes=1)
MAXIMUM_PERIOD = timedelta(days=366)
LONGEST_DELAY = timedelta(days=1)
"""From the first article to the issue that follows it: beyond that it is a daily one."""
MAXIMUM_LATENESS = timedelta(hours=6)
"""A slot older than this is missed unless the configuration says otherwise (spec delivery §5.4)."""
PROMPT = timedelta(minutes=5)
"""With `catch_up = "skip"`: how late still counts as on time, so that a restart at seven loses nothing."""
LISTED = 1000
"""Most slots that `due` names at once; a year's outage of a schedule of minutes would name half a million."""

_NO_PLACES = frozenset({"localtime", "posixrules", "Factory"})
"""Names in the tz database that mean another thing on each machine, or nothing."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CYCLE = 28 * 366
"""Days after which dates and weekdays repeat (between the years 1901 and 2099)."""
CLOCK_SLACK = timedelta(seconds=120)
"""How far a clock may go back unremarked: time servers correct by less."""
_HORIZON = 40 * 366
"""Days that `next` looks ahead: the leap year that 2100 is not makes the longest wait 12 years."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A planned moment: its local wall time (`2026-11-23T07:00`), which names it, and the instant (UTC) it runs at."""

    local: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be decided now: the slot that runs, those too late to run, those that the running one stands for."""

    run: Slot | None = None
    missed: tuple[Slot, ...] = ()
    folded: tuple[Slot, ...] = ()


def parse_duration(text: str) -> timedelta:
    """Return what `90s`, `5m`, `2h`, `1d` or `1w` means; raise ValueError for anything else, also for zero."""
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not a duration: write a number and a unit, for example '90s', '5m', '2h', '1d', '1w'"
        )
    duration = timedelta(seconds=int(match[1]) * _UNITS[match[2]]) if int(match[1]) < 10**6 else timedelta(days=10**6)
    if not duration:
        raise ValueError(f"{text!r} is no time at all: write for example '5m'")
    if duration > timedelta(days=10 * 366):
        raise ValueError(f"{text!r} is longer than ten years")
    return duration


@functools.cache  # found by walking folders, which strangers must not be able to ask for
def zone_names() -> frozenset[str]:
    """Return the names of all zones that `zone_named` knows."""
    return frozenset(available_timezones() - _NO_PLACES)


def zone_named(name: str) -> ZoneInfo:
    """Return the zone that the tz database calls `name`, for example `Europe/Minsk`; ValueError when there is none."""
    # The `right/` zones count leap seconds, so they are off by half a minute.
    if name and name not in _NO_PLACES and not name.startswith(("right/", "posix/")):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass  # told below, with the nearest name
    known = sorted(zone_names())
    if not known:
        raise ValueError(f"time zone {name!r} cannot be found: there is no time zone data; install the package tzdata")
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "write a name of the tz database, for example 'Europe/Minsk'"
    raise ValueError(f"unknown time zone {name!r}: {hint}")


@dataclass(frozen=True, slots=True)
class _Days:
    """Which dates count; weekdays as cron counts them."""

    months: frozenset[int]
    month_days: frozenset[int]
    weekdays: frozenset[int]
    either: bool = False
    """Day of month or weekday, not both: cron's rule when both are restricted."""
    clamped: int = 0
    """Day of the month, or the last one of a shorter month; 0 when the sets decide."""

    def hold(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        if self.clamped:
            return day.day == min(self.clamped, monthrange(day.year, day.month)[1])
        by_day, by_weekday = day.day in self.month_days, day.isoweekday() % 7 in self.weekdays
        return by_day or by_weekday if self.either else by_day and by_weekday


_ALL_MONTHS = frozenset(range(1, 13))
_ALL_DAYS = frozenset(range(1, 32))
_ALL_WEEKDAYS = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class _Calendar:
    """Local wall times: on these dates at these times of day."""

    zone: ZoneInfo
    days: _Days
    times: tuple[time, ...]

    def between(self, first: date, last: date) -> Iterator[Slot]:
        """Yield the slots of these local dates in order; wall times that share an instant are one slot, the latest."""
        candidates = (slot for number in range((last - first).days + 1) for slot in self.on(first + timedelta(number)))
        for _, together in groupby(candidates, key=lambda slot: slot.at):
            *_, latest = together
            yield latest

    def on(self, day: date) -> Iterator[Slot]:
        if self.days.hold(day):
            for at in self.times:
                local = datetime.combine(day, at)
                yield Slot(local.isoformat(timespec="minutes"), instant_of(local, self.zone))

    def period(self) -> timedelta | None:
        """Return the shortest gap between two slots, clock changes aside; None when no date ever matches."""
        found: list[date] = []
        for number in range(_CYCLE):
            day = date(2024, 1, 1) + timedelta(number)
            if self.days.hold(day):
                found.append(day)
            if number > 800 and len(found) > 2:  # two years and a leap day show every rule but the rarest
                break
        if not found:
            return None
        marks = [datetime.combine(found[0], at) for at in self.times]
        gaps = [after - before for before, after in pairwise(marks)]
        overnight = marks[0] - marks[-1]
        gaps += [after - before + overnight for before, after in pairwise(found)]
        return min(gaps, default=MAXIMUM_PERIOD)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is planned; made by `Schedule.parse`."""

    fingerprint: str
    """Equal for schedules with equal slots' rules; a change of it makes earlier slots never due."""
    text: str
    period: timedelta
    """The shortest gap between two slots, clock changes aside."""
    calendar: _Calendar | None
    """None: counted in UTC from the epoch, or from news."""
    delay: timedelta | None = None
    """How long after the first article of news its slot comes, which `following` tells; None: by the clock."""

    @classmethod
    def parse(
        cls,
        *,
        at: str = "",
        days: Sequence[str] = (),
        day: int | Literal["last"] | None = None,
        cron: str = "",
        every: str = "",
        after: str = "",
        timezone: str,
    ) -> Schedule:
        """Return the schedule of `at` (with `days` or `day`, else each day), `cron`, `every` or `after`.

        `every` counts in UTC from the epoch, `after` from news, whatever the zone; everything else is local wall time
        in the named zone. ValueError says what is wrong and how to mend it.
        """
        zone = zone_named(timezone)
        given = [name for name, value in (("at", at), ("cron", cron), ("every", every), ("after", after)) if value]
        if len(given) != 1:
            raise ValueError(
                f"{' and '.join(given)} exclude each other: keep one"
                if given
                else "no schedule: give at = '07:00' (and days or day), cron = '0 7 * * 1', every = '1h', after = '10m'"
            )
        if not at and (days or day is not None):
            raise ValueError(f"days and day go with at, not with {given[0]}")
        if every:
            return _every(every)
        if after:
            return _after(after)
        return _cron(cron, zone) if cron else _at(at, days, day, zone)

    def slots(self, after: datetime, until: datetime) -> Iterator[Slot]:
        """Yield the slots with `after` < at <= `until` in order; each has an instant of its own. Times are aware."""
        if self.delay is not None:
            return
        if self.calendar is None:
            number = (after - _EPOCH) // self.period + 1
            while (slot := self._counted(number)).at <= until:
                yield slot
                number += 1
            return
        first, last = _local_dates(self.calendar.zone, after, until)
        yield from (slot for slot in self.calendar.between(first, last) if after < slot.at <= until)

    def next(self, after: datetime) -> Slot | None:
        """Return the first slot after this aware time; None without one within 40 years, and when news decides."""
        if self.delay is not None:
            return None
        if self.calendar is None:
            return self._counted((after - _EPOCH) // self.period + 1)
        first, _ = _local_dates(self.calendar.zone, after, after)
        found = self.calendar.between(first, first + timedelta(days=_HORIZON))
        return next((slot for slot in found if slot.at > after), None)

    def following(self, news_at: datetime | None) -> Slot | None:
        """Return the slot of news whose first article came at this moment (UTC); None by the clock, or without news.

        It lies at least a minute behind the one before, so that the minute names it.
        """
        if self.delay is None or news_at is None:
            return None
        at = news_at.astimezone(UTC) + self.delay
        return Slot(at.replace(tzinfo=None).isoformat(timespec="minutes"), at)

    def describe(self) -> str:
        """Say it in words: `Mondays at 07:00 Europe/Minsk`."""
        return self.text

    @property
    def default_lateness(self) -> timedelta:
        """How late a slot may run when nothing is configured: 6 h, or half the period if that is shorter.

        At least 90 s, because the service looks every 30 s: a shorter limit would miss slots that nothing delayed.
        """
        if self.delay is not None:
            return MAXIMUM_LATENESS  # who waits for the news of this hour gets no other chance at the next
        return min(MAXIMUM_LATENESS, max(self.period / 2, timedelta(seconds=90)))

    def latest(self, after: datetime, until: datetime, limit: int = LISTED) -> tuple[Slot, ...]:
        """Return the slots with `after` < at <= `until` in order, of more than about `limit` the newest."""
        if until <= after or self.delay is not None:
            return ()
        if self.calendar is None:
            return tuple(self.slots(max(after, until - limit * self.period), until))
        first, last = _local_dates(self.calendar.zone, after, until)
        start = last
        found: tuple[Slot, ...] = ()
        while start > first and len(found) < limit:
            # Doubling the stretch looks at no more than twice the days needed, however far apart slots are.
            start = max(first, start - max(last - start, timedelta(days=4)))
            found = tuple(slot for slot in self.calendar.between(start, last) if after < slot.at <= until)
        return found[-limit:]

    def _counted(self, number: int) -> Slot:
        at = _EPOCH + number * self.period
        return Slot(at.replace(tzinfo=None).isoformat(timespec="seconds" if at.second else "minutes"), at)


def due(
    schedule: Schedule,
    *,
    last_decided_at: datetime | None,
    since_at: datetime,
    now: datetime,
    max_lateness: timedelta,
    catch_up: Literal["latest", "skip"] = "latest",
    pending: Slot | None = None,
) -> Due:
    """Say which slots await a decision: after the last decided one and after `since_at`, up to `now` (all aware).

    Several that are not too late become one: the latest runs and stands for the others (`folded`). What is later than
    `max_lateness` is missed; with `catch_up = "skip"` so is everything that is not on time. Slots older than about the
    newest thousand are not named. The caller decides all of them in one transaction, or oldest first. `pending`: the
    slot of a schedule that follows news, which has no other.
    """
    after = since_at if last_decided_at is None else max(last_decided_at, since_at)
    limit = min(max_lateness, PROMPT) if catch_up == "skip" else max_lateness
    overdue = schedule.latest(after, now) if pending is None else (pending,) * (pending.at <= now)
    timely = tuple(slot for slot in overdue if now - slot.at <= limit)
    missed = overdue[: len(overdue) - len(timely)]
    return Due(run=timely[-1] if timely else None, missed=missed, folded=timely[:-1])


def clock_problem(last_seen_at: datetime | None, now: datetime) -> str:
    """Say why no slot may be decided: the clock is well behind a moment it showed before. "" when it may be believed.

    A clock set back would let slots come due again, or hide that they have long passed (spec delivery §5.4).
    """
    if last_seen_at is None or now >= last_seen_at - CLOCK_SLACK:
        return ""
    return (
        f"the clock says {now:%Y-%m-%d %H:%M} UTC, but said {last_seen_at:%Y-%m-%d %H:%M} before: "
        "no issue is dispatched until it is past that; if it is right now, run `publisher run --trust-clock` once"
    )


def instant_of(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant (UTC) at which a naive local wall time runs.

    A wall time that comes twice runs the first time; one that the clock skips runs at the first instant after it.
    """
    wall = local.replace(tzinfo=zone)
    first, second = wall.utcoffset(), wall.replace(fold=1).utcoffset()
    if first is None or second is None:
        raise ValueError(f"zone {zone} states no offset for {local}")
    if first >= second:
        return (local - first).replace(tzinfo=UTC)
    # In a gap, `first` is the offset before it and `second` the one after: the change lies between the two readings.
    early, late = (local - second).replace(tzinfo=UTC), (local - first).replace(tzinfo=UTC)
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).replace(tzinfo=None) >= local:
            late = middle
        else:
            early = middle
    return late


LONGEST_DAY = timedelta(hours=25)
"""A day on which the clock is set back by an hour."""


def first_at(at: time, zone: ZoneInfo, after: datetime) -> datetime:
    """Return the first instant (UTC) at or after `after` at which the clock in `zone` shows `at`.

    A wall time that the clock skips counts at the first instant after it, one that it repeats counts once. Never more
    than LONGEST_DAY later, also where a zone leaves out a whole day.
    """
    day = after.astimezone(zone).date() - timedelta(days=1)
    for number in range(4):
        instant = instant_of(datetime.combine(day + timedelta(days=number), at), zone)
        if instant >= after:
            return min(instant, after + LONGEST_DAY)
    return after + LONGEST_DAY


def _local_dates(zone: ZoneInfo, after: datetime, until: datetime) -> tuple[date, date]:
    """Return local dates that surely hold every slot between: a zone may skip or repeat a whole day."""
    return (
        after.astimezone(zone).date() - timedelta(days=2),
        until.astimezone(zone).date() + timedelta(days=1),
    )


def _every(text: str) -> Schedule:
    period = parse_duration(text)
    if not MINIMUM_PERIOD <= period <= MAXIMUM_PERIOD:
        raise ValueError(f"every = {text!r} must lie between one minute ('1m') and one year ('366d')")
    number, unit = int(text.strip()[:-1]), _UNIT_NAMES[text.strip()[-1]]
    words = f"every {unit}" if number == 1 else f"every {number} {unit}s"
    return Schedule(f"every {int(period.total_seconds())}s", words, period, None)


def _after(text: str) -> Schedule:
    delay = parse_duration(text)
    if not MINIMUM_PERIOD <= delay <= LONGEST_DELAY:
        raise ValueError(f"after = {text!r} must lie between one minute ('1m') and one day ('1d')")
    number, unit = int(text.strip()[:-1]), _UNIT_NAMES[text.strip()[-1]]
    words = f"{number} {unit}{'' if number == 1 else 's'} after news"
    return Schedule(f"after {int(delay.total_seconds())}s", words, delay, None, delay)


def _at(text: str, days: Sequence[str], day: int | Literal["last"] | None, zone: ZoneInfo) -> Schedule:
    at = _time_of_day(text)
    if days and day is not None:
        raise ValueError("days and day exclude each other: keep one, or use cron, which takes either")
    if day is not None:
        clamped = 31 if day == "last" else day
        if not 1 <= clamped <= 31:
            raise ValueError(f"day = {day} is no day of a month: 1 to 31, or 'last'")
        rule, name, words = (
            _Days(_ALL_MONTHS, _ALL_DAYS, _ALL_WEEKDAYS, clamped=clamped),
            f"day {clamped}",
            _ordinal(clamped),
        )
    elif days:
        if unknown := [name for name in days if name not in WEEKDAYS]:
            raise ValueError(f"{unknown[0]!r} is no weekday: use mon, tue, wed, thu, fri, sat, sun")
        chosen = sorted({WEEKDAYS.index(name) for name in days}, key=lambda number: number or 7)
        rule = _Days(_ALL_MONTHS, _ALL_DAYS, frozenset(chosen))
        name, words = (
            ",".join(WEEKDAYS[number] for number in chosen),
            _listed([_WEEKDAY_NAMES[number] for number in chosen]),
        )
    else:
        rule, name, words = _Days(_ALL_MONTHS, _ALL_DAYS, _ALL_WEEKDAYS), "daily", "every day"
    clock = at.isoformat(timespec="minutes")
    return _calendar(f"at {clock} {name}", f"{words} at {clock}", _Calendar(zone, rule, (at,)))


def _time_of_day(text: str) -> time:
    match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", text.strip())
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError(f"at = {text!r} is no time of day: write hours and minutes from '00:00' to '23:59'")
    return time(int(match[1]), int(match[2]))


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _ordinal(day: int) -> str:
    if day == 31:
        return "the last day of each month"
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"the {day}{ending} of each month" + (" (or its last day)" if day > 28 else "")


def _calendar(name: str, words: str, calendar: _Calendar) -> Schedule:
    period = calendar.period()
    if period is None:
        raise ValueError(f"{name!r} never happens: no year has such a date")
    return Schedule(f"{name} {calendar.zone.key}", f"{words} {calendar.zone.key}", period, calendar)


def _cron(text: str, zone: ZoneInfo) -> Schedule:
    line = cron_line(text)
    if len(line.minutes) == 60:
        raise ValueError(f"cron = {text!r} means every minute: start it with '0', or write every = '1m' if you mean it")
    rule = _Days(line.months, line.month_days, line.weekdays, either=line.either)
    times = tuple(time(hour, minute) for hour in sorted(line.hours) for minute in sorted(line.minutes))
    return _calendar(f"cron {line.text}", f"cron {line.text!r}", _Calendar(zone, rule, times))

"""One issue per slot, whatever the clock, the zone or the outage does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.slots import LISTED, LONGEST_DAY, Due, Schedule, Slot, due, first_at, instant_of, parse_duration

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NAIVE_1975, NAIVE_2010, NAIVE_2030 = (datetime.fromisoformat(f"{year}-01-01") for year in (1975, 2010, 2030))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def named(schedule: Schedule, after: str, until: str) -> list[str]:
    return [slot.local for slot in schedule.slots(utc(after), utc(until))]


def timed(schedule: Schedule, after: str, until: str) -> list[tuple[str, str]]:
    return [(slot.local, f"{slot.at:%dT%H:%M}") for slot in schedule.slots(utc(after), utc(until))]


# What a schedule means.


def test_weekdays_at_a_time_are_local() -> None:
    schedule = Schedule.parse(at="07:00", days=("mon", "thu"), timezone="Europe/Minsk")
    assert list(schedule.slots(utc("2026-11-22"), utc("2026-11-30"))) == [
        Slot("2026-11-23T07:00", utc("2026-11-23T04:00")),
        Slot("2026-11-26T07:00", utc("2026-11-26T04:00")),
    ]


def test_without_days_a_time_means_each_day() -> None:
    assert named(Schedule.parse(at="7:05", timezone="UTC"), "2026-02-27T07:05", "2026-03-01T07:05") == [
        "2026-02-28T07:05",
        "2026-03-01T07:05",
    ]


@pytest.mark.parametrize("day", [31, "last"])
def test_the_31st_and_last_mean_the_last_day_of_each_month(day: Literal["last"] | int) -> None:
    """K12."""
    schedule = Schedule.parse(at="07:00", day=day, timezone="UTC")
    assert named(schedule, "2028-01-01", "2028-05-01") == [
        "2028-01-31T07:00",
        "2028-02-29T07:00",
        "2028-03-31T07:00",
        "2028-04-30T07:00",
    ]


def test_a_day_that_a_month_lacks_is_its_last_one() -> None:
    """K12."""
    schedule = Schedule.parse(at="07:00", day=30, timezone="UTC")
    assert named(schedule, "2027-01-01", "2027-04-01") == ["2027-01-30T07:00", "2027-02-28T07:00", "2027-03-30T07:00"]


def test_weekly_slots_pass_the_year_week_53_and_the_leap_day_in_steps_of_a_week() -> None:
    """K12."""
    schedule = Schedule.parse(at="07:00", days=("tue",), timezone="Europe/Minsk")
    slots = list(schedule.slots(utc("2026-12-01"), utc("2028-03-31")))
    assert "2028-02-29T07:00" in [slot.local for slot in slots]
    assert {after.at - before.at for before, after in pairwise(slots)} == {7 * DAY}


def test_cron_restricting_both_days_means_either() -> None:
    schedule = Schedule.parse(cron="0 7 13 * fri", timezone="UTC")
    assert named(schedule, "2026-11-05", "2026-11-22") == ["2026-11-06T07:00", "2026-11-13T07:00", "2026-11-20T07:00"]
    schedule = Schedule.parse(cron="0 7 10 * fri", timezone="UTC")
    assert named(schedule, "2026-11-05", "2026-11-14") == ["2026-11-06T07:00", "2026-11-10T07:00", "2026-11-13T07:00"]


def test_cron_counts_sunday_as_0_and_7() -> None:
    for weekday in ("0", "7", "sun"):
        schedule = Schedule.parse(cron=f"0 7 * * {weekday}", timezone="UTC")
        assert named(schedule, "2026-11-22", "2026-11-30") == ["2026-11-22T07:00", "2026-11-29T07:00"]


def test_the_rarest_dates_are_found() -> None:
    leap = Schedule.parse(cron="0 0 29 2 *", timezone="UTC")
    assert (leap.next(utc("2096-03-01")), leap.period) == (Slot("2104-02-29T00:00", utc("2104-02-29")), 1461 * DAY)
    first_on_monday = Schedule.parse(cron="0 0 */31 2 mon", timezone="UTC")  # * restricts nothing: both must hold
    assert first_on_monday.next(utc("2027-02-02")) == Slot("2038-02-01T00:00", utc("2038-02-01"))


def test_every_counts_in_utc_from_the_epoch() -> None:
    for zone in ("Europe/Minsk", "America/New_York"):
        schedule = Schedule.parse(every="6h", timezone=zone)
        assert named(schedule, "2026-11-01T00:00", "2026-11-01T18:00") == [
            "2026-11-01T06:00",
            "2026-11-01T12:00",
            "2026-11-01T18:00",
        ]
    assert named(Schedule.parse(every="90s", timezone="UTC"), "2026-11-01", "2026-11-01T00:03") == [
        "2026-11-01T00:01:30",
        "2026-11-01T00:03",
    ]


@pytest.mark.parametrize(
    ("settings_given", "words", "period", "lateness"),
    [
        ({"at": "07:00", "days": ("mon",)}, "Mondays at 07:00 Europe/Minsk", 7 * DAY, 6 * HOUR),
        (
            {"at": "07:00", "days": ("sun", "mon", "tue")},
            "Mondays, Tuesdays and Sundays at 07:00 Europe/Minsk",
            DAY,
            6 * HOUR,
        ),
        ({"at": "7:00"}, "every day at 07:00 Europe/Minsk", DAY, 6 * HOUR),
        ({"at": "07:00", "day": "last"}, "the last day of each month at 07:00 Europe/Minsk", 28 * DAY, 6 * HOUR),
        (
            {"at": "07:00", "day": 29},
            "the 29th of each month (or its last day) at 07:00 Europe/Minsk",
            29 * DAY,
            6 * HOUR,
        ),
        ({"at": "07:00", "day": 2}, "the 2nd of each month at 07:00 Europe/Minsk", 28 * DAY, 6 * HOUR),
        ({"cron": "0 8,20 * * *"}, "cron '0 8,20 * * *' Europe/Minsk", 12 * HOUR, 6 * HOUR),
        ({"cron": "15 * * * *"}, "cron '15 * * * *' Europe/Minsk", HOUR, 30 * MINUTE),
        ({"cron": "0 0 1 1 *"}, "cron '0 0 1 1 *' Europe/Minsk", 365 * DAY, 6 * HOUR),
        ({"every": "1h"}, "every hour", HOUR, 30 * MINUTE),
        ({"every": "5m"}, "every 5 minutes", 5 * MINUTE, timedelta(seconds=150)),
        ({"every": "1m"}, "every minute", MINUTE, timedelta(seconds=90)),
        ({"after": "10m"}, "10 minutes after news", 10 * MINUTE, 6 * HOUR),
        ({"after": "1h"}, "1 hour after news", HOUR, 6 * HOUR),
    ],
)
def test_a_schedule_says_itself_in_words_and_knows_its_period(
    settings_given: dict[str, str], words: str, period: timedelta, lateness: timedelta
) -> None:
    schedule = Schedule.parse(timezone="Europe/Minsk", **settings_given)  # type: ignore[arg-type]  # settings by name
    assert (schedule.describe(), schedule.period, schedule.default_lateness) == (words, period, lateness)


def test_the_fingerprint_changes_with_the_rule_and_with_nothing_else() -> None:
    """D6: a changed schedule starts anew; a file written differently does not."""
    same = [
        Schedule.parse(at="7:00", days=("thu", "mon"), timezone="Europe/Minsk"),
        Schedule.parse(at="07:00", days=("mon", "thu", "mon"), timezone="Europe/Minsk"),
    ]
    others = [
        Schedule.parse(at="07:00", days=("mon", "thu"), timezone="Europe/Berlin"),
        Schedule.parse(at="07:01", days=("mon", "thu"), timezone="Europe/Minsk"),
        Schedule.parse(at="07:00", days=("mon",), timezone="Europe/Minsk"),
        Schedule.parse(at="07:00", day=1, timezone="Europe/Minsk"),
        Schedule.parse(at="07:00", timezone="Europe/Minsk"),
        Schedule.parse(cron="0 7 * * 1", timezone="Europe/Minsk"),
        Schedule.parse(cron="0 7 * * *", timezone="Europe/Minsk"),
        Schedule.parse(every="1h", timezone="Europe/Minsk"),
        Schedule.parse(every="2h", timezone="Europe/Minsk"),
        Schedule.parse(after="1h", timezone="Europe/Minsk"),
        Schedule.parse(after="2h", timezone="Europe/Minsk"),
    ]
    assert len({schedule.fingerprint for schedule in same}) == 1
    assert len({schedule.fingerprint for schedule in [*same, *others]}) == 1 + len(others)
    hourly = [Schedule.parse(every=every, timezone=zone) for every in ("60m", "1h") for zone in ("UTC", "Asia/Tokyo")]
    assert len({schedule.fingerprint for schedule in hourly}) == 1


@pytest.mark.parametrize(
    ("settings_given", "message"),
    [
        ({}, "no schedule"),
        ({"at": "07:00", "cron": "0 7 * * *"}, "at and cron exclude each other"),
        ({"cron": "0 7 * * *", "days": ("mon",)}, "days and day go with at"),
        ({"every": "1h", "day": 1}, "days and day go with at"),
        ({"at": "07:00", "days": ("mon",), "day": 1}, "days and day exclude each other"),
        ({"at": "24:00"}, "'24:00' is no time of day"),
        ({"at": "07:60"}, "'07:60' is no time of day"),
        ({"at": "7"}, "'7' is no time of day"),
        ({"at": "٧:00"}, "is no time of day"),
        ({"at": "07:00", "day": 0}, "day = 0 is no day of a month"),
        ({"at": "07:00", "day": 32}, "day = 32 is no day of a month"),
        ({"at": "07:00", "days": ("monday",)}, "'monday' is no weekday"),
        ({"cron": "* * * * *"}, "means every minute"),
        ({"cron": "* 7 * * *"}, "means every minute"),
        ({"cron": "0 0 30 2 *"}, "never happens"),
        ({"every": "0s"}, "no time at all"),
        ({"every": "-5m"}, "is not a duration"),
        ({"every": "59s"}, "between one minute"),
        ({"every": "367d"}, "between one minute"),
        ({"every": "1000000000s"}, "is not a duration"),
        ({"every": "999999999w"}, "longer than ten years"),
        ({"every": "1e9s"}, "is not a duration"),
        ({"after": "59s"}, "between one minute ('1m') and one day"),
        ({"after": "25h"}, "between one minute ('1m') and one day"),
        ({"after": "soon"}, "is not a duration"),
        ({"after": "10m", "every": "1h"}, "every and after exclude each other"),
        ({"after": "10m", "days": ("mon",)}, "days and day go with at, not with after"),
        ({"at": "07:00", "timezone": "Europe/Mnsk"}, "did you mean 'Europe/Minsk'?"),
        ({"at": "07:00", "timezone": ""}, "unknown time zone ''"),
        ({"every": "1h", "timezone": "+03:00"}, "unknown time zone '+03:00'"),
        ({"at": "07:00", "timezone": "Europe"}, "unknown time zone 'Europe'"),
        ({"at": "07:00", "timezone": "../../etc/passwd"}, "unknown time zone"),
        ({"at": "07:00", "timezone": "/etc/localtime"}, "unknown time zone"),
        ({"at": "07:00", "timezone": "localtime"}, "unknown time zone"),
        ({"at": "07:00", "timezone": "Factory"}, "write a name of the tz database"),
        ({"at": "07:00", "timezone": "right/Europe/Minsk"}, "did you mean 'Europe/Minsk'"),
        ({"at": "07:00", "timezone": "Europe/Minsk\0"}, "unknown time zone"),
    ],
)
def test_nonsense_is_refused_with_the_way_out(settings_given: dict[str, str], message: str) -> None:
    """D12."""
    with pytest.raises(ValueError, match=r".") as caught:
        Schedule.parse(**{"timezone": "Europe/Minsk", **settings_given})  # type: ignore[arg-type]  # settings by name
    assert message in str(caught.value)


def test_a_duration_is_a_number_and_a_unit() -> None:
    assert [parse_duration(text) for text in ("90s", "5m", "2h", "1d", "1w")] == [
        timedelta(seconds=90),
        timedelta(minutes=5),
        timedelta(hours=2),
        timedelta(days=1),
        timedelta(weeks=1),
    ]


@given(st.text(alphabet="0123456789smhdw .-+e", max_size=14) | st.text(max_size=14))
def test_any_text_is_a_duration_or_refused_in_words(text: str) -> None:
    try:
        assert timedelta(0) < parse_duration(text) <= timedelta(days=3660)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either outcome is right


# Clock changes.


def test_a_skipped_time_runs_at_the_next_instant_and_a_repeated_one_only_the_first_time() -> None:
    """K1."""
    daily = Schedule.parse(at="02:30", timezone="Europe/Berlin")
    assert timed(daily, "2026-03-28", "2026-03-31") == [
        ("2026-03-28T02:30", "28T01:30"),
        ("2026-03-29T02:30", "29T01:00"),
        ("2026-03-30T02:30", "30T00:30"),
    ]
    assert timed(daily, "2026-10-24T12:00", "2026-10-26T12:00") == [
        ("2026-10-25T02:30", "25T00:30"),
        ("2026-10-26T02:30", "26T01:30"),
    ]


def test_wall_times_that_run_at_one_instant_are_one_slot() -> None:
    """K1: an hourly schedule does not send the skipped hour and the next one together."""
    hourly = Schedule.parse(cron="*/30 * * * *", timezone="Europe/Berlin")
    assert timed(hourly, "2026-03-29T00:00", "2026-03-29T02:00") == [
        ("2026-03-29T01:30", "29T00:30"),
        ("2026-03-29T03:00", "29T01:00"),
        ("2026-03-29T03:30", "29T01:30"),
        ("2026-03-29T04:00", "29T02:00"),
    ]


def test_a_clock_change_of_half_an_hour_is_met() -> None:
    """K1: Lord Howe."""
    daily = Schedule.parse(at="02:15", timezone="Australia/Lord_Howe")
    assert timed(daily, "2026-10-02T20:00", "2026-10-04T20:00") == [
        ("2026-10-04T02:15", "03T15:30"),
        ("2026-10-05T02:15", "04T15:15"),
    ]


def test_a_clock_change_off_the_hour_is_met() -> None:
    """K1: Chatham changes at 02:45."""
    daily = Schedule.parse(at="03:15", timezone="Pacific/Chatham")
    assert timed(daily, "2026-09-25T20:00", "2026-09-27T20:00") == [
        ("2026-09-27T03:15", "26T14:00"),
        ("2026-09-28T03:15", "27T13:30"),
    ]


def test_a_day_that_a_zone_skips_runs_as_the_next_one_begins() -> None:
    """K1: Samoa went from 29 to 31 December 2011."""
    daily = Schedule.parse(at="07:00", timezone="Pacific/Apia")
    assert timed(daily, "2011-12-29T00:00", "2012-01-01T00:00") == [
        ("2011-12-29T07:00", "29T17:00"),
        ("2011-12-30T07:00", "30T10:00"),
        ("2011-12-31T07:00", "30T17:00"),
        ("2012-01-01T07:00", "31T17:00"),
    ]
    midnight = Schedule.parse(at="00:00", timezone="Pacific/Apia")
    assert timed(midnight, "2011-12-29T00:00", "2012-01-01T00:00") == [
        ("2011-12-29T00:00", "29T10:00"),
        ("2011-12-31T00:00", "30T10:00"),
        ("2012-01-01T00:00", "31T10:00"),
    ]


@dataclass(frozen=True)
class Changes:
    """What a zone's clock does in the years of the test: changes as (instant, offset before, offset after)."""

    zone: ZoneInfo
    found: tuple[tuple[datetime, timedelta, timedelta], ...]


def offset(zone: ZoneInfo, at: datetime) -> timedelta:
    found = at.astimezone(zone).utcoffset()
    assert found is not None
    return found


@cache
def clock_changes() -> tuple[Changes, ...]:
    """Every zone's clock changes of 2024–2030, zones that change alike once; found by sampling and bisection."""
    samples = [utc("2024-01-01") + number * 5 * DAY for number in range(7 * 366 // 5 + 2)]
    kinds: dict[tuple[timedelta, ...], ZoneInfo] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        kinds.setdefault(tuple(offset(zone, at) for at in samples), zone)
    return tuple(
        Changes(
            zone,
            tuple(
                (bisected(zone, early, late), before, after)
                for (early, before), (late, after) in pairwise(zip(samples, offsets, strict=True))
                if before != after
            ),
        )
        for offsets, zone in kinds.items()
    )


def bisected(zone: ZoneInfo, early: datetime, late: datetime) -> datetime:
    """The minute in (early, late] in which the offset first differs from that at `early`."""
    old = offset(zone, early)
    while late - early > MINUTE:
        middle = early + (late - early) // MINUTE // 2 * MINUTE
        early, late = (middle, late) if offset(zone, middle) == old else (early, middle)
    return late


def walked(schedule_holds: dict[str, set[int]], zone: ZoneInfo, after: datetime, until: datetime) -> list[Slot]:
    """The slots in (after, until] as a watcher of a wall clock finds them, minute by minute: the independent evaluator.

    Each minute of the local calendar that the clock shows for the first time, or jumps over, is met once.
    """
    found: dict[datetime, str] = {}
    now = after - 3 * HOUR  # so that a repeated hour before `after` is known
    reached = now.astimezone(zone).replace(tzinfo=None)
    while now < until:
        now += MINUTE
        shown = now.astimezone(zone).replace(tzinfo=None)
        while reached < shown:
            reached += MINUTE
            if matches(schedule_holds, reached):
                found[now] = reached.isoformat(timespec="minutes")
    return [Slot(local, at) for at, local in found.items() if at > after]


def matches(fields: dict[str, set[int]], local: datetime) -> bool:
    if local.minute not in fields["minute"] or local.hour not in fields["hour"] or local.month not in fields["month"]:
        return False
    day = local.day in fields["day"] if fields["day"] else None
    weekday = local.isoweekday() % 7 in {number % 7 for number in fields["weekday"]} if fields["weekday"] else None
    if day is None or weekday is None:
        return day is not False and weekday is not False
    return day or weekday


def test_every_slot_is_met_once_through_every_clock_change_of_every_zone() -> None:
    """K1, P7: all zones, 2024–2030; half-hourly slots around each change against a watcher of the wall clock."""
    schedule_text = "*/30 * * * *"
    fields = {"minute": {0, 30}, "hour": set(range(24)), "month": set(range(1, 13)), "day": set(), "weekday": set()}
    kinds = clock_changes()
    assert sum(len(kind.found) for kind in kinds) > 300
    for kind in kinds:
        schedule = Schedule.parse(cron=schedule_text, timezone=kind.zone.key)
        for at, _, _ in kind.found:
            after, until = at - 100 * MINUTE, at + 190 * MINUTE
            assert list(schedule.slots(after, until)) == walked(fields, kind.zone, after, until), (kind.zone, at)


def test_a_daily_issue_appears_once_a_day_in_every_zone_from_2024_to_2030() -> None:
    """K1, P7: the hour is the worst one, that of the zone's clock changes; asked as the service asks."""
    for kind in clock_changes():
        for at, before, after in kind.found:
            first = (at + min(before, after)).replace(tzinfo=None)  # the wall clock where it skips or repeats
            schedule = Schedule.parse(at=f"{first:%H:%M}", timezone=kind.zone.key)
            begin, end = at - 26 * HOUR, at + 26 * HOUR
            runs = [slot.local[:10] for slot in asked(schedule, begin, end, step=HOUR)]
            days = [date.fromisoformat(day) for day in runs]
            assert [later - earlier for earlier, later in pairwise(days)] == [DAY] * (len(days) - 1), (kind.zone, at)
            assert len(days) in (2, 3), (kind.zone, at)


def asked(schedule: Schedule, begin: datetime, end: datetime, *, step: timedelta) -> Iterator[Slot]:
    """What runs when the service asks at each step and remembers what it decided."""
    now, last = begin, None
    while now < end:
        now += step
        found = due(schedule, last_decided_at=last, since_at=begin, now=now, max_lateness=2 * HOUR)
        assert found.missed == ()
        if found.run:
            last = found.run.at
            yield found.run


@st.composite
def cron_lines(draw: st.DrawFn) -> tuple[str, dict[str, set[int]]]:
    """A cron line, and the numbers it stands for (an empty set of days means: not restricted)."""
    ranges = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
    texts, fields = [], {}
    for name, (low, high) in ranges.items():
        if name != "minute" and draw(st.booleans()):
            texts.append("*")
            fields[name] = set() if name in ("day", "weekday") else set(range(low, high + 1))
            continue
        numbers = draw(st.sets(st.integers(low, high), min_size=1, max_size=4))
        parts = [str(number) for number in numbers]
        if draw(st.booleans()):
            start, step = draw(st.integers(low, high)), draw(st.integers(1, 9))
            end = draw(st.integers(start, high))
            if step <= end - start + 1:
                parts.append(f"{start}-{end}/{step}")
                numbers |= set(range(start, end + 1, step))
        texts.append(",".join(parts))
        fields[name] = numbers
    return " ".join(texts), fields


@settings(max_examples=80)
@given(
    line=cron_lines(),
    zone=st.sampled_from(["Europe/Minsk", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
    after=st.datetimes(NAIVE_2010, NAIVE_2030),
)
def test_cron_agrees_with_an_evaluator_that_looks_at_every_minute(
    line: tuple[str, dict[str, set[int]]], zone: str, after: datetime
) -> None:
    text, fields = line
    try:
        schedule = Schedule.parse(cron=text, timezone=zone)
    except ValueError as error:
        assert "never happens" in str(error)  # noqa: PT017 - such as 31 February
        assert fields["month"] <= {2, 4, 6, 9, 11}
        return
    begin = after.replace(second=0, microsecond=0, tzinfo=UTC)
    until = begin + 2 * DAY
    found = list(schedule.slots(begin, until))
    assert found == walked(fields, ZoneInfo(zone), begin, until)
    following = schedule.next(begin)
    assert following is not None
    assert found[:1] == [following] if following.at <= until else found == []
    assert all(later.at - earlier.at >= min(schedule.period, 23 * HOUR) - HOUR for earlier, later in pairwise(found))


@given(
    zone=st.sampled_from(sorted(available_timezones())),
    local=st.datetimes(NAIVE_1975, NAIVE_2030).map(lambda at: at.replace(second=0, microsecond=0)),
)
def test_an_instant_never_comes_before_its_wall_time(zone: str, local: datetime) -> None:
    info = ZoneInfo(zone)
    at = instant_of(local, info)
    assert at.astimezone(info).replace(tzinfo=None) >= local
    assert (at - timedelta(seconds=1)).astimezone(info).replace(tzinfo=None) < local


@given(
    zone=st.sampled_from(sorted(available_timezones())),
    after=st.datetimes(NAIVE_2010, NAIVE_2030, timezones=st.just(UTC)),
    hour=st.integers(0, 23),
)
def test_a_reader_s_hour_comes_within_a_day_and_is_the_first_after_the_slot(
    zone: str, after: datetime, hour: int
) -> None:
    """DESIGN §4, Hours: in every zone."""
    info = ZoneInfo(zone)
    at = first_at(time(hour), info, after)
    assert after <= at <= after + LONGEST_DAY
    days = [(after + DAY * number).astimezone(info).date() for number in range(-1, 3)]
    instants = {instant_of(datetime.combine(day, time(hour)), info) for day in days}
    assert not [earlier for earlier in instants if after <= earlier < at]
    assert at in instants or at == after + LONGEST_DAY


def test_a_reader_s_hour_at_both_clock_changes_of_every_zone() -> None:
    """DESIGN §4, Hours; K1: 2024–2030. Only an hour that the clock skips is shown later than it says."""
    checked = 0
    for kind in clock_changes():
        for change, before, after in kind.found:
            for slot in (change - 12 * HOUR, change - MINUTE, change, change + HOUR):
                for hour in (0, 1, 2, 3, 7, 23):
                    at = first_at(time(hour), kind.zone, slot)
                    wall = at.astimezone(kind.zone).replace(tzinfo=None)
                    assert slot <= at <= slot + LONGEST_DAY
                    skipped = after > before and at == change
                    assert wall.time() == time(hour) or skipped or at == slot + LONGEST_DAY, (kind.zone, slot, hour)
                    checked += 1
    assert checked > 5_000


# What is due.

DAILY = Schedule.parse(at="07:00", timezone="UTC")


def slots_of(*locals_: str) -> tuple[Slot, ...]:
    return tuple(Slot(local, utc(local)) for local in locals_)


def test_nothing_is_due_before_the_schedule_was_known() -> None:
    """D6: a schedule loaded at nine does not owe the issue of seven."""
    assert (
        due(
            DAILY, last_decided_at=None, since_at=utc("2026-11-23T09:00"), now=utc("2026-11-23T09:30"), max_lateness=DAY
        )
        == Due()
    )


def test_a_slot_is_due_at_its_instant() -> None:
    since = utc("2026-11-23")
    before = due(DAILY, last_decided_at=None, since_at=since, now=utc("2026-11-23T06:59:59"), max_lateness=HOUR)
    at = due(DAILY, last_decided_at=None, since_at=since, now=utc("2026-11-23T07:00"), max_lateness=HOUR)
    decided = due(
        DAILY, last_decided_at=utc("2026-11-23T07:00"), since_at=since, now=utc("2026-11-23T07:01"), max_lateness=HOUR
    )
    assert (before, at, decided) == (Due(), Due(run=slots_of("2026-11-23T07:00")[0]), Due())


@given(
    delay=st.integers(1, 1440),
    news=st.lists(st.integers(0, 10**6), min_size=1, max_size=30),
    looks=st.lists(st.integers(0, 10**6), min_size=1, max_size=30),
)
def test_news_waits_its_delay_and_goes_with_what_came_meanwhile(delay: int, news: list[int], looks: list[int]) -> None:
    """Issue 6, 2: whenever the service looks, each article is in one issue, the first not sooner than its delay."""
    schedule = Schedule.parse(after=f"{delay}m", timezone="Europe/Minsk")
    start, names, last = utc("2026-11-23"), [], None
    waiting = sorted(start + timedelta(seconds=second) for second in news)
    assert (schedule.next(start), list(schedule.slots(start, start + 9 * DAY))) == (None, [])
    for look in [*sorted(looks), 2 * 10**6]:
        now = start + timedelta(seconds=look)
        come = [at for at in waiting if at <= now]
        found = due(
            schedule,
            last_decided_at=last,
            since_at=start,
            now=now,
            max_lateness=99 * DAY,
            pending=schedule.following(come[0] if come else None),
        )
        assert (found.missed, found.folded) == ((), ())
        if found.run is None:
            assert not come or now < come[0] + delay * MINUTE
            continue
        assert found.run.at == come[0] + delay * MINUTE <= now
        names.append(found.run.local)
        last, waiting = found.run.at, waiting[len(come) :]
    assert waiting == []
    assert len(set(names)) == len(names)


def test_three_days_down_is_one_issue() -> None:
    """K4."""
    found = due(
        DAILY,
        last_decided_at=utc("2026-11-20T07:00"),
        since_at=utc("2026-11-01"),
        now=utc("2026-11-23T09:00"),
        max_lateness=6 * HOUR,
    )
    assert found == Due(
        run=slots_of("2026-11-23T07:00")[0], missed=slots_of("2026-11-21T07:00", "2026-11-22T07:00"), folded=()
    )


def test_several_that_are_not_too_late_become_the_latest() -> None:
    """K4."""
    hourly = Schedule.parse(cron="0 * * * *", timezone="UTC")
    found = due(
        hourly,
        last_decided_at=utc("2026-11-23T01:00"),
        since_at=utc("2026-11-01"),
        now=utc("2026-11-23T05:10"),
        max_lateness=3 * HOUR,
    )
    assert found == Due(
        run=slots_of("2026-11-23T05:00")[0],
        missed=slots_of("2026-11-23T02:00"),
        folded=slots_of("2026-11-23T03:00", "2026-11-23T04:00"),
    )


def test_what_is_too_late_is_missed() -> None:
    """K4."""
    found = due(
        DAILY,
        last_decided_at=utc("2026-11-22T07:00"),
        since_at=utc("2026-11-01"),
        now=utc("2026-11-23T13:00:01"),
        max_lateness=6 * HOUR,
    )
    assert found == Due(missed=slots_of("2026-11-23T07:00"))


def test_catch_up_skip_sends_nothing_late_but_survives_a_restart_at_the_hour() -> None:
    since = utc("2026-11-23")
    in_time, late = (
        due(DAILY, last_decided_at=None, since_at=since, now=utc(now), max_lateness=6 * HOUR, catch_up="skip")
        for now in ("2026-11-23T07:04", "2026-11-23T07:06")
    )
    assert (in_time, late) == (Due(run=slots_of("2026-11-23T07:00")[0]), Due(missed=slots_of("2026-11-23T07:00")))


@pytest.mark.parametrize("settings_given", [{"every": "1m"}, {"cron": "1-59 * * * *"}])
def test_a_year_asleep_names_a_bounded_number_of_slots(settings_given: dict[str, str]) -> None:
    """K4."""
    schedule = Schedule.parse(timezone="Europe/Berlin", **settings_given)  # type: ignore[arg-type]  # by name
    found = due(
        schedule, last_decided_at=None, since_at=utc("2025-11-23"), now=utc("2026-11-23T07:00"), max_lateness=HOUR
    )
    named_slots = (*found.missed, *found.folded, *([found.run] if found.run else []))
    assert len(named_slots) == LISTED
    assert named_slots[-1].at == utc("2026-11-23T07:00") - (0 if "every" in settings_given else 1) * MINUTE
    assert list(named_slots) == list(schedule.slots(named_slots[0].at - timedelta(seconds=1), utc("2026-11-23T07:00")))


@dataclass
class Ledger:
    """The table of slots, as the store keeps it: unique names, and the last decided instant."""

    since: datetime
    outcomes: dict[str, str]
    last: datetime | None = None

    def decide(self, slot: Slot, outcome: str) -> None:
        assert slot.local not in self.outcomes, f"{slot} was decided twice"
        self.outcomes[slot.local] = outcome
        self.last = slot.at if self.last is None else max(self.last, slot.at)


@given(
    text=st.sampled_from(["0 7 * * *", "30 2 * * *", "*/10 * * * *", "0 */2 * * 1-5", "0 0 1 * *", "15 1,2,3 * * sun"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"]),
    begin=st.sampled_from(["2026-03-27T12:00", "2026-10-23T12:00", "2026-04-03T00:00", "2011-12-28T00:00"]),
    moves=st.lists(
        st.tuples(st.integers(-300, 2000), st.booleans()),
        max_size=25,
    ),
    lateness=st.sampled_from([5, 60, 360, 10**6]),
    catch_up=st.sampled_from(["latest", "skip"]),
)
def test_no_slot_is_decided_twice_or_passed_over_whatever_the_clock_does(
    text: str,
    zone: str,
    begin: str,
    moves: list[tuple[int, bool]],
    lateness: int,
    catch_up: Literal["latest", "skip"],
) -> None:
    """P7, K2, K4: asked again and again, with jumps forward and back, and dying between two decisions."""
    schedule = Schedule.parse(cron=text, timezone=zone)
    now = utc(begin)
    ledger = Ledger(since=now, outcomes={})
    seen = now
    for minutes, dies in moves:
        now += minutes * MINUTE
        seen = max(seen, now)
        found = due(
            schedule,
            last_decided_at=ledger.last,
            since_at=ledger.since,
            now=now,
            max_lateness=lateness * MINUTE,
            catch_up=catch_up,
        )
        decisions = [(slot, "missed") for slot in found.missed] + [(slot, "skipped") for slot in found.folded]
        decisions += [(found.run, "dispatched")] if found.run else []
        assert [slot.at for slot, _ in decisions] == sorted({slot.at for slot, _ in decisions})
        for slot, outcome in decisions[: len(decisions) // 2 if dies else None]:
            ledger.decide(slot, outcome)
    found = due(schedule, last_decided_at=ledger.last, since_at=ledger.since, now=seen, max_lateness=lateness * MINUTE)
    open_slots = (*found.missed, *found.folded, *([found.run] if found.run else []))
    expected = [slot.local for slot in schedule.slots(utc(begin), seen)]
    assert [*ledger.outcomes, *(slot.local for slot in open_slots)] == expected

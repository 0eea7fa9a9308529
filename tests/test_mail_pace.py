"""How fast mail may go out: never above the rate in any stretch of time, slower when a receiver asks for it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.mail.pace import (
    FRESH,
    PROVIDERS,
    SLOWEST,
    Limit,
    Pace,
    Provider,
    Rate,
    Slow,
    WarmUp,
    by_domain,
    charged,
    free_at,
    provider_of,
    rate_now,
    throttled,
)

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))

rates = st.builds(Rate, st.integers(1, 400), st.sampled_from([SECOND, MINUTE, HOUR, DAY]))


def test_a_rate_is_written_as_mails_per_second_minute_hour_or_day() -> None:
    assert Rate.parse("10/s") == Rate(10, SECOND)
    assert [str(Rate.parse(text)) for text in ("600/m", "5000 / h", "50000/d")] == ["600/m", "5000/h", "50000/d"]


@pytest.mark.parametrize("text", ["", "10", "10/w", "0/s", "-1/s", "1e3/s", "1.5/s", "1000001/d", "s/10", "٣/s"])
def test_anything_else_is_no_rate(text: str) -> None:
    """The message says how to write one."""
    with pytest.raises(ValueError, match=r"'600/m'|from 1 to 1000000"):
        Rate.parse(text)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    with suppress(ValueError):
        assert Rate.parse(text).number > 0


@settings(max_examples=40)
@given(
    st.builds(Rate, st.integers(1, 120), st.sampled_from([SECOND, MINUTE, HOUR, DAY])),
    st.lists(st.just(0.0) | st.floats(0, 3), min_size=1, max_size=40),
)
def test_a_bucket_never_gives_more_than_its_rate_in_any_stretch_of_time(rate: Rate, gaps: list[float]) -> None:
    """Issue 4, point 4: whether we ask at random or (a gap of 0) at the first moment that is free."""
    limit, pace, now, gone = Limit(rate), FRESH, NOW, []
    for _ in range(3 * rate.number // len(gaps) + 2):
        for gap in gaps:
            now = now + gap * rate.interval if gap else free_at(limit, pace, now)
            if free_at(limit, pace, now) <= now:
                pace = charged(limit, pace, now)
                gone.append(now)
    for index, first in enumerate(gone):
        later = gone[index : index + rate.number + 1]
        assert len(later) <= rate.number or later[-1] >= first + rate.period


@settings(max_examples=20)
@given(rates)
def test_a_bucket_gives_nearly_its_rate_to_whom_waits(rate: Rate) -> None:
    """Two in a hundred less at most; a rate of one a day is one a day."""
    limit, pace, now = Limit(rate), FRESH, NOW
    number = 3 * rate.number
    for _ in range(number):
        now = free_at(limit, pace, now)
        pace = charged(limit, pace, now)
    assert (now - NOW) <= 3 * rate.period * 1.03 + SECOND


def test_who_was_quiet_may_send_a_few_at_once() -> None:
    limit, pace = Limit(Rate.parse("600/m")), FRESH
    at_once = 0
    while free_at(limit, pace, NOW) == NOW:
        pace, at_once = charged(limit, pace, NOW), at_once + 1
    assert at_once == 12
    assert free_at(limit, pace, NOW) == NOW + Rate.parse("600/m").interval


@given(rates, rates, st.integers(-3, 30))
def test_another_rate_or_a_clock_gone_back_never_waits_longer_than_an_empty_bucket(
    before: Rate, after: Rate, hours: int
) -> None:
    """K2: what was remembered under other circumstances delays a mail by one interval at most."""
    pace = FRESH
    for _ in range(5):
        pace = charged(Limit(before), pace, NOW)
    now = NOW + timedelta(hours=hours)
    assert free_at(Limit(after), pace, now) <= now + after.interval


def test_nothing_configured_costs_nothing_and_remembers_nothing() -> None:
    assert free_at(Limit(), FRESH, NOW) == NOW
    assert charged(Limit(), FRESH, NOW) is FRESH


def test_a_new_sender_begins_small_and_grows_each_day() -> None:
    """Spec mail P12: warm-up by start, end and days; then no limit of its own."""
    curve = WarmUp(start=200, end=12_800, days=7)
    limit = Limit(warm_up=curve)
    pace = charged(limit, FRESH, NOW)
    assert pace.since_at == NOW
    numbers = [rate_now(limit, pace, NOW + day * DAY) for day in range(8)]
    assert [rate.number if rate else None for rate in numbers] == [200, 400, 800, 1600, 3200, 6400, 12_800, None]
    assert rate_now(replace(limit, rate=Rate(300, DAY)), pace, NOW + 3 * DAY) == Rate(300, DAY)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 400), st.integers(0, 500))
def test_warming_up_stays_between_its_ends(start: int, end: int, days: int, day: int) -> None:
    rate = WarmUp(start, end, days).rate(NOW, NOW + day * DAY)
    assert (rate is None) == (day >= days)
    assert rate is None or min(start, end) <= rate.number <= max(start, end)


def test_too_fast_halves_and_time_adds() -> None:
    """Spec mail §1.7, throttle: a rest, half the rate, as much again each hour, forgotten after three hours."""
    slow = throttled(FRESH, per_hour=6000, rest=HOUR, reason="rcpt: 421 4.7.28 slow down", now=NOW)
    assert slow.slow == Slow(per_hour=3000, since_at=NOW, rests_until=NOW + HOUR, reason="rcpt: 421 4.7.28 slow down")
    assert free_at(Limit(), slow, NOW + MINUTE) == NOW + HOUR
    found = [rate_now(Limit(), slow, NOW + hours * HOUR) for hours in (0, 1, 2, 3)]
    assert [rate.number if rate else None for rate in found] == [3000, 6000, 9000, None]


def test_replies_to_what_was_under_way_count_once_and_later_ones_halve_again() -> None:
    slow = throttled(FRESH, per_hour=6000, rest=MINUTE, reason="first", now=NOW)
    assert throttled(slow, per_hour=6000, rest=MINUTE, reason="second", now=NOW + SECOND) is slow
    again = throttled(slow, per_hour=6000, rest=MINUTE, reason="third", now=NOW + HOUR)
    assert again.slow is not None
    assert (again.slow.per_hour, again.slow.reason) == (3000, "third")
    third = throttled(again, per_hour=6000, rest=MINUTE, reason="fourth", now=NOW + HOUR + MINUTE)
    assert third.slow is not None
    assert third.slow.per_hour == 1525


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 1e6)), max_size=30))
def test_nobody_is_slowed_below_one_a_minute(complaints: list[tuple[int, float]]) -> None:
    pace, now = Pace(), NOW
    for minutes, per_hour in complaints:
        now += timedelta(minutes=minutes)
        pace = throttled(pace, per_hour=per_hour, rest=MINUTE, reason="slow", now=now)
        rate = rate_now(Limit(), pace, now)
        assert rate is not None
        assert rate.number >= SLOWEST


def test_addresses_of_one_provider_share_its_pace() -> None:
    """Spec mail P12: by who takes the mail, not by domain; the rest each by its own."""
    table = by_domain(PROVIDERS)
    named = {
        "a@gmail.com": "google",
        "a@GoogleMail.com": "google",
        "a@hotmail.com": "microsoft",
        "a@msn.com": "microsoft",
        "a@aol.com": "yahoo",
        "a@bk.ru": "mail-ru",
        "a@ya.ru": "yandex",
        "a@Example.ORG": "example.org",
    }
    assert {address: provider_of(address, table).name for address in named} == named
    assert provider_of("a@outlook.com", table).rest == HOUR


def test_an_operators_provider_takes_domains_from_ours() -> None:
    table = by_domain([*PROVIDERS, Provider("ours", ("gmail.com", "example.org"))])
    assert provider_of("a@gmail.com", table).name == "ours"
    assert provider_of("a@googlemail.com", table).name == "google"

"""A crontab line means what crontab(5) says, and nonsense is refused with the way out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.cron import CronLine, cron_line

EVERY_HOUR = frozenset(range(24))
EVERY_DAY = frozenset(range(1, 32))
EVERY_MONTH = frozenset(range(1, 13))
EVERY_WEEKDAY = frozenset(range(7))


def line(text: str, **fields: object) -> CronLine:
    every = {"hours": EVERY_HOUR, "month_days": EVERY_DAY, "months": EVERY_MONTH, "weekdays": EVERY_WEEKDAY}
    return CronLine(**{"text": text, "minutes": frozenset({0}), "either": False, **every, **fields})  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 7 * * 1", line("0 7 * * 1", hours=frozenset({7}), weekdays=frozenset({1}))),
        ("0 7 * * 0", line("0 7 * * 0", hours=frozenset({7}), weekdays=frozenset({0}))),
        ("0 7 * * 7", line("0 7 * * 7", hours=frozenset({7}), weekdays=frozenset({0}))),
        ("  0  7 *\t* MON-Wed ", line("0 7 * * mon-wed", hours=frozenset({7}), weekdays=frozenset({1, 2, 3}))),
        ("0 * * * fri-sun", line("0 * * * fri-sun", weekdays=frozenset({5, 6, 0}))),
        ("0 * * * sun-tue", line("0 * * * sun-tue", weekdays=frozenset({0, 1, 2}))),
        ("0 * * * sun-sun", line("0 * * * sun-sun", weekdays=frozenset({0}))),
        ("0 * * * 5-7", line("0 * * * 5-7", weekdays=frozenset({5, 6, 0}))),
        ("0 * * jan,jul *", line("0 * * jan,jul *", months=frozenset({1, 7}))),
        ("0 8-18/5 * * *", line("0 8-18/5 * * *", hours=frozenset({8, 13, 18}))),
        ("*/20 * * * *", line("*/20 * * * *", minutes=frozenset({0, 20, 40}))),
        (
            "0 * 13 * fri",
            line("0 * 13 * fri", month_days=frozenset({13}), weekdays=frozenset({5}), either=True),
        ),
        ("0 * */2 * mon", line("0 * */2 * mon", month_days=frozenset(range(1, 32, 2)), weekdays=frozenset({1}))),
        ("@weekly", line("0 0 * * 0", hours=frozenset({0}), weekdays=frozenset({0}))),
        ("@Daily", line("0 0 * * *", hours=frozenset({0}))),
    ],
)
def test_a_line_means_what_crontab_says(text: str, expected: CronLine) -> None:
    assert cron_line(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs five fields"),
        ("0 7 * *", "needs five fields"),
        ("0 0 7 * * 1", "needs five fields"),
        ("@reboot", "needs five fields"),
        ("60 7 * * *", "minute: 60 is not within 0-59"),
        ("0 24 * * *", "hour: 24 is not within 0-23"),
        ("0 7 0 * *", "day of month: 0 is not within 1-31"),
        ("0 7 * 13 *", "month: 13 is not within 1-12"),
        ("0 7 * * 8", "weekday: 8 is not within 0-7"),
        ("0 7 * * monday", "weekday: 'monday' means nothing here; use sun to sat"),
        ("0 7 L * *", "use at = '…' with day = 'last'"),
        ("0 7 * * 5-1", "runs backwards"),
        ("0/15 7 * * *", "write 0-59/15"),
        ("*/0 7 * * *", "a step of 0 does not fit"),
        ("*/90 7 * * *", "a step of 90 does not fit"),
        ("0 7 ? * 1", "'?' is not understood"),
        ("0 7 * * 1#2", "'1#2' is not understood"),
        ("0 7 * * mon,", "'' is not understood"),
        ("٣ 7 * * *", "'٣' is not understood"),
        ("-1 7 * * *", "'-1' is not understood"),
    ],
)
def test_a_line_that_cron_would_not_take_is_refused_with_the_way_out(text: str, message: str) -> None:
    """D12."""
    with pytest.raises(ValueError, match=r".") as caught:
        cron_line(text)
    assert message in str(caught.value)


@given(st.text(alphabet="0123456789*/,- \tabcdefghijklmnoprstuvwy@#?LW٣\n", max_size=40) | st.text(max_size=40))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        read = cron_line(text)
    except ValueError as error:
        assert "cron" in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert cron_line(read.text) == read

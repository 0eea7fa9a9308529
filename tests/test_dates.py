"""Dates: every form that articles use, and the refusal of everything that would need a guess."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.dates import Style, display, from_path, from_value, local, parse

MINSK = ZoneInfo("Europe/Minsk")  # UTC+3 all year in 2017
WARSAW = ZoneInfo("Europe/Warsaw")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # English
        ("May 22, 2017 13:45", "2017-05-22T10:45:00"),
        ("October 02, 2017 11:49", "2017-10-02T08:49:00"),
        ("22 May 2017", "2017-05-21T21:00:00"),
        ("22nd of May 2017 at 1:45 p.m.", "2017-05-22T10:45:00"),
        ("Sept. 5, 2017, 12:00 AM", "2017-09-04T21:00:00"),
        ("Monday, May 22, 2017 12:05 pm", "2017-05-22T09:05:00"),
        ("22-May-2017 13:45", "2017-05-22T10:45:00"),
        # Russian
        ("22 мая 2017", "2017-05-21T21:00:00"),
        ("22 мая 2017 г., 13:45", "2017-05-22T10:45:00"),
        ("22 МАЯ 2017 года в 13:45", "2017-05-22T10:45:00"),
        ("понедельник, 22 мая 2017\u202fг.", "2017-05-21T21:00:00"),
        ("5 сент. 2017", "2017-09-04T21:00:00"),
        ("22.05.2017 13:45", "2017-05-22T10:45:00"),
        ("13:45, 22.05.2017", "2017-05-22T10:45:00"),
        # Belarusian
        ("22 траўня 2017", "2017-05-21T21:00:00"),
        ("панядзелак, 22 траўня 2017 г., 13:45", "2017-05-22T10:45:00"),
        ("1 лістапада 2017 а 9:05", "2017-11-01T06:05:00"),
        # ISO 8601
        ("2017-05-22", "2017-05-21T21:00:00"),
        ("20170522", "2017-05-21T21:00:00"),
        ("2017/05/22 13:45", "2017-05-22T10:45:00"),
        ("2017-05-22T13:45:00Z", "2017-05-22T13:45:00"),
        ("2017-05-22t13:45:00.123456+03:00", "2017-05-22T10:45:00.123456"),
        ("2017-05-22 13:45:01,5 −0130", "2017-05-22T15:15:01.500000"),
        ("2013-05-06 02:12:52 +0200", "2013-05-06T00:12:52"),
        ("2014-12-22 09:03:30 -0500", "2014-12-22T14:03:30"),
        ("2023-01-29 18:30:22 2023 -0800", "2023-01-30T02:30:22"),
        ("2017-05-22 13:45 UTC+5", "2017-05-22T08:45:00"),
        # RFC 822 and its relatives
        ("Mon, 22 May 2017 13:45:00 +0300", "2017-05-22T10:45:00"),
        ("Mon, 22 May 2017 13:45:00 GMT (a comment)", "2017-05-22T13:45:00"),
        ("22 May 17 13:45 EST", "2017-05-22T18:45:00"),
        ("Sun, 22 May 94 13:45:00 UT", "1994-05-22T13:45:00"),
        ("Mon May 22 13:45:00 2017", "2017-05-22T10:45:00"),
        ("Mon May 22 13:45:00 MSK 2017", "2017-05-22T10:45:00"),
        ("  2017-05-22\n", "2017-05-21T21:00:00"),
    ],
)
def test_every_usual_form_of_a_date_is_read(text: str, expected: str) -> None:
    """Zone from the source when the date names none."""
    assert parse(text, MINSK) == datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert parse(text, MINSK).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the date is empty"),
        ("May 2017", "'May 2017' does not tell the day"),
        ("май 2017 г.", "does not tell the day"),
        ("2017-05", "does not tell the day"),
        ("22 May", "does not tell the year"),
        ("22 траўня, 13:45", "does not tell the year"),
        ("May 22", "does not tell the year"),
        ("2017", "does not tell the day and the month"),
        ("13:45", "does not tell the date"),
        ("05/06/2017", "'05/06/2017' may mean two days"),
        ("22 May 17", "no date I can read"),
        ("2017-02-30", "day is out of range for month"),
        ("29.02.2017", "day is out of range for month"),
        ("2017-13-01", "month must be in 1..12"),
        ("2017-05-22 25:00", "hour must be in 0..23"),
        ("May 22, 2017 13:45 pm", "13 is no hour before a.m. or p.m."),
        ("0001-01-01T00:00:00Z", "the year 1 is not between 1900 and 2200"),
        ("0000-00-00", "the year 0 is not between"),
        ("9999-12-31", "the year 9999 is not between"),
        ("Tuesday, 22 May 2017", "2017-05-22 was a Monday"),
        ("вторник, 22 мая 2017", "2017-05-22 was a Monday"),
        ("2023-01-29 18:30:22 2022 -0800", "it names two years, 2023 and 2022"),
        ("2017-05-22 13:45 +9999", "+9999 is no time zone"),
        ("2017-05-22 13:45 +1500", "+1500 is no time zone"),
        ("2017-05-22 13:45 XYZ", "no date I can read"),
        ("tomorrow", "no date I can read"),
        ("22 mai 2017", "no date I can read"),
        ("1" * 100_000, "no date I can read"),
    ],
)
def test_a_date_that_would_need_a_guess_is_refused_with_the_way_out(text: str, complaint: str) -> None:
    """A7, B21: partial, impossible or contradicting itself."""
    with pytest.raises(ValueError, match=r'write it like "2017-05-22 13:45"') as refusal:
        parse(text, MINSK)
    assert complaint in str(refusal.value)
    assert len(str(refusal.value)) < 250


@given(st.text(max_size=120) | st.text(st.sampled_from("0123456789-/.:+ TZmayмаяJan,г"), max_size=40))
def test_any_text_is_a_date_or_a_refusal(text: str) -> None:
    """B21: nothing but ValueError, and never a year no article has."""
    try:
        moment = parse(text, MINSK)
    except ValueError:
        return
    assert moment.tzinfo is UTC
    assert 1899 <= moment.year <= 2201


whole_moments = st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30)).map(  # noqa: DTZ001 - a zone follows
    lambda moment: moment.replace(microsecond=0)
)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(whole_moments, offsets)
def test_what_programs_write_is_read_back(moment: datetime, offset: timezone) -> None:
    """ISO 8601 and RFC 822 with any offset give the moment that was meant."""
    aware = moment.replace(tzinfo=offset)
    assert parse(aware.isoformat(), WARSAW) == aware
    assert parse(aware.isoformat(" "), WARSAW) == aware
    assert parse(aware.strftime("%a, %d %b %Y %H:%M:%S %z"), WARSAW) == aware


@pytest.mark.parametrize("language", ["en", "en-US", "ru", "be", "be-tarask"])
@pytest.mark.parametrize("style", ["long", "full"])
def test_what_we_write_is_read_back(language: str, style: Style) -> None:
    """Every name that Babel gives a month or a weekday is among those that `parse` knows."""
    for number in range(12 * 7):
        day = local(date(2017, 1 + number // 7, 1 + number % 7), MINSK)
        assert parse(display(day, language, MINSK, style), MINSK) == day


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("22 мая 2017", "2017-05-21T21:00:00"),
        (date(2017, 5, 22), "2017-05-21T21:00:00"),
        (datetime(2017, 5, 22, 13, 45), "2017-05-22T10:45:00"),  # noqa: DTZ001 - YAML without a zone
        (datetime(2017, 5, 22, 13, 45, tzinfo=timezone(timedelta(hours=-5))), "2017-05-22T18:45:00"),
        (20170522, "2017-05-21T21:00:00"),
    ],
)
def test_the_values_of_front_matter_are_dates(value: object, expected: str) -> None:
    assert from_value(value, MINSK) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        2017,
        1_495_000_000,
        3.5,
        ["2017-05-22"],
        time(13, 45),
        date(1, 1, 1),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    ],
)
def test_other_values_of_front_matter_are_refused(value: object) -> None:
    """A7: a number may be anything, and the year 1 is what programs write for "no date"."""
    with pytest.raises(ValueError, match="write it like"):
        from_value(value, MINSK)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("2017-05-22-title.md", (date(2017, 5, 22), "title")),
        ("news/_posts/2017-05-22-jekyll-3-4-1-released.markdown", (date(2017, 5, 22), "jekyll-3-4-1-released")),
        ("2020/03/12/Rust-1.42", (date(2020, 3, 12), "Rust-1.42")),
        ("blog/2020/03/12/Rust-1.42.md", (date(2020, 3, 12), "Rust-1.42")),
        ("2017-05-22-title/index.md", (date(2017, 5, 22), "title")),
        ("2017-05-22.html", (date(2017, 5, 22), "")),
        ("about.md", None),
        ("2017-05/about.md", None),
        ("2017-05-22nd.md", None),
        ("0001-01-01-x.md", None),
        ("release-2017-05-22.md", None),
        ("", None),
    ],
)
def test_a_path_may_tell_the_day(path: str, expected: tuple[date, str] | None) -> None:
    assert from_path(path) == expected


def test_a_path_with_an_impossible_day_is_refused() -> None:
    """Never guessed: the message names the file and the way out."""
    with pytest.raises(ValueError, match=r"'2017-02-30-x.md' names no day: day is out of range for month; rename it"):
        from_path("2017-02-30-x.md")


@given(st.text() | st.from_regex(r"[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[-/].*"))
def test_any_path_is_read_or_refused(path: str) -> None:
    try:
        found = from_path(path)
    except ValueError:
        return
    assert found is None or 1900 <= found[0].year <= 2200


def test_a_time_that_the_clocks_skipped_moves_forward() -> None:
    """Warsaw went from 02:00 to 03:00 on 31 March 2024."""
    assert parse("2024-03-31 02:30", WARSAW) == datetime(2024, 3, 31, 1, 30, tzinfo=UTC)
    assert parse("2024-03-31 02:30", WARSAW).astimezone(WARSAW).strftime("%H:%M") == "03:30"


def test_of_a_time_shown_twice_the_first_counts() -> None:
    """Warsaw went from 03:00 back to 02:00 on 27 October 2024."""
    assert parse("2024-10-27 02:30", WARSAW) == datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
    assert local(datetime(2024, 10, 27, 2, 30, fold=1), WARSAW) == datetime(2024, 10, 27, 0, 30, tzinfo=UTC)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("language", "style", "expected"),
    [
        ("en", "short", "22 May"),
        ("en", "long", "22 May 2017"),
        ("en", "full", "Monday, 22 May 2017"),
        ("en", "time", "22 May 2017, 13:45"),
        ("en-US", "long", "May 22, 2017"),
        ("ru", "long", "22 мая 2017\u202fг."),
        ("ru", "time", "22 мая 2017\u202fг., 13:45"),
        ("be", "short", "22 мая"),
        ("he", "long", "22 במאי 2017"),
        ("de-AT-1996-x-anything", "long", "22. Mai 2017"),
        ("zz", "long", "22 May 2017"),
        ("", "long", "22 May 2017"),
        ("not a language", "long", "22 May 2017"),
    ],
)
def test_dates_are_shown_as_readers_write_them(language: str, style: Style, expected: str) -> None:
    assert display(datetime(2017, 5, 22, 10, 45, tzinfo=UTC), language, MINSK, style) == expected


def test_the_day_shown_is_that_of_the_readers_zone() -> None:
    assert display(datetime(2017, 5, 21, 21, 0, tzinfo=UTC), "en", MINSK) == "22 May 2017"
    assert display(datetime(2017, 5, 21, 21, 0, tzinfo=UTC), "en", WARSAW) == "21 May 2017"

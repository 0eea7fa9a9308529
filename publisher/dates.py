"""Dates as articles write them, and as readers want to read them."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache, lru_cache
from pathlib import PurePosixPath
from typing import Literal
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time

Style = Literal["short", "long", "full", "time"]

# Earlier is a forgotten year or a broken clock, later a slip of the finger (A7, B21).
_FIRST_YEAR, _LAST_YEAR = 1900, 2200
_LONGEST = 100
"""Characters; a longer text is no date, and not worth any pattern's time."""
_WAY_OUT = 'write it like "2017-05-22 13:45" or "22 May 2017"'

# Forms in which English, Russian and Belarusian dates name a month: nominative, genitive, usual abbreviations.
_MONTHS = (
    "january jan январь января янв студзень студзеня сту",
    "february feb февраль февраля фев февр люты лютага лют",
    "march mar март марта мар сакавік сакавіка сак",
    "april apr апрель апреля апр красавік красавіка кра",
    "may май мая травень траўня траўня тра",
    "june jun июнь июня июн чэрвень чэрвеня чэр",
    "july jul июль июля июл ліпень ліпеня ліп",
    "august aug август августа авг жнівень жніўня жні",
    "september sept sep сентябрь сентября сен сент верасень верасня верасьня вер",
    "october oct октябрь октября окт кастрычнік кастрычніка кас",
    "november nov ноябрь ноября ноя нояб лістапад лістапада ліс",
    "december dec декабрь декабря дек снежань снежня сьнежань сьнежня сне",
)
_WEEKDAYS = (
    "monday mon понедельник пн панядзелак пнд",
    "tuesday tues tue вторник вт аўторак аўт ат",
    "wednesday wed среда ср серада срд",
    "thursday thurs thur thu четверг чт чацвер чацьвер чцв чц",
    "friday fri пятница пт пятніца птн",
    "saturday sat суббота сб субота сбт",
    "sunday sun воскресенье вс нядзеля ндз нд",
)
# RFC 822 §5.1 and RFC 5322 §4.3; Moscow time has been UTC+3 all year since 2014 and is written in this region.
_ZONES = dict.fromkeys(("z", "ut", "utc", "gmt"), 0) | {
    "est": -5,
    "edt": -4,
    "cst": -6,
    "cdt": -5,
    "mst": -7,
    "mdt": -6,
    "pst": -8,
    "pdt": -7,
    "msk": 3,
    "мск": 3,
}


def _numbered(rows: tuple[str, ...]) -> dict[str, int]:
    return {word: number for number, words in enumerate(rows, 1) for word in words.split()}


def _choice(words: dict[str, int]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_MONTH_NUMBERS = _numbered(_MONTHS)
_WEEKDAY_NUMBERS = _numbered(_WEEKDAYS)

_WEEKDAY = rf"(?:(?P<weekday>{_choice(_WEEKDAY_NUMBERS)})\b\.?\s*)?"
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[ap])\.?m\b\.?)?"
)
_OFFSET = rf"(?P<zone>(?:utc|gmt)?[+-]\d\d?:?\d\d|(?:utc|gmt)?[+-]\d\d?|{_choice(_ZONES)})"
_TIME = rf"(?:(?:\s*t|\s+at|\s+[вуа-])?\s*(?<!\d){_CLOCK}(?:\s+(?P<again>\d{{4}}))?(?:\s*{_OFFSET})?)?"
_YEAR = r"(?P<year>\d{4})(?:\s*(?:г\b\.?|года|год))?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|-?е|-?го)?"
_NAME = rf"(?P<name>{_choice(_MONTH_NUMBERS)})\b\.?"
_DATES = (
    r"(?P<year>\d{4})(?P<separator>[-/.])(?P<month>\d{1,2})(?P=separator)(?P<day>\d{1,2})",
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
    r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\." + _YEAR,
    rf"{_DAY}(?:\s+of)?[\s-]+{_NAME}[\s-]+{_YEAR}",
    rf"{_NAME}\s+{_DAY}\s+{_YEAR}",
)
_FORMS = (
    *(rf"{_WEEKDAY}{form}{_TIME}" for form in _DATES),
    *(rf"{_CLOCK}\s+{_WEEKDAY}{form}" for form in _DATES),
    rf"{_WEEKDAY}{_NAME}\s+{_DAY}\s+{_CLOCK}(?:\s+{_OFFSET})?\s+{_YEAR}",  # asctime
    # Two digits for the year only in the whole form that RFC 822 gives them.
    rf"{_WEEKDAY}{_DAY}\s+{_NAME}\s+(?P<short>\d\d)\s+{_CLOCK}\s+{_OFFSET}",
)
_PARTS = {  # what is missing from a text that is part of a date
    "the day": rf"{_NAME}\s+{_YEAR}|\d{{4}}-\d\d?|\d\d?[./]\d{{4}}",
    "the year": rf"{_WEEKDAY}(?:{_DAY}\s+(?:of\s+)?{_NAME}|(?:{_choice(_MONTH_NUMBERS)})\.?\s+\d\d?){_TIME}",
    "the day and the month": _YEAR,
    "the date": _CLOCK,
}

_EXTENSION = re.compile(r"\.(?:md|markdown|mkdn?|html?|txt)$", re.IGNORECASE)
_DAY_IN_NAME = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[-_ ](.*))?")
_DAY_IN_FOLDERS = re.compile(r"(?:.*/)?(\d{4})/(\d\d)/(\d\d)/([^/]+)")


def parse(text: str, zone: ZoneInfo) -> datetime:
    """Return the moment as aware UTC; a date alone is midnight, and what names no zone is in `zone`.

    ISO 8601, RFC 822, and dates with the month's name in English, Russian or Belarusian. ValueError says what is wrong
    and the way out: partial, impossible and self-contradicting dates are refused, never guessed.
    """
    words = _simplified(text)
    found = next((match for pattern in _patterns() if (match := pattern.fullmatch(words))), None) if words else None
    if found is None:
        raise ValueError(_complaint(text, words))
    parts = {name: value for name, value in found.groupdict().items() if value is not None}
    try:
        moment = _moment(parts)
        offset = _offset(parts["zone"]) if "zone" in parts else None
    except ValueError as error:
        raise ValueError(f"{text.strip()!r} is no date: {error}; {_WAY_OUT}") from error
    return local(moment, zone) if offset is None else moment.replace(tzinfo=offset).astimezone(UTC)


def from_value(value: object, zone: ZoneInfo) -> datetime:
    """Like `parse`, also for the date and datetime objects of YAML and TOML."""
    if isinstance(value, str):
        return parse(value, zone)
    if isinstance(value, date):
        if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
            raise ValueError(f"the year {value.year} is not between {_FIRST_YEAR} and {_LAST_YEAR}; {_WAY_OUT}")
        return local(value, zone)
    if isinstance(value, int) and re.fullmatch(r"\d{8}", str(value)):
        return parse(str(value), zone)  # 20170522, which YAML reads as a number
    raise ValueError(f"{str(value)[:_LONGEST]!r} is no date; {_WAY_OUT}")


def from_path(path: str) -> tuple[date, str] | None:
    """Return the day and the rest of the name of `2017-05-22-title.md` or `2020/03/12/Title`; None for other paths.

    Folders before them count for nothing; of `2017-05-22-title/index.md` the folder names the article. ValueError when
    the path holds a day that never was.
    """
    whole = PurePosixPath(_EXTENSION.sub("", path))
    if whole.name in ("index", "_index"):
        whole = whole.parent
    match = _DAY_IN_NAME.fullmatch(whole.name) or _DAY_IN_FOLDERS.fullmatch(str(whole))
    if match is None:
        return None
    year, month, day, slug = match.groups()
    try:
        found = date(int(year), int(month), int(day))
    except ValueError as error:
        raise ValueError(f"{path!r} names no day: {error}; rename it, or give the date inside") from error
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        return None
    return found, slug or ""


def local(value: date | datetime, zone: ZoneInfo) -> datetime:
    """Return a local wall time (of a date: its midnight) as aware UTC; an aware datetime keeps its own zone.

    A time that the clocks skipped moves forward by the gap; of one that they showed twice, the first counts.
    """
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone follows
    if value.tzinfo is None:
        # With fold=0, zoneinfo applies the offset from before a gap and the first one of an overlap (PEP 495).
        value = value.replace(tzinfo=zone, fold=0)
    return value.astimezone(UTC)


def display(when: datetime, language: str, zone: ZoneInfo, style: Style = "long") -> str:
    """Return the moment in `zone` as readers of the language write it; an unknown language is written in English.

    `short` 22 May, `long` 22 May 2017, `full` Monday, 22 May 2017, `time` 22 May 2017, 13:45.
    """
    locale = _locale(language)
    shown = when.astimezone(zone)
    match style:
        case "short":
            return format_skeleton("MMMd", shown, locale=locale)
        case "time":
            return f"{format_date(shown, 'long', locale=locale)}, {format_time(shown, 'short', locale=locale)}"
        case _:
            return format_date(shown, style, locale=locale)


@lru_cache(maxsize=64)
def _locale(language: str) -> Locale:
    # "May 22, 2017" is American; without a region English is read all over the world.
    if language.lower() == "en":
        return Locale.parse("en_GB")
    parts = language.replace("_", "-").split("-")
    while parts:
        try:
            return Locale.parse("-".join(parts), sep="-")
        except (ValueError, UnknownLocaleError):
            parts.pop()
    return Locale.parse("en_GB")


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Return the forms compiled, which takes 15 ms: whoever only shows dates is not to wait for it."""
    return tuple(re.compile(form) for form in _FORMS)


def _simplified(text: str) -> str:
    """Return the text in one case with single spaces, without commas and comments; empty when it cannot be a date."""
    if len(text) > _LONGEST:
        return ""
    words = unicodedata.normalize("NFKC", text).casefold().replace("−", "-")
    words = re.sub(r"\([^()]*\)", " ", words)  # a comment of RFC 822, "(MSK)"
    words = re.sub(r"(:\d\d),(?=\d)", r"\1.", words)  # ISO 8601 allows a comma before the fraction
    return " ".join(words.replace(",", " ").split())


def _moment(parts: dict[str, str]) -> datetime:
    """Return the naive moment; ValueError when there is none."""
    year = int(parts["year"]) if "year" in parts else _full_year(int(parts["short"]))
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise ValueError(f"the year {year} is not between {_FIRST_YEAR} and {_LAST_YEAR}")
    if int(parts.get("again", year)) != year:
        raise ValueError(f"it names two years, {year} and {parts['again']}")
    month = int(parts["month"]) if "month" in parts else _MONTH_NUMBERS[parts["name"]]
    hour = int(parts.get("hour", 0))
    if "half" in parts:
        if not 1 <= hour <= 12:
            raise ValueError(f"{hour} is no hour before a.m. or p.m.")
        hour = hour % 12 + (12 if parts["half"] == "p" else 0)
    microsecond = int(parts.get("fraction", "0").ljust(6, "0")[:6])
    moment = datetime(  # noqa: DTZ001 - the zone follows
        year, month, int(parts["day"]), hour, int(parts.get("minute", 0)), int(parts.get("second", 0)), microsecond
    )
    if "weekday" in parts and _WEEKDAY_NUMBERS[parts["weekday"]] != moment.isoweekday():
        raise ValueError(f"{moment:%Y-%m-%d} was a {_WEEKDAYS[moment.weekday()].split()[0].capitalize()}")
    return moment


def _full_year(short: int) -> int:
    """Return the year that two digits mean (RFC 5322 §4.3)."""
    return short + (2000 if short < 50 else 1900)


def _offset(text: str) -> timezone:
    if text in _ZONES:
        return timezone(timedelta(hours=_ZONES[text]))
    sign, digits = re.sub(r"^(?:utc|gmt)|:", "", text)[0], re.sub(r"\D", "", text)
    hours, minutes = (int(digits), 0) if len(digits) <= 2 else (int(digits[:-2]), int(digits[-2:]))
    # No place on Earth is further than 14 hours from Greenwich.
    if minutes > 59 or hours * 60 + minutes > 14 * 60:
        raise ValueError(f"{text} is no time zone")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if sign == "-" else offset)


def _complaint(text: str, words: str) -> str:
    shown = repr(text.strip()[:_LONGEST])
    if not text.strip():
        return f"the date is empty; {_WAY_OUT}"
    missing = next((part for part, pattern in _PARTS.items() if re.fullmatch(pattern, words)), None)
    if missing:
        return f"{shown} does not tell {missing}; {_WAY_OUT}"
    if re.match(r"\d{1,2}/\d{1,2}/\d{2,4}\b", words):
        return f"{shown} may mean two days; {_WAY_OUT}"
    return f"{shown} is no date I can read; {_WAY_OUT}"

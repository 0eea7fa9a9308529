"""A line of a crontab, read as crontab(5) means it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As cron counts: Sunday is 0 (and 7)."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class CronLine:
    """What the five fields allow; weekdays from Sunday = 0."""

    text: str
    """The line as read: lower case, single blanks, no macro."""
    minutes: frozenset[int]
    hours: frozenset[int]
    month_days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    """Day of month or weekday is enough: both are restricted, that is, neither field starts with `*`."""


def cron_line(text: str) -> CronLine:
    """Read minute, hour, day of month, month, weekday, or a macro like `@daily`; ValueError says what is wrong."""
    line = " ".join(text.lower().split())
    fields = _MACROS.get(line, line).split()
    if len(fields) != 5 or len(line) > 400:
        raise ValueError(
            f"cron = {text[:80]!r} needs five fields (minute, hour, day of month, month, weekday), like '0 7 * * 1'"
        )
    minute, hour, month_day, month, weekday = fields
    return CronLine(
        text=" ".join(fields),
        minutes=_field(minute, "minute", 0, 59),
        hours=_field(hour, "hour", 0, 23),
        month_days=_field(month_day, "day of month", 1, 31),
        months=_field(month, "month", 1, 12, _MONTHS, base=1),
        weekdays=frozenset(number % 7 for number in _field(weekday, "weekday", 0, 7, WEEKDAYS)),
        either=not month_day.startswith("*") and not weekday.startswith("*"),
    )


def _field(text: str, what: str, low: int, high: int, names: tuple[str, ...] = (), base: int = 0) -> frozenset[int]:
    """Return the numbers that one field of a cron line stands for."""
    return frozenset(number for part in text.split(",") for number in _part(part, what, low, high, names, base))


def _part(text: str, what: str, low: int, high: int, names: tuple[str, ...], base: int) -> Iterable[int]:
    """Return the numbers of `*`, `5`, `mon`, `1-5`, each but single ones with an optional `/step`."""
    match = re.fullmatch(r"(?:(\*)|([0-9]{1,4}|[a-z]+)(?:-([0-9]{1,4}|[a-z]+))?)(?:/([0-9]{1,4}))?", text)
    if match is None:
        raise ValueError(f"cron {what}: {text!r} is not understood; use numbers, lists, ranges and */steps")
    star, first, last, step = match.groups()
    start = low if star else _number(first, what, low, high, names, base)
    end = high if star else start if last is None else _number(last, what, low, high, names, base)
    if last == "sun" and start:  # fri-sun: the week ends with it, too
        end = 7
    if end < start:
        raise ValueError(f"cron {what}: the range {text!r} runs backwards; write it as a list")
    if step is None:
        return range(start, end + 1)
    if not star and last is None:
        raise ValueError(f"cron {what}: {text!r} steps through nothing; write {start}-{high}/{step}")
    if not 1 <= int(step) <= end - start + 1:
        raise ValueError(f"cron {what}: a step of {step} does not fit into {start}-{end}")
    return range(start, end + 1, int(step))


def _number(text: str, what: str, low: int, high: int, names: tuple[str, ...], base: int) -> int:
    if text in names:
        return names.index(text) + base
    if not text.isdigit():
        hint = (
            "at = '…' with day = 'last'" if text == "l" else f"{names[0]} to {names[-1]}" if names else f"{low}-{high}"
        )
        raise ValueError(f"cron {what}: {text!r} means nothing here; use {hint}")
    if not low <= int(text) <= high:
        raise ValueError(f"cron {what}: {text} is not within {low}-{high}")
    return int(text)

"""Which month of the archive an article is in, and which one a feed sends its readers to (RFC 5005 §4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta


def month_of(when: datetime) -> str:
    """Return the UTC month of a moment: `2026-10`."""
    when = when.astimezone(UTC)
    return f"{when.year:04}-{when.month:02}"


def bounds(month: str) -> tuple[datetime, datetime]:
    """Return the first moment of a month and the first after it."""
    year, number = int(month[:4]), int(month[5:])
    start = datetime(year, number, 1, tzinfo=UTC)
    if (year, number) == (9999, 12):
        return start, datetime.max.replace(tzinfo=UTC)
    return start, datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def prev_archive(shown: Sequence[datetime], rest: Sequence[datetime]) -> str:
    """Return the month whose document goes on where the feed ends; empty when there is none.

    `shown` and `rest` are when the articles were published that the feed shows and the next that it does not. The
    newest month is the one that is still open: its document is left out of the walk when the feed shows all of it.
    """
    months = sorted({month_of(when) for when in (*shown, *rest)}, reverse=True)
    if not months:
        return ""
    if rest and month_of(max(rest)) == months[0]:
        return months[0]
    return months[1] if len(months) > 1 else ""


def open_until(month: str, oldest_at: datetime | None) -> datetime:
    """Return until when the document of the open month holds articles: its first moment when it holds none.

    That is the end of the UTC day of the oldest article that the feed shows: so nothing lies between the two, however
    the feed was cut, and the document changes once a day.
    """
    start, end = bounds(month)
    if oldest_at is None:  # the feed shows nothing, so the archive has to
        return end
    if oldest_at < start:
        return start
    day = oldest_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    # Not by adding a day: the last one that the calendar knows has none after it.
    return min(end, day + timedelta(days=1)) if day < end - timedelta(days=1) else end

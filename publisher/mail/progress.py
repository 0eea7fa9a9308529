"""How far sending has come, in words: counts, rate and the time that is left."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

_TOLD = ("sent", "deferred", "failed", "suppressed", "expired", "uncertain", "fenced")


def in_words(tally: Mapping[str, int], *, spent: timedelta, left: int) -> str:
    """Tell what has become of deliveries so far, how fast that went, and how long `left` more take at that rate."""
    counts = ", ".join(f"{tally[state]} {state}" for state in _TOLD if tally.get(state))
    rate = per_second(sum(tally.values()), spent)
    if not counts or rate is None:
        return counts or "sending"
    time = time_left(left, rate)
    return f"{counts}; {rate_in_words(rate)}" + (f", {duration_in_words(time)} left" if time else "")


def per_second(number: int, spent: timedelta) -> float | None:
    """Return how many a second; None when too little time has passed to say."""
    return number / spent.total_seconds() if number and spent >= timedelta(seconds=1) else None


def time_left(number: int, rate: float) -> timedelta | None:
    """Return how long `number` more take; None when there are none, or it does not move."""
    return timedelta(seconds=number / rate) if number and rate > 0 else None


def rate_in_words(rate: float) -> str:
    """Return `25/s`, `90/min` or `40/h`, whichever is easily read."""
    for number, unit in ((rate, "s"), (rate * 60, "min")):
        if number >= 2:
            return f"{number:.0f}/{unit}"
    return f"{rate * 3600:.0f}/h"


def duration_in_words(time: timedelta) -> str:
    """Return `40 s`, `12 min` or `3 h 20 min`, rounded up."""
    seconds = -(-time // timedelta(seconds=1))
    if seconds < 60:
        return f"{seconds} s"
    minutes = -(-seconds // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"

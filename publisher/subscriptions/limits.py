"""How often mail may be asked for: by an address, by a client, by all together (P4, F3, F4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from publisher.config import Config
from publisher.store import requests
from publisher.store.database import Connection
from publisher.tokens import Pepper

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)

Rule = tuple[int, timedelta]
"""So many in a span of time that ends now."""

STRANGER: tuple[Rule, ...] = ((1, DAY), (3, WEEK))
"""Mails to an address that has not confirmed: somebody else may have typed it."""
READER: tuple[Rule, ...] = ((3, DAY), (10, WEEK))
"""Mails to somebody who receives ours anyway, such as links to their preferences."""

KEPT = WEEK
"""Nothing older decides anything."""

ALL = "all"


def wait(times: Sequence[datetime], rules: Sequence[Rule], now: datetime) -> timedelta:
    """Return how long until one more is allowed, zero for now. `times`: of earlier ones, newest first."""
    waits = [times[most - 1] + span - now for most, span in rules if len(times) >= most]
    return max((w for w in waits if w > timedelta()), default=timedelta())


@dataclass(frozen=True, slots=True)
class Buckets:
    """What one request counts in."""

    address: str
    client: str
    """Empty when nobody can tell who asks: then only the limit on all holds."""

    @classmethod
    def of(cls, pepper: Pepper, address_key: str, client: str | None) -> Buckets:
        """Return the buckets of a request, in words that tell nobody whose they are."""
        return cls(f"address:{pepper.hash(address_key)}", f"client:{pepper.hash(f'client {client}')}" if client else "")


def refused(conn: Connection, config: Config, buckets: Buckets, now: datetime) -> int:
    """Return the seconds after which this client may ask again, 0 for now; counts it when it may.

    It says nothing of the address: whoever is refused would be with any.
    """
    asked = [(buckets.client, config.sign_up.requests_per_hour), (ALL, config.sign_up.mails_per_hour)]
    rules = [(bucket, most) for bucket, most in asked if bucket]
    longest = timedelta()
    for bucket, most in rules:
        if first := requests.nth(conn, bucket, now - HOUR, most):
            longest = max(longest, first + HOUR - now)
    if longest:
        return ceil(longest.total_seconds())
    requests.note(conn, [bucket for bucket, _ in rules if bucket != ALL], now)
    return 0


def may_mail(conn: Connection, buckets: Buckets, rules: Sequence[Rule], now: datetime) -> bool:
    """Whether the address may get one more mail that somebody asked for; counts it when it may."""
    longest, most = max(span for _, span in rules), max(number for number, _ in rules)
    if wait(requests.times(conn, buckets.address, now - longest, most=most), rules, now):
        return False
    requests.note(conn, [buckets.address, ALL], now)
    return True

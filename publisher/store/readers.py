"""Whom an issue is composed for, read in a form that a million of them fit in."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from publisher.model import Content, Format, Reader, Readers, SubscriptionState, Wishes
from publisher.store import statements as st
from publisher.store.tables import Instant, subscribers, subscriptions, suppressions


def of(conn: sa.Connection, newsletter: str, frequencies: Iterable[str], now: datetime | None = None) -> Readers:
    """Return whom an issue is composed for: confirmed, not paused at `now`, address not suppressed.

    Without `now` those who pause are among them. They come by frequency, then by subscription id.
    """
    kinds, ids, places = _Kinds(), array("q"), array("q")
    for frequency in frequencies:
        last = 0
        while True:
            values = {"newsletter": newsletter, "frequency": frequency, "after": last, "now": now}
            rows = st.run(conn, _readers if now is None else _awake, **values)
            ids.extend(row[0] for row in rows)
            places.extend(kinds[tuple(row[1:])] for row in rows)
            if len(rows) < _BLOCK:
                break
            last = rows[-1][0]
    return Readers(kinds.wishes, ids, places)


def one(conn: sa.Connection, newsletter: str, address_key: str) -> Reader | None:
    """Return the confirmed subscription of an address, paused or not; None without one, or when it is suppressed."""
    s, p = subscriptions.c, subscribers.c
    query = sa.select(s.id, p.name, *_WISHES).join_from(subscriptions, subscribers)
    query = query.where(p.address_key == address_key, s.newsletter == newsletter, *_READS)
    row = conn.execute(query).one_or_none()
    return None if row is None else Reader(subscription_id=row[0], name=row[1], wishes=_wishes(*row[2:]))


_BLOCK = 20_000
"""Subscriptions read at once: the driver works through a block without the interpreter's lock."""


class _Kinds:
    """Rows of wishes, each once: readers who choose alike share one, which is decoded once."""

    def __init__(self) -> None:
        self._places: dict[tuple[Any, ...], int] = {}

    def __getitem__(self, row: tuple[Any, ...]) -> int:
        return self._places.setdefault(row, len(self._places))

    @property
    def wishes(self) -> tuple[Wishes, ...]:
        return tuple(_wishes(*row) for row in self._places)


def _wishes(
    languages: str,
    timezone: str,
    format_: str,
    categories: str | None,
    content: Content | None,
    hour: int | None,
    cursor: int,
) -> Wishes:
    return Wishes(
        languages=tuple(json.loads(languages)),
        timezone=timezone,
        format=Format(format_),
        categories=None if categories is None else tuple(json.loads(categories)),
        content=content,
        hour=hour,
        cursor=cursor,
    )


_WISHES = (
    sa.cast(subscribers.c.languages, sa.Text).label("languages"),  # as text: rows are compared before they are decoded
    subscribers.c.timezone,
    subscribers.c.format,
    sa.cast(subscriptions.c.categories, sa.Text).label("categories"),
    *(subscriptions.c[name] for name in ("content", "hour", "cursor")),
)
_READS = (
    subscriptions.c.state == sa.literal_column(f"'{SubscriptionState.CONFIRMED}'"),
    ~sa.exists().where(suppressions.c.address_key == subscribers.c.address_key),
)
_readers = (
    sa.select(subscriptions.c.id, *_WISHES)
    .join_from(subscriptions, subscribers)
    .where(
        subscriptions.c.newsletter == st.parameter("newsletter", sa.Text()),
        subscriptions.c.frequency == st.parameter("frequency", sa.Text()),
        subscriptions.c.id > st.parameter("after", sa.BigInteger()),
        *_READS,
    )
    .order_by(subscriptions.c.id)
    .limit(sa.literal_column(str(_BLOCK)))
)
_now = st.parameter("now", Instant())
_awake = _readers.where(sa.or_(subscriptions.c.paused_until.is_(None), subscriptions.c.paused_until <= _now))

"""Who leaves in a transaction is noted beside it, for the journal that outlives a restored backup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from publisher.departures import ALL, Event
from publisher.store.tables import subscribers as people

_KEY = "publisher.departures"


class Noted(NamedTuple):
    """Something that a restored backup must not forget."""

    event: Event
    what: str
    address_key: str
    other: str = ""
    """Of `moved`: the key of the new address."""


def note(conn: sa.Connection, event: Event, address_key: str, what: str = ALL, other: str = "") -> None:
    """Let the journal have this before the transaction is committed."""
    conn.info.setdefault(_KEY, []).append(Noted(event, what, address_key, other))


def note_person(conn: sa.Connection, event: Event, subscriber_id: int, what: str = ALL) -> None:
    """Do as `note` does for a person by id."""
    key = conn.scalar(sa.select(people.c.address_key).where(people.c.id == subscriber_id))
    if key is not None:
        note(conn, event, key, what)


def taken(conn: sa.Connection) -> Sequence[Noted]:
    """Return what was noted on this connection, and forget it."""
    noted: list[Noted] = conn.info.pop(_KEY, [])
    return noted

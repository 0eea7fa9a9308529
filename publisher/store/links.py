"""Links with an end: what a signed token in a mail stands for, until when, and whether it has been used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import links


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link that was sent to a person."""

    id: int
    purpose: str
    """confirm | manage | address"""
    subscriber_id: int
    address: str | None
    """The new address that an `address` link stands for."""
    address_key: str | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


def make(
    conn: sa.Connection,
    purpose: str,
    subscriber_id: int,
    *,
    expires_at: datetime,
    now: datetime,
    address: str | None = None,
    address_key: str | None = None,
) -> int:
    """Make a link and return its number, which is never given to another."""
    row = {
        "purpose": purpose,
        "subscriber_id": subscriber_id,
        "address": address,
        "address_key": address_key,
        "created_at": now,
        "expires_at": expires_at,
    }
    [[id_]] = st.run(conn, st.into(conn.dialect.name, links, returning="id"), **row)
    return int(id_)


def get(conn: sa.Connection, id: int, purpose: str, *, lock: bool = False) -> Link | None:  # noqa: A002 - the column's name
    """Return a link of this purpose, expired or not; None when there is none. `lock`: until the transaction ends."""
    query = sa.select(*(links.c[name] for name in Link.__dataclass_fields__))
    query = query.where(links.c.id == id, links.c.purpose == purpose)
    row = conn.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return Link(**row) if row else None


def use(conn: sa.Connection, id: int, now: datetime) -> None:  # noqa: A002 - the column's name
    """Note that a link has done what it was for."""
    conn.execute(sa.update(links).where(links.c.id == id).values(used_at=now))


def turn(conn: sa.Connection, id: int, purpose: str, expires_at: datetime) -> None:  # noqa: A002 - the column's name
    """Give a link that nobody has seen yet another purpose and end."""
    conn.execute(sa.update(links).where(links.c.id == id).values(purpose=purpose, expires_at=expires_at))


def end(conn: sa.Connection, subscriber_id: int, purpose: str, now: datetime) -> None:
    """End all links of a person that serve a purpose."""
    mine = (links.c.subscriber_id == subscriber_id, links.c.purpose == purpose, links.c.expires_at > now)
    conn.execute(sa.update(links).where(*mine).values(expires_at=now))


def forget(conn: sa.Connection, before: datetime) -> int:
    """Forget links that ended before that; returns how many. From then on they are like links that never were."""
    return conn.execute(sa.delete(links).where(links.c.expires_at <= before)).rowcount

"""Forgetting a person: what is deleted and blanked, and the keyed hash that keeps them out of later imports."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from publisher.store import departures
from publisher.store import statements as st
from publisher.store.forgetting import Forgotten
from publisher.store.tables import (
    attempts,
    deliveries,
    erasures,
    issues,
    links,
    meta,
    notices,
    subscribers,
    subscriptions,
    suppressions,
)


def erase(conn: sa.Connection, address_key: str, address_hash: str, now: datetime) -> bool:
    """Delete everything about an address but its hash; whether anything was known of it.

    Deliveries stay as numbers without a name: an issue's sums must match (P1). What servers said of the person goes,
    since servers repeat addresses.
    """
    departures.note(conn, "erased", address_key)
    p, d = subscribers.c, deliveries.c
    person = conn.execute(sa.select(p.id, p.address).where(p.address_key == address_key).with_for_update()).first()
    kind = conn.scalar(
        sa.delete(suppressions).where(suppressions.c.address_key == address_key).returning(suppressions.c.kind)
    )
    # Somebody may have asked to move to this address without ever owning it.
    moved = conn.execute(sa.delete(links).where(links.c.address_key == address_key)).rowcount
    conn.execute(sa.delete(notices).where(sa.func.lower(notices.c.address) == address_key))
    if person is not None:
        _close(conn, person.id, now)
        conn.execute(sa.update(deliveries).where(d.subscriber_id == person.id).values(subscriber_id=None))
        blank(conn)
        conn.execute(sa.delete(subscribers).where(p.id == person.id))
        for text in {person.address, address_key}:
            said = meta.c.value
            conn.execute(sa.update(meta).where(said.contains(text, autoescape=True)).values(value=_without(said, text)))
    row = {"address_hash": address_hash, "suppressed": kind, "erased_at": now}
    insert = st.insert(conn, erasures).values(row)
    keep = sa.func.coalesce(insert.excluded.suppressed, erasures.c.suppressed)
    conn.execute(
        insert.on_conflict_do_update(
            index_elements=["address_hash"], set_={"suppressed": keep, "erased_at": insert.excluded.erased_at}
        )
    )
    return person is not None or kind is not None or bool(moved)


def erased(conn: sa.Connection, hashes: Collection[str]) -> dict[str, str | None]:
    """Return those of these hashes that belong to erased persons, with the kind of their suppression, if any."""
    return {str(hash_): kind for hash_, kind in st.run(conn, _erased, hashes=list(hashes))}


_erased = sa.select(erasures.c.address_hash, erasures.c.suppressed).where(st.one_of(erasures.c.address_hash, "hashes"))


def welcome_back(conn: sa.Connection, address_hash: str) -> None:
    """Forget that somebody was erased, because they signed up again and confirmed it."""
    conn.execute(sa.delete(erasures).where(erasures.c.address_hash == address_hash))


def unsuppress(conn: sa.Connection, address_hash: str) -> bool:
    """Forget the suppression that an erased address had; whether it had one."""
    e = erasures.c
    statement = sa.update(erasures).where(e.address_hash == address_hash, e.suppressed.is_not(None))
    return conn.execute(statement.values(suppressed=None)).rowcount > 0


def blank(conn: sa.Connection) -> None:
    """Empty what the ledger still says of erased persons: what was on the wire then has been answered since."""
    d = deliveries.c
    told = sa.or_(d.address.is_not(None), d.reply_text.is_not(None))
    # Only where somebody is still named: the ledger grows for years, and after a time all of it is nobody's.
    named = sa.select(issues.c.id).where(sa.func.coalesce(issues.c.forgotten, 0) < Forgotten.READERS)
    nobodys = sa.select(d.id).where(d.issue_id.in_(named), d.subscriber_id.is_(None), told)
    said = sa.update(attempts).where(attempts.c.delivery_id.in_(nobodys), attempts.c.text != "")
    conn.execute(said.values(text=""))
    ended = ["failed", "uncertain", "sending", "deferred"]
    reason = sa.case((d.state.in_(ended), "erased"), else_=d.reason)
    empty = {"address": None, "name": None, "reply_text": None, "subscription_id": None, "reason": reason}
    conn.execute(sa.update(deliveries).where(d.id.in_(nobodys)).values(empty))


def _close(conn: sa.Connection, subscriber_id: int, now: datetime) -> None:
    """Close what waits for the person, and all their subscriptions."""
    d = deliveries.c
    mine = d.subscriber_id == subscriber_id
    waiting = sa.update(deliveries).where(mine, d.state.in_(["queued", "deferred"]))
    conn.execute(waiting.values(state="suppressed", reason="erased", finished_at=now))
    conn.execute(sa.delete(subscriptions).where(subscriptions.c.subscriber_id == subscriber_id))


def _without(column: sa.ColumnElement[str], text: str) -> sa.ColumnElement[str]:
    return sa.func.replace(column, text, "…")

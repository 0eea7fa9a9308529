"""Many people at once: where a batch of addresses stands, what an import writes of it, and how far the import came."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from publisher.model import Content, Format, SubscriptionState
from publisher.store import statements as st
from publisher.store.erasures import erased
from publisher.store.numbering import current_seq
from publisher.store.tables import consents, imports, subscribers, subscriptions, suppressions

_PENDING, _CONFIRMED, _UNSUBSCRIBED = (
    SubscriptionState.PENDING,
    SubscriptionState.CONFIRMED,
    SubscriptionState.UNSUBSCRIBED,
)
_EVENTS = {_PENDING: "requested", _CONFIRMED: "confirmed", _UNSUBSCRIBED: "unsubscribed"}

_KINDS = {"bounced": "bounce", "complained": "complaint"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of one address."""

    subscriber_id: int | None = None
    states: Mapping[str, SubscriptionState] = field(default_factory=dict)
    """By newsletter."""
    suppressed: str = ""


NOBODY = Standing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One subscription that an import writes: a new one, or one that changes its state."""

    subscriber_id: int | None
    """None: nobody has this address yet."""
    address: str
    address_key: str
    name: str
    languages: tuple[str, ...]
    timezone: str
    format: Format
    newsletter: str
    frequency: str
    categories: tuple[str, ...] | None
    content: Content | None
    hour: int | None
    paused_until: datetime | None
    before: SubscriptionState | None
    """None: there is none yet."""
    state: SubscriptionState
    proof: str
    requested_at: datetime | None = None
    """Of one that is to be pending: when it is asked to confirm; None: now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """How far one import of a file came."""

    id: int
    done: int
    """The last row that was taken; 0 before the first."""
    counts: Mapping[str, int]
    started_at: datetime


def standing(
    conn: sa.Connection, keys: Collection[str], *, hash_of: Callable[[str], str], lock: bool
) -> dict[str, Standing]:
    """Return where these addresses stand; who is not known is not in it.

    `hash_of` makes the keyed hash by which erased addresses are known. `lock`: their subscriptions stay as they are.
    """
    s, x = subscriptions.c, suppressions.c
    ids = _ids(conn, keys)
    states: dict[int, dict[str, SubscriptionState]] = {}
    if ids:
        query = sa.select(s.subscriber_id, s.newsletter, s.state).where(st.one_of(s.subscriber_id, ids.values()))
        if lock:
            query = query.order_by(s.id).with_for_update()
        for row in conn.execute(query):
            states.setdefault(row.subscriber_id, {})[row.newsletter] = SubscriptionState(row.state)
    barred = sa.select(x.address_key, x.reason).where(st.one_of(x.address_key, keys))
    reasons = {row.address_key: row.reason for row in conn.execute(barred)}
    hashes = {hash_of(key): key for key in keys}
    reasons |= {hashes[hash_]: "erased" for hash_ in erased(conn, hashes)}
    return {
        key: Standing(
            subscriber_id=(person := ids.get(key)),
            states=states.get(person, {}) if person else {},
            suppressed=reasons.get(key, ""),
        )
        for key in ids.keys() | reasons.keys()
    }


def write(conn: sa.Connection, entries: Sequence[Entry], *, method: str, now: datetime) -> dict[tuple[str, str], int]:
    """Write these, of whom no two are about the same person and newsletter.

    Returns the person's id by address key and newsletter of each that was written. A subscription that somebody else
    made or ended in the meantime stays as it is.
    """
    people = _people(conn, entries, now)
    written = _begin(conn, [e for e in entries if e.before is None], people, now)
    moved = [e for e in entries if e.before is not None]
    for entry in moved:
        written |= _move(conn, people[entry.address_key], entry, now)
    by_place = {(people[e.address_key], e.newsletter): e for e in entries}
    st.many(
        conn,
        st.into(conn.dialect.name, consents),
        [
            {
                "subscriber_id": place[0],
                "newsletter": place[1],
                "event": _EVENTS[by_place[place].state],
                "method": method,
                "proof": by_place[place].proof,
                "form": "",
                "wording": None,
                "client": "",
                "recorded_at": now,
            }
            for place in written
        ],
    )
    return {(by_place[place].address_key, place[1]): place[0] for place in written}


def suppress(conn: sa.Connection, reasons: Mapping[str, str], *, now: datetime) -> None:
    """Never mail these addresses again; a reason that stands already stays."""
    rows = [
        {"address_key": key, "kind": _KINDS.get(reason, "operator"), "reason": reason, "created_at": now}
        for key, reason in reasons.items()
    ]
    if rows:
        # A claim holds the person's row while it looks for suppressions, so one of the two waits for the other.
        locked = sa.select(subscribers.c.id).where(st.one_of(subscribers.c.address_key, reasons))
        conn.execute(locked.order_by(subscribers.c.id).with_for_update())
        insert = st.insert(conn, suppressions).on_conflict_do_nothing(index_elements=["address_key"])
        conn.execute(insert, rows)


def begin(conn: sa.Connection, *, digest: str, file: str, now: datetime) -> Import:
    """Return the import of this digest that was broken off, or a new one."""
    c = imports.c
    query = sa.select(imports).where(c.digest == digest, c.finished_at.is_(None)).order_by(c.id.desc()).limit(1)
    if row := conn.execute(query).one_or_none():
        return Import(id=row.id, done=row.done, counts=row.counts, started_at=row.started_at)
    values = {"digest": digest, "file": file, "done": 0, "counts": {}, "started_at": now, "finished_at": None}
    new = conn.execute(sa.insert(imports).values(values).returning(c.id)).scalar_one()
    return Import(id=new, done=0, counts={}, started_at=now)


def get(conn: sa.Connection, id: int) -> Import | None:  # noqa: A002 - the column's name
    """Return an import that is not finished, locked; None when there is none."""
    query = sa.select(imports).where(imports.c.id == id, imports.c.finished_at.is_(None)).with_for_update()
    row = conn.execute(query).one_or_none()
    return Import(id=row.id, done=row.done, counts=row.counts, started_at=row.started_at) if row else None


def advance(conn: sa.Connection, id: int, *, done: int, counts: Mapping[str, int]) -> None:  # noqa: A002 - the column's name
    """Note, in the transaction that takes the rows, that all up to row `done` are taken."""
    conn.execute(sa.update(imports).where(imports.c.id == id).values(done=done, counts=dict(counts)))


def finish(conn: sa.Connection, id: int, *, counts: Mapping[str, int], now: datetime) -> None:  # noqa: A002 - the column's name
    """Note that an import came to its end, with its final numbers."""
    conn.execute(sa.update(imports).where(imports.c.id == id).values(counts=dict(counts), finished_at=now))


def _people(conn: sa.Connection, entries: Sequence[Entry], now: datetime) -> dict[str, int]:
    """Return the id of each person, adding the new ones; nobody known is changed."""
    ids = {e.address_key: e.subscriber_id for e in entries if e.subscriber_id is not None}
    fresh = {e.address_key: e for e in entries if e.address_key not in ids}
    if fresh:
        rows = [
            {
                "address": e.address,
                "address_key": e.address_key,
                "name": e.name,
                "languages": list(e.languages),
                "timezone": e.timezone,
                "format": e.format,
                "created_at": now,
            }
            for e in fresh.values()
        ]
        st.many(conn, st.into(conn.dialect.name, subscribers, "address_key"), rows)
        ids |= _ids(conn, fresh)
    return ids


def _ids(conn: sa.Connection, keys: Collection[str]) -> dict[str, int]:
    p = subscribers.c
    query = sa.select(p.address_key, p.id).where(st.one_of(p.address_key, keys))
    return {row.address_key: row.id for row in conn.execute(query)}


def _begin(
    conn: sa.Connection, entries: Sequence[Entry], people: Mapping[str, int], now: datetime
) -> dict[tuple[int, str], int]:
    if not entries:
        return {}
    s = subscriptions.c
    seq = current_seq(conn)
    rows: list[dict[str, Any]] = [
        {
            "subscriber_id": people[e.address_key],
            "newsletter": e.newsletter,
            "frequency": e.frequency,
            "state": e.state,
            "categories": None if e.categories is None else list(e.categories),
            "content": e.content,
            "hour": e.hour,
            "paused_until": e.paused_until,
            "start_seq": seq,
            "cursor": seq,
            "created_at": now,
            "requested_at": e.requested_at or now if e.state is _PENDING else None,
            "confirmed_at": now if e.state is _CONFIRMED else None,
            "unsubscribed_at": now if e.state is _UNSUBSCRIBED else None,
        }
        for e in entries
    ]
    insert = st.insert(conn, subscriptions).on_conflict_do_nothing(index_elements=["subscriber_id", "newsletter"])
    new = conn.execute(insert.returning(s.subscriber_id, s.newsletter, s.id), rows)
    return {(person, newsletter): id_ for person, newsletter, id_ in new}


def _move(conn: sa.Connection, person: int, entry: Entry, now: datetime) -> dict[tuple[int, str], int]:
    """Confirm what was pending, or end what was not ended."""
    s = subscriptions.c
    values: dict[str, Any] = {"state": entry.state}
    if entry.state is _CONFIRMED:
        categories = None if entry.categories is None else list(entry.categories)
        values |= {"frequency": entry.frequency, "categories": categories, "confirmed_at": now}
        values |= {"content": entry.content, "hour": entry.hour, "paused_until": entry.paused_until}
    else:
        values |= {"unsubscribed_at": now, "paused_until": None}
    values["requested_at"] = None
    statement = sa.update(subscriptions).where(
        s.subscriber_id == person, s.newsletter == entry.newsletter, s.state == entry.before
    )
    moved = conn.execute(statement.values(values).returning(s.id)).scalar_one_or_none()
    return {} if moved is None else {(person, entry.newsletter): moved}

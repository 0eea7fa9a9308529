"""Many people at once: where a batch of addresses stands, what an import writes of it, and how far the import came."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from publisher.model import Content, Format, SubscriptionState
from publisher.store import departures
from publisher.store import statements as st
from publisher.store.erasures import erased
from publisher.store.numbering import current_seq
from publisher.store.tables import consents, erasures, imports, subscribers, subscriptions, suppressions

_PENDING, _CONFIRMED, _UNSUBSCRIBED = (
    SubscriptionState.PENDING,
    SubscriptionState.CONFIRMED,
    SubscriptionState.UNSUBSCRIBED,
)
_STATES = {str(state): state for state in SubscriptionState}
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


class Entry(NamedTuple):
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
    ids = _ids(conn, keys)
    states: dict[int, dict[str, SubscriptionState]] = {}
    if ids:
        for person, newsletter, state in st.run(conn, _held if lock else _seen, ids=list(ids.values())):
            states.setdefault(person, {})[newsletter] = _STATES[state]
    reasons = {str(key): str(reason) for key, reason in st.run(conn, _barred, keys=list(keys))}
    if st.run(conn, _any_erased):  # most publications never erased anybody, and a hash costs as much as a row
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


_seen = sa.select(*(subscriptions.c[name] for name in ("subscriber_id", "newsletter", "state"))).where(
    st.one_of(subscriptions.c.subscriber_id, "ids")
)
_held = _seen.order_by(subscriptions.c.id).with_for_update()
_barred = sa.select(suppressions.c.address_key, suppressions.c.reason).where(
    st.one_of(suppressions.c.address_key, "keys")
)
_any_erased = sa.select(erasures.c.address_hash).limit(1)


def write(conn: sa.Connection, entries: Sequence[Entry], *, method: str, now: datetime) -> dict[tuple[str, str], int]:
    """Write these, of whom no two are about the same person and newsletter.

    Returns the person's id by address key and newsletter of each that was written. A subscription that somebody else
    made or ended in the meantime stays as it is.
    """
    if not entries:
        return {}
    people = _people(conn, entries, now)
    written = _begin(conn, [e for e in entries if e.before is None], people, now)
    for entry in (e for e in entries if e.before is not None):
        if _move(conn, people[entry.address_key], entry, now):
            written.add((people[entry.address_key], entry.newsletter))
    placed = [((people[e.address_key], e.newsletter), e) for e in entries]
    done = [(place, e) for place, e in placed if place in written]
    statement = st.into_given(conn.dialect.name, consents, _OF_CONSENT, unique=(), returning=())
    rows = st.as_given((*place, _EVENTS[e.state], e.proof) for place, e in done)
    st.run(conn, statement, rows=rows, method=method, form="", client="", recorded_at=now)
    return {(e.address_key, e.newsletter): place[0] for place, e in done}


_OF_CONSENT = ("subscriber_id", "newsletter", "event", "proof")
_OF_PERSON = ("address", "address_key", "name", "languages", "timezone", "format")
_OF_SUBSCRIPTION = (
    "subscriber_id",
    "newsletter",
    "frequency",
    "state",
    "categories",
    "content",
    "hour",
    "paused_until",
    "requested_at",
    "confirmed_at",
    "unsubscribed_at",
)


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
        for row in rows:
            departures.note(conn, "suppressed", str(row["address_key"]), str(row["kind"]))


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
        insert = st.into_given(
            conn.dialect.name, subscribers, _OF_PERSON, unique=("address_key",), returning=("address_key", "id")
        )
        people = ((e.address, e.address_key, e.name, e.languages, e.timezone, e.format) for e in fresh.values())
        ids |= _pairs(st.run(conn, insert, rows=st.as_given(people), created_at=now))
        if missing := [key for key in fresh if key not in ids]:  # they signed up at this moment
            ids |= _ids(conn, missing)
    return ids


def _ids(conn: sa.Connection, keys: Collection[str]) -> dict[str, int]:
    """Return the id by key of those who are known."""
    return _pairs(st.run(conn, _named, keys=list(keys)))


def _pairs(rows: Sequence[Sequence[Any]]) -> dict[str, int]:
    return {key: id_ for key, id_ in rows}  # noqa: C416 - what types the pair


_named = sa.select(subscribers.c.address_key, subscribers.c.id).where(st.one_of(subscribers.c.address_key, "keys"))


def _begin(
    conn: sa.Connection, entries: Sequence[Entry], people: Mapping[str, int], now: datetime
) -> set[tuple[int, str]]:
    """Begin subscriptions; returns (person, newsletter) of those that were not there."""
    seq = current_seq(conn)
    insert = st.into_given(
        conn.dialect.name,
        subscriptions,
        _OF_SUBSCRIPTION,
        unique=("subscriber_id", "newsletter"),
        returning=("subscriber_id", "newsletter"),
    )
    rows = st.as_given(
        (
            people[e.address_key],
            e.newsletter,
            e.frequency,
            e.state,
            e.categories,
            e.content,
            e.hour,
            e.paused_until,
            e.requested_at or now if e.state is _PENDING else None,
            now if e.state is _CONFIRMED else None,
            now if e.state is _UNSUBSCRIBED else None,
        )
        for e in entries
    )
    new = st.run(conn, insert, rows=rows, start_seq=seq, cursor=seq, created_at=now)
    return {(person, newsletter) for person, newsletter in new}


def _move(conn: sa.Connection, person: int, entry: Entry, now: datetime) -> bool:
    """Confirm what was pending, or end what was not ended; whether it was still so."""
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
    moved = conn.execute(statement.values(values)).rowcount > 0
    if moved and entry.state is _UNSUBSCRIBED:
        departures.note(conn, "left", entry.address_key, entry.newsletter)
    return moved

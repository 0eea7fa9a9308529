"""Paces: the buckets that all workers share, charged in the transaction that claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.mail.pace import FRESH, UNLIMITED, Limit, Pace, Slow, charged, free_at, hurried
from publisher.store import statements as st
from publisher.store.tables import paces

TRANSPORT, PROVIDER, NEWSLETTER = "transport", "provider", "newsletter"


def key_of_transport(transport: str) -> str:
    """Return the key of what a transport as a whole carries."""
    return f"{TRANSPORT} {transport}"


def key_of_provider(transport: str, provider: str) -> str:
    """Return the key of what one provider gets over one transport: it judges us by where our mail comes from."""
    return f"{PROVIDER} {transport} {provider}"


def key_of_newsletter(newsletter: str) -> str:
    """Return the key of one newsletter."""
    return f"{NEWSLETTER} {newsletter}"


@dataclass(frozen=True, slots=True)
class Charged:
    """What a claim was granted."""

    granted: tuple[bool, ...]
    """For each mail, in the order asked for, whether it may go now."""
    paces: Mapping[str, Pace]
    """Of every key that was asked for, as it is now."""


def load(conn: sa.Connection) -> dict[str, Pace]:
    """Return all that is remembered, by key."""
    return {row.key: _pace(row) for row in conn.execute(sa.select(paces).order_by(paces.c.key))}


def charge(conn: sa.Connection, mails: Sequence[Sequence[str]], limits: Mapping[str, Limit], now: datetime) -> Charged:
    """Let each mail go, given by the keys it counts against, that all of its paces allow at this moment.

    The rows are locked until the transaction ends, so that workers who share them never exceed a limit together. A key
    that `limits` does not name has no limit but what a receiver's complaint has set.
    """
    before = _locked(conn, {key for keys in mails for key in keys})
    after = dict(before)
    granted = []
    for keys in mails:
        fit = all(free_at(limits.get(key, UNLIMITED), after[key], now) <= now for key in keys)
        granted.append(fit)
        if fit:
            after |= {key: charged(limits.get(key, UNLIMITED), after[key], now) for key in keys}
    _put(conn, {key: pace for key, pace in after.items() if pace is not before[key]})
    return Charged(tuple(granted), after)


def hurry(conn: sa.Connection, keys: Sequence[str], limits: Mapping[str, Limit], now: datetime) -> datetime | None:
    """Count a mail that goes before all others, however many went; returns when it may go if a pace rests until then.

    The others wait the longer for it, so that a limit holds all the same.
    """
    before = _locked(conn, keys)
    rests = [pace.slow.rests_until for pace in before.values() if pace.slow and pace.slow.rests_until > now]
    if rests:
        return max(rests)
    _put(conn, {key: hurried(limits.get(key, UNLIMITED), pace, now) for key, pace in before.items()})
    return None


def change(conn: sa.Connection, key: str, pace: Pace) -> None:
    """Remember this of a key."""
    _put(conn, {key: pace})


def locked(conn: sa.Connection, key: str) -> Pace:
    """Return what is remembered of a key; nobody else changes it before this transaction ends."""
    return _locked(conn, [key])[key]


def _locked(conn: sa.Connection, keys: Iterable[str]) -> dict[str, Pace]:
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    query = sa.select(paces).where(st.one_of(paces.c.key, wanted)).order_by(paces.c.key).with_for_update()
    found = {row.key: _pace(row) for row in conn.execute(query)}
    if len(found) < len(wanted):
        # What is not there cannot be locked: made first, by whoever comes first.
        missing = [{"key": key} for key in wanted if key not in found]
        conn.execute(st.insert(conn, paces).on_conflict_do_nothing(), missing)
        found = {row.key: _pace(row) for row in conn.execute(query)}
    return found


def _put(conn: sa.Connection, changed: Mapping[str, Pace]) -> None:
    rows = [
        {
            "key": key,
            "full_at": pace.full_at,
            "since_at": pace.since_at,
            "slow_per_hour": pace.slow.per_hour if pace.slow else None,
            "slow_at": pace.slow.since_at if pace.slow else None,
            "rests_until": pace.slow.rests_until if pace.slow else None,
            "slow_reason": pace.slow.reason if pace.slow else None,
        }
        for key, pace in sorted(changed.items())
    ]
    st.upsert(conn, paces, rows, keys=["key"])


def _pace(row: st.AnyRow) -> Pace:
    slow = None
    if row.slow_per_hour is not None:
        slow = Slow(
            per_hour=row.slow_per_hour, since_at=row.slow_at, rests_until=row.rests_until, reason=row.slow_reason or ""
        )
    if row.full_at is None and row.since_at is None and slow is None:
        return FRESH
    return Pace(full_at=row.full_at, since_at=row.since_at, slow=slow)

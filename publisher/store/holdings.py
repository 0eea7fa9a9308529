"""What is held about people, in numbers: for whoever has to say it within three days of a breach (GDPR Art. 33)."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from publisher.store import tables as t


def counts(conn: sa.Connection) -> dict[str, int]:
    """Return how many rows of each kind there are; deliveries count while they say whose they were."""
    return {name: int(conn.scalar(query) or 0) for name, query in _QUERIES.items()}


def _all(table: sa.Table, *which: sa.ColumnElement[bool]) -> sa.Select[int]:
    return sa.select(sa.func.count()).select_from(table).where(*which)


_QUERIES: Mapping[str, sa.Select[int]] = {
    "people": _all(t.subscribers),
    "subscriptions": _all(t.subscriptions),
    "consents": _all(t.consents),
    "links": _all(t.links),
    "notices": _all(t.notices),
    "deliveries": _all(t.deliveries, t.deliveries.c.subscriber_id.is_not(None)),
    "words": _all(t.deliveries, t.deliveries.c.reply_text.is_not(None)),
    "suppressions": _all(t.suppressions),
    "hashes": _all(t.erasures),
    "requests": _all(t.requests),
    "accounts": _all(t.accounts),
    "sessions": _all(t.sessions),
    "audit": _all(t.audit),
}

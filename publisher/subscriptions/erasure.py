"""Everything held about a person, for them to see, and its erasure from the database and whatever lies beside it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import Any

from publisher.mail.inbox import Inbox
from publisher.store import consents, deliveries, erasures, notices, subscribers
from publisher.store.consents import Evidence
from publisher.store.database import Connection, Database
from publisher.tokens import Pepper


def everything(conn: Connection, address_key: str, address_hash: str) -> dict[str, Any] | None:
    """Return all that is held about an address as JSON values, None when nothing is (Art. 15, 20)."""
    person = subscribers.get(conn, address_key=address_key)
    suppression = subscribers.suppression(conn, address_key)
    erased = erasures.erased(conn, [address_hash])
    if person is None and suppression is None and not erased:
        return None
    record = consents.of(conn, person.id) if person else []
    agreed = {one.wording: consents.version_and_text(conn, one.wording) for one in record if one.wording}
    return {
        "person": _json(asdict(person)) if person else None,
        "subscriptions": [_json(asdict(item)) for item in subscribers.subscriptions_of(conn, person.id)]
        if person
        else [],
        "consents": [
            _json(asdict(one))
            | dict(zip(("version", "text"), agreed.get(one.wording or "") or (None, None), strict=True))
            for one in record
        ],
        "deliveries": [_json(one) for one in deliveries.of_person(conn, person.id)] if person else [],
        "notices": [
            {"kind": kind, "state": state, "created_at": created.isoformat()}
            for kind, state, created in (notices.of(conn, [person.id]) if person else [])
        ],
        "suppression": _json(suppression) if suppression else None,
        "erased_before": bool(erased),
    }


async def erase(
    db: Database, pepper: Pepper, address: str, address_key: str, inbox: Inbox | None, now: datetime
) -> bool:
    """Forget an address in one transaction, then wipe what it left behind on this machine; whether it was known.

    On SQLite nothing of it is in the data directory when this returns. Raises StoreError or BusyError; when that comes
    after the transaction, doing it again finishes it.
    """
    known = await db.awrite(lambda conn: erasures.erase(conn, address_key, pepper.hash(address_key), now))
    if inbox is not None:
        await asyncio.to_thread(inbox.forget, {address, address_key})
    await db.awipe()
    return known


def unsuppress(conn: Connection, address_key: str, address_hash: str, now: datetime) -> bool:
    """Let an address be mailed again by the operator's word, on record; whether it was suppressed."""
    erased = erasures.unsuppress(conn, address_hash)
    if not subscribers.unsuppress(conn, address_key):
        return erased
    person = subscribers.get(conn, address_key=address_key)
    if person is not None:
        consents.record(conn, person.id, "", "suppression-lifted", Evidence(method="command"), now)
    return True


def _json(value: dict[str, Any]) -> dict[str, Any]:
    def plain(one: Any) -> Any:  # noqa: ANN401 - any value of a row
        if isinstance(one, datetime):
            return one.isoformat()
        return list(one) if isinstance(one, tuple) else one

    return {name: plain(one) for name, one in value.items()}

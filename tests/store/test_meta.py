"""Single values are kept as they were put."""

from __future__ import annotations

from publisher.store import meta
from publisher.store.database import Database


def test_a_value_is_replaced_by_the_next(database: Database) -> None:
    """What was put last is what one gets; what was never put is None."""
    database.write(lambda conn: meta.put(conn, "last_seen_at", "one"))
    database.write(lambda conn: meta.put(conn, "last_seen_at", "two"))
    found = database.read(lambda conn: (meta.get(conn, "last_seen_at"), meta.get(conn, "instance")))
    assert found == ("two", None)

"""Single values that the program remembers, such as when it was last seen alive."""

from __future__ import annotations

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import meta


def get(conn: sa.Connection, key: str) -> str | None:
    """Return the value kept under `key`, None when there is none."""
    return conn.scalar(sa.select(meta.c.value).where(meta.c.key == key))


def put(conn: sa.Connection, key: str, value: str) -> None:
    """Keep `value` under `key`, replacing what was there."""
    st.upsert(conn, meta, [{"key": key, "value": value}], keys=["key"])

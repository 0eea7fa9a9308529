"""Single values that the program remembers, such as when it was last seen alive."""

from __future__ import annotations

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import meta


def get(conn: sa.Connection, key: str) -> str | None:
    """Return the value kept under `key`, None when there is none."""
    return conn.scalar(sa.select(meta.c.value).where(meta.c.key == key))


def keep(conn: sa.Connection, key: str, value: str) -> str:
    """Keep `value` under `key` if nothing is there yet, and return what is."""
    conn.execute(st.insert(conn, meta).values(key=key, value=value).on_conflict_do_nothing())
    return get(conn, key) or value


def put(conn: sa.Connection, key: str, value: str) -> None:
    """Keep `value` under `key`, replacing what was there."""
    st.upsert(conn, meta, [{"key": key, "value": value}], keys=["key"])


def drop(conn: sa.Connection, key: str) -> None:
    """Forget what was kept under `key`, if anything was."""
    conn.execute(sa.delete(meta).where(meta.c.key == key))

"""What was done, by whom and when: rows are added, never changed and never deleted (spec delivery §8)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from publisher.accounts.values import Audited
from publisher.store import statements as st
from publisher.store.tables import audit


def note(conn: sa.Connection, *, who: str, action: str, subject: str, now: datetime, form: str | None = None) -> bool:
    """Write down what is being done; False when this form did it already, which is then nothing new (K16).

    `subject` names what it is done to (`issue 0a1b2c`, `reader 7`), and holds no address and no content.
    """
    row = {"recorded_at": now, "who": who, "action": action, "subject": subject, "form": form}
    statement = st.insert(conn, audit).values(row).on_conflict_do_nothing(index_elements=["form"])
    return conn.execute(statement.returning(audit.c.id)).first() is not None


def listing(conn: sa.Connection, *, before: int | None = None, limit: int) -> list[Audited]:
    """Return rows, the latest first, from the one before the row with id `before`."""
    a = audit.c
    query = sa.select(a.id, a.recorded_at, a.who, a.action, a.subject).order_by(a.id.desc()).limit(limit)
    if before is not None:
        query = query.where(a.id < before)
    return [Audited(**row) for row in conn.execute(query).mappings()]

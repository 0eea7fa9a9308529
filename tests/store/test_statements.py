"""Statements that are made once: what rows of any number do in one parameter, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.database import Connection, Database
from publisher.store.tables import workers
from tests.store.make import NOW

ENDED = st.few(workers.c.epoch, workers.c.stopped_at)
END = (
    sa.update(workers)
    .where(workers.c.epoch == ENDED["epoch"], workers.c.started_at == st.parameter("began", workers.c.started_at.type))
    .values(stopped_at=ENDED["stopped_at"])
)
COUNT = sa.select(sa.func.count(workers.c.epoch.distinct())).where(
    workers.c.epoch == ENDED["epoch"], workers.c.stopped_at == ENDED["stopped_at"]
)


@pytest.mark.parametrize("number", [1, 2, 8, 9, 16, 17, st.MOST])
def test_each_row_changes_its_own_and_no_other(database: Database, number: int) -> None:
    """A number that the statement is not written for is filled up, and what fills it changes nothing."""

    def work(conn: Connection) -> tuple[dict[int, object], int]:
        conn.execute(sa.insert(workers), [{"started_at": NOW} for _ in range(number + 2)])
        epochs = list(conn.scalars(sa.select(workers.c.epoch).order_by(workers.c.epoch)))
        rows = [(epoch, NOW + timedelta(seconds=epoch)) for epoch in epochs[1:-1]]
        st.run(conn, END, rows=rows, began=NOW)
        found = {row.epoch: row.stopped_at for row in conn.execute(sa.select(workers))}
        return found, st.scalar(conn, COUNT, rows=rows)

    found, counted = database.write(work)
    first, *between, last = sorted(found)
    assert found == {first: None, last: None} | {epoch: NOW + timedelta(seconds=epoch) for epoch in between}
    assert counted == len(between) == number


def test_a_row_may_take_a_value_away(database: Database) -> None:
    """None is a value like others."""

    def work(conn: Connection) -> list[object]:
        conn.execute(sa.insert(workers), [{"started_at": NOW, "stopped_at": stopped_at} for stopped_at in (NOW, None)])
        one, two = conn.scalars(sa.select(workers.c.epoch).order_by(workers.c.epoch))
        st.run(conn, END, rows=[(one, None), (two, NOW)], began=NOW)
        return list(conn.scalars(sa.select(workers.c.stopped_at).order_by(workers.c.epoch)))

    assert database.write(work) == [None, NOW]

"""The few statements that both dialects know but SQLAlchemy spells apart, and lists cut to what a statement holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")
AnyRow = sa.Row[*tuple[Any, ...]]
_CHUNK = 900  # parameters of one IN list; SQLite built with old limits takes 999


def chunks(values: Iterable[T], size: int = _CHUNK) -> Iterator[list[T]]:
    """Cut `values`, each taken once, into lists short enough for an IN list."""
    rest = iter(dict.fromkeys(values))
    while chunk := list(islice(rest, size)):
        yield chunk


def insert(conn: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that knows ON CONFLICT."""
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)


def insert_all(conn: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert `rows`, which all have the same columns; none is fine."""
    if rows:
        conn.execute(sa.insert(table), rows)


def upsert(conn: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], *, keys: Sequence[str]) -> None:
    """Insert `rows`, or replace the other columns where `keys` exist already."""
    if rows:
        statement = insert(conn, table)
        changes = {name: statement.excluded[name] for name in rows[0] if name not in keys}
        conn.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changes), rows)


def delete_in(
    conn: sa.Connection, column: sa.Column[Any], values: Iterable[Any], *also: sa.ColumnElement[bool]
) -> None:
    """Delete the rows whose `column` is among `values`."""
    for chunk in chunks(values):
        conn.execute(sa.delete(column.table).where(column.in_(chunk), *also))


def among(column: sa.ColumnElement[str], values: Iterable[str]) -> sa.ColumnElement[bool]:
    """Write `column IN (…)` with the values in the text, so that the planner can match it with a partial index.

    Only for words of our own (states), never for input.
    """
    return column.in_(sa.bindparam(None, list(values), expanding=True, literal_execute=True))

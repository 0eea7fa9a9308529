"""The few statements that both dialects know but SQLAlchemy spells apart, and lists of any length."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

AnyRow = sa.Row[*tuple[Any, ...]]


class _Members(sa.types.TypeDecorator[Any]):
    """A list in one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, item: type[sa.types.TypeEngine[Any]]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Choose the parameter's type."""
        return postgresql.ARRAY(self.item) if dialect.name == "postgresql" else sa.Text()

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ANN401 - the driver's type
        """Encode on SQLite; psycopg does it on PostgreSQL."""
        return value if dialect.name == "postgresql" else json.dumps(value, ensure_ascii=False)


class one_of(FunctionElement[bool]):  # noqa: N801 - written like a function of SQLAlchemy
    """`column` is among `values`, however many: one statement and one parameter, where IN lists end at 999."""

    # Not Boolean: where truth is a number SQLAlchemy would add "= 1", and SQLite would use no index.
    type: sa.types.TypeEngine[Any] = sa.types.NULLTYPE
    inherit_cache = True

    def __init__(self, column: sa.ColumnElement[Any], values: Iterable[Any] | str) -> None:
        """`values`: a list, or the name of the parameter that will bring it, in a statement made once."""
        members = _Members(sa.BigInteger if isinstance(column.type, sa.Integer) else sa.Text)
        if isinstance(values, str):
            super().__init__(column, sa.bindparam(values, type_=members))
        else:
            super().__init__(column, sa.bindparam(None, list(values), type_=members, unique=True))


@compiles(one_of, "postgresql")
def _any(element: one_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY ({values})"


@compiles(one_of, "sqlite")
def _in_json(element: one_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - both compiled, values bound


def insert(conn: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that knows ON CONFLICT."""
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)


def insert_all(conn: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert `rows`, which all have the same columns; none is fine."""
    if rows:
        conn.execute(sa.insert(table), rows)


@functools.lru_cache(maxsize=64)
def _compiled(statement: sa.UpdateBase, dialect: sa.Dialect) -> tuple[str, Sequence[str], Sequence[Any], bool]:
    """Return the text of a statement, the names of its parameters in order, what encodes each, and how it is given."""
    compiled = statement.compile(dialect=dialect)
    names = list(compiled.positiontup or compiled.binds)
    encoders = [compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]
    return str(compiled), names, encoders, compiled.positiontup is not None


def many(conn: sa.Connection, statement: sa.UpdateBase, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run a statement that is made once (all values by named parameters) for each of `rows`; none is fine.

    As `conn.execute` does, at a fifth of its cost a row: the outbox does this for every message.
    """
    if not rows:
        return
    text, names, encoders, positional = _compiled(statement, conn.dialect)
    values = [
        [encode(row[name]) if encode else row[name] for name, encode in zip(names, encoders, strict=True)]
        for row in rows
    ]
    conn.exec_driver_sql(
        text,
        [tuple(row) if positional else dict(zip(names, row, strict=True)) for row in values],
    )


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
    conn.execute(sa.delete(column.table).where(one_of(column, values), *also))


def among(column: sa.ColumnElement[str], values: Iterable[str]) -> sa.ColumnElement[bool]:
    """Write `column IN (…)` with the values in the text, so that the planner can match it with a partial index.

    Only for words of our own (states), never for input.
    """
    words = list(values)
    if len(words) == 1:  # SQLite does not see that IN ('x') is = 'x'
        return column == sa.bindparam(None, words[0], literal_execute=True)
    return column.in_(sa.bindparam(None, words, expanding=True, literal_execute=True))

"""Statements that both dialects know but SQLAlchemy spells apart, and statements that are made once and run often."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import sqlalchemy as sa

from publisher.store.expressions import MOST, Rows, among, as_given, few, given, one_of, parameter, spread

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

__all__ = [
    "MOST",
    "AnyRow",
    "among",
    "as_given",
    "by_index",
    "delete_in",
    "few",
    "given",
    "insert",
    "insert_all",
    "into",
    "into_given",
    "many",
    "one_of",
    "parameter",
    "run",
    "scalar",
    "upsert",
]

AnyRow = sa.Row[*tuple[Any, ...]]


def insert(conn: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that knows ON CONFLICT."""
    return _insert(conn.dialect.name, table)


def _insert(dialect: str, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    # Here, because each dialect takes a while to load, and a process needs one of them.
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


@functools.cache
def into(dialect: str, table: sa.Table, *unique: str, returning: str = "") -> sa.Insert:
    """Return an INSERT of all columns but the id, made once, for `run` and `many`; a column that is not given is NULL.

    A row whose `unique` columns are there already stays as it is, and nothing is returned of it.
    """
    values = {column.name: parameter(column.name, column.type) for column in table.c if column.name != "id"}
    statement = _insert(dialect, table).values(values)
    if unique:
        statement = statement.on_conflict_do_nothing(index_elements=list(unique))
    return statement.returning(table.c[returning]) if returning else statement


def insert_all(conn: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert `rows`, which all have the same columns; none is fine."""
    if rows:
        conn.execute(sa.insert(table), rows)


@functools.cache
def into_given(
    dialect: str, table: sa.Table, rows: tuple[str, ...], *, unique: tuple[str, ...], returning: tuple[str, ...]
) -> sa.Insert:
    """Return an INSERT, made once, of many rows that come in one parameter, `rows`; see `given` and `into`.

    `rows` names the columns that differ from row to row. All others but the id have one value for all rows, which is a
    parameter by the column's name.
    """
    each = given(*(table.c[name] for name in rows))
    columns = [column for column in table.c if column.name != "id"]
    values = [each.get(column.name, parameter(column.name, column.type)) for column in columns]
    # SQLite takes ON for a join's unless a WHERE stands before it.
    source = sa.select(*values).where(sa.true())
    statement = _insert(dialect, table).from_select([column.name for column in columns], source)
    if unique:
        statement = statement.on_conflict_do_nothing(index_elements=list(unique))
    return statement.returning(*(table.c[name] for name in returning)) if returning else statement


class _Compiled(NamedTuple):
    text: str
    parameters: Sequence[tuple[str, Any, Callable[[Any], Any] | None]]
    """Name, value if it has its own, and encoder of each."""
    positional: bool
    as_json: bool
    """Whether its rows come as one."""
    rows: int | None
    """Which of the parameters brings rows that `spread` spreads."""


@functools.lru_cache(maxsize=256)
def _compiled(statement: sa.Executable, dialect: sa.Dialect, *, one: bool = False) -> _Compiled:
    compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]  # Executable in name
    positional = compiled.positiontup is not None
    parameters: list[tuple[str, Any, Callable[[Any], Any] | None]] = []
    rows = None
    for name in compiled.positiontup if positional else compiled.bind_names.values():
        if compiled.binds[name] in compiled.literal_execute_params:
            continue
        bind = compiled.binds[name]
        if isinstance(bind.type, Rows) and dialect.name == "sqlite":
            rows = len(parameters)
        parameters.append((name, bind.effective_value, bind.type.dialect_impl(dialect).bind_processor(dialect)))
    text = str(compiled)
    as_json = dialect.name == "sqlite" and isinstance(statement, sa.Select) and not one
    if isinstance(statement, sa.Select) and as_json:
        # The driver gives up the interpreter's lock for every row, and other threads take it.
        columns = ", ".join(statement.selected_columns.keys())
        text = f"SELECT json_group_array(json_array({columns})) FROM ({text})"  # noqa: S608 - our own names
    return _Compiled(text, parameters, positional, as_json, rows)


def run(conn: sa.Connection, statement: sa.Executable, **values: Any) -> Sequence[Sequence[Any]]:  # noqa: ANN401 - any
    """Run a statement that is made once and return its rows as the driver gives them: times and JSON stay encoded.

    As `conn.execute` does, at a fraction of its cost: the outbox does this for every message.
    """
    return _run(conn, _compiled(statement, conn.dialect), values)


def scalar(conn: sa.Connection, statement: sa.Executable, **values: Any) -> Any:  # noqa: ANN401 - any
    """Return the only value of the only row that a statement gives, None when it gives none; else as `run`."""
    found = _run(conn, _compiled(statement, conn.dialect, one=True), values)
    return found[0][0] if found else None


def _run(conn: sa.Connection, compiled: _Compiled, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
    text, parameters, positional, as_json, rows = compiled
    given = [encode(values.get(name, own)) if encode else values.get(name, own) for name, own, encode in parameters]
    if rows is not None:
        text, given = spread(text, given, rows)
    driver = conn.dialect.loaded_dbapi
    cursor = conn.connection.cursor()
    try:
        cursor.execute(text, given if positional else dict(zip((name for name, *_ in parameters), given, strict=True)))
        if as_json:
            [[found]] = cursor.fetchall()
            return cast("list[list[Any]]", json.loads(found))
        return list(cursor.fetchall()) if cursor.description else []
    except driver.Error as error:
        # Parameters are left out: addresses of readers do not belong in error messages.
        raise sa.exc.DBAPIError.instance(text, None, error, driver.Error, True, dialect=conn.dialect) from error
    finally:
        cursor.close()


def many(conn: sa.Connection, statement: sa.Executable, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run a statement that is made once (all values by named parameters) for each of `rows`; none is fine.

    As `conn.execute` does, at a fifth of its cost a row: an import does this for every reader.
    """
    if not rows:
        return
    text, parameters, positional, *_ = _compiled(statement, conn.dialect)
    names = [name for name, _, _ in parameters]
    values = [[encode(row[name]) if encode else row[name] for name, _, encode in parameters] for row in rows]
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


def by_index(conn: sa.Connection) -> None:
    """Let what is ordered in this transaction be read in the order of an index, whatever the planner believes.

    PostgreSQL's statistics know nothing yet of a million rows just queued. Taken for a few, they are all read and
    sorted for each block: five seconds instead of two milliseconds.
    """
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql("SET LOCAL enable_sort = off")


def delete_in(
    conn: sa.Connection, column: sa.Column[Any], values: Iterable[Any], *also: sa.ColumnElement[bool]
) -> None:
    """Delete the rows whose `column` is among `values`."""
    conn.execute(sa.delete(column.table).where(one_of(column, values), *also))

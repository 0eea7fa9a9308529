"""The few statements that both dialects know but SQLAlchemy spells apart, and lists of any length."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from publisher.store.tables import Instant, as_text

MOST = 1000
"""Rows for one statement made with `few`: SQLite takes 32,766 values."""

AnyRow = sa.Row[*tuple[Any, ...]]


def parameter(name: str, type_: sa.types.TypeEngine[Any]) -> sa.BindParameter[Any]:
    """Return what stands for a value in a statement that is made once; see `run`."""
    return sa.bindparam(name, type_=type_, required=False)


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
            super().__init__(column, parameter(values, members))
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


@functools.cache
def into(dialect: str, table: sa.Table, *unique: str, returning: str = "") -> sa.Insert:
    """Return an INSERT of all columns but the id, made once, for `run` and `many`; a column that is not given is NULL.

    A row whose `unique` columns are there already stays as it is, and nothing is returned of it.
    """
    values = {column.name: parameter(column.name, column.type) for column in table.c if column.name != "id"}
    statement: postgresql.Insert | sqlite.Insert
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    statement = statement.values(values)
    if unique:
        statement = statement.on_conflict_do_nothing(index_elements=list(unique))
    return statement.returning(table.c[returning]) if returning else statement


def insert_all(conn: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert `rows`, which all have the same columns; none is fine."""
    if rows:
        conn.execute(sa.insert(table), rows)


class _each(FunctionElement[Any]):  # noqa: N801 - as `one_of`
    inherit_cache = True


@compiles(_each, "postgresql")
def _array_elements(element: _each, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    return f"jsonb_array_elements(CAST({compiler.process(element.clauses, **options)} AS jsonb))"


@compiles(_each, "sqlite")
def _json_each(element: _each, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    return f"json_each({compiler.process(element.clauses, **options)})"


class _field(FunctionElement[Any]):  # noqa: N801 - as `one_of`
    inherit_cache = True

    def __init__(self, value: sa.ColumnElement[Any], place: int, type_: sa.types.TypeEngine[Any]) -> None:
        super().__init__(value, sa.literal_column(str(place)))
        self.type = type_


@compiles(_field, "postgresql")
def _jsonb_field(element: _field, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    value, place = (compiler.process(clause, **options) for clause in element.clauses)
    text = f"({value} ->> {place})"
    if isinstance(element.type, sa.Text):
        return text
    return f"CAST({text} AS {compiler.dialect.type_compiler_instance.process(element.type)})"


@compiles(_field, "sqlite")
def _json_field(element: _field, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    value, place = (compiler.process(clause, **options) for clause in element.clauses)
    return f"json_extract({value}, '$[{place}]')"


def given(*columns: sa.ColumnClause[Any], name: str = "rows") -> Mapping[str, sa.ColumnElement[Any]]:
    """Return the columns, by name, of rows that come in one parameter called `name`; `as_given` makes its value.

    One statement changes any number of rows then, and the driver gives up the interpreter's lock once for all of them.
    """
    value = _each(parameter(name, sa.Text())).table_valued("value", name=f"each_{name}").c.value
    return {column.name: _field(value, place, column.type) for place, column in enumerate(columns)}


class _Rows(sa.types.TypeDecorator[Any]):
    """Rows in one parameter: JSON on PostgreSQL; on SQLite `run` writes a place for each value."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, moments: tuple[int, ...]) -> None:
        """`moments`: the places of times."""
        super().__init__()
        self.moments = moments

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ANN401 - the driver's type
        """Encode the times; on PostgreSQL everything."""
        rows = [list(row) for row in value]
        for row in rows:
            for place in self.moments:
                if row[place] is not None:
                    row[place] = as_text(row[place])
        return rows if dialect.name == "sqlite" else _encode(rows)


class _few(_each):  # noqa: N801 - as `one_of`
    inherit_cache = True


@compiles(_few, "sqlite")
def _values(element: _few, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    return f"(VALUES {_PLACES}{compiler.process(element.clauses, **options)})"


_PLACES = "/* rows */"


class _column(_field):  # noqa: N801 - as `one_of`
    inherit_cache = True


@compiles(_column, "sqlite")
def _values_column(element: _column, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    value, place = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{value.removesuffix('value')}column{int(place) + 1}"


def few(*columns: sa.Column[Any], name: str = "rows") -> Mapping[str, sa.ColumnElement[Any]]:
    """Do as `given` does for one row to `MOST`, given as they are, for a statement that changes or counts what exists.

    Taking JSON to pieces costs SQLite more than the change itself. One row may come twice, which changes nothing.
    """
    moments = tuple(place for place, column in enumerate(columns) if isinstance(column.type, Instant))
    value = _few(parameter(name, _Rows(moments))).table_valued("value", name=f"each_{name}").c.value
    return {column.name: _column(value, place, column.type) for place, column in enumerate(columns)}


def as_given(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as the parameter of a statement made with `given`: values in the order of the columns."""
    return _encode(list(rows))


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
    statement: postgresql.Insert | sqlite.Insert
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    statement = statement.from_select([column.name for column in columns], source)
    if unique:
        statement = statement.on_conflict_do_nothing(index_elements=list(unique))
    return statement.returning(*(table.c[name] for name in returning)) if returning else statement


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=as_text).encode


class _Compiled(NamedTuple):
    text: str
    parameters: Sequence[tuple[str, Any, Callable[[Any], Any] | None]]
    """Name, value if it has its own, and encoder of each."""
    positional: bool
    as_json: bool
    """Whether its rows come as one."""
    rows: int | None
    """Which of the parameters brings rows that `_spread` spreads."""


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
        if isinstance(bind.type, _Rows) and dialect.name == "sqlite":
            rows = len(parameters)
        parameters.append((name, bind.effective_value, bind.type.dialect_impl(dialect).bind_processor(dialect)))
    text = str(compiled)
    as_json = dialect.name == "sqlite" and isinstance(statement, sa.Select) and not one
    if isinstance(statement, sa.Select) and as_json:
        # The driver gives up the interpreter's lock for every row, and other threads take it.
        columns = ", ".join(statement.selected_columns.keys())
        text = f"SELECT json_group_array(json_array({columns})) FROM ({text})"  # noqa: S608 - our own names
    return _Compiled(text, parameters, positional, as_json, rows)


@functools.lru_cache(maxsize=128)
def _with_places(text: str, rows: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return text.replace(f"{_PLACES}?", ", ".join([row] * rows))


def _spread(text: str, parameters: list[Any], place: int) -> tuple[str, list[Any]]:
    """Return a statement and its parameters with a place for each value of the rows that one of them brings."""
    rows = parameters[place]
    if len(rows) > 8:
        # The last row again changes nothing, and the driver keeps but a hundred statements prepared.
        rows += rows[-1:] * (-len(rows) % 8)
    values = itertools.chain.from_iterable(rows)
    return _with_places(text, len(rows), len(rows[0])), [*parameters[:place], *values, *parameters[place + 1 :]]


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
        text, given = _spread(text, given, rows)
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


def among(column: sa.ColumnElement[str], values: Iterable[str]) -> sa.ColumnElement[bool]:
    """Write `column IN (…)` with the values in the text, so that the planner can match it with a partial index.

    Only for words of our own (states), never for input.
    """
    words = list(values)
    if len(words) == 1:  # SQLite does not see that IN ('x') is = 'x'
        return column == sa.bindparam(None, words[0], literal_execute=True)
    return column.in_(sa.bindparam(None, words, expanding=True, literal_execute=True))

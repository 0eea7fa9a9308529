"""Expressions that both dialects know but SQLAlchemy spells apart, and lists and rows that come in one parameter."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from publisher.store.tables import Instant, as_text

MOST = 1000
"""Rows for one statement made with `few`: SQLite takes 32,766 values."""


def parameter(name: str, type_: sa.types.TypeEngine[Any]) -> sa.BindParameter[Any]:
    """Return what stands for a value in a statement that is made once; see `run`."""
    return sa.bindparam(name, type_=type_, required=False)


def month_of(conn: sa.Connection, moment: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Return the UTC month of a moment: `2026-10`."""
    if conn.dialect.name == "postgresql":
        return sa.func.to_char(sa.func.timezone("UTC", moment), "YYYY-MM", type_=sa.Text)
    return sa.func.substr(moment, 1, 7, type_=sa.Text)


class _Members(sa.types.TypeDecorator[Any]):
    """A list in one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, item: type[sa.types.TypeEngine[Any]]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Choose the parameter's type."""
        return sa.ARRAY(self.item) if dialect.name == "postgresql" else sa.Text()

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


class Rows(sa.types.TypeDecorator[Any]):
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
    value = _few(parameter(name, Rows(moments))).table_valued("value", name=f"each_{name}").c.value
    return {column.name: _column(value, place, column.type) for place, column in enumerate(columns)}


def as_given(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as the parameter of a statement made with `given`: values in the order of the columns."""
    return _encode(list(rows))


@functools.lru_cache(maxsize=128)
def _with_places(text: str, rows: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return text.replace(f"{_PLACES}?", ", ".join([row] * rows))


def spread(text: str, parameters: list[Any], place: int) -> tuple[str, list[Any]]:
    """Return a statement and its parameters with a place for each value of the rows that one of them brings."""
    rows = parameters[place]
    if len(rows) > 8:
        # The last row again changes nothing, and the driver keeps but a hundred statements prepared.
        rows += rows[-1:] * (-len(rows) % 8)
    values = itertools.chain.from_iterable(rows)
    return _with_places(text, len(rows), len(rows[0])), [*parameters[:place], *values, *parameters[place + 1 :]]


def among(column: sa.ColumnElement[str], values: Iterable[str]) -> sa.ColumnElement[bool]:
    """Write `column IN (…)` with the values in the text, so that the planner can match it with a partial index.

    Only for words of our own (states), never for input.
    """
    words = list(values)
    if len(words) == 1:  # SQLite does not see that IN ('x') is = 'x'
        return column == sa.bindparam(None, words[0], literal_execute=True)
    return column.in_(sa.bindparam(None, words, expanding=True, literal_execute=True))


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=as_text).encode

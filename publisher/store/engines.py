"""Connections to SQLite and PostgreSQL whose promises of durability are set and then looked at."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

from publisher import instances
from publisher.errors import StoreError

BUSY_TIMEOUT = 30.0
"""Seconds to wait for another process that holds the SQLite file, a backup tool for example (J9)."""

_POSTGRESQL_SETTINGS = {
    "lock_timeout": "10s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
}
LOG_PAGES = 8_000
"""Pages of SQLite's log (32 MB) after which it is brought into the file. With the usual 1,000 a sender's log is full
several times a second; each time everybody waits for two more syncs, and the same pages are copied again."""

_OLDEST_SQLITE = (3, 37)  # STRICT tables; RETURNING is older


@dataclass(frozen=True, slots=True)
class Location:
    """Where the database is: the URL to open, and how to call it in messages (without password)."""

    url: sa.URL
    where: str

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.url.get_backend_name()

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        return Path(self.url.database or "")


def locate(url: str, data_dir: Path) -> Location:
    """Read `url`: empty, `sqlite:///file` (relative to `data_dir`) or `postgresql://…`; else StoreError."""
    try:
        parsed = sa.make_url(url or "sqlite:///publisher.db")
    except sa.exc.ArgumentError as error:
        raise StoreError("The database URL cannot be read; write sqlite:///publisher.db or postgresql://…") from error
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        path = (data_dir / str(parsed.database)).absolute()
        return Location(sa.URL.create("sqlite", database=str(path)), str(path))
    if parsed.drivername.partition("+")[0] in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
        return Location(parsed, parsed.set(drivername="postgresql").render_as_string(hide_password=True))
    raise StoreError(
        f"The database URL names {parsed.drivername!r}, which cannot keep our promises; "
        "write sqlite:///publisher.db (a file) or postgresql://…"
    )


def sqlite_engine(location: Location, *, readers: int | None = None) -> sa.Engine:
    """Make the engine of the one writer, or with `readers` that of a pool of connections that cannot write.

    The driver's own transaction control is switched off and we say BEGIN ourselves, as SQLAlchemy's documentation of
    the dialect advises: the writer takes its lock at once (IMMEDIATE), because a reader that turns writer half-way
    fails instead of waiting, and a reader's first statement fixes what it sees until its end.

    Raises OSError when the file is not there. Each connection that is made after it was deleted or replaced raises
    StoreError.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old; 3.37 or newer is needed, or PostgreSQL")
    opened = instances.identity(location.path)

    def connect() -> sqlite3.Connection:
        instances.assert_same(location.path, opened)
        address = f"file:{quote(str(location.path))}?mode=rw"  # never one that creates the file
        return sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False)

    engine = sa.create_engine(
        location.url,
        creator=connect,
        poolclass=sa.QueuePool,
        pool_size=readers or 1,
        max_overflow=0,
        hide_parameters=True,  # addresses of readers do not belong in error messages
    )
    begin = "BEGIN" if readers else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # who was erased must not be found in the file's free space
        if readers:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        else:
            connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "query_only": int(bool(readers))}
        wanted["secure_delete"] = 1
        found = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted}
        _assert_settings(found, wanted, location.where)

    @event.listens_for(engine, "begin")
    def say_begin(connection: sa.Connection) -> None:
        # Past SQLAlchemy, whose way costs as much as a small transaction.
        try:
            cast("sqlite3.Connection", connection.connection.dbapi_connection).execute(begin)
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError.instance(
                begin, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
            ) from error

    return engine


def postgresql_engine(location: Location, *, connections: int) -> sa.Engine:
    """Make the engine of a PostgreSQL database; every session commits synchronously and waits for nothing for ever."""
    try:
        engine = sa.create_engine(
            location.url,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,  # firewalls drop idle connections silently (J16)
            connect_args={"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10},
            hide_parameters=True,
        )
    except ModuleNotFoundError as error:
        raise StoreError("PostgreSQL needs one more package: install publisher[postgres]") from error

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:  # noqa: ANN401 - psycopg is optional, so not named here
        cursor = connection.cursor()
        # remote_apply promises more than on; anything else promises less.
        if cursor.execute("SHOW synchronous_commit").fetchone()[0] != "remote_apply":
            cursor.execute("SET synchronous_commit = on")
        for name, value in _POSTGRESQL_SETTINGS.items():
            cursor.execute(f"SET {name} = '{value}'")
        setting = cursor.execute("SHOW synchronous_commit").fetchone()[0]
        connection.commit()
        if setting != "remote_apply":
            _assert_settings({"synchronous_commit": setting}, {"synchronous_commit": "on"}, location.where)

    return engine


def create_file(path: Path) -> None:
    """Create the SQLite file readable by its owner alone, since it holds addresses; its log files inherit that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _assert_settings(found: dict[str, object], wanted: dict[str, object], where: str) -> None:
    wrong = [f"{name} is {found[name]!r}, not {value!r}" for name, value in wanted.items() if found[name] != value]
    if wrong:
        raise StoreError(f"{where}: the database cannot be made durable ({'; '.join(wrong)})")

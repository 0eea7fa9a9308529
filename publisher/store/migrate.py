"""Bringing a database to the schema of this program, once, under a lock, all or nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa

from publisher.errors import StoreError
from publisher.store.tables import metadata

HEAD = "0001"
"""The revision that this program reads and writes; revisions are numbers, so an older program knows a newer one."""

_version = sa.table("alembic_version", sa.column("version_num"))
_COLUMNS = {(table.name, column.name) for table in metadata.tables.values() for column in table.columns}
_COLUMNS_OF_SQLITE = "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'"
_COLUMNS_OF_POSTGRESQL = (
    "SELECT c.relname, a.attname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid "
    "WHERE pg_catalog.pg_table_is_visible(c.oid) AND a.attnum > 0 AND NOT a.attisdropped"
)
_NAMED = 3  # missing columns that a message names
_ADVISORY_LOCK = 0x7075626C  # "publ"; any number, as long as every program of ours takes the same
_alembic = threading.Lock()  # Alembic's context and op are global to the process


def current_revision(connection: sa.Connection) -> str | None:
    """Return the revision of the database, None when it is empty; StoreError when it belongs to another program."""
    tables = set(sa.inspect(connection).get_table_names())
    if _version.name not in tables:
        if foreign := tables & set(metadata.tables):
            raise StoreError(
                f"{_where(connection)}: has tables of another program ({', '.join(sorted(foreign))}); "
                "give Publisher a database of its own"
            )
        return None
    revision = connection.scalar(sa.select(_version.c.version_num))
    if revision is None and tables & set(metadata.tables):
        raise StoreError(f"{_where(connection)}: does not say which version wrote it; restore a backup")
    return revision


def check_revision(connection: sa.Connection) -> bool:
    """Tell whether the database is up to date (False: migrate it); StoreError when it is newer than we are (J11)."""
    revision = current_revision(connection)
    if revision == HEAD:
        _check_columns(connection)
    if revision is None or revision == HEAD:
        return revision == HEAD
    if not revision.isdigit():
        raise StoreError(f"{_where(connection)}: belongs to another program (its schema is called {revision!r})")
    if int(revision) > int(HEAD):
        raise StoreError(
            f"{_where(connection)}: was written by a newer Publisher (schema {revision}, this program knows {HEAD}); "
            "install that version again, or restore the backup made before the upgrade"
        )
    return False


def _check_columns(connection: sa.Connection) -> None:
    """Refuse a database that claims our schema and has another: a development version made it, or somebody changed it.

    Without this, statements would fail one by one, each with words for programmers.
    """
    sqlite = connection.dialect.name == "sqlite"
    found = {tuple(row) for row in connection.exec_driver_sql(_COLUMNS_OF_SQLITE if sqlite else _COLUMNS_OF_POSTGRESQL)}
    missing = sorted(_COLUMNS - found)
    if missing:
        names = ", ".join(f"{table}.{column}" for table, column in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise StoreError(
            f"{_where(connection)}: has the schema of another make of Publisher (it calls itself {HEAD}, but lacks "
            f"{names}{more}); run the version that made it, restore a backup, or move it away to begin anew"
        )


def migrate(engine: sa.Engine) -> None:
    """Bring the database to HEAD in one transaction. The engine is that of a writer."""
    from alembic import command  # here: only a first start or an upgrade shall pay 100 ms
    from alembic.config import Config

    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with _alembic, engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:
            # Rebuilding a table drops it, and dropping it would cascade. Inside a transaction the pragma does nothing.
            connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                _take_lock(connection)
                if check_revision(connection):  # somebody else was faster
                    return
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                if sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise StoreError(f"{_where(connection)}: the upgrade would break references; nothing was changed")
        finally:
            connection.invalidate()  # its pragma must not live on in the pool


def _take_lock(connection: sa.Connection) -> None:
    """Wait for other programs that migrate: on SQLite BEGIN IMMEDIATE has done so."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '10min'")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _where(connection: sa.Connection) -> str:
    url = connection.engine.url
    return url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)

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
    return connection.scalar(sa.select(_version.c.version_num))


def check_revision(connection: sa.Connection) -> bool:
    """Tell whether the database is up to date (False: migrate it); StoreError when it is newer than we are (J11)."""
    revision = current_revision(connection)
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

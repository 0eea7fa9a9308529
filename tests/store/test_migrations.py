"""A database becomes what this program reads, all or nothing, and an old program leaves a newer one alone."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from publisher.errors import StoreError
from publisher.store import articles, migrate
from publisher.store.database import Connection, Database
from publisher.store.tables import metadata
from tests.store.make import draft, new, stored

MIGRATIONS = Path(migrate.__file__).with_name("migrations")


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def test_the_program_knows_its_newest_revision() -> None:
    """HEAD is written down so that opening a database needs no Alembic; numbers in order, without branches."""
    revisions = [script.revision for script in scripts().walk_revisions()]
    assert revisions[0] == migrate.HEAD
    assert revisions == [f"{number:04}" for number in range(len(revisions), 0, -1)]


def test_migrations_and_tables_agree(database: Database) -> None:
    """Alembic finds nothing to do: every table, column, type, index and constraint is there."""

    def work(conn: Connection) -> list[object]:
        context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))

    assert database.read(work) == []


def test_sqlite_migrations_write_the_same_tables_to_the_letter(sqlite_database: Database) -> None:
    """STRICT, ON DELETE and the conditions of partial indexes, which Alembic does not compare."""
    fresh = sa.create_engine("sqlite://")
    metadata.create_all(fresh)
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version' ORDER BY name"

    def schema(conn: Connection) -> dict[str, list[str]]:
        # The order of constraints and indexes says nothing, nor do blanks.
        return {name: sorted(re.split(r"\s*,?\s*\n\s*", sql)) for name, sql in conn.exec_driver_sql(query)}

    with fresh.connect() as conn:
        assert sqlite_database.read(schema) == schema(conn)
    fresh.dispose()


def test_postgresql_migrations_write_the_same_tables_to_the_letter(
    postgresql_url: str, empty_postgresql_url: str, tmp_path: Path
) -> None:
    """Collations, conditions of partial indexes and ON DELETE, as the catalogue has them."""
    columns = """
        SELECT table_name, column_name, data_type, is_nullable, collation_name, column_default
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
    """
    indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    constraints = """
        SELECT conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1
    """

    def schema(conn: Connection) -> list[tuple[object, ...]]:
        rows = [tuple(row) for query in (columns, indexes, constraints) for row in conn.exec_driver_sql(query)]
        return [row for row in rows if "alembic_version" not in str(row[0])]

    fresh = sa.create_engine(empty_postgresql_url.replace("postgresql:", "postgresql+psycopg:"))
    metadata.create_all(fresh)
    with fresh.connect() as conn, Database.open(postgresql_url, data_dir=tmp_path) as database:
        assert database.read(schema) == schema(conn)
    fresh.dispose()


def test_sqlite_tables_are_strict(sqlite_database: Database) -> None:
    """A word where a number belongs is refused, not kept."""
    query = "SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    found = sqlite_database.read(lambda conn: conn.exec_driver_sql(query).all())
    assert dict(tuple(row) for row in found) == dict.fromkeys(metadata.tables, 1) | {"alembic_version": 0}


def test_opening_again_needs_no_alembic(tmp_path: Path) -> None:
    """An up-to-date database opens in milliseconds: one SELECT tells."""
    Database.open(data_dir=tmp_path).close()
    code = (
        "import sys, pathlib; from publisher.store.database import Database;"
        "Database.open(data_dir=pathlib.Path(sys.argv[1])).close(); print('alembic' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_opening_keeps_what_is_there(tmp_path: Path) -> None:
    """Close, open, and all is as it was."""
    with Database.open(data_dir=tmp_path) as database:
        stored(database, new(draft("a.md")))
    with Database.open(data_dir=tmp_path) as database:
        assert database.read(articles.current_seq) == 1


def opened_in_turn(database: Database, url: str, data_dir: Path, revision: str) -> Callable[[], Database]:
    """Write another revision into a database, and return how it is opened next."""
    database.write(lambda conn: conn.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'"))
    database.close()
    return lambda: Database.open(url, data_dir=data_dir)


@pytest.mark.parametrize(
    ("revision", "words"), [("9999", "newer Publisher.*9999.*backup"), ("ae1027a6acf", "another program")]
)
def test_a_database_of_a_newer_or_another_program_is_refused(tmp_path: Path, revision: str, words: str) -> None:
    """J11: an old program never writes a newer schema; the message names the file and the way out."""
    again = opened_in_turn(Database.open(data_dir=tmp_path), "", tmp_path, revision)
    with pytest.raises(StoreError, match=words) as caught:
        again()
    assert str(tmp_path / "publisher.db") in str(caught.value)


def test_a_newer_postgresql_database_is_refused(
    postgresql_server: object, empty_postgresql_url: str, tmp_path: Path
) -> None:
    """J11 on PostgreSQL, without its password in the message."""
    database = Database.open(empty_postgresql_url, data_dir=tmp_path)
    again = opened_in_turn(database, empty_postgresql_url.replace("postgres:@", "postgres:secret@"), tmp_path, "9999")
    with pytest.raises(StoreError, match="newer Publisher") as caught:
        again()
    assert "secret" not in str(caught.value)


def test_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    """Their `articles` are not ours."""
    with sqlite3.connect(tmp_path / "publisher.db") as theirs:
        theirs.execute("CREATE TABLE articles (name TEXT)")
    theirs.close()
    with pytest.raises(StoreError, match=r"another program \(articles\)"):
        Database.open(data_dir=tmp_path)


def test_a_fault_in_a_migration_leaves_the_database_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """J11: schema changes and their record are one transaction, here stopped just before its end."""

    def power_cut(*_: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", power_cut)
    with pytest.raises(RuntimeError, match="power cut"):
        Database.open(data_dir=tmp_path)
    monkeypatch.undo()
    with sqlite3.connect(tmp_path / "publisher.db") as left:
        assert left.execute("SELECT name FROM sqlite_master").fetchall() == []
    left.close()
    Database.open(data_dir=tmp_path).close()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_programs_that_start_together_migrate_once(
    request: pytest.FixtureRequest, tmp_path: Path, dialect: str
) -> None:
    """Under a lock: who comes second finds the work done."""
    url = request.getfixturevalue("empty_postgresql_url") if dialect == "postgresql" else ""
    with ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(lambda _: Database.open(url, data_dir=tmp_path), range(3)))
    for database in opened:
        assert database.read(migrate.check_revision)
        database.close()


def test_an_outdated_database_is_not_upgraded_unasked(tmp_path: Path) -> None:
    """A command that only reads must not change the schema under a running service."""
    with pytest.raises(StoreError, match="no database yet"):
        Database.open(data_dir=tmp_path, upgrade=False)
    assert list(tmp_path.iterdir()) == []
    opened_in_turn(Database.open(data_dir=tmp_path), "", tmp_path, "0000")
    with pytest.raises(StoreError, match="publisher run"):
        Database.open(data_dir=tmp_path, upgrade=False)


def test_a_database_of_another_make_is_refused(tmp_path: Path) -> None:
    """J11: it calls its schema as we do and has another; the message says what is missing."""
    database = Database.open(data_dir=tmp_path)
    database.write(lambda conn: conn.exec_driver_sql("ALTER TABLE issues RENAME COLUMN transport TO carrier"))
    database.close()
    message = r"publisher\.db: has the schema of another make .* lacks issues\.transport\); run the version"
    for opening in (Database.open, Database.look):
        with pytest.raises(StoreError, match=message):
            opening(data_dir=tmp_path)


def test_a_postgresql_database_of_another_make_is_refused(
    postgresql_server: object, empty_postgresql_url: str, tmp_path: Path
) -> None:
    """J11 on PostgreSQL."""
    database = Database.open(empty_postgresql_url, data_dir=tmp_path)
    database.write(lambda conn: conn.exec_driver_sql("ALTER TABLE issues RENAME COLUMN transport TO carrier"))
    database.close()
    with pytest.raises(StoreError, match=r"another make .* lacks issues\.transport"):
        Database.open(empty_postgresql_url, data_dir=tmp_path)


def test_a_database_that_does_not_say_who_wrote_it_is_refused(tmp_path: Path) -> None:
    """J11: nothing is made anew over tables that are there."""
    database = Database.open(data_dir=tmp_path)
    database.write(lambda conn: conn.exec_driver_sql("DELETE FROM alembic_version"))
    database.close()
    with pytest.raises(StoreError, match="does not say which version wrote it"):
        Database.open(data_dir=tmp_path)

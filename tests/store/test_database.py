"""Transactions happen whole or not at all, durably, and what goes wrong says what to do."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from publisher.errors import BusyError, DamageError, PublisherError, StoreError
from publisher.store import departures, engines, meta
from publisher.store.database import Connection, Database


def keys(conn: Connection) -> list[str]:
    return [row[0] for row in conn.exec_driver_sql("SELECT key FROM meta ORDER BY key")]


# Durability.


def test_every_sqlite_connection_is_durable(sqlite_database: Database) -> None:
    """P6, §5.6: WAL, synchronous=FULL (2), foreign keys; readers cannot write and leave the log alone."""
    names = ("journal_mode", "synchronous", "foreign_keys", "query_only", "wal_autocheckpoint", "busy_timeout")

    def settings(conn: Connection) -> list[object]:
        return [conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert sqlite_database.write(settings) == ["wal", 2, 1, 0, 8000, 30000]
    assert sqlite_database.read(settings) == ["wal", 2, 1, 1, 0, 30000]


def test_every_postgresql_session_is_durable_and_patient_within_limits(postgresql_database: Database) -> None:
    """P6, §5.6: synchronous_commit=on; nothing waits for ever."""
    names = ("synchronous_commit", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")

    def settings(conn: Connection) -> list[object]:
        return [conn.exec_driver_sql(f"SHOW {name}").scalar() for name in (*names, "transaction_isolation")]

    assert postgresql_database.write(settings) == ["on", "10s", "1min", "1min", "read committed"]
    assert postgresql_database.read(settings) == ["on", "10s", "1min", "1min", "repeatable read"]


def test_a_database_that_cannot_be_durable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings are looked at, not only made: another file system or build of SQLite may refuse them."""
    real = engines._assert_settings
    monkeypatch.setattr(
        engines, "_assert_settings", lambda found, *rest: real(found | {"journal_mode": "delete"}, *rest)
    )
    with pytest.raises(StoreError, match=r"publisher\.db: .*journal_mode is 'delete', not 'wal'"):
        Database.open(data_dir=tmp_path)


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_no_connection_is_made_to_a_file_that_took_the_place_of_the_database(tmp_path: Path, how: str) -> None:
    """J7: it would share the old one's log; those that are open go on with the old file, and no new one is made."""
    with Database.open(data_dir=tmp_path) as database:
        file, other = tmp_path / "publisher.db", tmp_path / "other.db"
        database.write(lambda conn: meta.put(conn, "a", "1"))
        shutil.copy(file, other)
        file.unlink() if how == "deleted" else other.replace(file)
        for _ in range(2):
            with pytest.raises(StoreError, match=r"publisher\.db was deleted or replaced while the service ran"):
                # The one connection that is open already is taken; a second one must be made.
                database.read(lambda _: database.read(keys))
        assert file.exists() == (how == "replaced")
        database.write(lambda conn: meta.put(conn, "b", "2"))
        assert database.read(keys) == ["a", "b"]


def test_a_path_with_every_letter_opens(tmp_path: Path) -> None:
    """The path travels in an address of SQLite's, in which these letters have a meaning."""
    (folder := tmp_path / "a b?c#d%41&é").mkdir()
    with Database.open(data_dir=folder) as database:
        database.write(lambda conn: meta.put(conn, "a", "1"))
        assert database.read(keys) == ["a"]
    assert [path.name for path in folder.iterdir()] == ["publisher.db"]
    assert list(tmp_path.iterdir()) == [folder]


def test_the_sqlite_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    """It holds addresses; the log beside it, too."""
    with Database.open(data_dir=tmp_path) as database:
        database.write(lambda conn: meta.put(conn, "a", "x"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("publisher.db", "publisher.db-wal", "publisher.db-shm"), 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["publisher.db"]  # closed in order, the log is empty


# Transactions.


class Held:
    """The writer of SQLite, busy until the block ends, with a count of commits."""

    def __init__(self, database: Database) -> None:
        self.database, self.free, self.commits = database, threading.Event(), 0
        sa.event.listen(database._writers, "commit", self._count)

    def _count(self, _: Connection) -> None:
        self.commits += 1

    async def __aenter__(self) -> Held:
        self._busy = asyncio.create_task(self.database.awrite(lambda _: self.free.wait(60)))
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.free.set()
        await self._busy


def put(name: str) -> Callable[[Connection], str]:
    """A work that writes one name."""

    def work(conn: Connection) -> str:
        meta.put(conn, name, "x")
        return name

    return work


@pytest.mark.anyio
async def test_what_is_asked_for_at_the_same_moment_shares_a_commit(sqlite_database: Database) -> None:
    """P6: seventy works, three commits; each answer comes after the commit that holds its work."""
    names = [f"{number:02d}" for number in range(70)]

    async def one(name: str) -> bool:
        assert await sqlite_database.ashare(put(name)) == name
        return name in sqlite_database.read(keys)

    async with Held(sqlite_database) as held:
        asked = [asyncio.create_task(one(name)) for name in names]
        await asyncio.sleep(0)
    assert await asyncio.gather(*asked) == [True] * 70
    assert sqlite_database.read(keys) == names
    assert held.commits == 1 + 3


@pytest.mark.anyio
async def test_one_that_fails_takes_no_other_with_it(database: Database) -> None:
    """The others are done, each by itself, and it alone hears what it raised."""

    def wrong(conn: Connection) -> str:
        meta.put(conn, "wrong", "x")
        raise KeyError("mine")

    works = [put("a"), wrong, put("b")]
    asked = [asyncio.create_task(database.ashare(work)) for work in works]
    first, second, third = await asyncio.gather(*asked, return_exceptions=True)
    assert (first, repr(second), third) == ("a", "KeyError('mine')", "b")
    assert database.read(keys) == ["a", "b"]


@pytest.mark.anyio
async def test_a_disk_in_the_way_of_all_is_asked_once(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F15, J9: thirty people would wait thirty times for a lock that nobody gives back."""
    tries: list[int] = []

    def busy(_: object) -> None:
        tries.append(1)
        raise BusyError("another process holds the database")

    async with Held(sqlite_database):
        asked = [asyncio.create_task(sqlite_database.ashare(put(str(number)))) for number in range(30)]
        await asyncio.sleep(0)
        monkeypatch.setattr(sqlite_database, "_write", busy)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [BusyError] * 30
    assert len(tries) == 1
    monkeypatch.undo()
    assert sqlite_database.read(keys) == []


@pytest.mark.anyio
async def test_whom_the_disk_still_takes_is_not_refused_with_the_others(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F15, P6: the journal of departures cannot be written: who leaves is told so, who comes at that moment is in."""

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    def leave(conn: Connection) -> None:
        meta.put(conn, "left", "x")
        departures.note(conn, "left", "ada@example.org")

    monkeypatch.setattr(sqlite_database, "journal", lambda noted: full(noted) if noted else None)
    async with Held(sqlite_database):
        asked = [asyncio.create_task(sqlite_database.ashare(work)) for work in (put("a"), leave, put("b"))]
        await asyncio.sleep(0)
    first, second, third = await asyncio.gather(*asked, return_exceptions=True)
    assert (first, third) == ("a", "b")
    assert isinstance(second, StoreError)
    assert "the journal of departures cannot be written" in str(second)
    assert sqlite_database.read(keys) == ["a", "b"]


@pytest.mark.anyio
async def test_who_goes_away_before_the_turn_comes_changes_nothing(sqlite_database: Database) -> None:
    """A client that hung up while it waited."""
    async with Held(sqlite_database):
        asked = [asyncio.create_task(sqlite_database.ashare(put(name))) for name in ("a", "b")]
        await asyncio.sleep(0)
        asked[0].cancel()
        await asyncio.sleep(0)
    assert await asked[1] == "b"
    assert asked[0].cancelled()
    assert sqlite_database.read(keys) == ["b"]


def test_what_raises_leaves_nothing(database: Database) -> None:
    """One transaction keeps one promise, and the next one works."""

    def work(conn: Connection) -> None:
        meta.put(conn, "a", "x")
        raise KeyError("fault")

    with pytest.raises(KeyError, match="fault"):
        database.write(work)
    database.write(lambda conn: meta.put(conn, "b", "x"))
    assert database.read(keys) == ["b"]


def test_a_reader_sees_one_state_throughout(database: Database) -> None:
    """What others commit meanwhile is for the next reader."""

    def work(conn: Connection) -> list[list[str]]:
        before = keys(conn)
        database.write(lambda other: meta.put(other, "a", "x"))
        return [before, keys(conn)]

    assert database.read(work) == [[], []]
    assert database.read(keys) == ["a"]


def test_a_reader_cannot_write(database: Database) -> None:
    """Reading stays reading, by the database's own word."""
    with pytest.raises((PublisherError, sa.exc.DBAPIError), match=r"readonly|read-only"):
        database.read(lambda conn: meta.put(conn, "a", "x"))


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    """A long collection does not stop the web pages."""
    seen: list[list[str]] = []

    def work(conn: Connection) -> None:
        meta.put(conn, "a", "x")
        seen.append(database.read(keys))

    database.write(work)
    assert seen == [[]]


def test_sqlite_writers_queue_instead_of_colliding(sqlite_database: Database) -> None:
    """One writer thread, so that reading and then writing inside one transaction never meets a rival."""

    def add(conn: Connection) -> None:
        number = int(meta.get(conn, "number") or 0)
        meta.put(conn, "number", str(number + 1))

    threads = [threading.Thread(target=sqlite_database.write, args=(add,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sqlite_database.read(lambda conn: meta.get(conn, "number")) == "20"


def test_writing_inside_writing_is_an_error_not_a_deadlock(sqlite_database: Database) -> None:
    """It would wait for itself for ever."""
    with pytest.raises(RuntimeError, match="would wait for itself"):
        sqlite_database.write(lambda conn: sqlite_database.write(keys))


@pytest.mark.anyio
async def test_the_event_loop_goes_on_while_the_database_works(database: Database) -> None:
    """`aread` and `awrite` do as `read` and `write` do, on threads."""
    ticking = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(conn: Connection) -> str:
        meta.put(conn, "a", "x")
        asyncio.run_coroutine_threadsafe(tick(), loop).result(timeout=10)  # only a loop that runs can answer
        return "done"

    async def tick() -> None:
        ticking.set()

    assert await database.awrite(work) == "done"
    assert ticking.is_set()
    assert await database.aread(keys) == ["a"]


def test_a_deadlock_is_run_again(postgresql_database: Database) -> None:
    """J15: PostgreSQL ends one of two transactions that wait for each other; it is tried again from its start."""
    for key in ("a", "b"):
        postgresql_database.write(lambda conn, key=key: meta.put(conn, key, "0"))  # type: ignore[misc]  # a default argument
    both_hold_one = threading.Barrier(2)
    one_is_done = threading.Event()
    runs: list[str] = []

    def work(first: str, second: str) -> None:
        def transaction(conn: Connection) -> None:
            runs.append(first)
            if runs.count(first) > 1:
                one_is_done.wait(timeout=20)  # on a busy machine both would meet again, and again
                meta.put(conn, first, first)
            else:
                meta.put(conn, first, first)
                both_hold_one.wait(timeout=20)
            meta.put(conn, second, first)

        postgresql_database.write(transaction)
        one_is_done.set()

    threads = [threading.Thread(target=work, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 3
    values = postgresql_database.read(lambda conn: [meta.get(conn, "a"), meta.get(conn, "b")])
    assert values in (["a", "a"], ["b", "b"])


def test_a_cut_connection_is_replaced(postgresql_database: Database, tmp_path: Path) -> None:
    """J16: what a firewall or a restart closed is opened anew, without an error for who comes next."""
    postgresql_database.read(keys)
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = %s"
    postgresql_database.write(lambda conn: conn.exec_driver_sql(kill, ("publisher",)).all())
    assert postgresql_database.read(keys) == []


# What goes wrong.


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """With the way out."""
    (tmp_path / "publisher.db").write_bytes(b"These are not the bytes of a database.\n" * 100)
    with pytest.raises(StoreError, match="move it away or restore a backup") as caught:
        Database.open(data_dir=tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/publisher.db: ")


def test_a_damaged_page_is_reported(tmp_path: Path) -> None:
    """J8: damage is said, not worked around."""

    def fill(conn: Connection) -> None:
        for number in range(50):
            meta.put(conn, str(number), "x" * 2000)

    with Database.open(data_dir=tmp_path) as database:
        database.write(fill)
    path = tmp_path / "publisher.db"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - 40 * 4096)
        file.write(b"\xff" * 38 * 4096)
    with (
        pytest.raises(DamageError, match="restore the last backup with `publisher restore`"),
        Database.open(data_dir=tmp_path) as database,
    ):
        database.read(lambda conn: conn.exec_driver_sql("SELECT sum(length(value)) FROM meta").all())


def test_a_locked_database_says_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """J9: after waiting for the other process, exit code 75; and then it works."""
    monkeypatch.setattr(engines, "BUSY_TIMEOUT", 0.05)
    with Database.open(data_dir=tmp_path) as database:
        other = sqlite3.connect(tmp_path / "publisher.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError, match=r"publisher\.db: another process") as caught:
            database.write(lambda conn: meta.put(conn, "a", "x"))
        assert caught.value.exit_code == 75
        other.close()
        database.write(lambda conn: meta.put(conn, "a", "x"))


def test_a_lock_on_postgresql_says_try_again(postgresql_database: Database) -> None:
    """Waiting ends, the transaction is undone."""
    postgresql_database.write(lambda conn: meta.put(conn, "a", "x"))

    def rival(conn: Connection) -> None:
        conn.exec_driver_sql("SET LOCAL lock_timeout = '20ms'")
        meta.put(conn, "a", "z")

    def holder(conn: Connection) -> None:
        meta.put(conn, "a", "y")
        with pytest.raises(BusyError, match="another session holds a lock"):
            postgresql_database.write(rival)

    postgresql_database.write(holder)
    assert postgresql_database.read(lambda conn: meta.get(conn, "a")) == "y"


def test_our_own_mistakes_are_not_dressed_up(database: Database) -> None:
    """A wrong statement is a bug to find, and its message holds no reader's data."""
    with pytest.raises(sa.exc.DBAPIError) as caught:
        database.write(lambda conn: conn.execute(sa.text("SELECT :secret FROM nowhere"), {"secret": "ada@x.org"}))
    assert "ada@x.org" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://localhost/x", "mysql.*postgresql://"),
        ("sqlite://", "sqlite:///publisher.db"),
        ("sqlite:///:memory:", "sqlite:///publisher.db"),
        ("nonsense", "cannot be read"),
    ],
)
def test_other_databases_are_refused_with_the_way_out(tmp_path: Path, url: str, words: str) -> None:
    """Only those that keep the promises, only where they outlive the process."""
    with pytest.raises(StoreError, match=words):
        Database.open(url, data_dir=tmp_path)


def test_a_server_out_of_reach_is_named_without_its_password(tmp_path: Path) -> None:
    """Host and database yes, password never."""
    with pytest.raises(StoreError, match="out of reach") as caught:
        Database.open(f"postgresql://ada:secret@/x?host={tmp_path}", data_dir=tmp_path)
    assert "secret" not in str(caught.value)


def test_a_missing_postgresql_database_is_named(postgresql_url: str, tmp_path: Path) -> None:
    """In the server's words, which say what to look at."""
    with pytest.raises(StoreError, match=r'out of reach.*database "nowhere" does not exist'):
        Database.open(postgresql_url.replace("/publisher?", "/nowhere?"), data_dir=tmp_path)


def test_a_path_is_relative_to_the_data_directory(tmp_path: Path) -> None:
    """And its folder is made."""
    with Database.open("sqlite:///deep/er/x.db", data_dir=tmp_path) as database:
        assert database.where == str(tmp_path / "deep/er/x.db")
    assert (tmp_path / "deep/er/x.db").exists()
    with Database.open(f"sqlite:///{tmp_path}/absolute.db", data_dir=tmp_path / "other") as database:
        assert database.where == str(tmp_path / "absolute.db")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where a folder should be."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be created"):
        Database.open(data_dir=tmp_path / "file")

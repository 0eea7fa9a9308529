"""The database: readers that each see one consistent state, and transactions that happen whole or not at all."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from publisher.errors import BusyError, DamageError, StoreError
from publisher.store import departures
from publisher.store.departures import Noted
from publisher.store.engines import Location, create_file, locate, postgresql_engine, sqlite_engine
from publisher.store.faults import explained, may_run_again
from publisher.store.migrate import HEAD, check_revision, current_revision, migrate
from publisher.store.mounts import remote_kind
from publisher.threads import started

__all__ = ["HEAD", "Connection", "Database", "check_revision", "current_revision"]

T = TypeVar("T")
_TRIES = 3  # of a transaction that PostgreSQL rolled back because of others
_SHARED = 32  # works in one transaction at most: whoever writes next waits some 30 ms for them


class _Asked(NamedTuple):
    work: Callable[[Connection], Any]
    answer: Future[Any]


class Database:
    """The open database.

    On SQLite all writing happens on one thread and one connection, so writers queue instead of colliding; on PostgreSQL
    each writer has its own connection and row locks do the work. `read` and `write` block; `aread` and `awrite` do the
    same off the event loop.
    """

    def __init__(self, location: Location, writers: sa.Engine, readers: sa.Engine, threads: int) -> None:
        self.where = location.where
        self.dialect = location.dialect
        self._writers = writers
        self._readers = readers
        one = self.dialect == "sqlite"
        self._reading = started(threads, "publisher-read")
        try:
            self._writing = started(1 if one else threads, "publisher-write")
        except BaseException:
            self._reading.shutdown()
            raise
        self._asked: deque[_Asked] = deque()
        self._writer_thread: int | None = None
        self._writer: sa.Connection | None = None  # SQLite's one, while it works
        self.damage = ""
        """What showed that the database is damaged; "" while nothing has."""
        self.journal: Callable[[Sequence[Noted]], None] | None = None
        """Told of departures before the transaction that they happen in is committed; what it raises undoes that."""

    @classmethod
    def open(cls, url: str = "", *, data_dir: Path, readers: int = 4, upgrade: bool = True) -> Self:
        """Open the database at `url` (see `engines.locate`), creating or upgrading it unless `upgrade` is False.

        Raises StoreError for a database that is newer than this program, damaged, foreign or out of reach, BusyError
        for one that another process holds, ThreadsError where the system refuses the threads that read and write.
        """
        location = locate(url, data_dir)
        if location.dialect == "sqlite":
            if not upgrade and not location.path.exists():
                raise StoreError(f"{location.where}: there is no database yet; `publisher run` or `collect` makes one")
            if kind := remote_kind(location.path.parent):
                raise StoreError(
                    f"{location.where}: is on a network file system ({kind}), where SQLite's locks and syncs are not "
                    "reliable; put the data directory on a local disk, or use PostgreSQL (`database_url`)"
                )
            with explained(location.where):
                _create(location)
            reading = sqlite_engine(location, readers=readers)
            database = cls(location, sqlite_engine(location), reading, readers)
        else:
            engine = postgresql_engine(location, connections=2 * readers)
            reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            database = cls(location, engine, reading, readers)
        try:
            database._prepare(upgrade=upgrade)
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def look(cls, url: str = "", *, data_dir: Path) -> Self | None:
        """Open the database as it is, to read; None when there is none yet, or nothing in it. Changes nothing.

        Raises StoreError as `open` does, also for a database that an older program wrote.
        """
        location = locate(url, data_dir)
        if location.dialect == "sqlite":
            # Asked before the database is opened, which would create it.
            if not location.path.exists() or not location.path.stat().st_size:
                return None
            database = cls(location, sqlite_engine(location), sqlite_engine(location, readers=1), 1)
        else:
            engine = postgresql_engine(location, connections=2)
            reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            database = cls(location, engine, reading, 1)
        try:
            if database.read(current_revision) is None:
                database.close()
                return None
            database._prepare(upgrade=False)
        except BaseException:
            database.close()
            raise
        return database

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one read-only transaction, which sees one state of the database throughout."""
        with self._explained(), self._readers.connect() as connection, connection.begin():
            return work(connection)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction: committed when it returns, undone when it raises.

        Not to be called from inside `work`. On PostgreSQL `work` runs again after a deadlock, so that it must do
        nothing but talk to the database.
        """
        if self.dialect == "postgresql":
            return self._write(work)
        if threading.get_ident() == self._writer_thread:
            raise RuntimeError("Database.write inside Database.write would wait for itself")
        return self._writing.submit(self._write, work).result()

    async def aread(self, work: Callable[[Connection], T]) -> T:
        """Do as `read` does without blocking the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, self.read, work)

    async def awrite(self, work: Callable[[Connection], T]) -> T:
        """Do as `write` does without blocking the event loop; a transaction that has begun outlives cancellation."""
        return await self.begin_write(work)

    def begin_write(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Begin what `awrite` does, for whoever would rather be called than wait."""
        return asyncio.get_running_loop().run_in_executor(self._writing, self._write, work)

    async def ashare(self, work: Callable[[Connection], T]) -> T:
        """Do as `awrite` does, in one transaction with what others ask for at this moment: one sync for all of them.

        `work` may run again by itself, because another one failed, so that it must do nothing but talk to the database:
        a fault of one is no answer to the others, unless another process or damage is in the way of all.
        On PostgreSQL, which lets commits share a sync by itself, each has its own transaction.
        """
        if self.dialect != "sqlite":
            return await self.awrite(work)
        answer: Future[T] = Future()
        self._asked.append(_Asked(work, answer))
        self._writing.submit(self._write_asked)
        return await asyncio.wrap_future(answer)

    def _write_asked(self) -> None:
        """Do what was asked for until now; of as many calls as were asked for, the first ones do it all."""
        batch: list[_Asked] = []
        while self._asked and len(batch) < _SHARED:
            one = self._asked.popleft()
            if one.answer.set_running_or_notify_cancel():
                batch.append(one)
        if len(batch) > 1 and self._answer_together(batch):
            return
        for one in batch:
            try:
                done = self._write(one.work)
            except BaseException as error:  # noqa: BLE001 - it is the answer of whoever asked
                one.answer.set_exception(error)
            else:
                one.answer.set_result(done)

    def _answer_together(self, batch: Sequence[_Asked]) -> bool:
        """Do all in one transaction; False when that failed for one of them, and nothing was done."""
        try:
            done = self._write(lambda conn: [one.work(conn) for one in batch])
        except (BusyError, DamageError) as error:
            # Another process is in the way of all; to wait for it once more for each would take minutes.
            for one in batch:
                one.answer.set_exception(error)
        except Exception:  # noqa: BLE001 - each by itself, and who raised it gets it again; a full disk says so at once
            return False
        else:
            for one, result in zip(batch, done, strict=True):
                one.answer.set_result(result)
        return True

    def lasting_connection(self) -> Connection:
        """Return a writing connection outside the pool, for what lasts as long as it does; the caller closes it."""
        with explained(self.where):
            connection = self._writers.connect()
            connection.detach()
            return connection

    async def awipe(self) -> None:
        """Leave nothing on the disk of what was deleted: SQLite's log is emptied, what the file held is zeroed already.

        Raises BusyError while somebody reads an older state for so long that the log cannot be emptied.
        """
        if self.dialect == "sqlite":
            await asyncio.get_running_loop().run_in_executor(self._writing, self._empty_log)

    def _empty_log(self) -> None:
        self._put_back()
        with explained(self.where):
            connection = self._writers.raw_connection()
            try:
                cursor = connection.cursor()
                busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                cursor.close()
            finally:
                connection.close()
        if busy:
            raise BusyError(f"{self.where}: somebody reads an older state; the log could not be emptied, try again")

    def close(self) -> None:
        """Finish what has begun and close every connection; the writer's last, since it empties the log."""
        self._reading.shutdown()
        self._writing.shutdown()
        self._readers.dispose()
        self._put_back()
        self._writers.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, work: Callable[[Connection], T]) -> T:
        if self.dialect == "sqlite":
            self._writer_thread = threading.get_ident()
        with self._explained():
            for _ in range(_TRIES - 1):
                try:
                    return self._once(work)
                except sa.exc.DBAPIError as error:
                    if not may_run_again(error):
                        raise
            return self._once(work)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            with explained(self.where):
                yield
        except DamageError as error:
            self.damage = str(error)
            raise

    def _once(self, work: Callable[[Connection], T]) -> T:
        if self.dialect != "sqlite":
            with self._writers.connect() as connection, connection.begin():
                return self._done(connection, work)
        # Kept, because taking it from the pool costs as much as a small transaction.
        if self._writer is None:
            self._writer = self._writers.connect()
        try:
            with self._writer.begin():
                return self._done(self._writer, work)
        except BaseException:
            self._put_back()  # whatever state it is in, the pool sees to it
            raise

    def _done(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        departures.taken(connection)  # of a transaction that was undone
        result = work(connection)
        noted = departures.taken(connection)
        if noted and self.journal is not None:
            try:
                self.journal(noted)
            except OSError as error:
                raise StoreError(f"{self.where}: the journal of departures cannot be written ({error})") from error
        return result

    def _put_back(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def _prepare(self, *, upgrade: bool) -> None:
        with explained(self.where):
            if self.read(check_revision):
                return
            if not upgrade:
                raise StoreError(
                    f"{self.where}: was written by an older Publisher; the next `publisher run` upgrades it"
                )
            migrate(self._writers)


def _create(location: Location) -> None:
    try:
        create_file(location.path)
    except OSError as error:
        raise StoreError(
            f"{location.where}: cannot be created or written ({error.strerror}); look at the path"
        ) from error

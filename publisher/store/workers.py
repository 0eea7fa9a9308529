"""Workers: each has an epoch that fences what it claims, and a life sign that ends when it does, however it ends."""

from __future__ import annotations

import contextlib
import threading
from datetime import datetime

import sqlalchemy as sa

from publisher.errors import BusyError, StoreError
from publisher.store import deliveries
from publisher.store import statements as st
from publisher.store.claims import ALL, Share
from publisher.store.database import Connection, Database
from publisher.store.faults import explained
from publisher.store.tables import workers

LIFE_SIGN = 0x5055424C
"""First half of the key of our advisory locks ("PUBL"); the other half is the epoch."""

_KEEPALIVE = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}
"""Seconds, and times: a machine that vanished holds its life sign for a minute, not for the usual two hours."""


class LifeSign:
    """A worker's epoch, and the proof to others that the worker lives.

    On PostgreSQL the proof is an advisory lock on a connection of its own, which the server lets go when that
    connection ends. On SQLite it is the lock on the data directory, which the caller holds. Blocking; may be used from
    any thread.
    """

    def __init__(self, db: Database, epoch: int, connection: Connection | None) -> None:
        self.epoch = epoch
        self._db = db
        self._connection = connection
        self._using = threading.Lock()

    @classmethod
    def begin(cls, db: Database, now: datetime) -> LifeSign:
        """Register a worker. Raises StoreError or BusyError."""
        if db.dialect == "sqlite":
            return cls(db, db.write(lambda conn: deliveries.new_epoch(conn, now)), None)
        connection = _connect(db)
        try:
            with explained(db.where), connection.begin():
                epoch = deliveries.new_epoch(connection, now)
                # Before others can see the epoch, or they would take it for a dead one.
                connection.execute(sa.select(sa.func.pg_advisory_lock(LIFE_SIGN, epoch)))
        except BaseException:
            connection.close()
            raise
        return cls(db, epoch, connection)

    def holds(self) -> bool:
        """Ask the server whether the proof still stands; once it does not, only `renew` can bring it back."""
        if self._db.dialect == "sqlite":
            return True
        with self._using:
            if self._connection is None:
                return False
            try:
                with explained(self._db.where), self._connection.begin():
                    held = bool(self._connection.scalar(_held, {"epoch": self.epoch}))
            except (StoreError, BusyError):
                held = False
            if not held:
                self._let_go()
            return held

    def renew(self) -> bool:
        """Prove again that the worker lives; False when others have declared it dead or its old connection lingers.

        Raises StoreError or BusyError while the database is out of reach.
        """
        if self.holds():
            return True
        connection = _connect(self._db)
        try:
            with explained(self._db.where), connection.begin():
                taken = connection.scalar(sa.select(sa.func.pg_try_advisory_lock(LIFE_SIGN, self.epoch)))
                proven = bool(taken) and stands(connection, self.epoch)
        except BaseException:
            connection.close()
            raise
        with self._using:
            if proven and self._connection is None:
                self._connection = connection
                return True
        connection.close()
        return False

    def end(self) -> None:
        """Take the proof back; what the worker left on the wire is for others to recover."""
        with self._using:
            self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sa.exc.SQLAlchemyError):  # the connection may be the very thing that is lost
                connection.close()


def dead(conn: Connection, *, own: int | None = None) -> list[int]:
    """Return the workers that ended without a word, proven dead until this transaction ends: recover them in it.

    On SQLite that is everybody but `own`, because the caller holds the data directory. On PostgreSQL it is whose life
    sign can be taken; it is kept until the transaction ends, so that nobody else recovers the same worker.
    """
    others = [epoch for epoch in deliveries.running_epochs(conn) if epoch != own]
    if conn.dialect.name == "sqlite":
        return others
    free = sa.func.pg_try_advisory_xact_lock
    return [epoch for epoch in others if conn.scalar(sa.select(free(LIFE_SIGN, epoch)))]


def living(conn: Connection, *, own: int | None = None) -> list[int]:
    """Return the workers that run, as far as their life signs tell, without `own`."""
    gone = dead(conn, own=own)
    return [epoch for epoch in deliveries.running_epochs(conn) if epoch != own and epoch not in gone]


def stands(conn: Connection, epoch: int) -> bool:
    """Whether a worker may claim: nobody has recovered what it left, and nobody can until this transaction ends."""
    return st.scalar(conn, _standing, epoch=epoch) is not None


def share(conn: Connection, epoch: int) -> Share:
    """Return which part of the queue is this worker's own, among all that have not ended."""
    if conn.dialect.name == "sqlite":
        return ALL
    running = deliveries.running_epochs(conn)
    return Share(running.index(epoch), len(running)) if epoch in running else ALL


def _connect(db: Database) -> Connection:
    connection = db.lasting_connection()
    with explained(db.where), connection.begin():
        for name, value in _KEEPALIVE.items():
            connection.exec_driver_sql(f"SET {name} = {value}")
    return connection


_standing = (
    sa.select(workers.c.epoch)
    .where(workers.c.epoch == st.parameter("epoch", workers.c.epoch.type), workers.c.stopped_at.is_(None))
    .with_for_update(read=True)  # against the UPDATE of whoever declares this worker dead
)
_held = sa.text(  # of our own session, so the database is ours; objsubid 2: the key has two halves
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()"
    " AND classid::bigint = :life_sign AND objid::bigint = :epoch AND objsubid = 2)"
).bindparams(life_sign=LIFE_SIGN)

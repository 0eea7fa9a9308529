"""Life signs of workers: who is dead is proven, who is taken for dead can claim nothing more (K6, K7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from publisher.errors import StoreError
from publisher.store import deliveries, workers
from publisher.store.database import Database
from publisher.store.workers import LifeSign
from tests.store.make import NOW


@dataclass
class Machines:
    """Two machines with a connection pool each, on one PostgreSQL."""

    one: Database
    other: Database
    signs: list[LifeSign] = field(default_factory=list)

    def begin(self) -> LifeSign:
        """Start a worker on the first machine."""
        self.signs.append(LifeSign.begin(self.one, NOW))
        return self.signs[-1]

    def cut(self, sign: LifeSign) -> None:
        """End the connection that holds a life sign, as an administrator or a firewall would."""
        query = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid::bigint = %s"
        with self.other._writers.connect() as conn, conn.begin():
            [pid] = conn.exec_driver_sql(query, (workers.LIFE_SIGN, sign.epoch)).scalars()
            # With a time to wait it answers when the session has ended, and its locks with it.
            assert conn.exec_driver_sql("SELECT pg_terminate_backend(%s, 5000)", (pid,)).scalar()


@pytest.fixture
def machines(postgresql_url: str, tmp_path: Path) -> Iterator[Machines]:
    with (
        Database.open(postgresql_url, data_dir=tmp_path) as one,
        Database.open(postgresql_url, data_dir=tmp_path) as other,
    ):
        both = Machines(one, other)
        yield both
        for sign in both.signs:
            sign.end()


def test_a_worker_is_dead_when_its_connection_is(machines: Machines) -> None:
    """Delivery §5.6: neither silence nor age proves a death, only the end of the session that holds the lock."""
    sign = machines.begin()
    assert machines.other.write(workers.dead) == []
    assert sign.holds()
    machines.cut(sign)
    assert machines.other.write(workers.dead) == [sign.epoch]
    assert not sign.holds()


def test_a_worker_that_ends_in_order_is_not_recovered(machines: Machines) -> None:
    """It takes its life sign back after it has said so."""
    sign = machines.begin()
    machines.one.write(lambda conn: deliveries.stop_epoch(conn, sign.epoch, NOW))
    sign.end()
    assert machines.other.write(workers.dead) == []
    assert not sign.holds()


def test_a_life_sign_can_be_taken_up_again_before_others_recover(machines: Machines) -> None:
    """J12: the database was restarted; what the worker knows is still its own to write."""
    sign = machines.begin()
    machines.cut(sign)
    assert sign.renew()
    assert sign.holds()
    assert machines.other.write(workers.dead) == []


def test_a_worker_declared_dead_stays_dead(machines: Machines) -> None:
    """K7: it claims nothing more under its old epoch, whether it has noticed or not."""
    sign = machines.begin()
    assert machines.one.write(lambda conn: workers.stands(conn, sign.epoch))
    machines.cut(sign)
    machines.other.write(lambda conn: deliveries.recover(conn, workers.dead(conn), policy="retry", now=NOW))
    assert not machines.one.write(lambda conn: workers.stands(conn, sign.epoch))
    assert not sign.renew()
    assert not sign.holds()


def test_two_cannot_recover_the_same_worker(machines: Machines) -> None:
    """The proof is kept until the recovery is committed; until then the dead worker cannot come back either."""
    sign = machines.begin()
    machines.cut(sign)

    def recover(conn: sa.Connection) -> None:
        assert workers.dead(conn) == [sign.epoch]
        assert machines.other.write(workers.dead) == []
        assert not sign.renew()

    machines.one.write(recover)


def test_recovery_waits_for_a_claim_that_has_begun(machines: Machines) -> None:
    """A claim either comes before the recovery, which then settles it, or finds the worker stopped."""
    sign = machines.begin()
    machines.cut(sign)

    def claim(conn: sa.Connection) -> None:
        assert workers.stands(conn, sign.epoch)
        with machines.other._writers.connect() as other, other.begin():
            other.exec_driver_sql("SET LOCAL lock_timeout = '20ms'")
            with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
                deliveries.recover(other, workers.dead(other), policy="retry", now=NOW)

    machines.one.write(claim)


def test_a_database_out_of_reach_is_no_proof_of_anything(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker asks again later; an error is told, not swallowed."""
    sign = machines.begin()
    machines.cut(sign)

    def unreachable() -> None:
        raise sa.exc.OperationalError("", None, OSError("connection refused"))

    monkeypatch.setattr(machines.one._writers, "connect", unreachable)
    with pytest.raises(StoreError, match="out of reach"):
        sign.renew()
    monkeypatch.undo()
    assert sign.renew()


def test_a_machine_that_vanished_is_noticed(machines: Machines) -> None:
    """J16: the server asks a silent connection after half a minute, not after two hours."""
    sign = machines.begin()
    assert sign._connection is not None
    source = "SELECT source FROM pg_settings WHERE name = 'tcp_keepalives_idle'"
    assert sign._connection.exec_driver_sql(source).scalar() == "session"


def test_on_sqlite_the_directory_lock_is_the_proof(sqlite_database: Database) -> None:
    """One process owns the directory, so everybody before it is dead."""
    first = LifeSign.begin(sqlite_database, NOW)
    second = LifeSign.begin(sqlite_database, NOW)
    assert (first.holds(), second.holds(), second.renew()) == (True, True, True)
    assert sqlite_database.write(lambda conn: workers.dead(conn, own=second.epoch)) == [first.epoch]
    sqlite_database.write(
        lambda conn: deliveries.recover(conn, workers.dead(conn, own=second.epoch), policy="retry", now=NOW)
    )
    assert not sqlite_database.write(lambda conn: workers.stands(conn, first.epoch))
    assert sqlite_database.write(lambda conn: workers.stands(conn, second.epoch))

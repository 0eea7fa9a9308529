"""What happens to whole processes: asleep, upgraded, poisoned, out of files or threads, with a wrong clock (K2–K15)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from publisher.mail.outbox import OutboxReport
from publisher.store import deliveries
from publisher.store.database import Connection, Database
from publisher.store.workers import LIFE_SIGN
from tests import sender
from tests.crashes import PIPELINING, arrived, ended
from tests.ledgers import assert_invariants
from tests.office import NAMES, NOW, Office, S
from tests.smtp_server import Script, smtp_server
from tests.starvation import needs_root

pytestmark = pytest.mark.anyio

PEOPLE = [f"person{number:03d}" for number in range(120)]


@pytest.mark.parametrize("jump", [timedelta(hours=-2), timedelta(days=3), datetime(1970, 1, 2, tzinfo=UTC) - NOW])
async def test_a_clock_that_jumps_while_mail_goes_out_repeats_and_loses_nothing(
    database: Database, jump: timedelta
) -> None:
    """K2: what is on the wire ends by the machine's own time; the rest waits for its hour, or has missed it."""
    office = Office(database)
    office.fill(NAMES)

    def leap(_: str, done: int, __: int | None) -> None:
        if done == 4:
            office.clock.now += jump

    office.tell = leap
    async with smtp_server() as server:
        office.ledger.received = server.received
        await office.send(server, connections=1)
        office.tell = None
        late = jump > timedelta()
        await office.send(server)
        assert Counter(office.states().values())[S.EXPIRED if late else S.QUEUED] >= 1
        office.clock.now = NOW + timedelta(minutes=5)
        await office.send(server)
    assert_invariants(office.ledger, database, at_risk=0)
    assert set(office.states().values()) == ({S.SENT, S.EXPIRED} if late else {S.SENT})


async def test_a_worker_that_was_asleep_is_fenced_when_it_wakes(
    postgresql_database: Database, postgresql_url: str, tmp_path: Path
) -> None:
    """K3, K7: a machine sleeps long enough to be taken for dead; another settles and sends, it writes nothing more."""
    office = Office(postgresql_database)
    office.fill(PEOPLE)

    def forget_it(conn: Connection) -> int:
        """End the sleeper's connections, as the server does when keepalives stay unanswered for a minute."""
        query = (
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
        )
        return int(conn.exec_driver_sql(query, (LIFE_SIGN,)).scalar_one())

    def writing(conn: Connection) -> bool:
        """Whether somebody else is in the middle of a transaction; what sleeps there keeps its rows for a minute."""
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND xact_start IS NOT NULL"
        )
        return bool(conn.exec_driver_sql(query).scalar_one())

    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office.ledger.received = server.received
        sleeper = sender.start(tmp_path, server.port, url=postgresql_url, connections=4)
        await arrived(server, 20, sleeper)
        assert sleeper.pid
        os.kill(sleeper.pid, signal.SIGSTOP)
        while office.db.read(writing):
            os.kill(sleeper.pid, signal.SIGCONT)
            await asyncio.sleep(0.001)
            os.kill(sleeper.pid, signal.SIGSTOP)
        assert office.db.write(forget_it) == 1
        other = sender.start(tmp_path, server.port, url=postgresql_url, connections=4)
        code = await ended(other)
        if code:
            sleeper.kill()  # or this process would wait for it for ever
        assert code == 0
        assert not {row.state for row in office.rows()} & {S.QUEUED, S.SENDING, S.DEFERRED}
        before = office.rows()
        os.kill(sleeper.pid, signal.SIGCONT)
        assert await ended(sleeper) == 0
    assert office.rows() == before
    assert_invariants(office.ledger, office.db, at_risk=4)


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
async def test_a_mail_that_kills_whoever_sends_it_is_parked_after_two_tries(
    request: pytest.FixtureRequest, where: str, tmp_path: Path
) -> None:
    """K11: the count of its tries is on the disk; then it is for the operator, and the rest flows."""
    office = Office(request.getfixturevalue(f"{where}_database"))
    url = request.getfixturevalue("postgresql_url") if where == "postgresql" else ""
    office.fill(NAMES)
    codes: list[int] = []
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office.ledger.received = server.received
        while not codes or codes[-1]:
            worker = sender.start(tmp_path, server.port, url=url, connections=1, poison="reader03@Example.net")
            codes.append(await ended(worker))
    assert codes == [137, 137, 0]
    assert_invariants(office.ledger, office.db, at_risk=2)
    [parked] = [row for row in office.rows() if row.state is not S.SENT]
    assert (parked.address, parked.state, parked.attempt) == ("reader03@Example.net", S.UNCERTAIN, 2)
    assert parked.reason == "the worker died while sending"


async def test_too_few_files_for_its_connections_slow_a_worker_down_and_no_more(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """K13: what cannot connect costs no reader anything; what can goes on."""
    office = Office(sqlite_database)
    office.fill(PEOPLE)
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office.ledger.received = server.received
        worker = sender.start(tmp_path, server.port, connections=90, files=64)
        assert await ended(worker) == 0
        assert len(server.received) == 120
    assert_invariants(office.ledger, office.db, at_risk=0)
    assert set(office.states().values()) == {S.SENT}


@needs_root
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(("where", "more"), [("sqlite", 0), ("sqlite", 1), ("sqlite", 2), ("postgresql", 0)])
async def test_a_worker_that_gets_no_more_threads_sends_all_the_same(
    request: pytest.FixtureRequest, tmp_path: Path, where: str, more: int, signed: bool
) -> None:
    """K13: it has what it needs from the beginning; without threads or processes that sign, it signs by itself."""
    office = Office(request.getfixturevalue(f"{where}_database"))
    url = request.getfixturevalue("postgresql_url") if where == "postgresql" else ""
    office.fill(PEOPLE)
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office.ledger.received = server.received
        worker = sender.start(tmp_path, server.port, url=url, connections=8, threads=more, signed=signed)
        assert await ended(worker) == 0
        assert len(server.received) == 120
    assert all((b"DKIM-Signature:" in mail.content) is signed for mail in server.received)
    assert_invariants(office.ledger, office.db, at_risk=0)
    assert set(office.states().values()) == {S.SENT}


async def test_an_upgrade_in_the_middle_of_an_issue_repeats_nothing(
    postgresql_database: Database, postgresql_url: str, tmp_path: Path
) -> None:
    """K15, the drain: the new worker sends already while the old one finishes what it has on the wire."""
    office = Office(postgresql_database)
    office.fill(PEOPLE)
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office.ledger.received = server.received
        old = sender.start(tmp_path, server.port, url=postgresql_url, connections=4)
        for version in range(1, 4):
            await arrived(server, 25 * version, old)
            new = sender.start(tmp_path, server.port, url=postgresql_url, connections=4)
            if old.is_alive():
                old.terminate()
            assert await ended(old) == 0
            old = new
        assert await ended(old) == 0
        assert len(server.received) == 120
    assert_invariants(office.ledger, office.db, at_risk=0)
    assert set(office.states().values()) == {S.SENT}


async def test_two_instances_that_start_together_send_one_copy(postgresql_database: Database) -> None:
    """K6: five workers on one issue; without a crash nobody gets two (a naive variant sent 35)."""
    office = Office(postgresql_database)
    office.fill(PEOPLE)

    async def work() -> OutboxReport:
        epoch = await office.db.awrite(lambda conn: deliveries.new_epoch(conn, NOW))
        mine = Office(office.db, clock=office.clock, epoch=epoch)
        return await mine.send(server, connections=2)

    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office.ledger.received = server.received
        reports = await asyncio.gather(*(work() for _ in range(5)))
        assert sum(report.sent for report in reports) == len(server.received) == 120
    assert_invariants(office.ledger, office.db, at_risk=0)

"""Workers that die: the server's ledger against ours after every crash (delivery §7.1)."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from publisher import faults
from publisher.store.database import Database
from tests import houses, sender
from tests.crashes import PASSAGES, PIPELINING, Policies, Sweep, arrived, crash_at, ended, kill_at_random, sweeps
from tests.ledgers import assert_invariants
from tests.office import Office, S
from tests.smtp_server import Script, smtp_server

pytestmark = pytest.mark.anyio

AROUND_THE_GAP = ("clerk.taken", "clerk.committed", "smtp.after-dot", "outbox.attempted")


def each() -> list[Sweep]:
    """Each point once, and those around the gap three times; `tests.bench.kill_outbox --sweep` does all three times."""
    return [replace(sweep, passages=PASSAGES if sweep.point in AROUND_THE_GAP else PASSAGES[:1]) for sweep in sweeps()]


@pytest.mark.parametrize("sweep", each(), ids=str)
async def test_a_crash_at_any_point_loses_nothing_and_repeats_little(
    sqlite_database: Database, tmp_path: Path, sweep: Sweep
) -> None:
    """J1, P1–P3, V1–V8: at each point that a worker comes by, under both policies."""
    await crash_at(Office(sqlite_database), tmp_path, "", sweep)


NEXT_TO_ANOTHER = (
    *("dispatch.drafted", "freezing.committed", "issue.told", "lane.adopted", "notice.composed", "restore.unpacked"),
    *("standing.compared", "standing.resumed"),
)
"""Points behind or before which little happens that others do not show; the command sweeps them too."""


@pytest.mark.parametrize("point", [point for point in houses.STORIES if point not in NEXT_TO_ANOTHER])
async def test_an_application_that_dies_keeps_its_promises_when_it_is_asked_again(tmp_path: Path, point: str) -> None:
    """J1, J20, P1–P3: dispatching, pausing, cancelling, notices, leaving, keys, transports, backups; V1–V8."""
    policy: Policies = "hold" if point.startswith("notice.") else "retry"
    await houses.crash_house(tmp_path / "home", "", Sweep(point, policy, passages=PASSAGES[:1]))


def test_every_point_has_its_story() -> None:
    """J1 asks for thirty at least; none of ours is left out of the sweeps."""
    swept = {sweep.point for sweep in (*sweeps(), *houses.sweeps())}
    assert swept == set(faults.POINTS)
    assert len(swept) >= 60


@pytest.mark.parametrize("sweep", [Sweep(point, "retry") for point in AROUND_THE_GAP], ids=str)
async def test_a_crash_loses_nothing_on_postgresql_either(
    postgresql_database: Database, postgresql_url: str, tmp_path: Path, sweep: Sweep
) -> None:
    """J1: around each commit and on either side of the gap; `tests.bench.kill_outbox --sweep` does all of them."""
    await crash_at(Office(postgresql_database), tmp_path, postgresql_url, sweep)


@pytest.mark.parametrize("sweep", [Sweep(point, "retry", workers=2) for point in AROUND_THE_GAP[1:3]], ids=str)
async def test_two_workers_that_crash_side_by_side_lose_and_repeat_no_more_than_one(
    postgresql_database: Database, postgresql_url: str, tmp_path: Path, sweep: Sweep
) -> None:
    """K6: each recovers only what is proven dead, while the other goes on sending."""
    await crash_at(Office(postgresql_database), tmp_path, postgresql_url, sweep)


async def test_fifty_kills_at_random_moments_lose_nothing(sqlite_database: Database, tmp_path: Path) -> None:
    """P1, P2: no copy is the third, no more are repeated than there were connections; all ends with its reason."""
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office = Office(sqlite_database)
        office.fill([f"person{number:04d}" for number in range(1200)])
        total = await kill_at_random(office, tmp_path, server, kills=50, dice=random.Random(4), connections=8)
    assert total == 50


async def test_kills_while_scribes_sign_lose_nothing_either(sqlite_database: Database, tmp_path: Path) -> None:
    """V5: whoever signs, and however often, a repeated mail has the same bytes; scribes go with their worker."""
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office = Office(sqlite_database)
        office.fill([f"person{number:03d}" for number in range(400)])
        await kill_at_random(office, tmp_path, server, kills=12, dice=random.Random(5), connections=8, signed=True)


async def test_two_workers_share_an_issue_and_repeat_nothing(
    postgresql_database: Database, postgresql_url: str, tmp_path: Path
) -> None:
    """K6, figure (c): without a crash there is no second copy, and both have their part."""
    office = Office(postgresql_database)
    office.fill([f"person{number:03d}" for number in range(120)])
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office.ledger.received = server.received
        both = [sender.start(tmp_path, server.port, url=postgresql_url, connections=4) for _ in range(2)]
        assert [await ended(one) for one in both] == [0, 0]
        assert len(server.received) == 120
    assert_invariants(office.ledger, office.db, at_risk=0)


async def test_a_stop_by_signal_loses_and_repeats_nothing(sqlite_database: Database, tmp_path: Path) -> None:
    """K9, P2: SIGTERM again and again until everything is sent: nobody is left out, nobody gets it twice."""
    office = Office(sqlite_database)
    office.fill([f"person{number:03d}" for number in range(100)])
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office.ledger.received = server.received
        stops = 0
        while len(server.received) < 100:
            worker = sender.start(tmp_path, server.port, connections=4)
            await arrived(server, min(100, len(server.received) + 9), worker)
            if worker.is_alive():
                worker.terminate()
                stops += 1
            assert await ended(worker) == 0
            assert S.SENDING not in office.states().values()
        assert stops >= 3
    assert_invariants(office.ledger, office.db, at_risk=0)
    assert Counter(office.states().values()) == {S.SENT: 100}

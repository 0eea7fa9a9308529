"""Workers of several machines on one PostgreSQL: the living are left alone, the dead are recovered once (K6, K7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial

import pytest

from publisher.app.worker import PATIENCE, Worker
from publisher.store import claims
from publisher.store.database import Connection, Database
from publisher.store.deliveries import Recovered
from tests.office import Clock, Office, S
from tests.store.test_workers import Machines, machines

__all__ = ["machines"]

pytestmark = pytest.mark.anyio

NOTHING = Recovered(deferred=0, uncertain=0)


@pytest.fixture
def clock() -> Clock:
    """What the workers take for the time."""
    return Clock()


@pytest.fixture
async def pair(machines: Machines, clock: Clock) -> AsyncIterator[tuple[Worker, Worker]]:
    """Two workers, each on a machine of its own."""
    first, second = Worker(machines.one, "retry", clock=clock), Worker(machines.other, "retry", clock=clock)
    await first.begin()
    await second.begin()
    yield first, second
    await first.end()
    await second.end()


def claim(conn: Connection, *, epoch: int, now: datetime) -> None:
    """Take two deliveries as a worker that is about to send them."""
    found = claims.upcoming(conn, epoch=epoch, now=now, limit=2)
    claims.take(conn, found.candidates, now)


async def test_a_worker_that_starts_leaves_the_others_alone(
    machines: Machines, pair: tuple[Worker, Worker], clock: Clock
) -> None:
    """K6: what the first has on the wire stays its own, however many start and end beside it."""
    office = Office(machines.one)
    office.fill()
    machines.one.write(partial(claim, epoch=pair[0].epoch, now=office.clock.now))
    third = Worker(machines.other, "retry", clock=clock, patience=timedelta())
    await third.begin()
    assert await third.recover() == NOTHING
    await third.end()
    assert Counter(office.states().values()) == {S.SENDING: 2, S.QUEUED: 10}
    assert len({pair[0].epoch, pair[1].epoch, third.epoch}) == 3


async def test_a_dead_worker_is_recovered_after_a_while(
    machines: Machines, pair: tuple[Worker, Worker], clock: Clock
) -> None:
    """K7: once, and then the one that was cut off knows it must start anew."""
    first, second = pair
    office = Office(machines.one)
    office.fill()
    machines.one.write(partial(claim, epoch=first.epoch, now=clock.now))
    assert first._sign is not None
    machines.cut(first._sign)
    assert await second.recover() == NOTHING
    clock.now += PATIENCE
    assert await second.recover() == Recovered(deferred=2, uncertain=0)
    assert await second.recover() == NOTHING
    assert Counter(office.states().values()) == {S.DEFERRED: 2, S.QUEUED: 10}
    before = first.epoch
    assert not await first.look()
    assert not first.alive
    await first.end()
    await first.begin()
    assert first.alive
    assert first.epoch > before


async def test_a_worker_cut_off_for_a_moment_keeps_what_it_has(
    machines: Machines, pair: tuple[Worker, Worker], clock: Clock
) -> None:
    """J12: after a restart of the database everybody comes back before anybody is declared dead."""
    first, second = pair
    assert first._sign is not None
    machines.cut(first._sign)
    assert await second.recover() == NOTHING
    before = first.epoch
    assert await first.look()
    assert (first.alive, first.epoch) == (True, before)
    clock.now += PATIENCE
    assert await second.recover() == NOTHING


async def test_a_worker_ends_once_and_leaves_nothing(database: Database, clock: Clock) -> None:
    """What it left on the wire when it was broken off is settled, on both databases."""
    office = Office(database)
    office.fill()
    one = Worker(database, "hold", clock=clock)
    with pytest.raises(RuntimeError, match="no epoch"):
        _ = one.epoch
    assert not await one.look()
    await one.begin()
    database.write(partial(claim, epoch=one.epoch, now=clock.now))
    await one.end()
    assert Counter(office.states().values()) == {S.UNCERTAIN: 2, S.QUEUED: 10}
    assert not one.alive

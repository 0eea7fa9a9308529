"""Reading ahead beside other workers: each has its own part of the queue, and helps where another is slow or dead."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from publisher.mail import ahead
from publisher.mail.outbox import OutboxReport
from publisher.store import claims, deliveries, workers
from publisher.store.claims import ALL, Share
from publisher.store.database import Database
from tests.office import NOW, Office, check_ledgers
from tests.smtp_server import smtp_server

pytestmark = pytest.mark.anyio

READERS = [f"reader{number:02d}" for number in range(24)]


@pytest.fixture
def office(postgresql_database: Database, monkeypatch: pytest.MonkeyPatch) -> Office:
    """Twenty-four readers in stretches of two, read in blocks of four."""
    monkeypatch.setattr(claims, "STRETCH", 2)
    monkeypatch.setattr(ahead, "BLOCK", 4)
    opened = Office(postgresql_database)
    opened.fill(READERS)
    return opened


def another(office: Office) -> Office:
    """A second worker on the same database."""
    return replace(office, epoch=office.db.write(lambda conn: deliveries.new_epoch(conn, NOW)))


def read(office: Office, *, backwards: bool = False) -> list[int]:
    """The ids of the first deliveries that are this worker's own."""
    share = office.db.read(lambda conn: workers.share(conn, office.epoch))
    find = partial(claims.upcoming, epoch=office.epoch, now=NOW, limit=99, share=share, backwards=backwards)
    return [candidate.id for candidate in office.db.read(find).candidates]


async def test_workers_divide_the_queue_among_them(office: Office) -> None:
    """Figure (c): nobody reads what is another's, and together they read everything; who has ended has no part."""
    everything = list(range(1, 25))
    assert read(office) == everything
    second, third = another(office), another(office)
    parts = [read(one) for one in (office, second, third)]
    assert sorted(parts[0] + parts[1] + parts[2]) == everything
    assert parts[1] == [2, 3, 8, 9, 14, 15, 20, 21]
    assert read(office, backwards=True) == parts[0][::-1]
    office.db.write(lambda conn: deliveries.stop_epoch(conn, second.epoch, NOW))
    assert sorted(read(office) + read(third)) == everything
    assert office.db.read(lambda conn: workers.share(conn, second.epoch)) == ALL


async def test_a_worker_sends_its_own_part_first_and_then_from_the_end_what_others_leave(office: Office) -> None:
    """A worker that rests, or is dead and not recovered yet, holds up nobody; and the two meet as late as can be."""
    another(office)
    own = read(office)
    assert office.db.read(lambda conn: workers.share(conn, office.epoch)) == Share(0, 2)
    async with smtp_server() as server:
        assert await office.send(server, connections=1) == OutboxReport(sent=24)
        check_ledgers(office, server.received)
        addresses = [row.address for row in office.rows()]
        order = [addresses.index(message.rcpt_to) + 1 for message in server.received]
    assert order[: len(own)] == own
    assert order[len(own) :] == sorted(order[len(own) :], reverse=True)


async def test_after_helping_for_a_while_its_own_part_comes_first_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An issue that is dispatched while a worker helps is shared out like any other."""
    monkeypatch.setattr(ahead, "HELP", 1)
    another(office)

    def tell(_: str, done: int, __: int | None) -> None:
        if done == 16:  # its own part is sent, and some of the other's
            office.freeze()

    office.tell = tell
    async with smtp_server() as server:
        await office.send(server, connections=1)
        check_ledgers(office, server.received)
        ids = {row.message_id: row.id for row in office.rows()}
        order = [ids[message.message_id] for message in server.received]
    new = [number for number in order if number > 24][4:]  # but for a block that was being read just then
    own = [number for number in new if number // 2 % 2 == 0]
    assert len(own) >= 4  # of twelve: some go while it still reads what is left of the others'
    assert new[: len(own)] == sorted(own)

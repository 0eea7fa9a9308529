"""Workers that die: the server's ledger against ours after every crash (delivery §7.1)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Sequence
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Literal

import pytest

from publisher import faults
from publisher.store import subscribers
from publisher.store.database import Database
from tests import sender
from tests.office import NOW, Office, S, check_ledgers
from tests.smtp_server import Received, Script, SmtpServer, smtp_server

pytestmark = pytest.mark.anyio

CONNECTIONS = 3
PIPELINING = ("PIPELINING", "SIZE 1000000")


async def ended(process: ForkServerProcess) -> int:
    """Wait for a worker and return its exit code."""
    await asyncio.to_thread(process.join)
    assert process.exitcode is not None
    return process.exitcode


def check(office: Office, received: Sequence[Received], *, crashes: int, hold: bool, connections: int) -> None:
    """V1–V6: nothing is open, nothing is lost unseen, few are repeated and none three times."""
    check_ledgers(office, list(received))
    states = Counter(office.states().values())
    assert set(states) <= {S.SENT, S.UNCERTAIN, S.SUPPRESSED}, states
    copies = Counter(message.message_id for message in received)
    extra = sum(copies.values()) - len(copies)
    at_risk = crashes * connections
    assert extra <= (0 if hold else at_risk)
    assert states[S.UNCERTAIN] <= at_risk
    for row in office.rows():
        if row.state is S.UNCERTAIN:
            assert row.ambiguous == (1 if hold else 2)
            assert row.reason
        assert row.state is not S.SENT or copies[row.message_id] >= 1


@pytest.mark.parametrize("on_uncertain", ["retry", "hold"])
@pytest.mark.parametrize("point", faults.POINTS)
async def test_a_crash_at_any_point_loses_nothing_and_repeats_little(
    sqlite_database: Database, tmp_path: Path, point: str, on_uncertain: Literal["retry", "hold"]
) -> None:
    """J1, P1–P3: at the first, then the second, then the third passage; who leaves after a crash gets nothing."""
    await sweep(Office(sqlite_database), tmp_path, "", point, on_uncertain)


@pytest.mark.parametrize("point", ["clerk.taken", "clerk.committed", "smtp.after-dot", "outbox.attempted"])
async def test_a_crash_loses_nothing_on_postgresql_either(
    postgresql_database: Database, postgresql_url: str, tmp_path: Path, point: str
) -> None:
    """J1: around each commit and on either side of the gap."""
    await sweep(Office(postgresql_database), tmp_path, postgresql_url, point, "retry")


async def sweep(office: Office, folder: Path, url: str, point: str, on_uncertain: Literal["retry", "hold"]) -> None:
    """Crash at a point three times, then let a worker finish."""
    office.fill()
    crashes = 0
    async with smtp_server(Script(extensions=PIPELINING)) as server:

        async def work(fault: str = "") -> int:
            return await ended(
                sender.start(
                    folder, server.port, url=url, fault=fault, on_uncertain=on_uncertain, connections=CONNECTIONS
                )
            )

        left = ""
        for passage in (1, 2, 3):
            code = await work(f"{point}:{passage}")
            assert code in (0, 137)
            crashes += code == 137
            queued = [row for row in office.rows() if row.state is S.QUEUED]
            if queued and not left:
                left = queued[-1].message_id
                leaver = queued[-1].subscription_id
                assert leaver is not None
                office.db.write(partial(subscribers.unsubscribe, subscription_id=leaver, method="link", now=NOW))
        assert await work() == 0
        assert crashes >= 1
        check(office, server.received, crashes=crashes, hold=on_uncertain == "hold", connections=CONNECTIONS)
        if left:
            assert left not in {message.message_id for message in server.received}


async def arrived(worker: ForkServerProcess, server: SmtpServer, target: int) -> None:
    """Wait until the server has so many messages, or the worker has ended."""
    while worker.is_alive() and len(server.received) < target:  # noqa: ASYNC110 - a process has no event for its end
        await asyncio.sleep(0.001)


async def killed(
    office: Office, folder: Path, server: SmtpServer, *, kills: int, dice: random.Random, connections: int
) -> int:
    """Kill workers at random moments until so many died or everything is sent; return how many were killed."""
    done = 0
    while done < kills:
        worker = sender.start(folder, server.port, connections=connections)
        await arrived(worker, server, len(server.received) + dice.randint(1, 2 * connections))
        await asyncio.sleep(dice.random() * 0.004)
        if worker.is_alive() and worker.pid:
            os.kill(worker.pid, signal.SIGKILL)
        if await ended(worker) == 0:
            break
        done += 1
    assert await ended(sender.start(folder, server.port, connections=connections)) == 0
    return done


async def test_fifty_kills_at_random_moments_lose_nothing(sqlite_database: Database, tmp_path: Path) -> None:
    """P1, P2: no copy is the third, no more are repeated than there were connections; all ends with its reason."""
    dice = random.Random(4)
    total = 0
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office = Office(sqlite_database)
        office.fill([f"person{number:03d}" for number in range(400)])
        total = await killed(office, tmp_path, server, kills=50, dice=dice, connections=8)
        check(office, server.received, crashes=total, hold=False, connections=8)
    assert total == 50


async def test_a_stop_by_signal_loses_and_repeats_nothing(sqlite_database: Database, tmp_path: Path) -> None:
    """K9, P2: SIGTERM again and again until everything is sent: nobody is left out, nobody gets it twice."""
    office = Office(sqlite_database)
    office.fill([f"person{number:03d}" for number in range(100)])
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        stops = 0
        while len(server.received) < 100:
            worker = sender.start(tmp_path, server.port, connections=4)
            await arrived(worker, server, min(100, len(server.received) + 9))
            if worker.is_alive():
                worker.terminate()
                stops += 1
            assert await ended(worker) == 0
            assert S.SENDING not in office.states().values()
        assert stops >= 3
        assert max(Counter(message.message_id for message in server.received).values()) == 1
    assert set(office.states().values()) == {S.SENT}

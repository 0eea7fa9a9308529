"""Crashing workers and comparing the ledgers: what the suite does a little of, and a command a lot."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Literal

from publisher import faults
from publisher.model import SubscriptionState
from publisher.store import subscribers, workers
from publisher.store.database import Connection
from tests import sender
from tests.ledgers import assert_invariants
from tests.office import Office, S
from tests.smtp_server import Script, SmtpServer, smtp_server

CONNECTIONS = 3
PIPELINING = ("PIPELINING", "SIZE 1000000")
PASSAGES = (1, 2, 3)
READERS = [f"reader{number:02d}" for number in range(16)]


@dataclass(frozen=True, slots=True)
class Sweep:
    """One way of crashing: where, under which policy, and how many workers at once."""

    point: str
    on_uncertain: Literal["retry", "hold"]
    workers: int = 1

    def __str__(self) -> str:
        """Name it as a test is named."""
        return f"{self.point}-{self.on_uncertain}" + ("-two" if self.workers > 1 else "")


def sweeps(*, workers: int = 1) -> list[Sweep]:
    """Every named point under both policies."""
    policies: tuple[Literal["retry", "hold"], ...] = ("retry", "hold")
    return [Sweep(point, policy, workers) for point, policy in itertools.product(faults.POINTS, policies)]


async def ended(process: ForkServerProcess) -> int:
    """Wait for a worker and return its exit code."""
    await asyncio.to_thread(process.join)
    assert process.exitcode is not None
    return process.exitcode


async def vanished(office: Office) -> None:
    """Wait until the database knows that all workers have ended; on PostgreSQL its processes learn it one by one."""
    if office.db.dialect == "sqlite":
        return

    def signs(conn: Connection) -> int:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
        return int(conn.exec_driver_sql(query, (workers.LIFE_SIGN,)).scalar_one())

    while office.db.read(signs):  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.005)


async def crash_at(office: Office, folder: Path, url: str, sweep: Sweep) -> int:
    """Crash at a point at the first, second and third passage, then let a worker finish; compare; return the crashes.

    After each crash somebody leaves; after the first there is a second issue. One reader has not confirmed, and one is
    suppressed, though the issue was made for them.
    """
    office.fill(READERS)
    office.join("pending", SubscriptionState.PENDING)
    office.join("suppressed")
    office.freeze(also=["pending", "suppressed"])
    office.db.write(lambda conn: subscribers.suppress(conn, "suppressed@example.net", reason="x", now=office.clock.now))
    crashes = 0
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office.ledger.received = server.received

        def start(fault: str = "") -> ForkServerProcess:
            policy = sweep.on_uncertain
            return sender.start(folder, server.port, url=url, fault=fault, on_uncertain=policy, connections=CONNECTIONS)

        for passage in PASSAGES:
            together = [start(f"{sweep.point}:{passage + number}") for number in range(sweep.workers)]
            codes = [await ended(worker) for worker in together]
            assert set(codes) <= {0, 137}, codes
            crashes += codes.count(137)
            await vanished(office)
            queued = [row for row in office.rows() if row.state is S.QUEUED]
            if queued:
                office.leave(queued[-1].message_id[14:].partition("xxxxxxxx@")[0])
            if passage == 1:
                office.freeze()
        assert await ended(start()) == 0
    assert crashes >= 1
    assert_invariants(office.ledger, office.db, at_risk=crashes * CONNECTIONS, hold=sweep.on_uncertain == "hold")
    return crashes


async def arrived(server: SmtpServer, target: int, *senders: ForkServerProcess) -> None:
    """Wait until the server has so many messages, or the workers have ended."""
    while len(server.received) < target and any(one.is_alive() for one in senders):  # noqa: ASYNC110 - processes have no event
        await asyncio.sleep(0.001)


async def kill_at_random(
    office: Office,
    folder: Path,
    server: SmtpServer,
    *,
    kills: int,
    dice: random.Random,
    connections: int,
    url: str = "",
    together: int = 1,
) -> int:
    """Kill workers at random moments until so many died or everything is sent; return how many were killed.

    `together`: so many work at once, and one of them is killed while the others go on.
    """
    office.ledger.received = server.received
    done = 0
    running: list[ForkServerProcess] = []
    while done < kills:
        running += [
            sender.start(folder, server.port, url=url, connections=connections) for _ in range(together - len(running))
        ]
        await arrived(server, len(server.received) + dice.randint(1, 2 * connections), *running)
        await asyncio.sleep(dice.random() * 0.004)
        victim = running.pop(dice.randrange(len(running)))
        if victim.is_alive() and victim.pid:
            os.kill(victim.pid, signal.SIGKILL)
        if await ended(victim) == 0:
            break
        done += 1
    for one in running:
        assert await ended(one) == 0
    await vanished(office)
    assert await ended(sender.start(folder, server.port, url=url, connections=connections)) == 0
    assert_invariants(office.ledger, office.db, at_risk=done * connections)
    return done

"""A worker process of the outbox, small enough to be started and killed a thousand times."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Literal

from publisher import faults
from publisher.mail import outbox
from publisher.mail.compose import Composer
from publisher.mail.smtp import Transport
from publisher.mail.steps import Policy
from publisher.store import deliveries
from publisher.store.database import Connection, Database
from tests.office import KEYRING, NOW

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.sender", "publisher.store.database", "sqlalchemy.dialects.sqlite"])


def start(
    folder: Path,
    port: int,
    *,
    url: str = "",
    fault: str = "",
    on_uncertain: Literal["retry", "hold"] = "retry",
    connections: int = 3,
) -> ForkServerProcess:
    """Start a worker that recovers what dead ones left and sends until nothing is due."""
    process = _context.Process(target=_work, args=(folder, port, url, fault, on_uncertain, connections))
    process.start()
    return process


def _work(
    folder: Path, port: int, url: str, fault: str, on_uncertain: Literal["retry", "hold"], connections: int
) -> None:
    faults.arm(fault)
    with Database.open(url, data_dir=folder) as db:

        def begin(conn: Connection) -> int:
            dead = deliveries.running_epochs(conn)
            deliveries.recover(conn, dead, policy=on_uncertain, now=NOW)
            return deliveries.new_epoch(conn, NOW)

        epoch = db.write(begin)
        asyncio.run(_send(db, epoch, port, Policy(on_uncertain=on_uncertain), connections))
        db.write(lambda conn: deliveries.stop_epoch(conn, epoch, NOW))


async def _send(db: Database, epoch: int, port: int, policy: Policy, connections: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await outbox.run(
        db,
        lambda: Transport("127.0.0.1", port, security="plain", hello_name="mail.example.org"),
        composer=Composer(KEYRING),
        epoch=epoch,
        connections=connections,
        clock=lambda: NOW,
        dice=lambda: 0.5,
        stop=stop,
        policy=policy,
    )
